#!/usr/bin/env bash
# Loses a cluster of three real servers, brings it back from a snapshot on three new nodes, and prints how long that took and how much memory.
#
#   ops/drill-restore.sh                                   1,000,000 secrets
#   ops/drill-restore.sh --secrets 20000 --json out.json   a short one
#
# HOLDFAST_BIN names a directory with ops-bench, holdfastd and holdfast; without it the release build is made and used.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${HOLDFAST_BIN:-}" ]; then
    bin=$HOLDFAST_BIN
else
    cargo build --release --quiet -p node -p ops-cli -p ops-bench
    bin=${CARGO_TARGET_DIR:-target}/release
fi
exec "$bin/ops-bench" restore "$@"
