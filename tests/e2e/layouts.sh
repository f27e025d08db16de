#!/usr/bin/env bash
# Every layout trains the same prefix, bit for bit: K, V, moments, step and cursor; also with other threads and
# microbatch sizes, and whatever the backward pass computes again.
# usage: layouts.sh tiny|tensor|smollm2 [LAYOUT...]     tensor: heads that attention on tensor cores takes; with layouts, as in
# 2x1 (stages x replicas): these alone, and nothing else
. "$(dirname "$0")/common.sh"

precisions=(f32 bf16)
steps=6
examples=7
if [ "$1" = tiny ]; then
    make_tiny
elif [ "$1" = tensor ]; then
    make_tiny 128 4 128 64
    precisions=(bf16)
    steps=3
else
    need_model
    rows=$work/rows.jsonl
    python3 "$SOURCE/tests/support/make_tiny.py" "$work/unused" "$rows" 40000
    steps=2
    examples=4
fi
# base_of NAME: the loss of the base alone in a run
base_of() {
    grep -o '"base_loss":[^,]*' "$work/$1/metrics.jsonl"
}

layouts=("${@:2}")
[ $# -gt 1 ] || layouts=(2x1 1x2 1x3 3x1 2x2 4x1)
for precision in "${precisions[@]}"; do
    make_config $steps $examples $precision
    reference="$work/$precision-1x1/checkpoint-$steps.h5"
    train $precision-1x1 1 1 --set run.measure_base=true 2>"$work/err" || fail "$(cat "$work/err")"
    for layout in "${layouts[@]}"; do
        stages=${layout%x*} replicas=${layout#*x}
        name=$precision-$layout
        measure=false
        [ "$layout" != 2x2 ] || measure=true
        train "$name" "$stages" "$replicas" --set "run.measure_base=$measure" 2>"$work/err" || fail "$(cat "$work/err")"
        same "$reference" "$work/$name/checkpoint-$steps.h5"
        [ $measure = false ] || cmp <(base_of $precision-1x1) <(base_of "$name") || fail "the base alone has another loss on $layout"
        echo "$1 $name: identical"
    done
    [ $# = 1 ] || continue
    train $precision-threads 1 1 --set run.threads=2 2>"$work/err" || fail "$(cat "$work/err")"
    same "$reference" "$work/$precision-threads/checkpoint-$steps.h5"
    train $precision-threads-2x1 2 1 --set run.threads=2 2>"$work/err" || fail "$(cat "$work/err")"
    same "$reference" "$work/$precision-threads-2x1/checkpoint-$steps.h5"
    train $precision-quarter 2 1 --set tasks.t.batch.microbatch_tokens=16 2>"$work/err" || fail "$(cat "$work/err")"
    same "$reference" "$work/$precision-quarter/checkpoint-$steps.h5"
    for lean in "mlp 1" "layer 1" "layer 2"; do
        read -r mode stages <<<"$lean"
        name=$precision-$mode-${stages}x1
        train "$name" "$stages" 1 --set "run.recompute=$mode" 2>"$work/err" || fail "$(cat "$work/err")"
        same "$reference" "$work/$name/checkpoint-$steps.h5"
    done
    echo "$1 $precision: identical with two threads, with a quarter of the microbatch and when layers are recomputed"
done
# the comparison itself can tell a difference
train other 1 1 --set run.seed=4 2>"$work/err" || fail "$(cat "$work/err")"
expect 1 "$FORERUN" compare "$reference" "$work/other/checkpoint-$steps.h5"
