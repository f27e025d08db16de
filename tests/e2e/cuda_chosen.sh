#!/usr/bin/env bash
# Which device "auto" and "cuda" take of an emulated machine, and what is said where there is none, where ranks have unlike
# ones, or where one has too little memory; ranks with GPUs of their own and ranks that share one have the same bits; and a
# run goes on on the other kind of device. PLAIN is the program without a GPU, FORERUN_CUDA_OR_CPU one with a GPU and the CPU.
. "$(dirname "$0")/common.sh"
unset LD_LIBRARY_PATH

plain=$PLAIN
export FORERUN=$FORERUN_CUDA_OR_CPU FORERUN_TIMEOUT=60
on_rank=$SOURCE/tests/support/on_rank.sh
steps=3
last=checkpoint-$steps.h5
make_tiny
make_config $steps 4 f32

LIBRARIES=$FR_DRIVER # of `with`
# train_on RANK SETTING NAME ARGUMENTS...: two stages, of which one has the setting
train_on() {
    local rank=$1 setting=$2 name=$3
    shift 3
    with -- mpirun -n 2 "$on_rank" "$rank" "$setting" -- "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/$name" \
        --set run.stages=2 "$@"
}
# errors N: so many lines of the last command
errors() {
    [ "$(grep -c 'error: ' "$work/err")" = "$1" ] || fail "not $1 errors: $(cat "$work/err")"
}
# computed RUN ARITHMETIC: what the run's files say
computed() {
    expect 0 "$plain" inspect "$work/$1/prefix.h5"
    grep -q "^computed with .*, arithmetic $2, layout" "$work/out" || fail "$1: $(cat "$work/out")"
}
gpu="cuda sm_90, 132 processors, 4"

# ---- no GPU -----------------------------------------------------------------------------------------
FORERUN=$plain train cpu 1 1 --set run.device=cpu 2>"$work/err" || fail "$(cat "$work/err")"
if [ ! -e /proc/driver/nvidia/version ]; then # the real driver would be found
    expect 0 train no-driver 2 1
    warnings 0
    same "$work/cpu/$last" "$work/no-driver/$last"
    computed no-driver "cpu 1"
    expect 3 train refused 2 1 --set run.device=cuda
    errors 1
    says "error: rank 0 on $(hostname): cannot compute on a GPU: NVIDIA's driver cannot be opened (libcuda.so.1: "
    says "install one for CUDA 12.8 or later, or choose another device [unsupported, "
    expect 3 "$FORERUN" eval --model "$model" --data "$rows" --device cuda
    says "cannot compute on a GPU: NVIDIA's driver cannot be opened"
fi
n=0
while IFS='|' read -r setting reason; do
    n=$((n + 1))
    expect 0 with "$setting" -- train "none-$n" 2 1
    warnings 1
    says "warning: auto does not choose the device cuda: cannot compute on a GPU: NVIDIA's driver $reason"
    same "$work/cpu/$last" "$work/none-$n/$last"
    expect 3 with "$setting" -- train refused 2 1 --set run.device=cuda
    errors 1
    says "error: rank 0 on $(hostname): cannot compute on a GPU: NVIDIA's driver $reason"
    [ ! -e "$work/refused/$last" ] || fail "a refused run has a checkpoint"
    # none of it matters to a run that is told to use the CPU
    expect 0 with "$setting" -- "$FORERUN" eval --model "$model" --data "$rows" --device cpu
    warnings 0
    echo "$setting: the CPU, and a warning; refused for run.device=cuda"
done <<'LIST'
FR_EMULATED_VERSION=12070|is for CUDA 12.7, but must be for 12.8 or later; install a newer one
FR_EMULATED_GPUS=0|finds none (nvidia-smi lists them, CUDA_VISIBLE_DEVICES may hide them)
CUDA_VISIBLE_DEVICES=|finds none (nvidia-smi lists them, CUDA_VISIBLE_DEVICES may hide them)
FR_EMULATED_ERROR=cuInit:1:999|does not start: cuInit gives CUDA_ERROR_UNKNOWN (999); see whether nvidia-smi works
LIST

# ---- a GPU ------------------------------------------------------------------------------------------
expect 0 with -- train one 1 1
warnings 0
says "Emulated GPU"
computed one "$gpu"
expect 0 with -- train asked 1 1 --set run.device=cuda
same "$work/one/$last" "$work/asked/$last"
expect 0 with -- train told 1 1 --set run.device=cpu
same "$work/cpu/$last" "$work/told/$last"
"$plain" compare "$work/one/$last" "$work/cpu/$last" >"$work/out" 2>&1 && fail "a GPU has the CPU's bits"

# ranks with GPUs of their own, and ranks that share one
shared_or_own() {
    for layout in "2 1" "1 2"; do
        read -r stages replicas <<<"$layout"
        expect 0 with FR_EMULATED_GPUS=1 -- train "shared-$stages" "$stages" "$replicas"
        says "2 ranks share a device: each may use 4.00 GiB of it"
        expect 0 with FR_EMULATED_GPUS=2 -- train "own-$stages" "$stages" "$replicas"
        ! grep -q "share a device" "$work/err" || fail "$(cat "$work/err")"
        expect 0 with FR_EMULATED_GPUS=4 CUDA_VISIBLE_DEVICES=3 -- train "hidden-$stages" "$stages" "$replicas"
        says "2 ranks share a device"
        for run in shared own hidden; do
            same "$work/one/$last" "$work/$run-$stages/$last"
        done
    done
    echo "GPUs of their own and a shared one: the same bits"
}

