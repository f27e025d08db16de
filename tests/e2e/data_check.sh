#!/usr/bin/env bash
# `data check` counts what a training would make of a file, shows rows as the model sees them, finds equal rows, and needs
# no more memory for a file that is larger than what it may have.
. "$(dirname "$0")/common.sh"

make_tiny 128 1 300
python3 "$SOURCE/tests/support/make_tokenizer.py" "$work/tiny"
cd "$work"
cat >c.yaml <<YAML
base: {path: "$model"}
run: {dir: run, steps: 1, precision: f32}
tasks:
  - {name: t, train: train.jsonl, valid: valid.jsonl, template: "{source}\n>{target}", eos: false, max_tokens: 20,
     prefix: {init: {random: 0.5}, length: 4}}
YAML
python3 - <<'PY'
import json
def line(s, t):
    return json.dumps({"source": s, "target": t}) + "\n"
rows = [line("a%d" % i, "b") for i in range(6)]
open("train.jsonl", "w").write(rows[0] + rows[1] + rows[0] + line("x" * 40, "b") + '{"source": 1}\n' + rows[2] + line("a", ["b", "c" * 40]))
open("valid.jsonl", "w").write(rows[5] + rows[2] + rows[1])
PY

expect 1 "$FORERUN" data check train.jsonl --config c.yaml
says 'train.jsonl:5: '
says 'train.jsonl: rows of source and target'
has() {
    grep -qF -- "$1" out || fail "no line says '$1': $(cat out)"
}
has 'rows           5 used, 1 bad, 1 too long'
has 'examples       5 used, 0 cut, 2 dropped because they are longer than 20 tokens'
has 'row at train.jsonl:1, '
has '  given    "a0\n>"'
has '  learned  "b'
[ "$(grep -c '^row at' out)" = 3 ] || fail "not three rows: $(cat out)"
has 'at train.jsonl:4; at most 20 fit'
has 'duplicates     1 rows equal an earlier one, first train.jsonl:1 and :3'
has 'shared         2 rows are in valid.jsonl too, first train.jsonl:2 and valid.jsonl:3'
has 'a training     stops at the bad rows'
expect 0 "$FORERUN" data check train.jsonl --config c.yaml --set tasks.t.data.on_error=skip --set tasks.t.long_rows=cut
has 'a training     takes these rows'
has 'examples       7 used, 2 cut, 0 dropped'
[ ! -e run ] || fail "a check leaves a run folder"
expect 0 "$FORERUN" data check valid.jsonl --config c.yaml --task t
has 'shared         2 rows are in train.jsonl too'
has 'duplicates     none'

# the numbers are those of a training
python3 - <<'PY' >all.csv
print("source,target")
for i in range(300):
    print("a%d,%s" % (i, "b" * (i % 7 + 1)))
PY
expect 0 "$FORERUN" data check all.csv --config c.yaml --set tasks.t.train=all.csv
read -r n tokens <<<"$(sed -n 's/^examples *\([0-9]*\) used.*/\1/p; s/^tokens.*, \([0-9]*\) learned/\1/p' out | tr '\n' ' ')"
expect 0 "$FORERUN" train c.yaml --set tasks.t.train=all.csv --set run.measure_base=false --set run.threads=1
says "$n examples, $tokens target tokens"

expect 2 "$FORERUN" data check all.csv
expect 2 "$FORERUN" data check all.csv --config c.yaml --task u
expect 2 "$FORERUN" data look all.csv --config c.yaml
expect 3 "$FORERUN" data check none.csv --config c.yaml

# a file of 96 MB, with 64 MB for all that the program writes to
python3 - <<'PY'
with open("large.jsonl", "w") as out:
    for i in range(960):
        out.write('{"source": "%d", "target": "b", "meta": "%s"}\n' % (i, "x" * 100000))
PY
limited() (
    ulimit -d 65536
    exec "$@"
)
export OMP_NUM_THREADS=1
expect 0 limited "$FORERUN" data check large.jsonl --config c.yaml --set tasks.t.train=large.jsonl
has 'rows           960 used'
python3 - <<'PY'
import json
json.dump([json.loads(line) for line in open("large.jsonl")], open("large.json", "w"))
PY
rm large.jsonl
expect 0 limited "$FORERUN" data check large.json --config c.yaml --set tasks.t.train=large.json
has 'rows           960 used'
echo "data check: as a training reads"
