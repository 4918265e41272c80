#!/usr/bin/env bash
# Snapshots in an object store: saved, listed, checked, pruned and restored from, against a server that speaks S3 (moto, from PyPI), on a free
# port of this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${MOTO:-}" ]; then
    # Built before the server runs, so that it runs for seconds only; with the whole workspace, so that nothing is built twice.
    ${CARGO:-cargo} build --workspace --bins
    ${CARGO:-cargo} test --workspace --features cluster-tests/moto --test it --no-run
    exec ops/with-moto.sh ops/test-s3.sh
fi

# What nodes and command line read; the credentials are nobody's.
export AWS_ENDPOINT=$MOTO AWS_ALLOW_HTTP=true AWS_REGION=eu-west-1
export AWS_ACCESS_KEY_ID=AKIDTEST AWS_SECRET_ACCESS_KEY=not-a-secret
"$MOTO_PYTHON" -c "import urllib.request as u; u.urlopen(u.Request('$MOTO/holdfast-test', method='PUT'))"
HOLDFAST_TEST_S3=s3://holdfast-test ${CARGO:-cargo} test --workspace --features cluster-tests/moto --test it -- recovery::s3
