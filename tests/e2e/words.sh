#!/usr/bin/env bash
# What a model's files say of tokens: ids that end a text, tokenizers that are not known, added tokens, ids without a text.
. "$(dirname "$0")/common.sh"

support=$SOURCE/tests/support

# chain NAME [CHAIN [CONFIG]]: a model at $work/NAME with a tokenizer of 260 tokens, the model has 288 rows.
chain() {
    python3 "$support/make_chain.py" "$work/$1" "${2:-{\}}" "${3:-{\}}"
    python3 "$support/make_tokenizer.py" "$work/$1" 4
}
# gguf NAME [METADATA]: the same as $work/NAME.gguf
gguf() {
    python3 "$support/make_gguf.py" "$work/$1" "$work/$1.gguf" "${2:-{\}}"
}
# change NAME STATEMENT: of Python, on the tokenizer.json `t` of a model
change() {
    python3 - "$work/$1/tokenizer.json" "$2" <<'PYTHON'
import json, sys
t = json.load(open(sys.argv[1]))
exec(sys.argv[2])
json.dump(t, open(sys.argv[1], "w"))
PYTHON
}
# generates MODEL IDS [ARGUMENTS...]: of the row [65] ("A")
generates() {
    local named=$1 wanted=$2
    shift 2
    printf '{"source_ids": [65]}\n' >"$work/in.jsonl"
    # shellcheck disable=SC2086
    expect 0 ${launcher:-} "$FORERUN" generate --model "$work/$named" --input "$work/in.jsonl" --threads 1 \
        --max-new-tokens 4 "$@"
    grep -qF "\"generated_ids\":[$wanted]" "$work/out" || fail "$named: wanted [$wanted]: $(cat "$work/out")"
}
# learns MODEL ROW: training and evaluation read the row; its targets end with the id that the chain ends with, so that
# the loss is nearly nothing
learns() {
    printf '%s\n' "$2" >"$work/row.jsonl"
    expect 0 "$FORERUN" eval --model "$work/$1" --data "$work/row.jsonl" --template '{source}{target}' --threads 1
    grep -qE '^loss +0\.0' "$work/out" || fail "$1: $(cat "$work/out")"
    config "$1"
    expect 0 "$FORERUN" train "$work/c.yaml"
    grep -qE '"loss":[0-9.]+e-[4-9]' "$work/run/metrics.jsonl" || fail "$1: $(cat "$work/run/metrics.jsonl")"
}
config() {
    rm -rf "$work/run"
    cat >"$work/c.yaml" <<YAML
base: {path: "$work/$1"}
run: {dir: "$work/run", steps: 1, precision: f32, threads: 1}
tasks:
  - {name: t, train: "$work/row.jsonl", template: "{source}{target}", prefix: {init: {zero: true}, length: 1}}
YAML
}
ids='{"source_ids": [65], "target_ids": [66]}'
text='{"source": "A", "target": "B"}'

# ---- a tokenizer that is not known: rows of ids work, texts say why not --------------------------------------------
ends_258='{"65": [66], "66": [258]}'
chain other "$ends_258" '{"eos_token_id": 258}'
cp -r "$work/other" "$work/none"
rm "$work/none/tokenizer.json"
gguf other '{"tokenizer.ggml.pre": "no-rule", "tokenizer.ggml.eos_token_id": 258}'
mv "$work/other.gguf" "$work/pre.gguf"
gguf other '{"tokenizer.ggml.model": "bert", "tokenizer.ggml.eos_token_id": 258}'
change other 't["post_processor"] = {"type": "Other"}'
gguf none '{"tokenizer.ggml.eos_token_id": 258}'
while read -r named why; do
    learns "$named" "$ids"
    generates "$named" 66
    expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 2
    expect 0 "$FORERUN" preflight "$work/c.yaml"
    expect 0 "$FORERUN" inspect "$work/$named"
    grep -qF "$why" "$work/out" || fail "inspect $named: $(cat "$work/out")"
    grep -qxE 'end of text +ids 258; behind targets 258' "$work/out" || fail "inspect $named: $(cat "$work/out")"
    printf '%s\n%s\n' "$ids" "$text" >"$work/row.jsonl"
    expect 3 "$FORERUN" eval --model "$work/$named" --data "$work/row.jsonl" --template '{source}{target}' --threads 1
    says "row.jsonl:2: a row of text, but"
    says "$why"
    expect 3 "$FORERUN" generate --model "$work/$named" --prompt A --threads 1
    says "$why"
    expect 3 "$FORERUN" tokenize --model "$work/$named"
    says "$why"
    rm -rf "$work/run"
    printf '%s\n' "$ids" >"$work/row.jsonl"
    expect 2 "$FORERUN" train "$work/c.yaml" --set tasks.t.prefix.init.text=A
    says "$why"
done <<'MODELS'
other post_processor 'Other'
other.gguf tokenizer.ggml.model is 'bert'
pre.gguf the splitting rule 'no-rule'
none tokenizer.json is absent
none.gguf tokenizer.ggml.model is absent
MODELS
# a damaged one is an error
printf '{' >"$work/none/tokenizer.json"
expect 3 "$FORERUN" eval --model "$work/none" --data "$work/row.jsonl" --threads 1
says "tokenizer.json:1"

