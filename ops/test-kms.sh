#!/usr/bin/env bash
# The conformance suite of node-kms, and clusters whose seal key AWS KMS keeps, against a server that speaks its protocol (moto, from PyPI),
# on a free port of this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

with_moto=(--workspace --features node-kms/moto,cluster-tests/moto)
if [ -z "${MOTO:-}" ]; then
    # Built before the server runs, so that it runs for seconds only; with the whole workspace, so that nothing is built twice.
    ${CARGO:-cargo} clippy "${with_moto[@]}" --all-targets --quiet -- -D warnings
    ${CARGO:-cargo} build --workspace --bins
    ${CARGO:-cargo} test "${with_moto[@]}" --test it --no-run
    exec ops/with-moto.sh ops/test-kms.sh
fi

export HOLDFAST_TEST_KMS_ENDPOINT=$MOTO
HOLDFAST_TEST_KMS_KEY=$("$MOTO_PYTHON" - <<'PYTHON'
import json, os, urllib.request
credential = "AWS4-HMAC-SHA256 Credential=AKIDTEST/20260101/eu-west-1/kms/aws4_request, SignedHeaders=host, Signature=0"
headers = {"X-Amz-Target": "TrentService.CreateKey", "Content-Type": "application/x-amz-json-1.1", "Authorization": credential}
request = urllib.request.Request(os.environ["HOLDFAST_TEST_KMS_ENDPOINT"], data=b"{}", headers=headers)
print(json.load(urllib.request.urlopen(request))["KeyMetadata"]["KeyId"])
PYTHON
)
export HOLDFAST_TEST_KMS_KEY
# The whole suite of node-kms, and the clusters.
${CARGO:-cargo} test "${with_moto[@]}" --test it -- aws:: moto:: the_twin_in_memory_conforms kms::
