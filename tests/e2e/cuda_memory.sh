#!/usr/bin/env bash
# Memory of a GPU: what a rank needs there by forecast, with the scratch of its operators, is reserved, enough, and not much too
# large; the microbatches that a task leaves open are as large as fits, and change no bit.
. "$(dirname "$0")/common.sh"

make_tiny 512 8 512
head -8 "$rows" >"$work/valid.jsonl"

n_runs=0
# enough NAME STAGES [ARGUMENTS...]
enough() {
    expect 0 env FORERUN_LOG=debug mpirun -n "$2" "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/$1" \
        --set "run.stages=$2" --set tasks.t.valid="$work/valid.jsonl" "${@:3}"
    # lists count as if every row were a segment, scratch of logits as if every row had a target
    forecast_holds "$1"
    n_runs=$((n_runs + 1))
}
for precision in f32 bf16; do
    make_config 2 6 $precision true
    enough "$precision 1x1" 1
    enough "$precision 2x1" 2
    enough "$precision quantised" 1 --set base.weights=quantised
done
enough "quantised 2x1" 2 --set base.weights=quantised
make_config 2 40 bf16 true
enough "auto" 1 --set base.weights=quantised --set tasks.t.batch.microbatch_tokens=auto --set tasks.t.valid="$rows"
says "batch.microbatch_tokens: auto is 8192 on these devices"
echo "$n_runs runs found enough memory reserved"

# ---- a cluster that is not here: no driver is asked

expect 3 env LD_LIBRARY_PATH= "$FORERUN" plan "$work/c.yaml" --ranks 1 --set run.device=cuda
expect 0 env LD_LIBRARY_PATH= "$FORERUN" plan "$work/c.yaml" --ranks 1 --set run.device=cuda --device-memory 80GB

# ---- microbatches that are left open: as large as fits, the same bits, and another number on another device

FR_EMULATED_MEMORY=5000000 train small 1 1 --set tasks.t.batch.microbatch_tokens=auto 2>"$work/err"
says "batch.microbatch_tokens: auto is 512 on these devices"
grep -q "microbatch_tokens: auto" "$work/small/config.yaml" || fail "the run's config does not say auto"
train large 1 1 --set tasks.t.batch.microbatch_tokens=auto 2>"$work/err"
train fixed 2 1 2>"$work/err" # 64 tokens
same "$work/small/checkpoint-2.h5" "$work/large/checkpoint-2.h5"
same "$work/small/checkpoint-2.h5" "$work/fixed/checkpoint-2.h5"
free=(--set "run.dir=$work/moved" --set tasks.t.optimizer.schedule=constant --set tasks.t.batch.microbatch_tokens=auto)
expect 0 "$PLAIN" train "$work/c.yaml" "${free[@]}" --set run.device=cpu
expect 0 "$FORERUN" train "$work/c.yaml" "${free[@]}" --set run.steps=4 --resume
says "auto is 8192"

# ---- in plan as in train

FR_EMULATED_MEMORY=5000000 expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 1 --set tasks.t.batch.microbatch_tokens=auto --json
grep -q '"microbatch_tokens_auto":512,' "$work/out" || fail "plan foretells other microbatches: $(cat "$work/out")"
echo "microbatches fit the device"

# ---- generation: the weights and what widens them are reserved, the cache takes of the rest

for i in $(seq 6); do
    echo "{\"source_ids\": [$i, 7, $((i + 20)), 3]}"
done >"$work/prompts.jsonl"
generate=("$FORERUN" generate --model "$model" --input "$work/prompts.jsonl" --max-new-tokens 8 --top-k 5 --seed 3
    --weights quantised --precision bf16)
expect 0 env FORERUN_LOG=debug "${generate[@]}" --output "$work/all.jsonl"
reserved=$(bytes "are reserved, by forecast")
used=$(bytes "were used at most")
echo "generate: $reserved bytes are reserved, $used used"
[ "$used" -gt "$reserved" ] && [ "$used" -le "$((2 * reserved))" ] || fail "generate: $reserved bytes reserved, $used used"
echo "generation takes what is left"
