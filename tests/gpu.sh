#!/usr/bin/env bash
# gpu.sh: all that only a GPU can show, in one command, with a report whatever happens.
#
#   gpu.sh [run]             build what is missing, then run all parts
#   gpu.sh run --rehearse    the same over the emulated GPU: do all parts run, and leave their lines?
#   gpu.sh pack [--rehearse] programs that are built here, with their libraries, scripts and data, in build/gpu-pack.tar.xz, for a
#                            machine with a GPU but without what a build needs; --rehearse: those of the emulation too. There
#                            `gpu.sh run` takes the pack, where it lies at that place. Needs bash, python3 and glibc as new as here
#   gpu.sh rehearse          a pack, then all parts over the emulated GPU in a bare Debian root; needs root and debootstrap
#
# Parts, in this order, and the seconds that each has at most:
#
#   rows         100   rows of products have the same bits in any call, for the matrices of three models, by the own kernels and by
#                      cuBLASLt; in which order they sum; 100 repeats under load
#   conformance   90   each operator against the CPU's (tests/cuda_emulation), with nvcc's kernels
#   training     110   golden values, then layouts of one to four ranks on one GPU, with run.products auto and own
#   sanitizer     60   compute-sanitizer's memcheck and racecheck on some operators, where that tool is found
#   rates         70   TFLOP/s of products and of attention in the sizes of Llama 3 8B, beside PyTorch's where it is installed
#   stage         70   tokens/s, MFU and a profile of training steps of four layers of Llama 3 8B; the same by PyTorch
#   more          40   resume, several tasks, generation, quantised and reparametrised; steps of the shape of SmolLM2-135M
#
# What a part leaves of its time is the next one's, but all end in GPU_BUDGET_S seconds (default 540; the build is not counted).
#
#   GPU_BUDGET_S=N   see above              GPU_JOBS=N   programs at once (default: half the processors, 8 at most)
#   GPU_PARTS=LIST   some parts alone       GPU_BUILD=DIR  build there (default build/release)
#   GPU_FEW=1        of each part one program of a kind; nothing is built (e2e.gpu_rehearsal)
#   OUT=DIR          report.txt and logs.txt go there (default: build/gpu-report.txt, build/gpu-logs.txt)
#
# Exit code: 0; 1: something failed; 3: nothing failed, but something was stopped or not begun; 77: there is no GPU.
set -euo pipefail

tree=$(cd "$(dirname "$0")/.." && pwd)
folder=$tree/tests/gpu
build=${GPU_BUILD:-$tree/build/release}
pack=$tree/build/gpu-pack
is_packed=false
[ ! -f "$tree/pack.txt" ] || is_packed=true
rehearse=false
few=false
[ -z "${GPU_FEW:-}" ] || few=true

# ---- the report ---------------------------------------------------------------------------------------------------

say() {
    printf '%s\n' "$*" | tee -a "$report"
}

# Places of the report, and when all must be done; kept by the pack's own script.
start_report() {
    if [ -n "${OUT:-}" ]; then
        mkdir -p "$OUT"
        export GPU_REPORT=${GPU_REPORT:-$OUT/report.txt} GPU_LOGS=${GPU_LOGS:-$OUT/logs.txt}
    else
        mkdir -p "$tree/build"
        export GPU_REPORT=${GPU_REPORT:-$tree/build/gpu-report.txt} GPU_LOGS=${GPU_LOGS:-$tree/build/gpu-logs.txt}
    fi
    report=$GPU_REPORT
    if [ -z "${GPU_DEADLINE:-}" ]; then
        : >"$GPU_REPORT"
        : >"$GPU_LOGS"
        start_clock
    fi
}

start_clock() {
    export GPU_DEADLINE=$((EPOCHSECONDS + ${GPU_BUDGET_S:-540}))
}

