#!/usr/bin/env bash
# A run of epochs is the run of as many steps: with several tasks, in a sweep, resumed, and where plan only looks at it.
. "$(dirname "$0")/common.sh"

make_tiny
cd "$work"
python3 - "$rows" >one.jsonl <<'PY' # one target a row: as many examples as rows
import json, sys
for line in open(sys.argv[1]):
    row = json.loads(line)
    if isinstance(row["target_ids"][0], list):
        row["target_ids"] = row["target_ids"][0]
    print(json.dumps(row))
PY
rows=$work/one.jsonl
head -10 "$rows" >few.jsonl
# config LENGTH [LENGTH OF b [MORE]]: `run` has the first
config() {
    cat >c.yaml <<YAML
base: {path: "$model"}
run: {dir: run, $1, precision: f32, threads: 1, measure_base: false, seed: 3}
${3:-}
tasks:
  - {name: a, train: "$rows", eos: false, prefix: {init: {random: 0.5}, length: 4}, batch: {examples: 16, microbatch_tokens: 64}}
  - {name: b, train: few.jsonl, eos: false, ${2:-} prefix: {init: {random: 0.5}, length: 4}, batch: {examples: 4, microbatch_tokens: 64}}
YAML
}
trained() {
    expect 0 "$FORERUN" train c.yaml "${@:2}"
    python3 -c 'import json, sys
for line in open(sys.argv[1]):
    row = json.loads(line)
    if "loss" in row:
        print(row.get("task"), row.get("step"), row["loss"])' run/metrics.jsonl | sort >"$1"
}

# 40 examples, 16 a step: 2 epochs are 5 steps; 10 examples, 4 a step: 2 epochs are 5, 1 epoch is 3
n=$(wc -l <"$rows")
[ "$n" = 40 ] || fail "make_tiny makes $n rows"
config 'steps: 5' 'steps: 3,'
trained wanted
rm -r run
config 'epochs: 2' 'epochs: 1,'
trained got
cmp got wanted || fail "epochs and steps differ: $(diff got wanted)"
says 'task a: 2 epochs of 40 examples are 5 steps of 16'
says 'task b: 1 epochs of 10 examples are 3 steps of 4'
expect 0 "$FORERUN" plan c.yaml --ranks 2

# a resume keeps the number and may have more epochs, but no other data
expect 0 "$FORERUN" train c.yaml --resume
says 'task a: 2 epochs of 40 examples are 5 steps of 16'
expect 0 "$FORERUN" train c.yaml --resume --set run.epochs=4
says 'task a: 4 epochs of 40 examples are 10 steps of 16'
head -39 "$rows" >fewer.jsonl
code=0
"$FORERUN" train c.yaml --resume --set run.epochs=4 --set tasks.a.train=fewer.jsonl 2>err || code=$?
[ $code != 0 ] || fail "resumed with other data"

# the tasks of a sweep have the epochs of their pattern
rm -r run
config 'epochs: 1' '' 'sweep: {task: b, seed: [1, 2]}'
trained got
[ "$(grep -c '^b' got)" = 6 ] || fail "a sweep: $(cat got)"
echo "epochs: as many steps"
