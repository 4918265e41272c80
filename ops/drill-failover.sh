#!/usr/bin/env bash
# Takes the leader of three real servers away, 30 times in each of five ways, under load, and prints how long nobody was acknowledged a
# write. As root each server stands in a network namespace of its own; without, only what loopback allows is done, and the rest is named.
#
#   ops/drill-failover.sh                                  100,000 secrets, 30 rounds of each fault
#   ops/drill-failover.sh --secrets 1000 --rounds 3        a short one
#   ops/drill-failover.sh --only cut,one-way --json out.json
#
# HOLDFAST_BIN names a directory with ops-bench and holdfastd; without it the release build is made and used.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${HOLDFAST_BIN:-}" ]; then
    bin=$HOLDFAST_BIN
else
    cargo build --release --quiet -p node -p ops-bench
    bin=${CARGO_TARGET_DIR:-target}/release
fi

if unshare --mount --net true 2> /dev/null && command -v ip > /dev/null; then
    # Everything that is made lies in namespaces that end with the last process: nothing is left behind, however it ends.
    exec unshare --mount --net --propagation private sh -c '
        mkdir -p /run/netns && mount -t tmpfs drill /run/netns
        exec "$@"' drill "$bin/ops-bench" failover --network namespaces "$@"
fi
exec "$bin/ops-bench" failover --network loopback "$@"