# The last lines, at whatever end.
finish() {
    local code=$? file failed stopped
    trap '' TERM INT EXIT
    for file in "$work"/*.pid; do
        [ ! -f "$file" ] || kill -TERM "$(<"$file")" 2>/dev/null || true
    done
    wait || true
    for file in "$work"/*.log; do
        if [ -f "$file" ]; then
            printf '\n==== %s\n' "$(basename "$file" .log)"
            tail -n 300 "$file"
        fi
    done >>"$GPU_LOGS"
    failed=$(cat "$work"/*.code 2>/dev/null | grep -c failed || true)
    stopped=$(cat "$work"/*.code 2>/dev/null | grep -c stopped || true)
    say "done: $(cat "$work"/*.code 2>/dev/null | grep -c passed || true) passed, $failed failed, $stopped stopped or not begun," \
        "$((GPU_DEADLINE - EPOCHSECONDS)) s left; logs: $GPU_LOGS"
    rm -rf "$work"
    [ "$code" = 0 ] || exit "$code"
    [ "$failed" = 0 ] || exit 1
    [ "$stopped" = 0 ] || exit 3
    exit 0
}

# ---- one program ----------------------------------------------------------------------------------------------------

# program NAME: its path. What is called gpu_* is cuda_* in the emulation.
program() {
    local name=$1
    if "$rehearse"; then
        case $name in
        forerun) name=forerun_cuda ;;
        with_gpu) name=cuda_with_gpu ;;
        gpu_golden_*) name=golden_cuda_${name#gpu_golden_} ;;
        gpu_*) name=cuda_${name#gpu_} ;;
        esac
    fi
    if "$is_packed"; then
        echo "$tree/bin/$name"
    elif [ "$name" = forerun ]; then
        echo "$build/forerun"
    else
        echo "$build/tests/$name"
    fi
}

# room LIMIT: seconds that there are, LIMIT at most
room() {
    local all=$((GPU_DEADLINE - EPOCHSECONDS)) part=$((part_end - EPOCHSECONDS)) least=$1
    [ "$all" -ge "$least" ] || least=$all
    [ "$part" -ge "$least" ] || least=$part
    echo "$least"
}

# outcome NAME SECONDS LIMIT CODE: a line of the report
outcome() {
    local name=$1 seconds=$2 limit=$3 code=$4 log=$work/$1.log verdict told
    told=$(grep -E '^skipped|cases run|identical|agree|as alone|tokens/s|loss [0-9]' "$log" 2>/dev/null | tail -n 1 || true)
    case $code in
    0) verdict=passed ;;
    77) verdict=skipped ;;
    124 | 137 | 143) verdict=stopped ;;
    *) verdict=failed ;;
    esac
    echo "$verdict" >"$work/$name.code"
    say "  $name: $verdict, $seconds s${told:+ ($told)}$([ "$verdict" != stopped ] || echo "; its limit was $limit s")"
    [ "$verdict" != failed ] || tail -n 12 "$log" | sed 's/^/    | /' | tee -a "$report"
}

# scaled SECONDS: of a budget of 540
scaled() {
    echo $(($1 * ${GPU_BUDGET_S:-540} / 540))
}

# begin NAME LIMIT COMMAND...: in the background, as soon as fewer than $at_once programs run
begin() {
    local name=$1 limit
    limit=$(scaled "$2")
    shift 2
    while [ "$(jobs -rp | wc -l)" -ge "$at_once" ]; do
        wait -n || true
    done
    (
        trap - EXIT TERM INT
        code=0
        began=$EPOCHSECONDS
        limit=$(room "$limit")
        if [ "$limit" -lt 2 ]; then
            echo stopped >"$work/$name.code"
            say "  $name: not begun, time is up"
            exit 0
        fi
        timeout -k 5 "$limit" "$@" >"$work/$name.log" 2>&1 </dev/null &
        echo $! >"$work/$name.pid"
        wait $! || code=$?
        rm -f "$work/$name.pid"
        outcome "$name" $((EPOCHSECONDS - began)) "$limit" "$code"
    ) &
}

# part NAME SECONDS: whether it is wanted; its head line, and when it ends: its seconds after the planned end of the one before
part() {
    local parts=" ${GPU_PARTS:-rows conformance training sanitizer rates stage more} "
    parts=${parts//,/ }
    [[ "$parts" == *" $1 "* ]] || return 1
    planned=$((planned + $2))
    part_end=$((GPU_DEADLINE - $(scaled 540) + $(scaled "$planned")))
    say "$1 ($((GPU_DEADLINE - EPOCHSECONDS)) s left)"
}

# ---- the parts ------------------------------------------------------------------------------------------------------

# tell NAME [PATTERN]: lines of its log, into the report
tell() {
    [ ! -f "$work/$1.log" ] || grep -E "${2:-^  }" "$work/$1.log" | tee -a "$report" || true
}

# How a sum runs, and which rows differ, is told whatever comes of it. Models side by side: they compare on the processor.
rows() {
    local model kind names=(order) cases
    local told='the depth ascends|another order|have the same bits|alone have other bits|under load'
    cases=(llama_8b smollm2 tiny)
    "$rehearse" && cases=(tiny)
    if "$few"; then
        begin order 60 "$(program gpu_sum_order)" cublaslt_sums_rows_alike
    else
        begin order 60 "$(program gpu_sum_order)"
        begin lt_rows 60 "$(program gpu_lt_rows)"
    fi
    for model in "${cases[@]}"; do
        for kind in cublaslt own_kernels; do
            [ "$few $kind" != 'true own_kernels' ] || continue
            begin "rows_${model}_$kind" 90 "$(program gpu_row_bits)" "${model}_by_$kind"
            names+=("rows_${model}_$kind")
        done
    done
    begin repeats 60 "$(program gpu_row_bits)" products_repeat_under_load
    wait
    for kind in "${names[@]}" repeats; do
        tell "$kind" "$told"
    done
}

# The list of tests.cmake.
conformance() {
    local name names
    names=$(sed -n '/^set(FR_GPU_TESTS /,/)/p' "$folder/tests.cmake" | tr -d ')' | sed 's/^set(FR_GPU_TESTS//')
    "$few" && names=norm_heads
    for name in $names; do
        case $name in
        row_bits | sum_order | lt_rows) ;; # of the first part
        *) begin "$name" 90 "$(program "gpu_$name")" ;;
        esac
    done
    wait
}

# script NAME MODEL PRODUCTS ARGUMENTS...: a test of tests/e2e
script() {
    local name=$1 model=$2 products=$3
    shift 3
    begin "${name}_$model${products:+_$products}" 110 env "GPU_PRODUCTS=$products" bash "$tree/tests/e2e/$name.sh" "$model" "$@"
}

# Few at once: each has several ranks, which share the GPU by turns.
training() {
    local name products at_once=$((at_once < 4 ? at_once : 4)) golden=(model families reparam) layouts=(2x1 1x2 2x2)
    "$few" && golden=(reparam) layouts=(2x1)
    for name in "${golden[@]}"; do
        begin "golden_$name" 60 "$(program "gpu_golden_$name")"
    done
    for products in auto own; do
        script layouts tiny "$products" "${layouts[@]}"
    done
    "$few" || script layouts tensor auto "${layouts[@]}"
    wait
}

more() {
    local name at_once=$((at_once < 4 ? at_once : 4)) names=(resume multitask generate quantised reparam)
    if "$few"; then
        say "  not run: these are tests of their own"
        return
    fi
    for name in "${names[@]}"; do
        script "$name" tiny ""
    done
    wait
    if ! "$rehearse"; then
        bench 135m 6 32 512 8192
    fi
}

# sanitize TOOL NAME [CASES...]
sanitize() {
    local tool=$1 name=$2
    shift 2
    begin "$tool-$name" 60 "$sanitizer" --tool "$tool" --error-exitcode 9 "$(program "gpu_$name")" "$@"
}

# memcheck sees accesses outside of what the driver gave, not those from one block of the pool to another
sanitizer() {
    local name sanitizer
    sanitizer=${GPU_SANITIZER:-$(command -v compute-sanitizer || true)}
    if [ -z "$sanitizer" ] && [ -x /usr/local/cuda/bin/compute-sanitizer ]; then
        sanitizer=/usr/local/cuda/bin/compute-sanitizer
    fi
    if "$rehearse"; then # something in its place that runs the program
        sanitizer=$work/stand-in
        printf '#!/bin/sh\nshift 4\nexec "$@"\n' >"$sanitizer"
        chmod +x "$sanitizer"
    fi
    if [ -z "$sanitizer" ]; then
        say "  not run: compute-sanitizer is not installed"
        return
    fi
    # on some machines it does not work at all
    if ! timeout -k 5 "$(room 60)" "$sanitizer" --tool memcheck --error-exitcode 9 "$(program gpu_memory)" \
        nothing_is_done_for_no_bytes >"$work/sanitizer.log" 2>&1 </dev/null; then
        say "  not run: compute-sanitizer does not work here: $(grep -m 1 -iE 'error|not supported' "$work/sanitizer.log" || true)"
        return
    fi
    sanitize memcheck product_tensor views_may_lie_at_any_number
    sanitize racecheck product_tensor views_may_lie_at_any_number
    if "$few"; then
        wait
        return
    fi
    for name in norm_heads heads rows pool; do
        sanitize memcheck "$name"
    done
    sanitize memcheck product views_may_lie_at_any_number
    sanitize memcheck loss losses_are_those_of_the_cpu
    sanitize memcheck attention "${attention_case[@]}"
    sanitize memcheck attention_tensor "${attention_case[@]}"
    sanitize racecheck norm_heads
    sanitize racecheck product sums_run_along_the_depth
    sanitize racecheck loss losses_are_those_of_the_cpu
    sanitize racecheck sample bad_rows_choose_nothing
    sanitize racecheck attention "${attention_case[@]}"
    sanitize racecheck attention_tensor "${attention_case[@]}"
    wait
}

# bench SHAPE STEPS EXAMPLES TOKENS MICROBATCH: training steps of that shape, one after the other
bench() {
    local shape=$1
    begin "bench_$shape" 70 bash "$folder/bench.sh" "$(program forerun)" "$@"
    wait
    tell "bench_$shape"
}

# Nothing else runs meanwhile.
rates() {
    local name
    for name in products attentions; do
        begin "rates_$name" 60 python3 "$folder/rates.py" "$name" "$(program gpu_rates)"
        wait
        tell "rates_$name"
    done
}

stage() {
    local steps=(8b-stage 4 16 512 8192)
    "$rehearse" && steps=(tiny 2 2 16 32)
    bench "${steps[@]}"
    begin stage_pytorch 40 python3 "$folder/rates.py" stage "${steps[2]}" "${steps[3]}"
    wait
    tell stage_pytorch
}

# ---- run ------------------------------------------------------------------------------------------------------------

# A pack that lies here is taken; else what is built here.
prepare() {
    if "$is_packed" || "$few"; then
        return
    fi
    if [ -f "$pack.tar.xz" ] && [ ! -d "$pack" ]; then
        mkdir -p "$pack"
        tar -xJf "$pack.tar.xz" -C "$pack" 2>/dev/null ||
            python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$pack.tar.xz" "$pack"
    fi
    if [ -d "$pack" ]; then
        say "taken: $pack, $(head -n 1 "$pack/pack.txt")"
        exec bash "$pack/tests/gpu.sh" run "${arguments[@]}"
    fi
    local began=$SECONDS targets=(gpu_tests)
    "$rehearse" && targets=(gpu_rehearsal)
    [ -f "$build/build.ninja" ] || cmake -S "$tree" --preset release -B "$build" -DWITH_CUDA=ON >"$build.log" 2>&1 || {
        say "cmake fails: $(tail -n 5 "$build.log")"
        exit 1
    }
    cmake --build "$build" --target "${targets[@]}" >"$build.log" 2>&1 || {
        say "the build fails: $(tail -n 20 "$build.log")"
        exit 1
    }
    say "built in $((SECONDS - began)) s"
    start_clock
}

# What the scripts of tests/e2e and the programs ask for.
set_environment() {
    export SOURCE=$tree FR_TEST_SOURCE=$tree/tests FORERUN_CACHE=0 TMPDIR=$work
    FORERUN=$folder/forerun.sh
    GPU_PROGRAM=$(program forerun)
    export FORERUN GPU_PROGRAM
    # shellcheck source=../launch/mpi-env.sh
    . "$tree/launch/mpi-env.sh"
    if "$is_packed"; then
        # shellcheck source=gpu/pack-env.sh
        . "$folder/pack-env.sh"
    fi
    find_libraries
}

# cuBLASLt where the loader finds it, else the CUDA Toolkit's or PyTorch's; in a rehearsal the emulated one and the emulated driver.
find_libraries() {
    local folders=() file found='' version
    if "$rehearse"; then
        found=$build/tests/emulated_cublaslt:$build/tests/emulated_driver
        ! "$is_packed" || found=$tree/lib/emulated
        export LD_LIBRARY_PATH=$found${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
        say "cuBLASLt: the emulated one"
        return
    fi
    IFS=: read -r -a folders <<<"${LD_LIBRARY_PATH:-}"
    for file in "${folders[@]/%//libcublasLt.so.13}" "${folders[@]/%//libcublasLt.so.12}" \
        $(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | sed -n 's/.*libcublasLt\.so\.1[23] .*=> //p'); do
        [ -n "$found" ] || [ ! -f "$file" ] || found=$file
    done
    if [ -n "$found" ]; then
        say "cuBLASLt: $found, which the loader finds"
        return
    fi
    # The Python package nvidia is a folder of packages' libraries; PyTorch's are among them.
    found=$(for version in 13 12; do
        ls -d "${CUDA_PATH:-/usr/local/cuda}/lib64/libcublasLt.so.$version" 2>/dev/null || true
        timeout 20 python3 - "$version" <<'PY' 2>/dev/null || true
import glob, importlib.util, sys

spec = importlib.util.find_spec("nvidia")
for place in spec.submodule_search_locations if spec else []:
    print(*sorted(glob.glob(f"{place}/*/lib/libcublasLt.so.{sys.argv[1]}")), sep="\n")
PY
    done | grep -m 1 . || true)
    if [ -n "$found" ]; then
        export LD_LIBRARY_PATH=${found%/*}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
        say "cuBLASLt: $found, now in LD_LIBRARY_PATH"
    else
        say "cuBLASLt: none is found; own kernels compute products"
    fi
}

# The most TFLOP/s of dense products in bf16 by NVIDIA's data sheets; nothing for GPUs that are not known.
find_peak() {
    case $(timeout 20 nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1) in
    *H200* | *"H100 80GB HBM3"*) echo 989 ;;
    *A100*) echo 312 ;;
    *B200*) echo 2250 ;;
    esac
}

run() {
    local code=0
    start_report
    prepare
    work=$(mktemp -d "${TMPDIR:-/tmp}/forerun-gpu.XXXXXX")
    trap finish EXIT
    trap 'say "stopped from outside"; exit 143' TERM INT
    set_environment
    processors=$(nproc)
    at_once=${GPU_JOBS:-$((processors > 16 ? 8 : (processors + 1) / 2))}
    planned=0 part_end=$GPU_DEADLINE
    say "$(uname -sr), $processors processors, $(grep -m 1 'model name' /proc/cpuinfo | cut -d : -f 2-), glibc $(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2)"
    timeout 20 nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader 2>/dev/null |
        tee -a "$report" || true
    timeout 60 "$(program with_gpu)" >"$work/found" 2>&1 || code=$?
    say "$(<"$work/found")"
    [ "$code" = 0 ] || exit "$code"

    GPU_PEAK=$(find_peak)
    export GPU_PEAK
    attention_case=(first_rows_alone)
    if part rows 100; then rows; fi
    if part conformance 90; then conformance; fi
    if part training 110; then training; fi
    if part sanitizer 60; then sanitizer; fi
    if part rates 70; then rates; fi
    if part stage 70; then stage; fi
    if part more 40; then more; fi
}

usage() {
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '$d'
}

command=${1:-run}
[ $# = 0 ] || shift
arguments=("$@")
case ${1:-} in
'') ;;
--rehearse) rehearse=true ;;
*)
    echo "gpu.sh: unknown argument '$1'; --help lists them" >&2
    exit 2
    ;;
esac
case $command in
run) run ;;
pack) exec bash "$folder/pack.sh" "$build" "$pack" "$rehearse" ;;
rehearse) exec bash "$folder/rehearse.sh" ;;
-h | --help) usage ;;
*)
    echo "gpu.sh: unknown command '$command'; --help lists them" >&2
    exit 2
    ;;
esac
