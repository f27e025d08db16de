#!/usr/bin/env bash
# The benchmark runs from start to end without its peer and with one that only plays it, its JSON has what it promises,
# and bad options are refused. Says nothing of speed.
. "$(dirname "$0")/../e2e/common.sh"

make_tiny
mkdir "$work/data"
python3 - "$rows" >"$work/data/train.jsonl" <<'PY'
import json, sys

for row in map(json.loads, open(sys.argv[1], encoding="utf-8")):
    print(json.dumps(dict(row, target_ids=row["target_ids"][0])))
PY
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
machine = results["machine"]
assert machine["processors"] >= 1 and machine["sets"] and machine["computes"] in machine["sets"], machine
assert results["versions"]["forerun"] and results["date"]
assert 0 < results["cases"]["start"]["begins"][0] <= results["cases"]["start"]["done"][2]
runs = results["cases"]["train"]["runs"]
assert len(runs) == 2
for run in runs.values():
    low, middle, high = run["tokens_per_second"]
    assert run["finished"] and 0 < low <= middle <= high and run["wall_seconds"][0] > 0, run
for bar in (bar for case in results["cases"].values() for bar in case["bars"]):
    assert bar["met"] is None or bar["reached"] > 0, bar
PY

# every set of this processor that the program takes when asked, by turns
expect 0 bench --case sets,products
grep -q "^load before the start: " "$work/out" && grep -q "; it computes with $(python3 -c '
import json, sys; print(json.load(open(sys.argv[1]))["machine"]["computes"])' "$work/results.json")\$" "$work/out" ||
    fail "the machine is not told"
python3 - "$work/results.json" <<'PY'
import json, sys

results = json.load(open(sys.argv[1], encoding="utf-8"))
sets, products = results["cases"]["sets"], results["cases"]["products"]
assert results["machine"]["computes"] in sets["bf16_over_f32"], sets
assert len(sets["bf16_over_f32"]) + len(sets["notes"]) == len(results["machine"]["sets"]), sets
for ratio, mib in zip(sets["bf16_over_f32"].values(), sets["quantised_mib"].values()):
    assert ratio[1] > 0 and mib >= 0, sets  # 0: too short to be looked at
assert [line["set"] for line in products["layer"]] == results["machine"]["sets"], products
PY

# idle time of stages, beside the formula
expect 0 bench --case bubble
python3 - "$work/results.json" <<'PY'
import json, sys

lines = json.load(open(sys.argv[1], encoding="utf-8"))["cases"]["bubble"]["idle"]
assert [line["tasks"] for line in lines] == [1, 2, 3], lines
assert all(0 <= line["formula"] <= 100 and 0 <= line["idle"] <= 100 for line in lines), lines
PY

# A peer that needs no time to speak of: peer_says FACTOR makes it count so many times the tokens of its rows.
peer_says() {
    cat >"$work/peer" <<PY
#!/usr/bin/env python3
import json, os, sys
if sys.argv[1] == "-c":
    print(json.dumps({"torch": "0"}))
elif sys.argv[2] == "convert":
    os.makedirs(sys.argv[4])
    open(sys.argv[4] + "/config.json", "w").close()
else:
    order = json.loads(sys.argv[3])
    rows = [json.loads(line) for line in open(order["rows"])]
    with open(order["output"], "a") as output:
        for step in range(order["steps"]):
            tokens = sum(len(r["source_ids"]) + len(r["target_ids"]) for r in rows[8 * step:8 * step + 8])
            print(json.dumps({"step": step + 1, "tokens": $1 * tokens, "seconds": 0.1, "loss": 1.0}), file=output)
PY
    chmod +x "$work/peer"
}

# both sides take the same rows in the same order, and other rows are noticed
peer_says 1
expect 0 bench --case train --peer "$work/peer"
python3 - "$work/results.json" <<'PY'
import json, sys

train = json.load(open(sys.argv[1], encoding="utf-8"))["cases"]["train"]
assert len(train["runs"]) == 5 and train["peer_fastest"].startswith("PEFT"), train
low, middle, high = train["against_fastest"]
assert 0 < low <= middle <= high
assert [bar["met"] is not None for bar in train["bars"]] == [True, True], train["bars"]
PY
peer_says 2
expect 1 bench --case train --peer "$work/peer"
grep -q "train: error: not the same rows" "$work/out" || fail "other rows were not noticed"

# what is there already is kept, what is missing is added; a case that cannot be done says why
expect 0 bench --case start
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
