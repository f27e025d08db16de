#!/usr/bin/env bash
# `eval --generate`: its answers are those of `generate`, its scores those of their texts; the same bytes on one rank and on two; every form of
# rows; and what it refuses.
. "$(dirname "$0")/common.sh"

make_tiny 128 2 300
chat='{% for m in messages %}{{ m["role"] + ":" + (m["content"] if m["content"] is string else m["content"][0]["text"]) + "<|im_end|>" }}{% endfor %}'
chat_tokenizer "$model" "$chat"'{% if add_generation_prompt %}{{ "assistant:" }}{% endif %}'
make_config 2 4 f32
train two 1 1 2>"$work/err" || fail "$(cat "$work/err")"
prefix=$work/two/prefix.h5
how=(--model "$model" --threads 1 --precision f32 --max-new-tokens 9)

# ---- answers as expected, in part, and not: targets are made of what the prefix answers ----------------
python3 - "$work/in.jsonl" <<'PY'
import json, sys
with open(sys.argv[1], "w") as file:
    for i, source in enumerate(["the red ball", "x", "12, 13.", "{}", "Which one? This one.", "abc abc", "é", " "]):
        file.write(json.dumps({"n": 10 ** 20 + i, "source": source, "score": 1.0}) + "\n")
PY
expect 0 "$FORERUN" generate "${how[@]}" --prefix "$prefix" --input "$work/in.jsonl" --output "$work/generated.jsonl"
python3 - "$work" <<'PY'
import json, sys
work = sys.argv[1]
with open(work + "/rows.jsonl", "w") as file:
    for i, row in enumerate(map(json.loads, open(work + "/generated.jsonl"))):
        said = row.pop("generated").replace("\0", " ").strip()
        row.pop("generated_ids")
        row["target"] = [said or "y", ["nothing", "  " + (said or "z") + "\n"], said[:4] + " or", ["one", "two"]][i % 4]
        file.write(json.dumps(row) + "\n")
PY
for ranks in 1 2; do
    expect 0 mpirun -n $ranks "$FORERUN" eval --generate "${how[@]}" --prefix "$prefix" --data "$work/rows.jsonl" --output "$work/scored.$ranks" \
        --with-base --json
    cp "$work/out" "$work/json.$ranks"
    expect 0 mpirun -n $ranks "$FORERUN" eval --generate "${how[@]}" --prefix "$prefix" --data "$work/rows.jsonl" --with-base --batch 3
    cp "$work/out" "$work/table.$ranks"
done
for what in scored json table; do
    cmp "$work/$what.1" "$work/$what.2" || fail "$what: two ranks say something else"
done
expect 0 "$FORERUN" generate "${how[@]}" --input "$work/in.jsonl" --output "$work/base.jsonl"
python3 - "$work" <<'PY' || fail "rows, numbers and table: $(cat "$work/scored.1" "$work/json.1" "$work/table.1")"
import json, sys
work = sys.argv[1]
def read(name): return [json.loads(line) for line in open(work + "/" + name)]
rows, result, table = read("scored.1"), read("json.1")[0], open(work + "/table.1").read().split("\n")
assert len(rows) == 8 == result["rows"] and result["left_out"] == 0
for row, given, with_prefix, base in zip(rows, read("rows.jsonl"), read("generated.jsonl"), read("base.jsonl")):
    assert [row[name] for name in given] == list(given.values()), row
    assert list(row)[len(given):] == ["generated", "generated_ids", "references", "scores", "base_generated", "base_ids", "base_scores"]
    assert row["references"] == (given["target"] if isinstance(given["target"], list) else [given["target"]])
    assert [row[name] for name in ("generated", "generated_ids")] == [with_prefix[name] for name in ("generated", "generated_ids")]
    assert [row[name] for name in ("base_generated", "base_ids")] == [base[name] for name in ("generated", "generated_ids")]
    for said, scores in ((row["generated"], row["scores"]), (row["base_generated"], row["base_scores"])):
        assert scores["exact_match"] == int(said.strip() in [text.strip() for text in row["references"]]), row
        assert 0 <= scores["rouge_l"] <= 1 and 0 <= scores["chrf"] <= 100
        if scores["exact_match"] and said.strip():
            assert abs(scores["chrf"] - 100) < 1e-6
for name in ("scores", "base_scores"):
    mean = lambda key: sum(row[name][key] for row in rows) / len(rows)
    assert abs(result[name]["exact_match"] - mean("exact_match")) < 1e-8 and abs(result[name]["rouge_l"] - mean("rouge_l")) < 1e-8
assert result["scores"] != result["base_scores"] and 0.25 <= result["scores"]["exact_match"] < 1
assert 0 <= result["scores"]["bleu"] < 100 and 0 < result["scores"]["chrf"] < 100 and 0 <= result["scores"]["cut_off"] <= 8
assert table[0].split() == ["prefix", "base", "alone"], table
shown = {line[:12].strip(): line[12:].split() for line in table[1:] if line}
assert shown["rows"] == ["8"] and shown["BLEU"] == ["%.2f" % result[name]["bleu"] for name in ("scores", "base_scores")], shown
assert shown["exact match"] == ["%.4f" % result[name]["exact_match"] for name in ("scores", "base_scores")], shown
PY

