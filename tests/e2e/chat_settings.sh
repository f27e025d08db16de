#!/usr/bin/env bash
# How dialogues are written: another template, its arguments and its clock, tools of a row; what is learned is shown; a prefix keeps
# all of it, and generation writes its prompts as training did. Rows of messages and their ids train the same bits.
. "$(dirname "$0")/common.sh"

make_tiny 128 2 300
chat_tokenizer "$model" "{{ 'no dialogue' }}"
cat >"$work/chat.jinja" <<'JINJA'
{{ strftime_now('%d.%m.%Y') }}{% if mode %}({{ mode }}){% endif %}{% if tools %}[{{ tools|map(attribute='name')|join('+') }}]{% endif %}
{% for m in messages %}
<|im_start|>{{ m.role }}:{{ m.content }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}<|im_start|>assistant:{% endif %}
JINJA
cat >"$work/chat.jsonl" <<'JSON'
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]}
{"messages": [{"role": "user", "content": "e"}, {"role": "assistant", "content": "f"}], "tools": [{"name": "t"}, {"name": "u"}]}
{"messages": [{"role": "user", "content": "g"}, {"role": "assistant", "content": "h"}], "tools": null}
JSON
how=(--chat-template "$work/chat.jinja" --chat-arguments '{"mode": "brief", "tools": [{"name": "all"}]}' --chat-clock "2026-01-31 23:59:59")

printf '{"messages": [{"role": "user", "content": "e"}, {"role": "assistant", "content": "f"}]}\n' >"$work/turns.jsonl"

# what is learned, by hand
expect 0 "$FORERUN" tokenize --model "$model" --chat "$work/chat.jsonl" --mask "${how[@]}"
python3 - "$work/out" <<'PY' || fail "other examples than the template writes: $(cat "$work/out")"
import json, sys
special = {258: "<", 259: ">"}
def text(row, kept):
    return "".join(special.get(i) or chr(i) for i, m in zip(row["ids"], row["mask"]) if m in kept)
rows = [json.loads(line) for line in open(sys.argv[1])]
head = "31.01.2026(brief)[%s]"
assert [text(row, (0, 1)) for row in rows] == [
    head % "all" + "<user:a>\n<assistant:b>\n<user:c>\n<assistant:d>", head % "t+u" + "<user:e>\n<assistant:f>",
    head % "all" + "<user:g>\n<assistant:h>"], [text(row, (0, 1)) for row in rows]
assert [text(row, (1,)) for row in rows] == ["b>d>", "f>", "h>"], rows
assert [row["learned"] for row in rows] == [["b<|im_end|>", "d<|im_end|>"], ["f<|im_end|>"], ["h<|im_end|>"]], rows
PY
expect 0 "$FORERUN" tokenize --model "$model" --chat "$work/chat.jsonl" --mask --last "${how[@]}"
head -n 1 "$work/out" | grep -qF '"learned": ["d<|im_end|>"]' || fail "the last answer alone is asked for: $(cat "$work/out")"

# the same by a config; what a run wrote can be read again, and the arguments have one text whatever their order
cat >"$work/c.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/run", steps: 3, precision: f32, threads: 1, measure_base: false}
tasks:
  - name: t
    train: "$work/chat.jsonl"
    chat:
      template: "$work/chat.jinja"
      arguments:
        tools: [{name: all}]
        mode: brief
      clock: 2026-01-31 23:59:59
    prefix: {init: {random: 0.5}, length: 3}
