#!/usr/bin/env bash
# What the README shows a newcomer, done: make the keys of a cluster, unseal it, make a role and a user with a second factor, log in,
# and be refused what the role does not allow. Exits non-zero where anything is not as the README says.
# HOLDFAST_BIN: where the programs are (target/release where nothing is said; they are built where they are missing).
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${HOLDFAST_BIN:-${CARGO_TARGET_DIR:-target}/release}
[ -x "$bin/holdfastd" ] && [ -x "$bin/holdfast" ] || cargo build --release -p node -p ops-cli --bins
bin=$(cd "$bin" && pwd)
home=$(mktemp -d)
export PATH=$bin:$PATH HOLDFAST_CONFIG=$home/kit/client.toml XDG_STATE_HOME=$home/state
unset HOLDFAST_TOKEN HOLDFAST_TOKEN_FILE
nodes=()
cleanup() {
    for node in "${nodes[@]}"; do kill "$node" 2>/dev/null || true; done
    for node in "${nodes[@]}"; do wait "$node" 2>/dev/null || true; done
    rm -rf "$home"
}
trap cleanup EXIT

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'newcomer: %s\n' "$*" >&2; exit 1; }
# Runs a command that has to be refused with exit code 4 (not allowed).
refused() {
    local code=0
    "$@" || code=$?
    [ "$code" = 4 ] || fail "exit code $code instead of 4 (not allowed): $*"
}

say "a cluster without keys"
port=${HOLDFAST_NEWCOMER_PORT:-7300}
holdfastd kit --out "$home/kit" --seal none --port "$port" > /dev/null
for node in 1 2 3; do
    holdfastd server --config "$home/kit/node$node/holdfast.toml" 2> "$home/node$node.log" > /dev/null &
    nodes+=($!)
done
for _ in $(seq 100); do holdfast operator status > "$home/status" 2>&1 || true; [ "$(grep -c uninitialized "$home/status")" = 3 ] && break; sleep 0.2; done
cat "$home/status"

say "its keys: five shares, any three of which unseal"
holdfast operator init --shares 5 --threshold 3 -o json > "$home/keys.json"
share() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["shares"][int(sys.argv[2])])' "$home/keys.json" "$1"; }
python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["root_token"])' "$home/keys.json" > "$home/root-token"
chmod 600 "$home/root-token"

say "unseal: three people, a share each"
for at in 0 2 4; do share "$at" | holdfast operator unseal; done
holdfast operator status

export HOLDFAST_TOKEN_FILE=$home/root-token
for _ in $(seq 100); do holdfast cluster status > /dev/null 2>&1 && break; sleep 0.2; done

say "a policy, a role, a secret"
holdfast policy put developer --allow 'development:app/*:read,list,create,update'
holdfast role put developers --policy developer --description "writes the application"
printf 'hunter2' | holdfast secret put app/db - -e development
printf 'correct horse' | holdfast secret put app/db - -e production

say "a user with a second factor"
printf 'correct horse battery staple' > "$home/ana.password"
holdfast user create ana --role developers --ttl 8h --password-file "$home/ana.password"
holdfast user totp enrol ana -o json > "$home/totp.json"
code() {
    python3 - "$home/totp.json" "$1" <<'PY'
import base64, hashlib, hmac, json, struct, sys, time, urllib.parse
uri = json.load(open(sys.argv[1]))["uri"]
secret = urllib.parse.parse_qs(urllib.parse.urlparse(uri).query)["secret"][0]
key = base64.b32decode(secret + "=" * (-len(secret) % 8))
digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30 + int(sys.argv[2])), hashlib.sha1).digest()
at = digest[-1] & 15
print("%06d" % ((struct.unpack(">I", digest[at:at + 4])[0] & 0x7FFFFFFF) % 10**6))
PY
}
holdfast user totp confirm ana "$(code 0)"
unset HOLDFAST_TOKEN_FILE

say "ana logs in, and is refused what her role does not allow"
holdfast login ana --password-file "$home/ana.password" --code "$(code 1)"
holdfast token lookup
[ "$(holdfast secret get app/db -e development --reveal -o raw)" = hunter2 ] || fail "ana does not read what she may"
refused holdfast secret get app/db -e production --reveal
refused holdfast policy list

say "a token for a machine, and the journal"
export HOLDFAST_TOKEN_FILE=$home/root-token
holdfast token create ci/build --role developers --ttl 1h --out "$home/ci.token"
HOLDFAST_TOKEN_FILE=$home/ci.token holdfast secret get app/db -e development
refused env HOLDFAST_TOKEN_FILE="$home/ci.token" "$bin/holdfast" secret get app/db -e production
holdfast audit query --limit 8
holdfast audit verify --all-nodes
say "Done: sealed, unsealed, logged in with two factors, refused what is not allowed, and all of it is on the journal."
