#!/usr/bin/env bash
# Everything that a submission must pass: the checks, then every test. Installs what it needs where it may.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v mkfs.ext4 > /dev/null || missing+=(e2fsprogs)
command -v python3 > /dev/null || missing+=(python3)
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get update -qq && apt-get install -y -qq "${missing[@]}" > /dev/null
fi

# Each thing is built once here: what a second build would reuse only fills the disk.
export CARGO_INCREMENTAL=0

cargo xtask verify
# The tests of whole clusters run the programs themselves.
cargo build --workspace --bins
cargo test --workspace --quiet
# What the README shows a newcomer, with the programs that were built for the tests.
HOLDFAST_BIN=${CARGO_TARGET_DIR:-target}/debug ops/newcomer.sh
# Faults at real nodes for a moment; what this machine does not allow is skipped, and said.
HOLDFAST_BIN=${CARGO_TARGET_DIR:-target}/debug ops/chaos-smoke.sh 10s