# ---- ids that end a text -------------------------------------------------------------------------------------------
chain list "$ends_258" '{"eos_token_id": 256}'
generates list 66,258,258,258
printf '{"eos_token_id": [257, 258]}' >"$work/list/generation_config.json"
generates list 66
generates list 66 --temperature 1
launcher="mpirun -n 2" generates list 66
# special_tokens_map.json comes before config.json
chain map "$ends_258" '{"eos_token_id": 113}'
printf '{"eos_token": {"content": "<s2>"}}' >"$work/map/special_tokens_map.json"
learns map "$ids"
learns map "$text"
generates map 66
gguf list '{"tokenizer.ggml.eos_token_id": 256, "tokenizer.ggml.eot_token_id": 258}'
generates list.gguf 66
gguf list '{"tokenizer.ggml.eos_token_id": 256, "tokenizer.ggml.eom_token_id": 258}'
generates list.gguf 66

# ---- ids that nothing uses may be anything -------------------------------------------------------------------------
chain unused "$ends_258" '{"eos_token_id": 50256, "bos_token_id": 50256, "pad_token_id": 99999}'
gguf unused '{"tokenizer.ggml.bos_token_id": 4294967295, "tokenizer.ggml.eos_token_id": -1,
              "tokenizer.ggml.padding_token_id": 99999}'
generates unused 66,258,258,258
says "the end-of-sequence id 50256 is outside the model's vocabulary, 0 to 287; it cannot end a text"
generates unused.gguf 66,258,258,258
printf '%s\n' "$ids" >"$work/row.jsonl"
config unused
expect 3 "$FORERUN" train "$work/c.yaml"
says "row.jsonl:1: the id 50256 is outside the model's vocabulary"
config unused.gguf
expect 3 "$FORERUN" train "$work/c.yaml"
says "row.jsonl:1: the model's files name no end-of-sequence token"
for named in unused unused.gguf; do
    config "$named"
    expect 0 "$FORERUN" train "$work/c.yaml" --set tasks.t.eos=false
done

# ---- added tokens --------------------------------------------------------------------------------------------------
# tokens MODEL TEXT IDS [ARGUMENTS...]
tokens() {
    local named=$1 given=$2 wanted=$3
    shift 3
    printf '%s' "$given" | "$FORERUN" tokenize --model "$work/$named" "$@" >"$work/out" 2>"$work/err"
    [ "$(cat "$work/out")" = "$wanted" ] || fail "$named: $given: $(cat "$work/out"), wanted $wanted"
}
chain added '{"65": [260], "260": [66], "66": [258]}'
config='{"eos_token": "<s2>", "added_tokens_decoder": {"260": {"content": "<think>", "special": false}}}'
printf '%s' "$config" >"$work/added/tokenizer_config.json"
chain list4 '{"65": [260], "260": [66], "66": [258]}' '{"eos_token_id": 258}'
change list4 't["added_tokens"].append({"id": 260, "content": "<think>", "special": False})'
gguf list4 '{"tokenizer.ggml.eos_token_id": 258}'
for named in added list4 list4.gguf; do
    tokens "$named" '<think>x' '260 120'
    tokens "$named" 'a<think>b<s2>' '97 260 98 258'
    tokens "$named" '<think><s2>' '260 60 115 50 62' --no-special
    expect 0 "$FORERUN" generate --model "$work/$named" --prompt A --threads 1 --max-new-tokens 4
    [ "$(cat "$work/out")" = "<think>B" ] || fail "$named: $(cat "$work/out")"
    learns "$named" '{"source": "A", "target": "<think>B"}'
done
sed -i 's/<think>/<s1>/' "$work/added/tokenizer_config.json"
expect 3 "$FORERUN" tokenize --model "$work/added"
says "the token '<s1>' has the id 257, but added_tokens_decoder of tokenizer_config.json gives it 260"

# ---- ids without a text are never chosen ---------------------------------------------------------------------------
chain padded '{"65": [270, 66], "66": [258], "280": [280, 67]}' '{"eos_token_id": 258}'
generates padded 66
generates padded 66 --weights quantised
for options in "" "--temperature 0.9" "--batch 1"; do
    # shellcheck disable=SC2086
    launcher="mpirun -n 2" generates padded 66 $options
done
printf '{"source_ids": [65]}\n{"source_ids": [280]}\n' >"$work/in.jsonl"
expect 0 "$FORERUN" generate --model "$work/padded" --input "$work/in.jsonl" --threads 1 --max-new-tokens 2
grep -qF '"generated":"CC"' "$work/out" || fail "$(cat "$work/out")"
# one that ends a text may come
sed -i 's/"eos_token_id": 258/"eos_token_id": 270/' "$work/padded/config.json"
generates padded ""
# a file's unused tokens have no text; without a tokenizer all may come
change padded 't["added_tokens"] += [{"id": 260 + i, "content": "[PAD%d]" % i} for i in range(28)]'
types=$(python3 -c 'print([1] * 256 + [3] * 4 + [5] * 28)')
gguf padded "{\"tokenizer.ggml.token_type\": $types, \"tokenizer.ggml.eos_token_id\": 258}"
generates padded.gguf 66
rm "$work/padded/tokenizer.json"
gguf padded '{"tokenizer.ggml.eos_token_id": 258}'
generates padded.gguf 270,270,270,270
echo "tokens are what the model's files say"
