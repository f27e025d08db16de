#!/usr/bin/env bash
# Sums over NCCL: the bits of staged ones on every layout, for several tasks and over a resume, with a library that stands in for NCCL
# (tests/cuda_emulation/nccl.c). Where it is missing or does not start, run.sums decides between a line and an error. Where it
# fails, hangs or loses a rank in the middle of a run, all ranks leave in time and the checkpoint stands.
. "$(dirname "$0")/common.sh"

over="sums of gradients go from GPU to GPU over NCCL 2.28.9"
host="sums of gradients go through the host's memory"
on_rank=$SOURCE/tests/support/on_rank.sh
bound=60 # seconds that a run may take on a busy machine
steps=3
plain=$LD_LIBRARY_PATH
export FR_EMULATED_GPUS=4 # one for each rank

make_tiny
head -n 20 "$rows" >"$work/half.jsonl"
make_config $steps 5 bf16
sed -i 's|save_every: 1000|save_every: 1|' "$work/c.yaml"
cat >>"$work/c.yaml" <<YAML
  - {name: u, train: "$work/half.jsonl", eos: false, prefix: {init: {random: 0.1}, length: 3}, batch: {examples: 3}}
YAML

with_nccl() {
    LD_LIBRARY_PATH=$FR_NCCL:$plain "$@"
}
# gives NAME: the run ended well, with the bits of staged sums
gives() {
    [ "$code" = 0 ] || fail "exit code $code: $(cat "$work/err")"
    same "$work/staged/checkpoint-$steps.h5" "$work/$1/checkpoint-$steps.h5"
}
# go COMMAND...: the exit code is left in $code
go() {
    code=0
    "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
}

# ---- the same bits ------------------------------------------------------------------------------------

go train staged 1 2
gives staged
says "$host: rank 0 on $(hostname): NCCL cannot be opened ("
go with_nccl train asked 1 2 --set run.sums=staged
gives asked
! grep -qF "sums of gradients" "$work/err" || fail "what was asked for needs no line: $(cat "$work/err")"
FR_EMULATED_SEED=1 go with_nccl train nccl 1 2
gives nccl
says "$over"
"$FORERUN" inspect "$work/nccl/checkpoint-$steps.h5" >"$work/out"
grep -q "1x2, .*sums over NCCL 2.28.9" "$work/out" || fail "the file does not say it: $(cat "$work/out")"
FR_EMULATED_SEED=2 go with_nccl train nccl-2x2 2 2 --set run.sums=nccl
gives nccl-2x2
says "$over"
echo "1x2 and 2x2: identical"

expect 75 with_nccl train start 1 2 --stop-after 1
says "$over"
cp -r "$work/start" "$work/resumed"
FR_EMULATED_SEED=3 go with_nccl train resumed 2 2 --resume
gives resumed
says "$over"
echo "stopped on 1x2, finished on 2x2: identical"

# ---- no NCCL, or one that does not start ----------------------------------------------------------------

# refused TEXT: one error says it, and nothing was trained
refused() {
    [ "$code" = 3 ] || fail "exit code $code: $(cat "$work/err")"
    [ "$(grep -c 'error: ' "$work/err")" = 1 ] || fail "not one error: $(cat "$work/err")"
    says "$1"
    [ ! -e "$work/refused/checkpoint-1.h5" ] || fail "it trained"
    rm -rf "$work/refused"
}
# one_rank RANK ERROR NAME ARGUMENTS...: as train on 1x2, and that rank's NCCL has the error
one_rank() {
    with_nccl timeout -k 5 $bound mpirun -n 2 "$on_rank" "$1" "FR_EMULATED_NCCL_ERROR=$2" -- "$FORERUN" train "$work/c.yaml" \
        --set "run.dir=$work/$3" --set run.stages=1 --set run.replicas=2 "${@:4}"
}

go train refused 1 2 --set run.sums=nccl
refused "NCCL cannot be opened ("
FR_EMULATED_GPUS=1 go with_nccl train shared 1 2
gives shared
says "$host: ranks share a GPU"
FR_EMULATED_GPUS=1 go with_nccl train refused 1 2 --set run.sums=nccl
refused "ranks share a GPU"
go one_rank 1 init:1:2 bad
gives bad
says "warning: $host: rank 1 on $(hostname): NCCL failed: ncclCommInitRankConfig gave ncclSystemError (2)"
go one_rank 1 init:1:2 refused --set run.sums=nccl
refused "error: rank 1 on $(hostname): NCCL failed: ncclCommInitRankConfig gave ncclSystemError (2)"
echo "no NCCL, and one that does not start: staged, or refused"

# ---- in the middle of a run -----------------------------------------------------------------------------

# breaks "NAME RANK ERROR CODE TEXT": a run that goes on from the checkpoint ends with the code, and another one from there to the end
breaks() {
    local name rank error wanted text
    read -r name rank error wanted text <<<"$1"
    cp -r "$work/start" "$work/$name"
    FORERUN_TIMEOUT=10 go one_rank "$rank" "$error" "$name" --resume
    [ "$code" = "$wanted" ] || fail "$name: exit code $code: $(cat "$work/err")"
    [ -z "$text" ] || says "$text"
    [ "$(grep -c 'error: ' "$work/err")" -le 1 ] || fail "$name: not one error: $(cat "$work/err")"
    "$FORERUN" inspect "$work/$name/checkpoint-1.h5" >"$work/out" || fail "$name: $(cat "$work/out")"
    go with_nccl train "$name" 1 2 --resume
    gives "$name"
    echo "$name: exit code $wanted, and it goes on"
}
gave="NCCL failed: ncclAllReduce gave ncclUnhandledCudaError (1)"
side_by_side breaks "failed-0 0 sum:3:1 5 error: rank 0 on $(hostname): $gave" "failed-1 1 sum:3:1 5 error: rank 1 on $(hostname): $gave" \
    "killed 1 sum:3:-9 137" "hung 0 sum:3:-1 5 no progress within run.timeout"
