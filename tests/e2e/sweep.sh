#!/usr/bin/env bash
# A sweep of four tasks on two ranks: each is the task trained alone, bit for bit; the table and sweep.jsonl agree;
# the resolved config holds no sweep, and both it and the original resume.
. "$(dirname "$0")/common.sh"

make_tiny
head -n 20 "$rows" >"$work/dev.jsonl"

# config FILE NAME LENGTH LR SWEEP
config() {
    cat >"$1" <<YAML
base: {path: "$model"}
run: {dir: "$work/run", seed: 3, steps: 6, valid_every: 2, precision: f32, save_every: 1000, threads: 1, measure_base: false}
$5
tasks:
  - name: $2
    train: "$rows"
    valid: "$work/dev.jsonl"
    eos: false
    prefix: {init: {random: 0.5}, length: $3}
    optimizer: {lr: $4}
    batch: {examples: 7, microbatch_tokens: 64}
YAML
}

config "$work/c.yaml" t 9 0.5 'sweep: {prefix.length: [3, 5], optimizer.lr: [1.0e-2, 0.05]}'
cp "$work/c.yaml" "$work/sweep.yaml"
train two 2 1 >"$work/table" 2>"$work/err" || fail "$(cat "$work/err")"
cat "$work/table"
names="t.length-3.lr-0.01 t.length-3.lr-0.05 t.length-5.lr-0.01 t.length-5.lr-0.05"
found=$("$FORERUN" inspect "$work/two/prefix.h5" | grep -oE 't\.length-[0-9]+\.lr-[0-9.]+' | sort -u | tr '\n' ' ')
[ "$found" = "$names " ] || fail "trained: $found"
for length in 3 5; do
    for lr in 0.01 0.05; do
        name=t.length-$length.lr-$lr
        config "$work/c.yaml" alone $length $lr ""
        train "$name" 1 1 >"$work/out" 2>"$work/err" || fail "$(cat "$work/err")"
        [ ! -s "$work/out" ] || fail "a run without a sweep printed: $(cat "$work/out")"
        [ ! -e "$work/$name/sweep.jsonl" ] || fail "a run without a sweep wrote sweep.jsonl"
        same "$work/two/checkpoint-6.h5:$name" "$work/$name/checkpoint-6.h5"
        same "$work/two/prefix.h5:$name" "$work/$name/prefix.h5"
        same "$work/two/best.h5:$name" "$work/$name/best.h5"
        echo "$name: as alone"
    done
done

# the lines: four, best first, with the values, the best loss of each task's own metrics; the table in the same order
python3 - "$work" <<'PY' || fail "sweep.jsonl, metrics.jsonl and the table do not agree"
import json, sys

folder = sys.argv[1]
lines = [json.loads(line) for line in open(folder + "/two/sweep.jsonl")]
metrics = [line for line in map(json.loads, open(folder + "/two/metrics.jsonl")) if "task" in line]
table = open(folder + "/table").read().splitlines()
assert [line["rank"] for line in lines] == [1, 2, 3, 4]
assert [line["best_loss"] for line in lines] == sorted(line["best_loss"] for line in lines)
values = {line["task"]: line["values"] for line in lines}
assert values == {"t.length-%d.lr-%s" % (p, r): {"prefix.length": p, "optimizer.lr": r} for p in (3, 5) for r in (0.01, 0.05)}
for line in lines:
    valid = {m["valid_loss"]: m["step"] for m in metrics if m["task"] == line["task"] and "valid_loss" in m}
    losses = [m["loss"] for m in metrics if m["task"] == line["task"] and "loss" in m]
    assert line["best_loss"] == min(valid) and line["best_step"] == valid[min(valid)], line
    assert line["last_loss"] == losses[-1] and line["steps"] == 6 and line["skipped"] == 0, line
    assert line["stopped"] == "steps", line
assert len(table) == 5 and table[0].split()[:3] == ["task", "prefix.length", "optimizer.lr"], table
assert [row.split()[0] for row in table[1:]] == [line["task"] for line in lines]
assert [row.split()[3] for row in table[1:]] == ["%.4f" % line["best_loss"] for line in lines]
PY

# the resolved config lists plain tasks; resuming from it or from the original gives the same bits
! grep -q sweep "$work/two/config.yaml" || fail "config.yaml holds a sweep"
cp "$work/sweep.yaml" "$work/c.yaml"
expect 75 train part 1 1 --stop-after 2
[ ! -s "$work/out" ] || fail "a stopped run printed a table"
cp -r "$work/part" "$work/part-resolved"
expect 0 train part 1 2 --resume
cmp "$work/out" "$work/table" || fail "another table after a resume"
same "$work/two/checkpoint-6.h5" "$work/part/checkpoint-6.h5"
cp "$work/two/config.yaml" "$work/c.yaml"
expect 0 train part-resolved 2 1 --resume
same "$work/two/checkpoint-6.h5" "$work/part-resolved/checkpoint-6.h5"
# a finished run prints its table again
cp "$work/sweep.yaml" "$work/c.yaml"
expect 0 train two 1 1 --resume
cmp "$work/out" "$work/table" || fail "another table for a finished run"

# without validation the last training loss decides; --set changes the pattern; a stopping rule shows
config "$work/c.yaml" t 3 0.01 'sweep: {seed: [1, 2, 18446744073709551614], prefix.init: [{random: 0.5}, {zero: true}]}'
sed -i '/valid:/d' "$work/c.yaml"
expect 0 train unvalidated 2 1 --set tasks.t.steps=3
python3 - "$work/unvalidated/sweep.jsonl" <<'PY' || fail "the order without validation"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert len(lines) == 6 and all(line["best_loss"] is None and line["best_step"] is None for line in lines)
assert [line["last_loss"] for line in lines] == sorted(line["last_loss"] for line in lines)
assert {json.dumps(line["values"]) for line in lines} == {
    json.dumps({"seed": seed, key: value}) for seed in (1, 2, "18446744073709551614")
    for key, value in (("prefix.init.random", 0.5), ("prefix.init.zero", True))}
PY
cp "$work/sweep.yaml" "$work/c.yaml"
expect 0 train below 2 1 --set tasks.t.stop_below=1000
[ "$(grep -c 'stop_below$' "$work/out")" = 4 ] || fail "the table does not say what stopped its tasks"

# bad sweeps end on all ranks with one clear line
config "$work/c.yaml" t 3 0.01 'sweep: {optimizer.kind: [sgd]}'
expect 2 train bad 2 1
says "c.yaml:3: unknown key sweep.optimizer.kind"
[ "$(grep -c '^error: ' "$work/err")" = 1 ] || fail "more than one error line"
