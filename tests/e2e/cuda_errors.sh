#!/usr/bin/env bash
# Each function of CUDA's driver fails on one of two ranks, at its first call and at a later one, in a run that goes on from a
# checkpoint: one message that names the GPU and the function, the exit code of its kind, all ranks leave at once, and what
# was written before is whole and can be resumed from.
#
#   cuda_errors.sh [every]    every: up to MOST later calls of each function, on both ranks
. "$(dirname "$0")/common.sh"

export FORERUN_TIMEOUT=45
every=${1:-}
MOST=16
steps=4
bound=90 # seconds that a run may take on a busy machine; without an error it takes one or two
on_rank=$SOURCE/tests/support/on_rank.sh
layouts=("2 1" "1 2")

# What the driver returns: an error that stays, and one that ends with its call.
stays=719
ends=1
names=([1]=CUDA_ERROR_INVALID_VALUE [719]=CUDA_ERROR_LAUNCH_FAILED)

# Functions that give something back: their failure is a warning, and the run ends well.
gives_back=" cuDevicePrimaryCtxRelease_v2 cuMemAddressFree cuMemUnmap cuMemFreeHost cuStreamDestroy_v2 cuStreamSynchronize \
cuEventDestroy_v2 cuModuleUnload "
# Those that a run as small as this one does not call: conf.cuda_errors lets them fail.
not_called=" cuGetErrorName cuEventSynchronize cuFuncSetAttribute "

make_tiny
make_config $steps 4 f32
sed -i 's|^base: {path: \(.*\)}$|base: {path: \1, offload: 1}|' "$work/c.yaml" # so that copies ahead fail as well
grep -q 'offload: 1}$' "$work/c.yaml" || fail "$(cat "$work/c.yaml")"
head -n 5 "$rows" >"$work/valid.jsonl"
sed -i "s|^    eos: false|    valid: \"$work/valid.jsonl\"\n    eos: false|; s|save_every: 1000|save_every: 1, valid_every: 2|" "$work/c.yaml"

# go_on LAYOUT RUN COMMAND...: from the checkpoint of the run's folder to the end, with what COMMAND puts before the program
go_on() {
    local stages replicas run=$2
    read -r stages replicas <<<"${layouts[$1]}"
    shift 2
    timeout -k 5 "$bound" mpirun -n 2 "$@" "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/$run" --resume \
        --set "run.stages=$stages" --set "run.replicas=$replicas"
}

# calls LAYOUT RANK FUNCTION: how often a rank of a run without errors calls it
calls() {
    awk -v name="$3" '$1 == name { print $3 }' "$work/count.$1.$2"
}

for layout in 0 1; do
    read -r stages replicas <<<"${layouts[layout]}"
    train "whole-$layout" "$stages" "$replicas" 2>"$work/err" || fail "$(cat "$work/err")"
    expect 75 train "start-$layout" "$stages" "$replicas" --stop-after 2
    cp -r "$work/start-$layout" "$work/count-$layout"
    # shellcheck disable=SC2016 # for the ranks' shells
    expect 0 go_on $layout "count-$layout" bash -c \
        'export FR_EMULATED_COUNT=$0.$OMPI_COMM_WORLD_RANK; exec "$@"' "$work/count.$layout"
    same "$work/whole-$layout/checkpoint-$steps.h5" "$work/count-$layout/checkpoint-$steps.h5"
done
same "$work/whole-0/checkpoint-$steps.h5" "$work/whole-1/checkpoint-$steps.h5"

# left NAME: processes of a run that go on without it
left() {
    pgrep -f -- "run.dir=$work/$1 " || true
}

# judge NAME FUNCTION RANK CODE LAST: the run that has just ended, with the code in $code; LAST: 1 where it was the rank's last call of
# the function, which may be made when results are known
judge() {
    local run=$1 function=${2%_v2} rank=$3 file
    local what=$1:$4
    [ "$code" != 124 ] && [ "$code" != 137 ] || fail "$what: it did not end within $bound s: $(cat "$work/err")"
    [ -z "$(left "$run")" ] || fail "$what: processes go on: $(left "$run")"
    if [[ $gives_back == *" $2 "* ]] || { [ "$5" = 1 ] && [ "$code" = 0 ]; }; then
        [ "$code" = 0 ] || fail "$what: exit code $code: $(cat "$work/err")"
        [ "$(grep -c 'warning: ' "$work/err")" = 1 ] || fail "$what: warnings: $(cat "$work/err")"
        says "$function gave ${names[$4]} ($4), so not all that this rank had of the GPU is given back"
        same "$work/whole-0/checkpoint-$steps.h5" "$work/$run/checkpoint-$steps.h5"
        return
    fi
    [ "$(grep -c 'error: ' "$work/err")" = 1 ] || fail "$what: not one error: $(cat "$work/err")"
    says "error: rank $rank on $(hostname): "
    case $function in
        cuInit | cuDriverGetVersion)
            [ "$code" = 3 ] || fail "$what: exit code $code"
            says "cannot compute on a GPU: NVIDIA's driver does not "
            says ": $function gives ${names[$4]} ($4); "
            ;;
        cuDeviceGetCount)
            [ "$code" = 3 ] || [ "$code" = 1 ] || fail "$what: exit code $code"
            says "$function g"
            ;;
        *)
            [ "$code" = 1 ] || fail "$what: exit code $code: $(cat "$work/err")"
            says "GPU 0 ("
            says ") failed: $function gave ${names[$4]} ($4), for "
            says "[device error, "
            ;;
    esac
    for file in "$work/$run"/checkpoint-*.h5; do
        "$FORERUN" inspect "$file" >"$work/out" 2>&1 || fail "$what: $file: $(cat "$work/out")"
    done
}

