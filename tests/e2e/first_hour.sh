#!/usr/bin/env bash
# What a run says of itself: what the base alone and an init text are worth before the first step, what was gained at the
# end, where the files lie, and a line that can be typed next. None of it changes a bit of the result.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 4 3 f32 true
run=$work/run

expect 0 "$FORERUN" train "$work/c.yaml"
says "task t: loss of the base alone "
says ", on the first 64 training examples"
says " nats lost, on the first 64 training examples" # two steps of a random prefix

says "files in $run: prefix.h5 (after the last step), checkpoint-4.h5 (to go on with more steps), metrics.jsonl"
line=$(sed -n 's/^try it: //p' "$work/err")
[ ! -s "$work/out" ] || fail "standard output is for results"
# the line works as it is typed, blanks in names and all
bash -c "$line" >"$work/out" 2>"$work/err2" || fail "$line: $(cat "$work/err2")"
grep -q perplexity "$work/out" || fail "$line"

numbers() {
    python3 - "$1" <<'PY'
import json, re, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
print("%.4f" % next(line["base_loss"] for line in lines if "base_loss" in line))
PY
}
# what eval says of the same rows
head -n 1 "$rows" >"$work/one.jsonl"
cp -r "$run" "$work/base"
expect 0 "$FORERUN" train "$work/c.yaml" --set run.dir="$work/one" --set tasks.t.train="$work/one.jsonl"
"$FORERUN" eval --model "$model" --data "$work/one.jsonl" --no-eos --precision f32 --json >"$work/out"
python3 - "$work/out" "$(numbers "$work/one/metrics.jsonl")" <<'PY' || fail "eval says otherwise"
import json, sys
loss = json.load(open(sys.argv[1]))["loss"]
assert "%.4f" % loss == sys.argv[2], (loss, sys.argv[2])
PY

# not a bit depends on it; and it can be left out
expect 0 "$FORERUN" train "$work/c.yaml" --set run.dir="$work/plain" --set run.measure_base=false
! grep -q "base alone" "$work/err" || fail "measured all the same"
! grep -q base_loss "$work/plain/metrics.jsonl" || fail "measured all the same"
same "$run/checkpoint-4.h5" "$work/plain/checkpoint-4.h5"
expect 0 mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set run.dir="$work/stages" --set run.stages=2
[ "$(numbers "$run/metrics.jsonl")" = "$(numbers "$work/stages/metrics.jsonl")" ] || fail "another loss on two stages"
# a resume measures nothing again and knows it all the same
expect 75 "$FORERUN" train "$work/c.yaml" --set run.dir="$work/parts" --stop-after 2
expect 0 "$FORERUN" train "$work/c.yaml" --set run.dir="$work/parts" --resume
! grep -q "loss of the base alone" "$work/err" || fail "measured again"
says "with the base alone"
[ "$(grep -c base_loss "$work/parts/metrics.jsonl")" = 1 ] || fail "not one line of the base"
head -n 1 "$work/parts/metrics.jsonl" | grep -q base_loss || fail "the line of the base comes first"

# many tasks: twenty lines at most, and one line to type, of the best one
{
    sed '/^tasks:/,$d' "$work/c.yaml"
    echo "tasks:"
    for i in $(seq 25); do
        echo "  - {name: t$i, train: \"$rows\", valid: \"$rows\", eos: false, seed: $i, prefix: {init: {random: 0.5}, length: 2}}"
    done
} >"$work/many.yaml"
expect 0 "$FORERUN" train "$work/many.yaml" --set run.dir="$work/many" --set run.steps=2
[ "$(grep -c "nats gained\|nats lost" "$work/err")" = 20 ] || fail "not twenty lines"
says "... and 5 more tasks"
[ "$(grep -c "^try it: .*/best.h5:t[0-9]*' " "$work/err")" = 1 ] || fail "$(grep try "$work/err")"
bash -c "$(sed -n 's/^try it: //p' "$work/err")" >"$work/out" 2>"$work/err2" || fail "$(cat "$work/err2")"
# one measurement serves all tasks with the same rows
[ "$(grep base_loss "$work/many/metrics.jsonl" | sed 's/.*"base_loss":\([^,]*\),.*/\1/' | sort -u | wc -l)" = 1 ] || fail "several losses"
[ "$(FORERUN_LOG=warn "$FORERUN" train "$work/c.yaml" --set run.dir="$work/quiet" 2>&1 | wc -c)" = 0 ] || fail "not quiet"