# ---- unlike ranks -----------------------------------------------------------------------------------
unlike_ranks() {
    remedy="give every rank a GPU (FORERUN_LOG_RANKS=all shows why one has none), or set run.device to cpu"
    for rank in 0 1; do
        kinds=(cuda cuda)
        kinds[rank]=cpu
        expect 3 train_on $rank FR_EMULATED_GPUS=0 unlike
        errors 1
        says "error: rank 1 on $(hostname): the device that \"auto\" chooses is \"${kinds[1]}\" here and \"${kinds[0]}\" on rank 0"
        says "$remedy [unsupported, "
        expect 3 train_on $rank FR_EMULATED_GPUS=0 unlike --set run.device=cuda
        errors 1
        says "error: rank $rank on $(hostname): cannot compute on a GPU: NVIDIA's driver finds none"
        while IFS='|' read -r setting other; do
            has=("$gpu" "$gpu")
            has[rank]=$other
            expect 3 train_on $rank "$setting" unlike
            errors 1
            says "error: rank 1 on $(hostname): the arithmetic is \"${has[1]}\" here and \"${has[0]}\" on rank 0"
            says "start the same Forerun on every rank, on devices of one kind [unsupported, "
        done <<'LIST'
FR_EMULATED_SM=80|cuda sm_80, 132 processors, 4
FR_EMULATED_PROCESSORS=108|cuda sm_90, 108 processors, 4
LIST
    done
    expect 3 with FR_EMULATED_SM=75 -- train old 1 1 --set run.device=cuda
    says "GPU 0 (Emulated GPU) is sm_75, but must be sm_80 or later"
    [ ! -e "$work/unlike/$last" ] || fail "a refused run has a checkpoint"
    echo "unlike ranks are refused, and named"
}

# ---- too little memory ------------------------------------------------------------------------------
lower="use more stages, a larger base.offload, a smaller batch.microbatch_tokens or run.warmup_depth, or run.recompute=layer"
too_little_memory() {
    for rank in 0 1; do
        expect 1 train_on $rank FR_EMULATED_MEMORY=2000000 poor
        errors 1
        says "error: rank $rank on $(hostname): too little memory of the device: "
        says "and the device has 0 B more; $lower"
        expect 1 train_on $rank FR_EMULATED_ERROR=cuMemCreate:1:2 poor
        errors 1
        says "error: rank $rank on $(hostname): too little memory of GPU 0 (Emulated GPU): 2.00 MiB more are asked for, and it has "
        says "$lower [out of memory, "
        expect 1 train_on $rank FR_EMULATED_ERROR=cuMemHostAlloc:5:2 poor
        errors 1
        says "error: rank $rank on $(hostname): cannot pin "
        # where a run computes already, what it has written stands
        expect 75 with -- train "taken-$rank" 2 1 --stop-after 1
        expect 1 train_on $rank FR_EMULATED_ERROR=cuLaunchKernel:120:2 "taken-$rank" --resume --set run.save_every=1
        errors 1
        says "error: rank $rank on $(hostname): GPU 0 (Emulated GPU) failed: cuLaunchKernel gave CUDA_ERROR_OUT_OF_MEMORY (2), for "
        says "$lower [out of memory, "
        expect 0 with -- train "taken-$rank" 2 1 --resume
        same "$work/one/$last" "$work/taken-$rank/$last"
    done
    echo "too little memory is said, with what was asked and which keys to lower"
}

# ---- the other kind of device -------------------------------------------------------------------------
# goes_on FROM TO RANKS SETTING...: a run that stopped after a step on one kind goes on on the other
goes_on() {
    local from=$1 to=$2 ranks=$3 run=from-${1%% *}-$3
    expect 75 with "${@:4}" -- train "$run" "$ranks" 1 --set "run.device=${from%% *}" --stop-after 1
    expect 0 with "${@:4}" -- train "$run" "$ranks" 1 --set "run.device=${to%% *}" --resume --set run.save_every=1
    warnings 1
    says "checkpoint-1.h5 was computed with the arithmetic $from, this program computes with $to"
    says "the last bits will differ from an uninterrupted run"
    computed "$run" "$to"
    # from the file that it wrote itself it goes on without a warning
    expect 0 with "${@:4}" -- train "$run" "$ranks" 1 --set "run.device=${to%% *}" --resume --set run.steps=$((steps + 1))
    warnings 0
    echo "$from, then $to, on $ranks ranks: a warning names both"
}
other_device() {
    sed -i 's/, schedule: cosine//' "$work/c.yaml"
    goes_on "cpu 1" "$gpu" 1
    goes_on "cpu 1" "$gpu" 2
    goes_on "$gpu" "cpu 1" 2
    goes_on "$gpu" "cpu 1" 1
    # and in the plain program, which has no GPU
    expect 75 with -- train plain 2 1 --stop-after 1
    FORERUN=$plain expect 0 train plain 1 1 --set run.device=cpu --resume
    warnings 1
    says "checkpoint-1.h5 was computed with the arithmetic $gpu, this program computes with cpu 1"
}

parts() {
    local part
    for part in $1; do
        $part
    done
}
side_by_side parts "shared_or_own unlike_ranks" "too_little_memory other_device"