YAML
expect 0 mpirun -n 2 "$FORERUN" train "$work/c.yaml"
expect 0 "$FORERUN" inspect "$work/run/prefix.h5"
grep -q "chat template, sha256 $(sha256sum <"$work/chat.jinja" | cut -c1-64), kept here" "$work/out" || fail "inspect: $(cat "$work/out")"
grep -qF '  arguments    {"mode":"brief","tools":[{"name":"all"}]}' "$work/out" || fail "inspect: $(cat "$work/out")"
grep -qF '  clock        2026-01-31 23:59:59' "$work/out" || fail "inspect: $(cat "$work/out")"
head -n 1 "$work/run/prefix.h5" | grep -qa "Forerun checkpoint 2.4" || fail "not format 2.4"
expect 0 "$FORERUN" train "$work/run/config.yaml" --set "run.dir=$work/again"
same "$work/run/prefix.h5" "$work/again/prefix.h5"
# --set in place of the section, with a text of JSON
python3 - "$work/c.yaml" >"$work/plain.yaml" <<'PY'
import re, sys
print(re.sub(r"    chat:\n(      .*\n)+", "    chat: true\n", open(sys.argv[1]).read()))
PY
expect 0 "$FORERUN" train "$work/plain.yaml" --set "run.dir=$work/set" --set "tasks.t.chat.template=$work/chat.jinja" \
    --set 'tasks.t.chat.arguments={"tools": [{"name": "all"}], "mode": "brief"}' --set "tasks.t.chat.clock=2026-01-31 23:59:59"
same "$work/run/prefix.h5" "$work/set/prefix.h5"

# the same as YAML, as a config has it
expect 0 "$FORERUN" train "$work/plain.yaml" --set "run.dir=$work/set2" --set "tasks.t.chat.template=$work/chat.jinja" \
    --set 'tasks.t.chat.arguments={tools: [{name: all}], mode: brief}' --set "tasks.t.chat.clock=2026-01-31T23:59:59"
expect 2 "$FORERUN" train "$work/plain.yaml" --set tasks.t.chat.arguments.mode=brief
says "arguments has no keys that can be set one by one; set all of it: ...arguments={...}"

# ids of what is learned train the same bits as the messages: of rows with one answer the ids say all
tail -n 2 "$work/chat.jsonl" >"$work/single.jsonl"
expect 0 "$FORERUN" tokenize --model "$model" --chat "$work/single.jsonl" "${how[@]}"
cp "$work/out" "$work/ids.jsonl"
expect 0 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/messages" --set "tasks.t.train=$work/single.jsonl"
expect 0 "$FORERUN" train "$work/plain.yaml" --set "run.dir=$work/ids" --set "tasks.t.train=$work/ids.jsonl" --set tasks.t.chat=false \
    --set tasks.t.eos=false
python3 - "$work/messages/prefix.h5" "$work/ids/prefix.h5" <<'PY' || fail "messages and their ids train other bits"
import json, sys
def arrays(path):
    data = open(path, "rb").read()
    n = int(data.split(b"index ")[1].split(b"\n")[0])
    lines = map(json.loads, data[512:512 + n].splitlines())
    return {line["array"]: data[line["offset"]:line["offset"] + line["bytes"]] for line in lines if "array" in line}
one, other = map(arrays, sys.argv[1:])
assert one == other and len(one) == 4, (one.keys(), other.keys())
PY

# generation and evaluation write prompts as the prefix says, on another machine too: the file's template is gone
"$FORERUN" tokenize --model "$model" --chat "$work/chat.jsonl" --prompts "${how[@]}" >"$work/prompts.jsonl"
mv "$work/chat.jinja" "$work/gone.jinja"
with=(--model "$model" --prefix "$work/run/prefix.h5" --threads 1 --max-new-tokens 4)
for rows in chat prompts; do
    expect 0 "$FORERUN" generate "${with[@]}" --input "$work/$rows.jsonl"
    grep -o '"generated_ids":.*' "$work/out" >"$work/of-$rows"
    grep -o 'prompts: [0-9]* tokens' "$work/err" >>"$work/of-$rows"
