#!/usr/bin/env bash
# Each of several tasks trains to the bits it has alone, whatever its place and its neighbours; a task that a rule
# stops leaves the others alone and stays stopped; one with non-finite numbers costs itself alone and exit code 4.
. "$(dirname "$0")/common.sh"

make_tiny
half=$work/half.jsonl
head -n 20 "$rows" >"$half"

# task NAME: the task as it stands in a list.
task() {
    case $1 in
    a) echo "  - {name: a, train: '$rows', valid: '$half', eos: false, prefix: {init: {random: 0.5}, length: 5}, optimizer: {lr: 1.0e-2}, batch: {examples: 7, microbatch_tokens: 64}}" ;;
    b) echo "  - {name: b, train: '$half', eos: false, seed: 9, steps: 4, prefix: {init: {random: 0.1}, length: 3}, optimizer: {kind: sgd}, batch: {examples: 3}}" ;;
    c) echo "  - {name: c, train: '$rows', eos: false, seed: 4, prefix: {init: {zero: true}, length: 6}, batch: {examples: 5}}" ;;
    esac
}

# config NAME...: these tasks at $work/c.yaml
config() {
    printf 'base: {path: "%s"}\nrun: {dir: "%s", seed: 3, steps: 6, valid_every: 2, precision: f32, save_every: 1000, threads: 1, measure_base: false}\ntasks:\n' "$model" "$work/run" >"$work/c.yaml"
    for name in "$@"; do
        task "$name" >>"$work/c.yaml"
    done
}

for name in a b c; do
    config $name
    train "alone-$name" 1 1 2>"$work/err" || fail "$(cat "$work/err")"
done
config a b c
train abc 1 1 2>"$work/err" || fail "$(cat "$work/err")"
train abc-2x1 2 1 2>"$work/err" || fail "$(cat "$work/err")"
config c b a
train cba-1x2 1 2 2>"$work/err" || fail "$(cat "$work/err")"
for run in abc abc-2x1 cba-1x2; do
    for name in a b c; do
        same "$work/$run/checkpoint-6.h5:$name" "$work/alone-$name"/checkpoint-[46].h5
        same "$work/$run/prefix.h5:$name" "$work/alone-$name/prefix.h5"
    done
    same "$work/$run/best.h5:a" "$work/alone-a/best.h5"
    echo "$run: each task as alone"
done

# tasks that are added on resume stand behind the others, and still train to the bits they have alone; one line a step
config a
expect 75 train added 1 1 --stop-after 4
config c a b
expect 75 train added 2 1 --resume --stop-after 5
printf '{"task":"b","step":3,"loss":1}\n{"task":"b","st' >>"$work/added/metrics.jsonl"
expect 0 train added 1 2 --resume
for name in a b c; do
    same "$work/added/prefix.h5:$name" "$work/alone-$name/prefix.h5"
done
python3 - "$work/added/metrics.jsonl" <<'PY' || fail "metrics.jsonl has not one line a step"
import collections, json, sys
steps = [json.loads(line) for line in open(sys.argv[1])]
seen = collections.Counter((step["task"], step["step"]) for step in steps if "lr" in step)
assert sorted(seen) == [(t, i) for t, n in (("a", 6), ("b", 4), ("c", 6)) for i in range(1, n + 1)], seen
assert set(seen.values()) == {1}, seen
PY
echo "added on resume: each task as alone"

# the comparison of one task with one tells tasks, seeds and names apart
expect 1 "$FORERUN" compare "$work/abc/prefix.h5:a" "$work/abc/prefix.h5:b"
expect 6 "$FORERUN" compare "$work/abc/prefix.h5:d" "$work/alone-a/prefix.h5"
says "a, b, c"
expect 6 "$FORERUN" compare "$work/abc/prefix.h5" "$work/alone-a/prefix.h5:a"
says "a, b, c"
config a
train other-seed 1 1 --set tasks.a.seed=4 2>"$work/err" || fail "$(cat "$work/err")"
expect 1 "$FORERUN" compare "$work/other-seed/prefix.h5" "$work/alone-a/prefix.h5"
train own-seed 1 1 --set tasks.a.seed=3 --set run.seed=8 2>"$work/err" || fail "$(cat "$work/err")"
same "$work/own-seed/checkpoint-6.h5" "$work/alone-a/checkpoint-6.h5"
expect 6 train alone-a 1 1 --resume --set tasks.a.seed=4
says "tasks.a.seed was 3"