# fails FUNCTION RANK LAYOUT N CODE: its N-th call on a rank
fails() {
    local run=$1-$4 began=$SECONDS code=0
    cp -r "$work/start-$3" "$work/$run"
    go_on "$3" "$run" "$on_rank" "$2" "FR_EMULATED_ERROR=$1:$4:$5" -- >"$work/out" 2>"$work/err" </dev/null || code=$?
    judge "$run" "$1" "$2" "$5" "$([ "$4" != "$(calls "$3" "$2" "$1")" ] || echo 1)"
    n_runs=$((n_runs + 1))
    # one in eight goes on, after a failure to the bits of a run without one
    if [ "$code" != 0 ] && [ $((n_runs % 8)) = 1 ]; then
        expect 0 go_on "$3" "$run"
        same "$work/whole-0/checkpoint-$steps.h5" "$work/$run/checkpoint-$steps.h5"
        echo "   and goes on from there"
    fi
    echo "$1, call $4 on rank $2 of ${layouts[$3]/ /x} gives $5: exit code $code, $((SECONDS - began)) s"
    rm -rf "${work:?}/$run"
}

# later FUNCTION RANK LAYOUT: which of its calls fail after the first one
later() {
    local made step
    made=$(calls "$3" "$2" "$1")
    [ "$1" != cuEventQuery ] || made=$((made / 2)) # as often as there is time to ask
    if [ -n "$every" ]; then
        step=$(((made + MOST - 1) / MOST))
        [ "$made" -lt 2 ] || seq 2 $step "$made"
    elif [ "$1" = cuMemcpyDtoHAsync_v2 ]; then # what the host computes with: in a step, and in the last evaluation
        echo $((made / 2)) "$made"
    elif [ "$made" -ge 2 ]; then
        echo $(((2 * made + 2) / 3))
    fi
}

mapfile -t functions < <(awk '{ print $1 }' "$work/count.0.0" | grep '^cu')
[ ${#functions[@]} -ge 39 ] || fail "${#functions[@]} functions"

# function_fails NUMBER: at its calls
function_fails() {
    local function=${functions[$1]} rank=$(($1 % 2)) layout=$(($1 / 2 % 2)) first=$stays call
    if [[ $not_called == *" $function "* ]]; then
        [ "$(calls $layout $rank "$function")" = 0 ] || fail "$function is called"
        return
    fi
    [[ $gives_back != *" $function "* ]] || first=$ends
    fails "$function" $rank $layout 1 $first
    for call in $(later "$function" $((1 - rank)) $layout); do
        fails "$function" $((1 - rank)) $layout "$call" $ends
    done
    [ -n "$every" ] || return 0
    for call in $(later "$function" $rank $((1 - layout))); do
        fails "$function" $rank $((1 - layout)) "$call" $ends
    done
}

# share_of_functions K: every SHARES-th function, from the K-th
SHARES=2
share_of_functions() {
    local number
    n_runs=0
    for ((number = $1; number < ${#functions[@]}; number += SHARES)); do
        function_fails "$number"
    done
    echo "$n_runs failures"
}
side_by_side share_of_functions 0 1

# ---- other commands, whose ranks wait for each other in the middle of a pass ------------------------------
# ends_at_once RANK FUNCTION N COMMAND...
ends_at_once() {
    expect 1 timeout -k 5 "$bound" mpirun -n 2 "$on_rank" "$1" "FR_EMULATED_ERROR=$2:$3:$ends" -- "$FORERUN" "${@:4}" \
        --model "$model" --prefix "$work/whole-0/prefix.h5" --threads 1
    [ "$(grep -c 'error: ' "$work/err")" = 1 ] || fail "not one error: $(cat "$work/err")"
    says "error: rank $1 on $(hostname): GPU 0 (Emulated GPU) failed: ${2%_v2} gave ${names[$ends]} ($ends), for "
    ! grep -q '^loss' "$work/out" || fail "a command that failed gave a result: $(cat "$work/out")"
    echo "$4, call $3 of $2 on rank $1: exit code 1"
}
for rank in 0 1; do
    ends_at_once $rank cuMemcpyDtoHAsync_v2 1 eval --data "$rows"
    ends_at_once $rank cuLaunchKernel 40 eval --data "$rows"
    ends_at_once $rank cuMemcpyDtoHAsync_v2 4 generate --input "$rows" --max-new-tokens 4
done
