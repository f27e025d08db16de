#!/usr/bin/env bash
# The benchmark runs from start to end without its peer, its JSON has what it promises, and bad options are refused.
# Says nothing of speed.
. "$(dirname "$0")/../e2e/common.sh"

make_tiny
mkdir "$work/data"
cp "$rows" "$work/data/train.jsonl"
bench() {
    bash "$SOURCE/tests/bench/run.sh" --quick --program "$FORERUN" --model "$model" --data "$work/data" \
        --work "$work/bench" --output "$work/results.json" "$@"
}

expect 0 bench --case start,train
tail -n 1 "$work/out" >"$work/printed.json"
python3 - "$work/results.json" "$work/printed.json" <<'PY'
import json, sys

results, printed = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:])
assert results == printed
assert set(results["cases"]) == {"start", "train"}
assert len(results["load_before"]) == len(results["load_after"]) == 3
assert results["machine"]["processors"] >= 1 and results["versions"]["forerun"] and results["date"]
assert 0 < results["cases"]["start"]["begins"][0] <= results["cases"]["start"]["done"][2]
runs = results["cases"]["train"]["runs"]
assert len(runs) == 2
for run in runs.values():
    low, middle, high = run["tokens_per_second"]
    assert run["finished"] and 0 < low <= middle <= high and run["wall_seconds"][0] > 0, run
for bar in (bar for case in results["cases"].values() for bar in case["bars"]):
    assert bar["met"] is None or bar["reached"] > 0, bar
PY

# the order of examples that the peer is given is the program's
python3 -B - "$SOURCE/tests/bench" "$work/bench" <<'PY'
import json, sys

sys.path.insert(0, sys.argv[1])
import rows

head = rows.read(sys.argv[2] + "/head.jsonl")
examples = [len(row["source_ids"]) + len(target) for row in head for target in row["target_ids"]]
order = rows.shuffled(len(examples))
steps = [line for line in rows.read(sys.argv[2] + "/run/metrics.jsonl") if "tokens" in line]
assert len(steps) == 2
for number, step in enumerate(steps):
    assert step["tokens"] == sum(examples[i] for i in order[8 * number:8 * number + 8]), step
PY

# what is there already is kept, what is missing is added; a case that cannot be done says why
before=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["cases"]["start"])' "$work/results.json")
expect 0 bench --case start,loss,shared --resume
grep -q "loss: skipped: needs rows of text" "$work/out" || fail "no reason for the case loss"
after=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["cases"]["start"])' "$work/results.json")
[ "$before" = "$after" ] || fail "a case was measured again"

# a failing program fails its case, the others go on
printf '{"source_ids": [999999], "target_ids": [1]}\n' >"$work/data/train.jsonl"
expect 1 bench --case start,train
[ "$(grep -c ': error:' "$work/out")" = 2 ] || fail "two cases should have failed"

expect 2 bench --case speed
says "unknown case speed"