# stopped_lines RUN: how many lines of its metrics tell that a task stopped.
stopped_lines() {
    grep -c '"stopped":' "$work/$1/metrics.jsonl" || true
}

# stop_below stops a at its first validation; b and c are as alone; it stays stopped, unless the rule is relaxed
config a b c
below=(--set tasks.a.stop_below=1000)
expect 75 train below 2 1 "${below[@]}" --stop-after 3
says "task a stopped after step 2: validation loss"
expect 0 train below 1 1 --resume "${below[@]}"
says "task a stays stopped at step 2"
! grep -q "task a stopped after" "$work/err" || fail "the reason was told twice"
[ "$(stopped_lines below)" = 1 ] || fail "$(stopped_lines below) lines of stopped tasks"
grep -q '"task":"a","step":2,"stopped":"stop_below"' "$work/below/metrics.jsonl" || fail "no line tells why a stopped"
for name in b c; do
    same "$work/below/checkpoint-6.h5:$name" "$work/abc/checkpoint-6.h5:$name"
done
expect 1 "$FORERUN" compare "$work/below/prefix.h5:a" "$work/abc/prefix.h5:a"
expect 0 train below 1 2 --resume
same "$work/below/checkpoint-6.h5" "$work/abc/checkpoint-6.h5"
same "$work/below/prefix.h5" "$work/abc/prefix.h5"

# patience: at a rate of zero no validation is better than the first
expect 0 train patient-1 2 1 --set tasks.a.patience=1 --set tasks.a.optimizer.lr=0
says "task a stopped after step 4: 1 validations without a better loss"
same "$work/patient-1/checkpoint-6.h5:c" "$work/abc/checkpoint-6.h5:c"

# a task whose rows hold a token with an embedding that is no number: it alone stops, the others are as alone, and
# the run ends with exit code 4 after writing them; alone it ends at once
cp -r "$work/tiny" "$work/nan"
python3 - "$work/nan/model.safetensors" <<'PY'
import struct, sys
with open(sys.argv[1], "r+b") as file:
    header = struct.unpack("<Q", file.read(8))[0]
    file.seek(8 + header + 4 * 32)
    file.write(struct.pack("<f", float("nan")))
PY
printf '{"source_ids": [1, 5], "target_ids": [6, 7]}\n' >"$work/wild.jsonl"
config a b c
sed -i "s|^tasks:|&\n  - {name: wild, train: '$work/wild.jsonl', eos: false, prefix: {init: {zero: true}, length: 2}, batch: {examples: 2}}|" "$work/c.yaml"
wild=(--set "base.path=$work/nan" --set run.nonfinite_limit=3)
expect 75 train wild 2 1 "${wild[@]}" --stop-after 4
says "task wild stopped after step 3: 3 steps in a row"
for layout in "1 1" "1 2"; do
    read -r stages replicas <<<"$layout"
    expect 4 train wild "$stages" "$replicas" "${wild[@]}" --resume
    says "with non-finite numbers: wild; all other tasks are done"
    [ "$(stopped_lines wild)" = 1 ] || fail "$(stopped_lines wild) lines of stopped tasks"
    for name in a b c; do
        same "$work/wild/checkpoint-6.h5:$name" "$work/abc/checkpoint-6.h5:$name"
        same "$work/wild/prefix.h5:$name" "$work/abc/prefix.h5:$name"
    done
done
config
sed -i "s|^tasks:|&\n  - {name: wild, train: '$work/wild.jsonl', eos: false, prefix: {init: {zero: true}, length: 2}, batch: {examples: 2}}|" "$work/c.yaml"
expect 4 train wild-alone 1 1 "${wild[@]}"
says "task wild step 3: 3 steps in a row"
[ ! -e "$work/wild-alone/prefix.h5" ] || fail "a failed run wrote a prefix"

# run.steps is what a task without steps of its own gets
config b c
train steps 1 1 --set run.steps=2 2>"$work/err" || fail "$(cat "$work/err")"
for expected in '"task":"b","step":4' '"task":"c","step":2'; do
    grep -q "$expected" "$work/steps/metrics.jsonl" || fail "no line with $expected"
done
! grep -q '"task":"c","step":3' "$work/steps/metrics.jsonl" || fail "c went beyond run.steps"
echo "tasks stop alone"
