#!/usr/bin/env bash
# Snapshots in an object store: saved, listed, checked, pruned and restored from, against a server that speaks S3 (moto, from PyPI), on a free
# port of this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
venv=$target/s3-venv
mkdir -p "$target"
if [ ! -x "$venv/bin/moto_server" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet 'moto[server]==5.2.5'
fi

# Built before the server runs, so that it runs for seconds only; with the whole workspace, so that nothing is built twice.
${CARGO:-cargo} build --workspace --bins
${CARGO:-cargo} test --workspace --features cluster-tests/moto --test it --no-run

port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$venv/bin/moto_server" -H 127.0.0.1 -p "$port" > "$target/s3-server.log" 2>&1 &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true' EXIT

# What nodes and command line read; the credentials are nobody's.
export AWS_ENDPOINT=http://127.0.0.1:$port AWS_ALLOW_HTTP=true AWS_REGION=eu-west-1
export AWS_ACCESS_KEY_ID=AKIDTEST AWS_SECRET_ACCESS_KEY=not-a-secret
for _ in $(seq 100); do
    if ! kill -0 "$server" 2> /dev/null; then
        break
    fi
    if "$venv/bin/python" -c "import urllib.request as u; u.urlopen(u.Request('$AWS_ENDPOINT/holdfast-test', method='PUT'))" 2> /dev/null; then
        HOLDFAST_TEST_S3=s3://holdfast-test ${CARGO:-cargo} test --workspace --features cluster-tests/moto --test it -- recovery::s3
        exit
    fi
    sleep 0.2
done
echo "error: the server did not start; it said:" >&2
cat "$target/s3-server.log" >&2
exit 1
