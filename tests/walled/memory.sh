#!/usr/bin/env bash
# A device with memory of its own: what a rank needs there is known before it starts, reserved at once, and enough; what is too
# little is said with what was asked and what was free. WALL_MEMORY says how much the walled device has.
. "$(dirname "$0")/../e2e/common.sh"

make_tiny 512 8 512
head -12 "$rows" >"$work/valid.jsonl"

# ---- the forecast is enough, and not much too large

n_runs=0
# enough NAME STAGES REPLICAS [ARGUMENTS...]
enough() {
    expect 0 env FORERUN_LOG=debug mpirun -n $(($2 * $3)) "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/$1" \
        --set "run.stages=$2" --set "run.replicas=$3" --set tasks.t.valid="$work/valid.jsonl" "${@:4}"
    # scratch of logits counts as if every row had a target, and few have one here
    forecast_holds "$1"
    n_runs=$((n_runs + 1))
}
for precision in f32 bf16; do
    make_config 12 8 $precision true
    enough "$precision 1x1" 1 1
    enough "$precision 2x1" 2 1
    enough "$precision 1x2" 1 2
    enough "$precision 2x2" 2 2
done
enough "recompute mlp" 2 1 --set run.recompute=mlp
enough "recompute layer" 1 1 --set run.recompute=layer
enough "mlp" 2 1 --set tasks.t.prefix.mlp.hidden=16
WALL_WORK=bf16 enough "bf16 between operators" 2 1
for run in "1 8 bf16" "2 3 f32"; do
    read -r stages layers precision <<<"$run"
    make_config 12 8 "$precision" true
    enough "$layers on the host" "$stages" 1 --set base.offload="$layers"
    says "layers stay in the host's memory"
    same "$work/$precision 1x1/checkpoint-12.h5" "$work/$layers on the host/checkpoint-12.h5"
done
echo "$n_runs runs found enough memory reserved"

# ---- too little: said in the first second, by name

expect 1 env WALL_MEMORY=200K "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/little"
says "too little memory of the device:"
says "0 B of the 0 B that this rank has reserved are free, and the device has 200.00 KiB more"
says "forerun plan"
[ ! -e "$work/little/latest" ] || fail "a run without memory wrote a checkpoint"
code=0
WALL_MEMORY=200K timeout 60 mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/little" >"$work/out" 2>"$work/err" || code=$?
[ "$code" = 1 ] || fail "two ranks without memory: exit code $code"
says "too little memory of the device:"

# ---- where a layout is free, the device's memory decides, in plan and in train

expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 2 --json
whole=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["stage"][0]["memory"]["device"])' <"$work/out")
export WALL_MEMORY=$((whole * 10 / 9 - 4096))
expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 2
grep -q -- "-> *2 x 1 .*fits" "$work/out" || fail "plan does not choose two stages: $(cat "$work/out")"
expect 0 mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/chosen"
says "layout 2x1"
unset WALL_MEMORY
expect 0 mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/free"
says "layout 1x2"
same "$work/chosen/checkpoint-12.h5" "$work/free/checkpoint-12.h5"

# ---- preflight tells what is free and needed, and which node lacks it

expect 0 "$FORERUN" preflight "$work/c.yaml"
grep -q "memory of a rank's device on .*: 65536.0 MiB are free, at least .* needed$" "$work/out" || fail "$(cat "$work/out")"
expect 0 env WALL_MEMORY=$((whole * 3 / 4)) "$FORERUN" preflight "$work/c.yaml"
grep -q "that may be too little" "$work/out" || fail "$(cat "$work/out")"
expect 1 env WALL_MEMORY=100K "$FORERUN" preflight "$work/c.yaml"
grep -q "^ODD .*too little memory of its device: 0.1 MiB are available to a rank" "$work/out" || fail "$(cat "$work/out")"

# ---- generation: fewer rows at a time where the cache has less room, the same text

for i in $(seq 12); do
    echo "{\"source_ids\": [$i, 7, $((i + 20)), 3]}"
done >"$work/prompts.jsonl"
generate=("$FORERUN" generate --model "$model" --input "$work/prompts.jsonl" --max-new-tokens 20 --temperature 0)
expect 0 "${generate[@]}" --output "$work/all.jsonl"
weights=$(bytes "are reserved, by forecast")
expect 0 env WALL_MEMORY=$((weights + 300000)) "${generate[@]}" --offload none --output "$work/few.jsonl"
cmp "$work/all.jsonl" "$work/few.jsonl" || fail "generation depends on the device's memory"
expect 1 env WALL_MEMORY=$((weights + 5000)) "${generate[@]}" --offload none --output "$work/none.jsonl"
says "too little memory of the device:"
[ ! -e "$work/none.jsonl" ] || fail "an answer file without memory"
# layers that stay on the host make room
expect 0 env WALL_MEMORY=$((weights + 5000)) "${generate[@]}" --output "$work/beside.jsonl"
says "layers stay in the host's memory"
cmp "$work/all.jsonl" "$work/beside.jsonl" || fail "generation depends on the layers that stay on the host"
echo "too little memory is told, and what there is decides"
