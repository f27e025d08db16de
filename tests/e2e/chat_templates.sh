#!/usr/bin/env bash
# Chat templates: dialogues have the ids of what the template renders, with its system message and BOS; one that cannot be used is
# refused by name, where dialogues are used and nowhere else. Answers that later turns change are examples of their own.
# What a prefix was trained with is in its file, and another template is told or refused.
. "$(dirname "$0")/common.sh"

make_tiny 128 1 300

turns="{% for m in messages %}{{'<|im_start|>' + m['role'] + '
' + m['content'] + '<|im_end|>' + '
'}}{% endfor %}"
prompt="{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"

cat >"$work/chat.jsonl" <<'JSON'
{"messages": [{"role": "user", "content": " the 0 "}, {"role": "assistant", "content": "user"}]}
{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "the 0"}, {"role": "assistant", "content": "user"}]}
JSON
printf '{"source": "the red ball", "target": " is round"}\n' >"$work/text.jsonl"

# writes BOS SYSTEM: training and generation read the dialogues as a template does that writes these
writes() {
    for part in learn prompt; do
        local how=()
        [ $part = learn ] || how=(--prompts)
        "$FORERUN" tokenize --model "$model" --chat "$work/chat.jsonl" "${how[@]}" >"$work/$part" 2>"$work/err" ||
            fail "$(cat "$work/err")"
    done
    python3 - "$work" "$1" "$2" <<'PY' || fail "other ids than the template's text has"
import json, sys
folder, bos, system = sys.argv[1:]
def ids(text):
    out, special = [], {"<s0>": 256, "<|im_start|>": 258, "<|im_end|>": 259}
    while text:
        mark = next((mark for mark in special if text.startswith(mark)), None)
        out += [special[mark]] if mark else list(text[0].encode())
        text = text[len(mark or "x"):]
    return out
for line, learn, prompt in zip(open(folder + "/chat.jsonl"), open(folder + "/learn"), open(folder + "/prompt")):
    messages = json.loads(line)["messages"]
    text = bos
    if system and messages[0]["role"] != "system":
        text += "<|im_start|>system\n" + system + "<|im_end|>\n"
    for m in messages[:-1]:
        text += "<|im_start|>" + m["role"] + "\n" + m["content"] + "<|im_end|>\n"
    text += "<|im_start|>assistant\n"
    learn, prompt = json.loads(learn), json.loads(prompt)
    assert learn["source_ids"] == ids(text) == prompt["source_ids"], (text, learn, prompt)
    assert learn["target_ids"] in (ids("user<|im_end|>"), [ids("user<|im_end|>")]), learn
PY
}

# refused TEXT: naming it, by every command that would write a dialogue; everything else goes on
refused() {
    expect 3 "$FORERUN" generate --model "$model" --threads 1 --chat --prompt the
    says "$1"
    expect 3 "$FORERUN" eval --model "$model" --threads 1 --chat --data "$work/chat.jsonl"
    says "$1"
    rm -rf "$work/run"
    expect 3 "$FORERUN" train "$work/train.yaml" --set base.path="$model"
    says "$1"
    expect 0 "$FORERUN" generate --model "$model" --threads 1 --prompt the --max-new-tokens 1
    expect 0 "$FORERUN" eval --model "$model" --threads 1 --template '{source}{target}' --data "$work/text.jsonl"
}

cat >"$work/train.yaml" <<YAML
base: {path: "$work/tiny"}
run: {dir: "$work/run", steps: 2, precision: f32, threads: 1}
tasks:
  - {name: t, train: "$work/chat.jsonl", chat: true, prefix: {init: {random: 0.5}, length: 2}}
YAML

model=$work/tiny
chat_tokenizer "$model" "$turns$prompt"
writes "" ""
# the text of the default system message is in a variable
chat_tokenizer "$model" "{% set s = 'the user in' %}{% if messages[0]['role'] == 'system' %}{% set s = messages[0]['content'] %}{% endif %}{{ '<|im_start|>system
' + s + '<|im_end|>
' }}{% for m in messages %}{% if m['role'] != 'system' %}{{ '<|im_start|>' + m['role'] + '
' + m['content'] + '<|im_end|>
' }}{% endif %}{% endfor %}$prompt"
writes "" "the user in"
# a system message that is written for tools alone
chat_tokenizer "$model" "{% if tools %}{{ '<|im_start|>system
You may call a tool.<|im_end|>
' }}{% endif %}$turns$prompt"
writes "" ""
# a BOS, written by the template, put there by the tokenizer, or both
chat_tokenizer "$model" "{{ bos_token }}$turns$prompt"
writes "<s0>" ""
chat_tokenizer "$model" "{{ bos_token }}$turns$prompt" true
writes "<s0>" ""
chat_tokenizer "$model" "$turns$prompt" true
writes "<s0>" ""