# ---- its output is rows again, and the first rows are some of all -------------------------------------
expect 0 "$FORERUN" eval --generate "${how[@]}" --prefix "$prefix" --data "$work/scored.1" --output "$work/again" --with-base --json
cmp "$work/scored.1" "$work/again" || fail "scored rows are scored otherwise"
cmp "$work/json.1" "$work/out" || fail "scored rows are scored otherwise: $(cat "$work/out")"
expect 0 "$FORERUN" eval --generate "${how[@]}" --prefix "$prefix" --data "$work/scored.1" --max-rows 3 --output "$work/again" --with-base
head -n 3 "$work/scored.1" | cmp - "$work/again" || fail "the first rows are not those of all"

# ---- ids, dialogues, a prefix of a row's own ---------------------------------------------------------
cat >"$work/forms.jsonl" <<JSON
{"source_ids": [65, 66], "target_ids": [104, 105]}
{"source_ids": [65, 66], "target_ids": [[104, 195], [256, 105, 257]], "prefix": "$prefix"}
{"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "v"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "w x"}]}
{"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]}]}
JSON
expect 0 "$FORERUN" eval --generate "${how[@]}" --data "$work/forms.jsonl" --chat --with-base --output "$work/forms"
python3 - "$work/forms" <<'PY' || fail "forms: $(cat "$work/forms")"
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
assert [row["references"] for row in rows] == [["hi"], ["h\ufffd", "i"], ["w x"], ["a b"]]
assert rows[0]["generated_ids"] == rows[0]["base_ids"] == rows[1]["base_ids"] != rows[1]["generated_ids"]
PY

# ---- what is refused ------------------------------------------------------------------------------------
# refused CODE TEXT ARGUMENT...: with a message that holds the text, and without an output
refused() {
    local code=$1 text=$2
    shift 2
    expect "$code" "$FORERUN" eval --model "$model" --threads 1 "$@"
    says "$text"
    [ ! -e "$work/none" ] || fail "there is an output after: $text"
}
rows=$work/in.jsonl
refused 2 "--output is for answers" --data "$rows" --output "$work/none"
refused 2 "--rows-out is for the loss" --generate --data "$rows" --rows-out "$work/none"
refused 2 "--with-base compares a prefix" --generate --data "$work/rows.jsonl" --with-base --output "$work/none"
refused 2 "--batch" --generate --data "$work/rows.jsonl" --batch 0
refused 2 "--data" --generate
refused 2 "rows.jsonl" --generate --data "$work/rows.jsonl" --output "$work/rows.jsonl"
refused 2 '"prefix" of a row of --data' --generate --data "$work/forms.jsonl" --chat --output "$prefix"
refused 3 'in.jsonl:1: "target" is missing' --generate --data "$rows" --output "$work/none"
bad() {
    printf '{"source": "a", "target": "b"}\n%s\n' "$1" >"$work/bad.jsonl"
    refused 3 "bad.jsonl:2: $2" --generate --data "$work/bad.jsonl" --chat --output "$work/none"
}
bad '{"source": "a", "target": ""}' '"target" is empty'
bad '{"source": "a", "target": ["b", ""]}' '"target" is empty'
bad '{"source": "a", "target": 7}' '"target" must be a string'
bad '{"source": "a", "target": []}' 'the row has no target'
bad '{"source_ids": [1]}' '"target_ids" is missing'
bad '{"source_ids": [1], "target_ids": []}' '"target_ids" must be a list'
bad '{"source_ids": [1], "target_ids": [1, "x"]}' 'token ids must be whole numbers'
bad '{"source_ids": [1], "target_ids": [300]}' ''
bad '{"messages": [{"role": "user", "content": "u"}]}' 'the last of "messages" is not an assistant'
bad '{"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": null}]}' 'the last of "messages" has no text'
python3 -c 'print("{\"source\": \"a\", \"target\": [\"" + "b" * 600000 + "\", \"" + "c" * 600000 + "\"]}")' >"$work/bad.jsonl"
refused 3 "bad.jsonl:1: the row's targets have more than 1 MiB" --generate --data "$work/bad.jsonl"
printf '%s\n' '{"source": "a"}' '{"source": "a", "target": "b"}' '{"source_ids": [], "target_ids": [1]}' '{"source": "", "target": "c"}' >"$work/bad.jsonl"
expect 0 mpirun -n 2 "$FORERUN" eval --generate "${how[@]}" --data "$work/bad.jsonl" --template "{source}:{target}" --on-error skip --output "$work/skipped"
grep -qE '^rows +2 \(2 left out\)$' "$work/out" || fail "$(cat "$work/out")"
grep -o '"references":.*"scores"' "$work/skipped" | diff - <(printf '"references":["b"],"scores"\n"references":["c"],"scores"\n') ||
    fail "$(cat "$work/skipped")"
# rows of a list share a line, and one of them cannot be encoded
printf '[{"q": "a", "a": "b"}, {"q": 7, "a": "c"}, {"q": "d", "a": ["e", "f"]}]' >"$work/list.json"
expect 0 "$FORERUN" eval --generate "${how[@]}" --data "$work/list.json" --fields source=q,target=a --on-error skip --output "$work/list"
grep -o '"references":.*"scores"' "$work/list" | diff - <(printf '"references":["b"],"scores"\n"references":["e","f"],"scores"\n') || fail "$(cat "$work/list")"
rm "$model/tokenizer.json" "$model/tokenizer_config.json"
refused 3 "has no tokenizer that can be used" --generate --data "$work/forms.jsonl" --output "$work/none"
echo "answers are scored, on one rank as on two"
