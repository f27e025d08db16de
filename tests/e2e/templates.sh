#!/usr/bin/env bash
# Templates and init texts: the same text however it is written, shown so that it can be told, kept by a resume; names
# that are no places of a row are refused by every command.
. "$(dirname "$0")/common.sh"

make_tiny
python3 "$SOURCE/tests/support/make_tokenizer.py" "$work/tiny"
for i in 1 2 3 4 5 6; do
    printf '{"source": "row %s {prompt}\\\\n", "target": "answer %s"}\n' "$i" "$i"
done >"$work/text.jsonl"

# config NAME TEMPLATE: $work/NAME.yaml with the line as it stands
config() {
    cat >"$work/$1.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/$1", steps: 2, precision: f32, threads: 1}
tasks:
  - name: t
    train: "$work/text.jsonl"
    eos: false
    $2
    prefix: {init: {text: 'Say\nit'}}
    batch: {examples: 2}
YAML
}

# ---- one meaning
config single "template: 'Q: {source}\nA: {target}'"
config double 'template: "Q: {source}\nA: {target}"'
config block 'template: |-
        Q: {source}
        A: {target}'
for name in single double block; do
    expect 0 "$FORERUN" train "$work/$name.yaml"
    same "$work/single/checkpoint-2.h5" "$work/$name/checkpoint-2.h5"
done
expect 0 "$FORERUN" train "$work/single.yaml" --set "run.dir=$work/set" --set 'tasks.t.template=Q: {source}\nA: {target}' \
    --set 'tasks.t.prefix.init.text=Say\nit'
same "$work/single/checkpoint-2.h5" "$work/set/checkpoint-2.h5"
expect 0 "$FORERUN" inspect "$work/block/prefix.h5"
grep -qF '  template     "Q: {source}\nA: {target}"' "$work/out" || fail "$(cat "$work/out")"
grep -qF '  init         text: "Say\nit"' "$work/out" || fail "$(cat "$work/out")"

# loss [ARGUMENTS...]: of the rows with the prefix
loss() {
    "$FORERUN" eval --model "$model" --prefix "$work/single/prefix.h5" --data "$work/text.jsonl" --threads 1 --precision f32 --json "$@" 2>"$work/err" |
        python3 -c 'import json, sys; print(json.loads(sys.stdin.readlines()[-1])["loss"])'
}
own=$(loss)
[ "$own" = "$(loss --template 'Q: {source}\nA: {target}')" ] || fail "--template has another meaning: $(cat "$work/err")"
[ "$own" = "$(loss --template $'Q: {source}\nA: {target}')" ] || fail "--template with a newline has another meaning"
[ "$own" != "$(loss --template 'Q: {source}\\nA: {target}')" ] || fail "a backslash and an n count as a newline"

# ---- backslashes and braces that are meant, shown and kept by a resume
config meant "template: 'f(x) {{return}} {\"a\": {source}} C:\\\\new {target}'"
expect 0 "$FORERUN" train "$work/meant.yaml" --set run.steps=1
expect 0 "$FORERUN" inspect "$work/meant/prefix.h5"
grep -qF 'template     "f(x) {{return}} {"a": {source}} C:\\new {target}"' "$work/out" || fail "$(cat "$work/out")"
expect 0 "$FORERUN" train "$work/meant.yaml" --resume --set run.steps=2
expect 0 "$FORERUN" train "$work/meant/config.yaml" --set "run.dir=$work/again"
same "$work/meant/checkpoint-2.h5" "$work/again/checkpoint-2.h5"
expect 6 "$FORERUN" train "$work/single.yaml" --resume --set 'tasks.t.template=Q: {source}\\nA: {target}'
says "tasks.t.template was"

# ---- other names
config wrong 'template: "{prompt} {target}"'
for command in train plan preflight inspect; do
    ranks=()
    [ $command != plan ] || ranks=(--ranks 2)
    expect 2 "$FORERUN" "$command" "$work/wrong.yaml" "${ranks[@]}"
    says 'wrong.yaml:7: tasks[0].template holds {prompt}, but a row has only the fields {source} and {target}; did you mean {source}?'
done
expect 2 "$FORERUN" eval --model "$model" --data "$work/text.jsonl" --template '{source} {Answer}'
says '--template holds {Answer}, but a row has only the fields {source} and {target}; did you mean {target}? (write {{Answer}} for the text itself)'
expect 2 "$FORERUN" generate --model "$model" --prompt a --template '{source} {{target}}'
says '--template holds the field target in two braces; write {target}'
expect 2 "$FORERUN" eval --model "$model" --data "$work/text.jsonl" --template 'no place'
says 'it must hold it exactly once'
# a row's own braces and backslashes are never looked at
expect 0 "$FORERUN" generate --model "$model" --prefix "$work/single/prefix.h5" --prompt '{prompt}\n' --max-new-tokens 2
echo "templates: one meaning, shown, kept; other names are refused"
