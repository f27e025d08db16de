#!/usr/bin/env bash
# Checkpoints taken while microbatches are in flight: each step's file has the same bits on every layout, those of a run
# that stopped there, and leads to the same end.
. "$(dirname "$0")/common.sh"

steps=5
make_tiny
cat >"$work/c.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/run", seed: 3, steps: $steps, precision: f32, threads: 1, save_every: 1, keep: 100}
tasks:
  - {name: a, train: "$rows", eos: false, prefix: {init: {random: 0.5}, length: 5}, batch: {examples: 8, microbatch_tokens: 48}}
  - {name: b, train: "$rows", eos: false, prefix: {init: {random: 0.1}, length: 3, mlp: {hidden: 8}}, batch: {examples: 5, microbatch_tokens: 48}}
  - {name: c, train: "$rows", eos: false, prefix: {init: {zero: true}, length: 6}, batch: {examples: 3}}
YAML

# no stop, no validation: nothing but the last step's end may wait for the pipeline
layouts=("1 1" "3 1" "2 2" "4 1")
for layout in "${layouts[@]}"; do
    read -r stages replicas <<<"$layout"
    run=run-${stages}x$replicas
    train "$run" "$stages" "$replicas" 2>"$work/err" || fail "$(cat "$work/err")"
    for ((step = 1; step <= steps; step++)); do
        same "$work/run-1x1/checkpoint-$step.h5" "$work/$run/checkpoint-$step.h5"
    done
    saved=$(grep -c '"saved":"checkpoint-.*"blocked_seconds":.*"writer_cpu_seconds":' "$work/$run/metrics.jsonl")
    [ "$saved" = $steps ] || fail "$saved lines tell of $steps checkpoints"
    echo "saves on ${stages}x$replicas: every step's checkpoint has the bits of 1x1"
done

for ((step = 1; step < steps; step++)); do
    read -r stages replicas <<<"${layouts[step % 4]}"
    expect 75 train "stop-$step" "$stages" "$replicas" --stop-after $step --set run.save_every=1000
    same "$work/stop-$step/checkpoint-$step.h5" "$work/run-3x1/checkpoint-$step.h5"
    read -r stages replicas <<<"${layouts[(step + 1) % 4]}"
    train "from-$step" "$stages" "$replicas" "--resume=$work/run-3x1/checkpoint-$step.h5" 2>"$work/err" ||
        fail "$(cat "$work/err")"
    for ((later = step + 1; later <= steps; later++)); do
        same "$work/run-1x1/checkpoint-$later.h5" "$work/from-$step/checkpoint-$later.h5"
    done
    echo "saves: on from step $step to the same bits"
done

# a resume keeps the lines of what was saved up to there, once each
cp -r "$work/run-2x2" "$work/again"
train again 1 1 "--resume=$work/run-2x2/checkpoint-2.h5" 2>"$work/err" || fail "$(cat "$work/err")"
for ((step = 1; step <= steps; step++)); do
    [ "$(grep -c "\"saved\":\"checkpoint-$step.h5\"" "$work/again/metrics.jsonl")" = 1 ] || fail "not one line of step $step"
done