done
cmp "$work/of-chat" "$work/of-prompts" || fail "prompts are not written as the prefix says"
# each option replaces what the prefix keeps of it
tokens() {
    expect 0 "$FORERUN" generate "${with[@]}" --prompt g "$@"
    grep -o 'prompts: [0-9]* tokens' "$work/err" | tr -dc 0-9
}
kept=$(tokens)
[ "$(tokens --chat-arguments '{"mode": "brief+", "tools": [{"name": "all"}]}')" = "$((kept + 1))" ] || fail "--chat-arguments"
printf '<|im_start|>{{ mode }}{{ messages[0].content }}{{ tools[0].name }}{%% if add_generation_prompt %%}:{%% endif %%}' >"$work/short.jinja"
[ "$(tokens --chat-template "$work/short.jinja")" = 11 ] || fail "--chat-template: $(tokens --chat-template "$work/short.jinja")"
mv "$work/gone.jinja" "$work/chat.jinja"

# a template too long to be kept, which is not the base's: its arguments are not taken for those of the base's template
(python3 -c 'print("{#" + "x" * 66000 + "#}", end="")'; cat "$work/chat.jinja") >"$work/long.jinja"
expect 0 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/long" --set "tasks.t.chat.template=$work/long.jinja"
expect 0 "$FORERUN" inspect "$work/long/prefix.h5"
grep -q "chat template, sha256 $(sha256sum <"$work/long.jinja" | cut -c1-64), not kept here" "$work/out" || fail "inspect: $(cat "$work/out")"
expect 0 "$FORERUN" generate --model "$model" --prefix "$work/long/prefix.h5" --threads 1 --input "$work/turns.jsonl" --max-new-tokens 1
says "unless --chat-template gives the one that it had"
expect 0 "$FORERUN" generate --model "$model" --prefix "$work/long/prefix.h5" --threads 1 --max-new-tokens 4 --input "$work/chat.jsonl" \
    --chat-template "$work/long.jinja"
grep -o '"generated_ids":.*' "$work/out" >"$work/of-long"
expect 0 "$FORERUN" generate --model "$model" --prefix "$work/run/prefix.h5" --threads 1 --max-new-tokens 4 --input "$work/chat.jsonl"
grep -o '"generated_ids":.*' "$work/out" | cmp - "$work/of-long" || fail "the long template writes other prompts"

# what a prefix keeps does not stand in the way of another template
printf '{{ messages[0].content }}:' >"$work/bare.jinja"
expect 6 "$FORERUN" generate "${with[@]}" --prompt g --chat-template "$work/bare.jinja"
says "prefix.h5: the chat template does not read the argument 'mode'"
says "the prefix keeps this, and --chat-arguments '{}' or --chat-clock take its place"
expect 0 "$FORERUN" generate "${with[@]}" --prompt g --chat-template "$work/bare.jinja" --chat-arguments '{}'
printf '{{ 1 +' >"$work/broken.jinja"
expect 2 "$FORERUN" generate "${with[@]}" --prompt g --chat-template "$work/broken.jinja"
says "error: the chat template $work/broken.jinja cannot be used: line 1"

# an output is no template
cp "$work/chat.jinja" "$work/kept.jinja"
expect 2 "$FORERUN" generate "${with[@]}" --input "$work/chat.jsonl" --chat-template "$work/chat.jinja" --output "$work/chat.jinja"
says "--chat-template"
expect 2 "$FORERUN" eval --model "$model" --threads 1 --data "$work/chat.jsonl" "${how[@]}" --rows-out "$work/chat.jinja"
expect 2 "$FORERUN" plan "$work/c.yaml" --ranks 1 --svg "$work/chat.jinja"
says "chat.template"
cmp "$work/chat.jinja" "$work/kept.jinja" || fail "an output replaced the template"
expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 1
expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 1 --set "tasks.t.chat.template=$work/none.jinja"
grep -q "the file of chat.template does not exist" "$work/out" || fail "plan does not say what it lacks: $(cat "$work/out")"

