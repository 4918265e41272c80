#!/usr/bin/env bash
# Runs a command beside moto (from PyPI), a server that speaks what AWS speaks, on a free port of this machine: MOTO is its address, and
# MOTO_PYTHON a python for questions to it. The server ends with the command.
set -euo pipefail

target=${CARGO_TARGET_DIR:-target}
venv=$target/moto-venv
mkdir -p "$target"
if [ ! -x "$venv/bin/moto_server" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet 'moto[server]==5.2.5'
fi
export MOTO_PYTHON=$venv/bin/python

port=$("$MOTO_PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$venv/bin/moto_server" -H 127.0.0.1 -p "$port" > "$target/moto.log" 2>&1 &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true' EXIT

for _ in $(seq 100); do
    if ! kill -0 "$server" 2> /dev/null; then
        break
    fi
    if "$MOTO_PYTHON" -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2> /dev/null; then
        MOTO=http://127.0.0.1:$port "$@"
        exit
    fi
    sleep 0.2
done
echo "error: the server did not start; it said:" >&2
cat "$target/moto.log" >&2
exit 1
