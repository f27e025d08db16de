#!/usr/bin/env bash
# Weights that stay in the file train, evaluate and generate bit for bit what converted ones do, on any layout and in
# less memory. usage: quantised.sh tiny|smollm2
. "$(dirname "$0")/common.sh"

steps=2
examples=4
if [ "$1" = smollm2 ]; then
    need_model
    rows=$work/rows.jsonl
    python3 "$SOURCE/tests/support/make_tiny.py" "$work/unused" "$rows" 40000
    models=("$model")
else
    make_tiny
    models=("$model" "$SOURCE/tests/golden/tiny_gpt2")
fi

for model in "${models[@]}"; do
    for precision in f32 bf16; do
        rm -rf "$work"/run-*
        make_config $steps $examples $precision
        train run-auto 1 1 2>"$work/err" || fail "$(cat "$work/err")"
        for layout in "1 1 64" "2 1 64" "1 2 64" "2 1 16"; do
            read -r stages replicas tokens <<<"$layout"
            train run-file "$stages" "$replicas" --set base.weights=quantised --set run.threads=2 \
                --set "tasks.t.batch.microbatch_tokens=$tokens" 2>"$work/err" || fail "$(cat "$work/err")"
            says "$precision, weights as in the file"
            same "$work/run-auto/checkpoint-$steps.h5" "$work/run-file/checkpoint-$steps.h5"
            rm -rf "$work/run-file"
            echo "$(basename "$model") $precision ${stages}x$replicas, microbatches of $tokens: identical"
        done
    done
done

# a run may go on the other way
expect 75 train run-mixed 1 1 --stop-after 1
expect 0 train run-mixed 1 1 --resume --set base.weights=quantised
same "$work/run-auto/checkpoint-$steps.h5" "$work/run-mixed/checkpoint-$steps.h5"

# evaluation and generation: the same output
for precision in f32 bf16; do
    both=(--model "$model" --prefix "$work/run-auto/prefix.h5" --precision "$precision")
    for weights in auto quantised; do
        expect 0 "$FORERUN" eval "${both[@]}" --data "$rows" --json --weights $weights
        grep -o '"loss":[^,]*' "$work/out" >"$work/loss-$weights"
        [ "$1" = tiny ] || "$FORERUN" generate "${both[@]}" --prompt "A painting program." --max-new-tokens 8 \
            --weights $weights >"$work/text-$weights" 2>"$work/err" || fail "$(cat "$work/err")"
    done
    cmp "$work/loss-auto" "$work/loss-quantised" || fail "eval differs in $precision"
    [ "$1" = tiny ] || cmp "$work/text-auto" "$work/text-quantised" || fail "generated text differs in $precision"
done

# bad values
expect 2 "$FORERUN" eval --model "$model" --data "$rows" --weights q4
says "--weights is q4; it must be auto or quantised"
expect 2 "$FORERUN" train "$work/c.yaml" --set base.weights=q4
says "base.weights is q4, must be one of auto, quantised"

# memory(NAME) of a rank that `plan` forecasts, and the largest that a training run really takes, in bytes
planned() {
    expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 1 --json --set "base.weights=$1"
    python3 -c 'import json, sys; print(json.load(sys.stdin)["stage"][0]["memory"][sys.argv[1]])' "$2" <"$work/out"
}
taken() {
    rm -rf "$work/run-memory"
    python3 -c '
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)' \
        "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/run-memory" --set "base.weights=$1" \
        --set run.measure_base=false 2>"$work/err" ||
        fail "$(cat "$work/err")"
}
if [ "$1" = smollm2 ]; then
    file=$(stat -Lc %s "$model")
    weights=$(planned quantised weights)
    [ "$weights" -lt "$file" ] && [ "$weights" -gt $((file * 9 / 10)) ] || fail "plan says $weights of a file of $file bytes"
    converted=$(taken auto)
    in_file=$(taken quantised)
    # a device with memory of its own is one of tests, whose memory is the process's, too; elsewhere "device" is 0
    total=$(($(planned quantised total) + $(planned quantised device)))
    echo "bf16, at most: $((converted >> 20)) MiB converted, $((in_file >> 20)) MiB in the file, forecast $((total >> 20)) MiB"
    [ "$in_file" -lt "$total" ] || fail "more than forecast"
    [ $((3 * total)) -lt $((4 * in_file)) ] || fail "the forecast is a third more than what is taken"
    [ $((2 * in_file)) -lt "$converted" ] || fail "not half the memory"
else
    mkdir "$work/header"
    cp "$work/tiny/config.json" "$work/header/"
    expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 1 --set base.weights=quantised --set "base.path=$work/header"
    grep -q "weights counted as converted (their file is not on this machine)" "$work/out" || fail "plan does not say that it guesses"
fi
echo "$1: weights in the file agree with converted ones"