# rows_of ROWS EXPECTED...: tokenize gives these rows, each SOURCE|TARGET as text
rows_of() {
    expect 0 "$FORERUN" tokenize --model "$model" --chat "$1"
    python3 - "$work/out" "${@:2}" <<'PY' || fail "other rows than the template writes"
import json, sys
special = {256: "<s0>", 257: "<s1>", 258: "<|im_start|>", 259: "<|im_end|>"}
def text(ids):
    return "".join(special.get(i) or chr(i) for i in ids)
rows = [json.loads(line) for line in open(sys.argv[1])]
got = [text(row["source_ids"]) + "|" + text(row["target_ids"]) for row in rows]
assert got == sys.argv[2:], "\n".join(["got:"] + got + ["wanted:"] + sys.argv[2:])
PY
}
# not ChatML, and an answer without a token at its end
chat_tokenizer "$model" "{% for m in messages %}{{'<|im_start|>' + m['role'] + '<|im_sep|>' + m['content'] + '<|im_end|>'}}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant<|im_sep|>{% endif %}"
rows_of "$work/chat.jsonl" "<|im_start|>user<|im_sep|> the 0 <|im_end|><|im_start|>assistant<|im_sep|>|user<|im_end|>" \
    "<|im_start|>system<|im_sep|>s<|im_end|><|im_start|>user<|im_sep|>the 0<|im_end|><|im_start|>assistant<|im_sep|>|user<|im_end|>"
chat_tokenizer "$model" "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '
' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
rows_of "$work/chat.jsonl" "user:  the 0 
assistant: |user
" "system: s
user: the 0
assistant: |user
"
# thoughts that only the last answer keeps; a tool's turn, and members of messages that the template names
cat >"$work/turns.jsonl" <<'JSON'
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "thoughts": "x"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d", "thoughts": "y"}]}
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "tool", "content": "t"}, {"role": "assistant", "content": "d", "weight": 1}]}
JSON
chat_tokenizer "$model" "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{% for m in messages %}<|im_start|>{{ 'user' if m.role == 'tool' else m.role }}:{% if m.thoughts and loop.index0 > ns.last %}({{ m.thoughts }}){% endif %}{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant:{% endif %}"
rows_of "$work/turns.jsonl" "<|im_start|>user:a<|im_end|><|im_start|>assistant:|(x)b<|im_end|>" \
    "<|im_start|>user:a<|im_end|><|im_start|>assistant:b<|im_end|><|im_start|>user:c<|im_end|><|im_start|>assistant:|(y)d<|im_end|>" \
    "<|im_start|>user:a<|im_end|><|im_start|>assistant:b<|im_end|><|im_start|>user:t<|im_end|><|im_start|>assistant:|d<|im_end|>"
expect 0 "$FORERUN" train "$work/train.yaml" --set base.path="$model" --set "tasks.t.train=$work/turns.jsonl"
grep -q "3 rows, 3 examples" "$work/err" || fail "not three rows of two lines: $(cat "$work/err")"
# a bad row behind a line of two rows is told once
(head -n 1 "$work/turns.jsonl"; printf '{"messages": [\n'; tail -n 1 "$work/turns.jsonl") >"$work/odd.jsonl"
expect 0 "$FORERUN" tokenize --model "$model" --chat "$work/odd.jsonl" --on-error skip
[ "$(grep -c "the row is left out" "$work/err")" = 1 ] || fail "not told once: $(cat "$work/err")"
[ "$(wc -l <"$work/out")" = 3 ] || fail "not three rows"
printf '{"messages": [{"role": "user", "content": "a", "mood": "good"}, {"role": "assistant", "content": "b"}]}\n' >"$work/odd.jsonl"
expect 3 "$FORERUN" tokenize --model "$model" --chat "$work/odd.jsonl"
says '"mood", which is not known'
printf '{"messages": [{"role": "usr", "content": "a"}, {"role": "assistant", "content": "b"}]}\n' >"$work/odd.jsonl"
expect 3 "$FORERUN" tokenize --model "$model" --chat "$work/odd.jsonl"
says "message 1 has the role 'usr'; allowed: system, user, assistant, and those that the chat template names"

# not usable
chat_tokenizer "$model" "
{{ strftime_now('%d') }}$turns$prompt"
refused "line 2: strftime_now asks for the time, and no clock is given"
chat_tokenizer "$model" "$turns{{ messages|shuffled }}"
refused "line 3: the filter 'shuffled' is not supported"
chat_tokenizer "$model" "$turns{% if x %}"
refused "line 3: endif is expected"
# the places where a folder may have its template: the file wins, then the list, then the processor's
chat_tokenizer "$model" "{{ nothing"
printf '%s' "$turns$prompt" >"$model/chat_template.jinja"
writes "" ""
rm "$model/chat_template.jinja"
TURNS=$turns PROMPT=$prompt python3 - "$model" <<'PY'
import json, os, sys
path = sys.argv[1] + "/tokenizer_config.json"
config = json.load(open(path))
text = os.environ["TURNS"] + os.environ["PROMPT"]
config["chat_template"] = [{"name": "tool_use", "template": "{{ x"}, {"name": "default", "template": text}]
json.dump(config, open(path, "w"))
PY
writes "" ""
python3 - "$model" <<'PY'
import json, sys
path = sys.argv[1] + "/tokenizer_config.json"
config = json.load(open(path))
json.dump({"chat_template": config.pop("chat_template")[1]["template"]}, open(sys.argv[1] + "/chat_template.json", "w"))
json.dump(config, open(path, "w"))
PY
writes "" ""
rm "$model/chat_template.json"
refused "the model has no chat template"

