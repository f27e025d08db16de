#!/usr/bin/env bash
# long.sh [RUNS | SECONDSs] [NAME...]: libFuzzer with address and undefined-behaviour sanitizers over every reader of bytes
# from outside (tests/fuzz/libfuzzer), or over those that are named: RUNS executions each (default 100000), or so many
# seconds, e.g. 30s. An input that takes more than 5 s or asks for more than 300 MiB at once is a finding like a crash.
#
#   FORERUN_FUZZ_BUILD=DIR  build there (default build/fuzz)
#   FORERUN_FUZZ_KEEP=DIR   keep what was found and the logs there (default build/fuzz/findings)
#   FORERUN_FUZZ_SEED=N     first number of the random choices (default 1)
#   FORERUN_JOBS=N          fuzzers at once (default: the processors)
#
# A line for each: "NAME: N executions, M findings, T s". Ends with 1 after a finding, naming the file that shows it
# (libfuzzer_NAME FILE runs it alone); with 77 where clang or its fuzzer is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

much=100000
case ${1:-} in
    [0-9]*)
        much=$1
        shift
        ;;
esac
build=${FORERUN_FUZZ_BUILD:-build/fuzz}
keep=${FORERUN_FUZZ_KEEP:-$build/findings}
seed=${FORERUN_FUZZ_SEED:-1}
jobs=${FORERUN_JOBS:-$(nproc)}

case $much in
    *s) limit=-max_total_time=${much%s} ;;
    *) limit=-runs=$much ;;
esac

work=$(mktemp -d "${TMPDIR:-/tmp}/forerun-fuzz.XXXXXX")
memory=$work
if [ -d /dev/shm ] && [ -w /dev/shm ]; then
    memory=$(mktemp -d /dev/shm/forerun-fuzz.XXXXXX)
fi
trap 'rm -rf "$work" "$memory"' EXIT

echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n); int LLVMFuzzerTestOneInput(const char *d, unsigned long n)
{ return d == 0 && n > 0; }' >"$work/probe.c"
if ! clang -fsanitize=fuzzer,address,undefined -o "$work/probe" "$work/probe.c" 2>"$work/probe.log"; then
    cat "$work/probe.log"
    echo "skipped: no clang with libFuzzer (launch/install-deps.sh check)"
    exit 77
fi

cmake --preset fuzz -B "$build" >"$work/cmake.log" || { cat "$work/cmake.log"; exit 1; }
cmake --build "$build" --target fuzzers >"$work/build.log" || { cat "$work/build.log"; exit 1; }
programs=$(cd "$build/tests" && pwd)
mkdir -p "$keep"

# Longest inputs: what holds a whole small file, and no more, since every byte is a place to change.
longest() {
    case $1 in
        gguf | sealed) echo 32768 ;;
        safetensors | shards | gguf_parts) echo 8192 ;;
        tokenizer) echo 16384 ;;
        *) echo 4096 ;;
    esac
}

# One fuzzer; its line goes to $work/NAME.line, and its status says whether it found something.
fuzz() {
    local name=$1 began=$SECONDS status=0 found=0 runs
    local options=(-seed="$seed" "$limit" -max_len="$(longest "$name")" -timeout=5 -malloc_limit_mb=300
        -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$keep/$name-")
    case $name in
        config) options+=(-dict=tests/fuzz/libfuzzer/yaml.dict) ;;
        generate | hf_config | metrics | peft | rows | safetensors | shards | tokenizer)
            options+=(-dict=tests/fuzz/libfuzzer/json.dict)
            ;;
    esac
    mkdir -p "$memory/$name"
    PROGRAMS=$programs bash tests/fuzz/libfuzzer/seeds.sh "$name" "$work/$name" >"$keep/$name.log" 2>&1 || status=$?
    if [ "$status" -eq 0 ]; then
        FUZZ_FOLDER=$memory/$name \
            ASAN_OPTIONS=detect_stack_use_after_return=1:allocator_may_return_null=1 \
            UBSAN_OPTIONS=print_stacktrace=1 OMP_NUM_THREADS=1 \
            "$programs/libfuzzer_$name" "${options[@]}" "$work/$name" >>"$keep/$name.log" 2>&1 || status=$?
    fi
    rm -rf "${memory:?}/$name"
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$keep/$name.log" | tail -n 1)
    if [ "$status" -ne 0 ]; then
        found=1
    fi
    {
        echo "$name: ${runs:-0} executions, $found findings, $((SECONDS - began)) s"
        if [ "$found" -ne 0 ]; then
            grep -hE 'ERROR: |SUMMARY: |runtime error: |^fuzz: |no first inputs' "$keep/$name.log" | head -n 5 | sed 's/^/    /'
            sed -n 's/.*Test unit written to /    shown by /p' "$keep/$name.log"
            echo "    log      $keep/$name.log"
        fi
    } >"$work/$name.line"
    return "$found"
}

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    mapfile -t names < <(find tests/fuzz/libfuzzer -name 'fuzz_*.c' -printf '%f\n' | sed 's/^fuzz_//; s/\.c$//' | sort)
fi
failed=0
running=0
for name in "${names[@]}"; do
    if [ "$running" -ge "$jobs" ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
    fuzz "$name" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
for name in "${names[@]}"; do
    cat "$work/$name.line"
done
total=$(sed -n 's/^[^:]*: \([0-9]*\) executions.*/\1/p' "$work"/*.line | awk '{ sum += $1 } END { print sum + 0 }')
echo "long.sh: ${#names[@]} fuzzers, $total executions, $([ "$failed" -eq 0 ] && echo nothing found || echo "findings, see above")"
exit "$failed"