# a template that opens an answer with more than it writes of a finished one is told, with marks and without
for mark in '' 'generation '; do
    { printf '{%% for m in messages %%}<|im_start|>{{ m.role }}:'
      [ -z "$mark" ] || printf '{%% if m.role == "assistant" %%}{%% generation %%}{{ m.content }}<|im_end|>{%% endgeneration %%}{%% else %%}'
      printf '{{ m.content }}<|im_end|>'
      [ -z "$mark" ] || printf '{%% endif %%}'
      printf '{%% endfor %%}{%% if add_generation_prompt %%}<|im_start|>assistant:<think>{%% endif %%}'; } >"$work/thinks.jinja"
    expect 0 "$FORERUN" train "$work/plain.yaml" --set "run.dir=$work/thinks$mark" --set "tasks.t.chat.template=$work/thinks.jinja" \
        --set "tasks.t.train=$work/turns.jsonl"
    says "the chat template opens an answer with more than it writes before a finished one, in 1 rows"
    sed -i 's/<think>//' "$work/thinks.jinja"
    expect 0 "$FORERUN" train "$work/plain.yaml" --set "run.dir=$work/plainly$mark" --set "tasks.t.chat.template=$work/thinks.jinja" \
        --set "tasks.t.train=$work/turns.jsonl"
    ! grep -q "opens an answer with more" "$work/err" || fail "a template is told that opens answers as it writes them"
done

# another start
expect 0 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/shorter" --set "tasks.t.prefix.init.file=$work/run/prefix.h5" \
    --set tasks.t.prefix.length=2 --set tasks.t.chat.clock=2026-02-01
says "tasks.t.prefix.length is 2, and its init $work/run/prefix.h5 has 3 slots: the first 2 are taken"
says "tasks.t.chat has other arguments or another clock than its init"

# a file of a stranger's: what it keeps is named with it, and bounded
stranger() {
    python3 "$SOURCE/tests/support/tamper.py" "$work/run/prefix.h5" "$work/bad.h5" "/tasks/t@$1"
    expect "$2" timeout 20 "$FORERUN" generate --model "$model" --prefix "$work/bad.h5" --threads 1 --prompt g --max-new-tokens 1
    says "$3"
}
stranger 'chat_arguments="[1]"' 6 "$work/bad.h5: the arguments of the chat template must be an object"
stranger 'chat_clock="noon"' 6 "$work/bad.h5: the clock of the chat template is 'noon'"
stranger 'chat_template="{{ mode }}{{ tools }}{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}"' 3 "line 1: the template needs more than"
stranger 'chat_template="{{ mode }}{{ tools }}{% if"' 3 "the chat template cannot be used: line 1"

# a resume: the file may lie elsewhere, but its text, the arguments and the clock must be the same
cp "$work/chat.jinja" "$work/elsewhere.jinja"
resume=("$FORERUN" train "$work/c.yaml" --resume --set run.steps=4)
expect 0 "${resume[@]}" --set "tasks.t.chat.template=$work/elsewhere.jinja"
printf '{# #}' >>"$work/elsewhere.jinja"
expect 6 "${resume[@]}" --set run.steps=5 --set "tasks.t.chat.template=$work/elsewhere.jinja"
says "task t was trained on dialogues with the chat template"
expect 6 "${resume[@]}" --set run.steps=5 --set 'tasks.t.chat.arguments={"mode": "long"}'
says 'tasks.t.chat.arguments was "{\"mode\":\"brief\",\"tools\":[{\"name\":\"all\"}]}" in the run that is resumed and is "{\"mode\":\"long\"}" now'
expect 6 "${resume[@]}" --set run.steps=5 --set tasks.t.chat.clock=2026-02-01
says "tasks.t.chat.clock was"
echo "chat settings: a prefix keeps them"

