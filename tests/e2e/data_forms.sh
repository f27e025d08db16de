#!/usr/bin/env bash
# The same rows in every form and kind of file give the same ids to every command that reads rows, and the log names the form.
# PYTHON: an interpreter with pyarrow, for the part about Parquet; without one the rest is tried.
. "$(dirname "$0")/common.sh"

make_tiny 128 4 300
chat_tokenizer "$work/tiny" "{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"
cd "$work"
mkdir forms dialogues
python3 - <<'PY'
import csv, json
rows = [("ab", "c"), ('a, "b"', "d\ne"), ("b a", "the; c")]
def lines(name, made):
    open(name, "w").write("".join(json.dumps(row) + "\n" for row in made))
lines("rows.jsonl", [{"source": s, "target": t} for s, t in rows])
lines("forms/alpaca.jsonl", [{"instruction": s, "input": "", "output": t} for s, t in rows])
lines("forms/prompt.jsonl", [{"prompt": s, "completion": t} for s, t in rows])
json.dump([{"source": s, "target": t} for s, t in rows], open("forms/list.json", "w"), indent=2)
for name, between in (("forms/table.csv", ","), ("forms/semicolons.csv", ";"), ("forms/table.tsv", "\t")):
    with open(name, "w", newline="") as file:
        csv.writer(file, delimiter=between).writerows([("source", "target")] + rows)
lines("fields.jsonl", [{"q": s, "a": t, "source": "no", "other": 1} for s, t in rows])
lines("messages.jsonl", [{"messages": [{"role": "user", "content": s}, {"role": "assistant", "content": t}]} for s, t in rows])
lines("dialogues/share.jsonl", [{"conversations": [{"from": "human", "value": s}, {"from": "gpt", "value": t}]} for s, t in rows])
lines("dialogues/pair.jsonl", [{"prompt": [{"role": "user", "content": s}], "completion": [{"role": "assistant", "content": t}]}
                               for s, t in rows])
PY

tokenized() {
    expect 0 "$FORERUN" tokenize --model "$model" "${@:2}"
    mv out "$1"
}
tokenized wanted --rows rows.jsonl --template '{source}>{target}'
for file in forms/*; do
    tokenized got --rows "$file" --template '{source}>{target}'
    cmp got wanted || fail "$file"
done
says 'forms/table.tsv: a table (TSV) with rows of source and target'
tokenized got --rows fields.jsonl --fields source=q,target=a --template '{source}>{target}'
cmp got wanted || fail "fields"
says 'rows of the members that `fields` names'
tokenized wanted --chat messages.jsonl
for file in dialogues/*; do
    tokenized got --chat "$file"
    cmp got wanted || fail "$file"
done
says 'dialogues/share.jsonl: rows of conversations (ShareGPT)'

# eval, train, plan: the form is told once
expect 0 "$FORERUN" eval --model "$model" --data rows.jsonl --template '{source}>{target}' --threads 1
cp out wanted
for file in forms/alpaca.jsonl forms/list.json forms/table.csv; do
    expect 0 "$FORERUN" eval --model "$model" --data "$file" --template '{source}>{target}' --threads 1
    diff <(grep loss wanted) <(grep loss out) || fail "eval of $file"
done
make_config 2 2 f32
sed -i 's|^    eos: false|&\n    template: "{source}>{target}"|' c.yaml
trained() {
    rm -rf run
    expect 0 "$FORERUN" train c.yaml "${@:2}"
    "$FORERUN" inspect run/prefix.h5 >/dev/null 2>&1 || true
    python3 -c 'import sys, json; print([json.loads(l).get("loss") for l in open(sys.argv[1])])' run/metrics.jsonl >"$1"
}
trained wanted --set tasks.t.train=rows.jsonl
trained got --set tasks.t.train=forms/table.csv
cmp got wanted || fail "training on a table"
[ "$(grep -c 'a table (CSV) with rows of source and target' err)" = 1 ] || fail "the form is not told once: $(cat err)"
trained got --set tasks.t.train=fields.jsonl --set 'tasks.t.data.fields={source: q, target: a}'
cmp got wanted || fail "training on named members"
expect 0 "$FORERUN" plan c.yaml --ranks 1 --set tasks.t.train=forms/alpaca.jsonl
expect 3 "$FORERUN" train c.yaml --set tasks.t.train=fields.jsonl --set 'tasks.t.data.fields={source: q, target: answer}' \
    --set run.dir=other
says 'fields.jsonl:1: "answer" is missing, which fields names as the target'
expect 2 "$FORERUN" train c.yaml --set 'tasks.t.data.fields={sauce: q}' --set run.dir=other
says 'fields has the key "sauce"'

# generate writes the rows back, one a line, with the members that they came with
generated() {
    expect 0 "$FORERUN" generate --model "$model" --template '{source}>{target}' --max-new-tokens 3 --threads 1 "${@:2}"
    python3 -c 'import sys, json; [print(json.loads(l)["generated_ids"]) for l in open("out")]' >"$1"
}
generated wanted --input rows.jsonl
generated got --input forms/list.json
cmp got wanted || fail "generating from a list"
generated got --input forms/table.csv
cmp got wanted || fail "generating from a table"
grep -q '"source":"ab"' out || fail "the row is not written back: $(cat out)"
generated got --input fields.jsonl --fields source=q
cmp got wanted || fail "generating from named members"

# broken ones: file, line, remedy
printf 'source,target\na,b\nc\n' >bad.csv
expect 3 "$FORERUN" eval --model "$model" --data bad.csv --template '{source}>{target}' --threads 1
says 'bad.csv:3: the row has 1 fields, and the header names 2 columns'
expect 0 "$FORERUN" eval --model "$model" --data bad.csv --template '{source}>{target}' --threads 1 --on-error skip
says 'bad.csv: rows that cannot be used and are left out: 1'
head -c 60 forms/list.json >bad.json
expect 3 "$FORERUN" eval --model "$model" --data bad.json --template '{source}>{target}' --threads 1 --on-error skip
says 'the file ends within its list'

python=${PYTHON:-python3}
if ! "$python" -c 'import pyarrow.parquet' 2>/dev/null; then
    echo "data forms: the same ids; pyarrow is not there: Parquet was not tried"
    exit 0
fi
"$python" - <<'PY'
import json, pyarrow, pyarrow.parquet
rows = [json.loads(line) for line in open("rows.jsonl")]
pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row, more=[1, 2]) for row in rows]), "rows.parquet")
PY
expect 3 "$FORERUN" eval --model "$model" --data rows.parquet --template '{source}>{target}' --threads 1
says 'launch/parquet-to-jsonl.py'
"$python" "$SOURCE/launch/parquet-to-jsonl.py" rows.parquet --columns source,target -o made.jsonl 2>err || fail "$(cat err)"
python3 -c 'import json; a, b = ([json.loads(l) for l in open(n)] for n in ("rows.jsonl", "made.jsonl")); assert a == b, b'
expect 1 "$python" "$SOURCE/launch/parquet-to-jsonl.py" rows.parquet --columns nothing -o none.jsonl
says 'has no column nothing; its columns are: source, target, more'
expect 1 "$python" "$SOURCE/launch/parquet-to-jsonl.py" rows.jsonl -o none.jsonl
[ ! -e none.jsonl ] && [ ! -e none.jsonl.part ] || fail "a file that is not whole is left"
echo "data forms: the same ids, from Parquet too"
