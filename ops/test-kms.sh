#!/usr/bin/env bash
# The conformance suite of node-kms, and clusters whose seal key AWS KMS keeps, against a server that speaks its protocol (moto, from PyPI),
# on a free port of this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
venv=$target/kms-venv
mkdir -p "$target"
if [ ! -x "$venv/bin/moto_server" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet 'moto[server]==5.2.5'
fi

# Built before the server runs, so that it runs for seconds only.
${CARGO:-cargo} clippy -p node-kms --features moto --all-targets --quiet -- -D warnings
${CARGO:-cargo} test -p node-kms --features moto --test it --no-run
${CARGO:-cargo} build --workspace --bins
${CARGO:-cargo} test -p cluster-tests --features moto --test it --no-run

port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$venv/bin/moto_server" -H 127.0.0.1 -p "$port" > "$target/kms-server.log" 2>&1 &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true' EXIT

for _ in $(seq 100); do
    if ! kill -0 "$server" 2> /dev/null; then
        break
    fi
    if "$venv/bin/python" -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2> /dev/null; then
        export HOLDFAST_TEST_KMS_ENDPOINT=http://127.0.0.1:$port
        ${CARGO:-cargo} test -p node-kms --features moto --test it
        HOLDFAST_TEST_KMS_KEY=$("$venv/bin/python" - <<'PYTHON'
import json, os, urllib.request
credential = "AWS4-HMAC-SHA256 Credential=AKIDTEST/20260101/eu-west-1/kms/aws4_request, SignedHeaders=host, Signature=0"
headers = {"X-Amz-Target": "TrentService.CreateKey", "Content-Type": "application/x-amz-json-1.1", "Authorization": credential}
request = urllib.request.Request(os.environ["HOLDFAST_TEST_KMS_ENDPOINT"], data=b"{}", headers=headers)
print(json.load(urllib.request.urlopen(request))["KeyMetadata"]["KeyId"])
PYTHON
        )
        export HOLDFAST_TEST_KMS_KEY
        ${CARGO:-cargo} test -p cluster-tests --features moto --test it -- kms::
        exit
    fi
    sleep 0.2
done
echo "error: the server did not start; it said:" >&2
cat "$target/kms-server.log" >&2
exit 1