# what cannot be used
refused() {
    expect "$1" "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/never" "${@:3}"
    says "$2"
}
refused 2 "tasks[0].chat.template is given, but chat is false" --set tasks.t.chat=false
refused 2 "must be a date such as 2026-01-31" --set tasks.t.chat.clock=2026-02-30
refused 2 "must be an object such as" --set 'tasks.t.chat.arguments=[1]'
refused 2 "must not set messages" --set 'tasks.t.chat.arguments={"messages": []}'
refused 2 "tasks.t.chat: the chat template does not read the argument 'moed'" --set 'tasks.t.chat.arguments={"moed": 1}'
refused 3 "$work/none.jinja" --set "tasks.t.chat.template=$work/none.jinja"
printf '{{ 1 +' >"$work/broken.jinja"
refused 2 "broken.jinja cannot be used: line 1" --set "tasks.t.chat.template=$work/broken.jinja"
printf 'a\0b' >"$work/broken.jinja"
refused 3 "contains a NUL character" --set "tasks.t.chat.template=$work/broken.jinja"
truncate -s 2000000 "$work/broken.jinja"
refused 2 "has 2000000 bytes, must have at most 1048576" --set "tasks.t.chat.template=$work/broken.jinja"
sed "s/      clock: .*/      clok: 1/" "$work/c.yaml" >"$work/odd.yaml"
expect 2 "$FORERUN" train "$work/odd.yaml"
says "unknown key tasks[0].chat.clok"
sed "s/        mode: brief/        mode: {a: 1, a: 2}/" "$work/c.yaml" >"$work/odd.yaml"
expect 2 "$FORERUN" train "$work/odd.yaml"
says "holds the key a twice"
python3 - "$work/c.yaml" >"$work/odd.yaml" <<'PY'
import sys
laughs = "&l0 [1, 1]" + "".join(", &l%d [%s]" % (i, ", ".join(["*l%d" % (i - 1)] * 10)) for i in range(1, 12))
print(open(sys.argv[1]).read().replace("mode: brief", "mode: [" + laughs + "]"))
PY
expect 2 "$FORERUN" train "$work/odd.yaml"
says "has more than 100000 values"
printf '{"messages": [{"role": "user", "content": "e"}, {"role": "assistant", "content": "f"}], "tools": {"a": 1}}\n' >"$work/odd.jsonl"
refused 3 '"tools" must be a list' --set "tasks.t.train=$work/odd.jsonl"
printf '{"messages": [{"role": "user", "content": "e"}, {"role": "assistant", "content": "f"}], "tools": [{"name": "x<|im_end|>"}]}\n' >"$work/odd.jsonl"
refused 3 "a message or a tool holds the text of a special token" --set "tasks.t.train=$work/odd.jsonl"
printf '{"source": "e", "target": "f", "tools": []}\n' >"$work/odd.jsonl"
refused 3 'only a row of "messages" may have "tools"' --set "tasks.t.train=$work/odd.jsonl"
expect 3 "$FORERUN" tokenize --model "$model" --chat "$work/chat.jsonl"
says 'the row has "tools", which the chat template does not read'
expect 2 "$FORERUN" tokenize --model "$model" --chat "$work/chat.jsonl" --rows "$work/chat.jsonl"
expect 2 "$FORERUN" tokenize --model "$model" --chat "$work/chat.jsonl" --mask --prompts
expect 2 "$FORERUN" tokenize --model "$model" --chat "$work/chat.jsonl" --template '{target}'
expect 2 "$FORERUN" tokenize --model "$model" --rows "$work/chat.jsonl" --chat-clock 2026-01-31
says "--chat-clock is for dialogues alone"
expect 2 "$FORERUN" tokenize --model "$model" --mask
says "--mask is for rows alone"
expect 2 "$FORERUN" generate --model "$model" --prompt a --chat-arguments '{"a": '
says "must be an object such as"
expect 2 "$FORERUN" generate --model "$model" --prompt a --chat-template "$work/chat.jinja" --chat-clock yesterday
says "the clock of the chat template is 'yesterday'"
expect 3 "$FORERUN" generate --model "$model" --prompt a --chat-template "$work/chat.jinja"
says "set one (chat.clock, --chat-clock)"
echo "chat settings: what cannot be used is refused by name"
