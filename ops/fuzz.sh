#!/usr/bin/env bash
# Feeds every parser with made up bytes: ops/fuzz.sh [--runs N] [--seconds S] [TARGET...]
#
# Without targets: all of them, two at a time. --runs is the number of executions of all targets together (default 1,000,000), shared out among
# them: `api`, which asks a whole node, has a fifth of a share. --seconds bounds each target instead, or besides. What was found by earlier
# runs is taken up again; what fails is kept, with the command that shows it. Needs a C++ compiler and the Rust that the workspace needs;
# installs the first where it may.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=1000000 seconds=0 build=1 targets=()
while [ $# -gt 0 ]; do
    case $1 in
        --runs) runs=$2; shift 2 ;;
        --seconds) seconds=$2; shift 2 ;;
        --no-build) build=0; shift ;;
        --help | -h) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
        -*) echo "error: $1 is unknown; use --runs, --seconds, --no-build and names of targets" >&2; exit 2 ;;
        *) targets+=("$1"); shift ;;
    esac
done
for number in "$runs" "$seconds"; do
    case $number in
        '' | *[!0-9]*) echo "error: $number is no whole number" >&2; exit 2 ;;
    esac
done

if ! command -v c++ > /dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
        apt-get update -qq && apt-get install -y -qq g++ > /dev/null
    else
        echo "error: a C++ compiler is missing: libFuzzer is built from its source; install g++" >&2
        exit 2
    fi
fi

home=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
program=$home/$host/debug/holdfast-fuzz
if [ "$build" = 1 ]; then
    # What is shipped is what is tested: the versions of the main workspace.
    cp Cargo.lock chaos/fuzz/Cargo.lock
    RUSTC_WRAPPER=$PWD/chaos/fuzz/instrument.sh CARGO_INCREMENTAL=0 \
        ${CARGO:-cargo} build --quiet --manifest-path chaos/fuzz/Cargo.toml --target "$host" --target-dir "$home"
fi

if [ ! -x "$program" ]; then
    echo "error: there is no $program: run once without --no-build, which builds it, or name its target directory by CARGO_TARGET_DIR" >&2
    exit 2
fi
mapfile -t known < <("$program" 2> /dev/null)
[ ${#targets[@]} -gt 0 ] || targets=("${known[@]}")
for target in "${targets[@]}"; do
    if ! printf '%s\n' "${known[@]}" | grep -qx -- "$target"; then
        echo "error: there is no target $target; there are ${known[*]}" >&2
        exit 2
    fi
done

# Shares: five for each target, one for `api`.
shares=0
for target in "${targets[@]}"; do
    if [ "$target" = api ]; then shares=$((shares + 1)); else shares=$((shares + 5)); fi
done

fuzz() {
    local target=$1 share=5
    [ "$target" != api ] || share=1
    local place=$home/runs/$target
    mkdir -p "$place/corpus" "$place/seeds" "$place/findings"
    cd "$place"
    export HOLDFAST_FUZZ_TARGET=$target
    rm -f log status seeds/*
    if ! HOLDFAST_FUZZ_SEEDS=$place/seeds "$program" > log 2>&1; then
        echo seeds > status
        return
    fi
    local bounds=(-runs=$(((runs * share + shares - 1) / shares)))
    [ "$seconds" = 0 ] || bounds+=(-max_total_time="$seconds")
    # Machines under test are slow: what takes twenty seconds of one hangs anywhere.
    local status=0
    "$program" "${bounds[@]}" -timeout=20 -rss_limit_mb=3072 -max_len=16384 -len_control=20 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="$place/findings/" corpus seeds > log 2>&1 || status=$?
    echo "$status" > status
}
export -f fuzz
export home program runs seconds shares

started=$SECONDS
printf '%s\n' "${targets[@]}" | xargs -P 2 -I {} bash -c 'fuzz {}'

printf '%-18s %12s %14s %9s %9s %8s\n' target executions 'new coverage' branches 'peak MB' finding
total=0 failed=()
for target in "${targets[@]}"; do
    log=$home/runs/$target/log
    stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -1; }
    done_=$(stat number_of_executed_units)
    peak=$(stat peak_rss_mb)
    branches=$(grep -oE 'cov: [0-9]+' "$log" | tail -1 | tr -dc 0-9 || true)
    first=$(grep -m1 INITED "$log" | grep -oE 'cov: [0-9]+' | tr -dc 0-9 || true)
    finding=-
    if [ "$(cat "$home/runs/$target/status")" != 0 ]; then
        finding=YES
        failed+=("$target")
    fi
    total=$((total + ${done_:-0}))
    printf '%-18s %12s %14s %9s %9s %8s\n' "$target" "${done_:-?}" "$((${branches:-0} - ${first:-0}))" "${branches:-?}" "${peak:-?}" "$finding"
done
echo "$total executions of ${#targets[@]} targets in $((SECONDS - started)) s; ${#failed[@]} with a finding"

for target in "${failed[@]}"; do
    place=$home/runs/$target
    echo
    echo "$target: $(grep -m1 -E 'panicked at|ERROR: libFuzzer' -A1 "$place/log" | tr '\n' ' ')"
    artifact=$(sed -n 's/.*Test unit written to //p' "$place/log" | tail -1)
    echo "  again:   (cd $place && HOLDFAST_FUZZ_TARGET=$target $program ${artifact:-FILE})"
    echo "  smaller: (cd $place && HOLDFAST_FUZZ_TARGET=$target $program -minimize_crash=1 -runs=100000 ${artifact:-FILE})"
    if [ "$target" = api ]; then
        echo "  with all that was asked before: (cd $place && cp api-history h && HOLDFAST_FUZZ_TARGET=api HOLDFAST_FUZZ_REPLAY=h $program)"
    fi
done
[ ${#failed[@]} = 0 ]
