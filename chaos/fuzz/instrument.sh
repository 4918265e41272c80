#!/usr/bin/env bash
# What cargo calls in place of rustc: counts branches in the crates whose reading of bytes is under test, and nowhere else.
# Stable compilers can do it; no sanitizer, because memory safety is not the question (unsafe code is denied).
case " $* " in
    # Build scripts and procedural macros are made for the machine that builds, without a target named: they are left alone.
    *" --target "*) ;;
    *) exec "$@" ;;
esac
case ${CARGO_PKG_NAME:-} in
    chaos-fuzz | node | node-domain | proto | proto-client | proto-record | raft | storage | storage-backup | storage-crypto | \
        bincode | jsonschema | jsonwebtoken | lz4_flex | prost | serde_json | toml | toml_parser | x509-parser)
        exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
            -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 ;;
    *) exec "$@" ;;
esac
