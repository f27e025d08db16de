#!/usr/bin/env bash
# Layers that stay on the host and are copied to the GPU ahead of their use: the bits of a run whose layers all lie there, in
# training, on resume and in generation; as few of them as let a run fit, and what is said where even all do not help. The GPU is
# an emulated one, whose streams are late in an order that FR_EMULATED_SEED decides.
. "$(dirname "$0")/common.sh"

make_tiny 128 6
head -6 "$rows" >"$work/valid.jsonl"
steps=2

# offloaded NAME LAYERS STAGES [ARGUMENTS...]: a run with base.offload of so many layers, which must be said
offloaded() {
    expect 0 train "$1" "$3" 1 --set "base.offload=$2" "${@:4}"
    says "layers stay in the host's memory"
}

for weights in auto quantised; do
    make_config $steps 5 bf16
    printf '%s\n' "    valid: \"$work/valid.jsonl\"" >>"$work/c.yaml"
    expect 0 train "whole-$weights" 1 1 --set base.offload=none --set base.weights=$weights
    ! grep -q "stay in the host's memory" "$work/err" || fail "layers stay without a reason"
    seed=0
    # all six, and one to three of each stage; microbatches of one stage alternate between forward and backward passes
    for run in "1 1 none" "3 1 layer" "6 1 none" "1 2 none" "3 2 mlp"; do
        read -r layers stages recompute <<<"$run"
        FR_EMULATED_SEED=$seed offloaded part "$layers" "$stages" --set "run.recompute=$recompute" --set base.weights=$weights \
            --set tasks.t.batch.microbatch_tokens=$((48 + 16 * seed))
        same "$work/whole-$weights/checkpoint-$steps.h5" "$work/part/checkpoint-$steps.h5"
        rm -rf "$work/part"
        seed=$((seed + 1))
    done
    echo "weights $weights: the same with layers on the host"
done

# a prefix above the lowest layers, whose backward passes end there
for offload in none 5; do
    expect 0 train "upper-$offload" 1 1 --set base.offload=$offload --set tasks.t.prefix.layers.first=2
done
same "$work/upper-none/checkpoint-$steps.h5" "$work/upper-5/checkpoint-$steps.h5"

# a run goes on with other layers there
FR_EMULATED_SEED=5 expect 75 train mixed 2 1 --set base.offload=3 --stop-after 1
FR_EMULATED_SEED=7 expect 0 train mixed 1 1 --set base.offload=4 --resume
same "$work/whole-auto/checkpoint-$steps.h5" "$work/mixed/checkpoint-$steps.h5"

# generation and evaluation
for i in 3 4 5; do
    echo "{\"source_ids\": [$i, 7, $((i + 20)), 3]}"
done >"$work/prompts.jsonl"
prefix=(--model "$model" --prefix "$work/whole-auto/prefix.h5" --threads 1)
for offload in none 1 6; do
    FR_EMULATED_SEED=1 expect 0 "$FORERUN" generate "${prefix[@]}" --input "$work/prompts.jsonl" --output "$work/answers-$offload" \
        --max-new-tokens 4 --offload $offload
    expect 0 "$FORERUN" eval "${prefix[@]}" --data "$work/valid.jsonl" --json --offload $offload
    grep -o '"loss":[^,]*' "$work/out" >>"$work/answers-$offload"
done
cmp "$work/answers-none" "$work/answers-1" || fail "one layer on the host changes answers"
cmp "$work/answers-none" "$work/answers-6" || fail "all layers on the host change answers"
expect 2 "$FORERUN" eval --model "$model" --data "$rows" --offload few
says "--offload is few"
expect 2 train bad 1 1 --set base.offload=0
says "base.offload is 0, must be a whole number from 1 to 1000000, auto or none"

# auto: as few as fit. planned OFFLOAD FIELD: bytes of the one rank, by forecast
planned() {
    "$FORERUN" plan "$work/c.yaml" --ranks 1 --json --set "base.offload=$1" --set "tasks.t.prefix.length=$length" \
        >"$work/out" 2>"$work/err" || [ $? = 1 ] || fail "$(cat "$work/err")" # 1: it does not fit
    python3 -c 'import json, sys; print(json.load(sys.stdin)["stage"][0]["memory"][sys.argv[1]])' "$2" <"$work/out"
}
rm -rf "$model"
make_tiny 128 24
make_config 1 10 bf16
# the base is not measured, which would leave gaps in so little memory
sed -i 's/microbatch_tokens: 64/microbatch_tokens: 160/' "$work/c.yaml"
mib=$((1 << 20))
# A GPU gives memory by 2 MiB, and operators need some that the forecast does not know. The prefix is made as long as it takes for
# a size of the GPU between what all layers need and what none does to be a little more than a whole number of these.
for length in $(seq 20 12 200); do
    none=$(planned none device)
    all=$(planned 24 device)
    available=$(((none + all) / 2 * 10 / 9))
    whole=$((available / (2 * mib) * 2 * mib))
    [ $((whole - all)) -lt $(((none - all) / 2 + mib / 4)) ] || break
done
[ $((whole - all)) -ge $(((none - all) / 2 + mib / 4)) ] || fail "no length of a prefix makes the memory of a GPU fit this test"
one=$(planned 1 offload)
expect 0 train plenty 1 1 --set "tasks.t.prefix.length=$length"
! grep -q "stay in the host's memory" "$work/err" || fail "layers stay where there is plenty of memory"
export FR_EMULATED_MEMORY=$((available * 1024 / 1023))
n=$(($(planned auto offload) / one))
{ [ "$n" -ge 3 ] && [ "$n" -lt 24 ]; } || fail "auto leaves $n of 24 layers on the host"
[ $(($(planned "$n" device) * 10)) -le $((available * 9)) ] || fail "$n layers on the host do not fit"
[ $(($(planned $((n - 1)) device) * 10)) -gt $((available * 9)) ] || fail "fewer than $n layers on the host would fit"
FR_EMULATED_SEED=3 expect 0 train little 1 1 --set "tasks.t.prefix.length=$length"
says "$n of this rank's 24 layers stay in the host's memory"
same "$work/plenty/checkpoint-1.h5" "$work/little/checkpoint-1.h5"

# too little even so
FR_EMULATED_MEMORY=$((2 * mib)) expect 1 train less 1 1 --set "tasks.t.prefix.length=$length"
says "too little memory of the device:"
says "a smaller batch.microbatch_tokens"
[ ! -e "$work/less/latest" ] || fail "a run without memory wrote a checkpoint"
echo "auto leaves $n of 24 layers on the host where all do not fit"
