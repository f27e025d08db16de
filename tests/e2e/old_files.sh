#!/usr/bin/env bash
# Files that the program wrote before formats had versions: tests/data/before-versions holds a token cache and the metrics of
# four steps, written by commit 28b37a4 with this very config. The metrics are used as they are, the cache is made again.
. "$(dirname "$0")/common.sh"

old=$SOURCE/tests/data/before-versions
make_tiny
cmp "$rows" "$old/rows.jsonl" || fail "make_tiny makes other rows than those of the kept files"
make_config 4 4 f32
sed -i "s|, schedule: cosine||; s|^    train:.*|&\n    valid: \"$rows\"|; s|save_every: 1000|save_every: 2, valid_every: 2|" "$work/c.yaml"
run=$work/run

# a token cache of format 2: left alone, and one of today's is made beside it, which the next run uses
mkdir "$run"
cp "$old"/tokens-*.cache "$run/"
kept=$(basename "$run"/tokens-*.cache)
expect 0 "$FORERUN" train "$work/c.yaml" --resume
cmp "$run/$kept" "$old/$kept" || fail "the old token cache was changed"
[ "$(find "$run" -name 'tokens-*.cache' | wc -l)" = 2 ] || fail "no token cache was made"
new=$(find "$run" -name 'tokens-*.cache' ! -name "$kept")
inode=$(stat -c %i "$new")
expect 0 "$FORERUN" train "$work/c.yaml" --resume --set run.steps=5
[ "$(stat -c %i "$new")" = "$inode" ] || fail "the token cache was made again"
rm -rf "$run"
mkdir "$run"
expect 0 "$FORERUN" train "$work/c.yaml" --resume
echo "old files: token cache"

# metrics: the lines of the steps done stay as they are, new ones say their version
cp "$old/metrics.jsonl" "$run/metrics.jsonl"
printf '{"task":"t","step":9,"loss":1}\n' >>"$run/metrics.jsonl"
expect 0 "$FORERUN" train "$work/c.yaml" --set run.steps=6 --resume
head -n "$(wc -l <"$old/metrics.jsonl")" "$run/metrics.jsonl" | cmp - "$old/metrics.jsonl" || fail "old lines were changed"
python3 - "$run/metrics.jsonl" "$old/metrics.jsonl" "$SOURCE/docs/format-metrics.md" <<'PY' || fail "metrics.jsonl"
import json, re, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
n_old = sum(1 for _ in open(sys.argv[2]))
assert [line["step"] for line in lines if "lr" in line] == [1, 2, 3, 4, 5, 6], lines
assert not any("metrics" in line for line in lines[:n_old])
assert len(lines) > n_old and all(line["metrics"] == "1.1" for line in lines[n_old:]), lines
told = set(re.findall(r"^\| `([^`]*)`", open(sys.argv[3]).read(), re.M))
keys = {key for line in lines for key in line}
assert keys <= told, keys - told
PY
echo "old files: metrics"

# a line of a later program
cp "$run/metrics.jsonl" "$work/kept"
printf '{"task":"t","step":1,"metrics":"1.9","new":2}\n' >>"$run/metrics.jsonl"
expect 0 "$FORERUN" train "$work/c.yaml" --set run.steps=7 --resume
grep -q '"new":2' "$run/metrics.jsonl" || fail "a line of a higher minor version was dropped"
printf '{"task":"t","step":1,"metrics":"2.0"}\n' >>"$run/metrics.jsonl"
cp "$run/metrics.jsonl" "$work/kept"
expect 3 "$FORERUN" train "$work/c.yaml" --set run.steps=8 --resume
says "the line is of version 2.0, this program reads and writes 1.x"
cmp "$run/metrics.jsonl" "$work/kept" || fail "a file of a later version was changed"
expect 3 mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set run.steps=8 --resume
echo "old files: later versions are refused by name"
