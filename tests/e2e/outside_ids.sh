#!/usr/bin/env bash
# A tokenizer with more tokens than the model has embedding rows: ids outside the model are refused wherever text or ids
# enter, on one rank and on two, and never index memory.
. "$(dirname "$0")/common.sh"

make_tiny
python3 "$SOURCE/tests/support/make_tokenizer.py" "$work/tiny" 60000 '{"bos_token": "<s1>", "eos_token": "<s2>"}'
outside="is outside the model's vocabulary, 0 to 127"

# refused NAME ID [ARGUMENTS...]: generate refuses, names the place and the id; $launcher starts it
launcher=
refused() {
    local name=$1 id=$2
    shift 2
    # shellcheck disable=SC2086
    expect 3 timeout 60 $launcher "$FORERUN" generate --model "$model" --threads 1 --max-new-tokens 2 "$@"
    says "$name: the id $id $outside"
}

launcher="mpirun -n 2" refused --prompt 195 --prompt 'caf'$'\303\251'
refused --prompt 60255 --prompt 'a<s59999>'
refused --prompt 60255 --prompt 'a<s59999>' --weights quantised
printf '{"source": "a"}\n\n{"source": "a<s0>"}\n' >"$work/in.jsonl"
refused in.jsonl:3 256 --input "$work/in.jsonl"
for id in 128 -1 4294967297 9223372036854775807; do
    printf '{"source_ids": [1, %s]}\n' "$id" >"$work/in.jsonl"
    refused in.jsonl:1 "$id" --input "$work/in.jsonl"
done
printf '{"source_ids": [1]}\n{"source_ids": [1.5]}\n' >"$work/in.jsonl"
expect 3 "$FORERUN" generate --model "$model" --threads 1 --input "$work/in.jsonl"
says "in.jsonl:2: token ids must be whole numbers"

# chat: the template's own tokens
chat='{"chat_template": "{% for m in messages %}{{ \"<|im_start|>\" + m.role + \"\\n\" + m.content + \"<|im_end|>\\n\" }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"}'
cp -r "$work/tiny" "$work/chat"
python3 "$SOURCE/tests/support/make_tokenizer.py" "$work/chat" 2 "$chat"
sed -i 's/<s0>/<|im_start|>/; s/<s1>/<|im_end|>/' "$work/chat/tokenizer.json"
model=$work/chat
refused --prompt 256 --chat --prompt a

# rows of training and evaluation, and the text that a prefix starts from, with and without a BOS that is outside
model=$work/tiny
printf '{"source": "a", "target": "b"}\n' >"$work/good.jsonl"
printf '{"source": "a", "target": "b"}\n{"source": "a", "target": "<s7>b"}\n' >"$work/far.jsonl"
cat >"$work/c.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/run", steps: 2, precision: f32, threads: 1}
tasks:
  - {name: t, train: "$work/good.jsonl", template: "{source}{target}", eos: false, prefix: {init: {zero: true}, length: 2}}
YAML
# bad TEXT [ARGUMENTS...]
bad() {
    local text=$1
    shift
    rm -rf "$work/run"
    # shellcheck disable=SC2086
    expect 3 timeout 60 $launcher "$FORERUN" train "$work/c.yaml" "$@"
    says "$text $outside"
}
bad "good.jsonl:1: the id 258" --set tasks.t.eos=true
bad "far.jsonl:2: the id 263" --set "tasks.t.train=$work/far.jsonl" --set tasks.t.special=true
bad "far.jsonl:2: the id 263" --set "tasks.t.valid=$work/far.jsonl" --set tasks.t.special=true
bad "good.jsonl:1: the id 259" --set 'tasks.t.template=<s3>{source}{target}'
bad "tasks.t.prefix.init.text: the id 265" --set 'tasks.t.prefix.init.text=the <s9>'
launcher="mpirun -n 2" bad "tasks.t.prefix.init.text: the id 60255" --set 'tasks.t.prefix.init.text=the <s59999> user'
expect 3 "$FORERUN" eval --model "$model" --data "$work/far.jsonl" --template '{source}<s7>{target}' --no-eos
says "far.jsonl:1: the id 263 $outside"
rm -rf "$work/run"
expect 0 "$FORERUN" train "$work/c.yaml"
python3 "$SOURCE/tests/support/make_tokenizer.py" "$work/tiny" 4 '{"bos_token": "<s1>", "add_bos_token": true}'
bad "good.jsonl:1: the id 257"
bad "tasks.t.prefix.init.text: the id 257" --set 'tasks.t.prefix.init.text=the'
refused --prompt 257 --prompt a --template '{source}{target}'
echo "no id outside the model's vocabulary came through"
