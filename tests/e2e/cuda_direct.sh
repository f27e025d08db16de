#!/usr/bin/env bash
# Messages from GPU to GPU: the bits of staged ones, in training and in generation, with an MPI that stands in for one that takes
# the memory of GPUs (tests/cuda_emulation/cuda_aware_mpi.c). Where it cannot, run.links decides between a warning and an error.
. "$(dirname "$0")/common.sh"

direct="messages between stages go from GPU to GPU"
host="messages between stages go through the host's memory"
make_tiny
make_config 2 4 bf16

# go NAME MODE REPLICAS LINKS: train on two stages, with that MPI; the exit code is left in $code
go() {
    code=0
    FR_EMULATED_MPI=$2 train "$1" 2 "$3" --set "run.links=$4" 2>"$work/err" || code=$?
}
# gives NAME: the run ended well, with the bits of staged links
gives() {
    [ "$code" = 0 ] || fail "exit code $code: $(cat "$work/err")"
    same "$work/staged/checkpoint-2.h5" "$work/$1/checkpoint-2.h5"
}

go staged aware 1 staged
gives staged
! grep -qF "messages between stages" "$work/err" || fail "what was asked for needs no line: $(cat "$work/err")"
go direct aware 1 direct
gives direct
says "$direct"
FR_EMULATED_SEED=2 go direct-2x2 aware 2 direct
gives direct-2x2
says "$direct"
FR_EMULATED_SEED=3 go auto aware 1 auto
gives auto
says "$direct"
echo "2x1 and 2x2: identical"

go none none 1 auto
gives none
says "$host, since MPI does not say"
go corrupt corrupt 1 auto
gives corrupt
says "warning: $host: rank 0"
says "bytes from stage 1 are not what was sent"
go lost lost 1 auto
gives lost
says "warning: $host: rank 0"
says "still on their way after 10 seconds"
go refused none 1 direct
[ "$code" = 3 ] || fail "exit code $code: $(cat "$work/err")"
says "MPIX_Query_cuda_support"
[ "$(grep -c '^error: ' "$work/err")" = 1 ] || fail "not one error: $(cat "$work/err")"
[ ! -e "$work/refused/checkpoint-2.h5" ] || fail "it trained"
echo "an MPI that cannot: staged, or refused"

printf '{"source_ids": [5, 17, 99]}\n{"source_ids": [7, 8]}\n' >"$work/prompts.jsonl"
for mode in none aware; do
    FR_EMULATED_MPI=$mode mpirun -n 2 "$FORERUN" generate --model "$model" --prefix "$work/staged/checkpoint-2.h5:t" \
        --input "$work/prompts.jsonl" --output "$work/$mode.jsonl" --threads 1 --max-new-tokens 6 2>"$work/err" ||
        fail "$(cat "$work/err")"
done
says "$direct"
cmp "$work/none.jsonl" "$work/aware.jsonl" || fail "other tokens"
