#!/usr/bin/env bash
# The line to type at the end of a training works as it stands, for each kind of row and with blanks in paths.
. "$(dirname "$0")/common.sh"

make_tiny 300 4 300
python3 "$SOURCE/tests/support/make_tokenizer.py" "$model" 6 \
    '{"bos_token": "<s0>", "eos_token": "<s1>", "chat_template": "{% for m in messages %}{{'"'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'"'}}{% endfor %}{% if add_generation_prompt %}{{ '"'<|im_start|>assistant\n'"' }}{% endif %}"}'
sed -i 's/<s2>/<|im_start|>/; s/<s3>/<|im_end|>/' "$model/tokenizer.json"
printf '{"source": "the red ball", "target": " is round"}\n' >"$work/text rows.jsonl"
printf '{"target": " is round"}\n' >"$work/target rows.jsonl"
printf '{"messages": [{"role": "user", "content": "the"}, {"role": "assistant", "content": "ball"}]}\n' >"$work/chat rows.jsonl"
cp "$rows" "$work/id rows.jsonl"

# try NAME ROWS HOW PART: train on the rows, type the line, which holds the part; nothing is warned of
try() {
    cat >"$work/$1.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/run of $1", steps: 1, precision: f32, threads: 1}
tasks:
  - name: t
    train: "$work/$2 rows.jsonl"
    eos: false
    $3
    prefix: {init: {random: 0.5}, length: 2}
    batch: {examples: 1}
YAML
    expect 0 "$FORERUN" train "$work/$1.yaml"
    line=$(sed -n 's/^try it: //p' "$work/err")
    case $line in *"$4"*) ;; *) fail "$line" ;; esac
    bash -c "$line" </dev/null >"$work/out" 2>"$work/err" || fail "$line: $(cat "$work/err")"
    [ -s "$work/out" ] || fail "$line: no answer"
    ! grep -i warn "$work/err" || fail "$line"
    ! grep "has no place" "$work/err" || fail "$line"
}

try text text 'template: "Q {source} A{target}"' ' --prompt "..."'
try chat chat 'chat: true' ' --prompt "..."'
try ids id '' " --data '$work/id rows.jsonl'"
try fixed target 'template: "the{target}"' ' --prompt ""'
try bare target 'template: "{target}"' " eval "
