#!/usr/bin/env bash
# A short chaos run with the programs that were built: under a minute, as root or not (what needs root is skipped, and said).
# Usage: ops/chaos-smoke.sh [TIME]
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${HOLDFAST_BIN:-${CARGO_TARGET_DIR:-target}/debug}
out=$(mktemp -d)
if "$bin/holdfast-chaos" run smoke --for "${1:-30s}" --out "$out/run"; then
    rm -rf "$out"
else
    code=$?
    echo "what the run saw is in $out/run" >&2
    exit $code
fi