# the template of a base changes under a prefix, which keeps its own if it is short
chat_tokenizer "$model" "$turns$prompt"
cp -r "$model" "$work/tiny2"
chat_tokenizer "$work/tiny2" "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system
the user in<|im_end|>
' }}{% endif %}$turns$prompt"
digest() {
    python3 -c 'import hashlib, json, sys
print(hashlib.sha256(json.load(open(sys.argv[1] + "/tokenizer_config.json"))["chat_template"].encode()).hexdigest())' "$1"
}
told() {
    says "was trained on dialogues with the chat template ${1:0:12}, it is ${2:0:12} now"
}
old=$(digest "$work/tiny")
new=$(digest "$work/tiny2")
rm -rf "$work/run"
expect 0 "$FORERUN" train "$work/train.yaml"
for file in prefix.h5 checkpoint-2.h5; do
    expect 0 "$FORERUN" inspect "$work/run/$file"
    grep -q "chat template, sha256 $old, kept here" "$work/out" || fail "inspect does not show the template of $file"
done
# answers FILE ARGUMENT...: what generate and eval make of the prefix, without what they say of time
answers() {
    expect 0 "$FORERUN" generate --prefix "$work/run/prefix.h5" --threads 1 --prompt the --max-new-tokens 3 "${@:2}"
    cp "$work/out" "$work/$1"
    grep -o 'prompts: [0-9]* tokens' "$work/err" >>"$work/$1"
    expect 0 "$FORERUN" eval --prefix "$work/run/prefix.h5" --threads 1 --data "$work/chat.jsonl" --json "${@:2}"
    grep -o '"loss": [^,]*' "$work/out" >>"$work/$1"
}
answers before --model "$work/tiny"
! grep -q "chat template" "$work/err" || fail "a warning of the template that the prefix knows"
answers after --model "$work/tiny2"
! grep -q "chat template" "$work/err" || fail "a warning of the base's template, which is not used"
cmp "$work/before" "$work/after" || fail "the prefix's own template is not used"
expect 0 "$FORERUN" eval --model "$work/tiny2" --prefix "$work/run/prefix.h5" --threads 1 --template '{source}{target}' --data "$work/text.jsonl"
! grep -q "chat template" "$work/err" || fail "a warning of a template that is not used"
printf '{# another #}%s' "$turns$prompt" >"$work/other.jinja"
answers other --model "$work/tiny" --chat-template "$work/other.jinja"
told "$old" "$(sha256sum <"$work/other.jinja")"
# one that is too long to be kept
python3 -c 'print("{#" + "x" * 66000 + "#}", end="")' >"$work/long"
chat_tokenizer "$work/tiny" "$turns$prompt$(cat "$work/long")"
long=$(digest "$work/tiny")
rm -rf "$work/run"
expect 0 "$FORERUN" train "$work/train.yaml"
expect 0 "$FORERUN" inspect "$work/run/prefix.h5"
grep -q "chat template, sha256 $long, not kept here" "$work/out" || fail "inspect does not show the digest"
answers before --model "$work/tiny"
! grep -q "chat template" "$work/err" || fail "a warning of the template that was trained with"
answers after --model "$work/tiny2"
told "$long" "$new"
chat_tokenizer "$work/tiny" "$turns$prompt"
rm -rf "$work/run"
expect 0 "$FORERUN" train "$work/train.yaml"
# and under one that another training starts from, where both are of dialogues
from_file() {
    sed "s|init: {[^}]*}|init: {file: \"$work/run/prefix.h5\"}|" "$work/train.yaml" >"$work/from.yaml"
    grep -q run/prefix.h5 "$work/from.yaml" || fail "the config names no init file"
    expect 0 "$FORERUN" train "$work/from.yaml" --set "run.dir=$work/$1" --set base.path="$2"
}
from_file as_was "$work/tiny"
! grep -q "chat template" "$work/err" || fail "a warning of the template that the init file knows"
from_file differs "$work/tiny2"
told "$old" "$new"
expect 0 "$FORERUN" train "$work/from.yaml" --resume --set "run.dir=$work/differs" --set base.path="$work/tiny2" --set run.steps=4
! grep -q "chat template" "$work/err" || fail "a resume starts from no file"

resume=("$FORERUN" train "$work/train.yaml" --resume --set run.steps=4)
expect 6 "${resume[@]}" --set base.path="$work/tiny2"
says "was trained on dialogues with the chat template ${old:0:12}, it is ${new:0:12} now, so that"
expect 0 "${resume[@]}"
expect 0 "${resume[@]}" --set run.steps=6 --set base.path="$work/tiny2" --force
told "$old" "$new"
