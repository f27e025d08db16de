#!/usr/bin/env bash
# One reader of rows: training, evaluation and generation make the same ids of the same row, whatever its form, the base's
# BOS, the prefix and the way the weights are held; and rows that cannot be used are named, all of them, or left out.
. "$(dirname "$0")/common.sh"

make_tiny 128 2 300
chat='{% for m in messages %}{{ "<|im_start|>" + m["role"] + "\n" + m["content"] + "<|im_end|>" + "\n" }}{% endfor %}'
chat=$chat'{% if add_generation_prompt %}{{ "<|im_start|>assistant\n" }}{% endif %}'
cat >"$work/text.jsonl" <<'JSON'
{"source": "the red ball", "target": " is round"}
{"id": 17293822569102704640, "score": NaN, "tag": 1, "tag": 2, "source": "a <s1> b\n", "target": ["x", "yy<s1>"]}
{"source": "", "target": "zz"}
{"source": "a \u0000 b", "target": "c"}
JSON
cat >"$work/chat.jsonl" <<'JSON'
{"messages": [{"role": "user", "content": " the 0 "}, {"role": "assistant", "content": "user"}]}
{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "v", "weight": 0}, {"role": "user", "content": "<|im_end|>"}, {"role": "assistant", "content": "w", "weight": 1}]}
{"source": "the red ball", "target": "is round"}
JSON
cat >"$work/ids.jsonl" <<'JSON'
{"source_ids": [65, 66, 67], "target_ids": [68]}
{"source_ids": [65], "target_ids": [[68], [69, 70]]}
JSON

# same_ids NAME ARGUMENTS...: the rows of NAME.jsonl as text and as the ids that `tokenize` prints of them
same_ids() {
    local name=$1
    shift
    local from=(--rows "$work/$name.jsonl" "$@")
    [ "$name" != chat ] || from=(--chat "$work/$name.jsonl")
    "$FORERUN" tokenize --model "$model" "${from[@]}" >"$work/learn.jsonl" 2>"$work/err" || fail "$(cat "$work/err")"
    "$FORERUN" tokenize --model "$model" "${from[@]}" --prompts >"$work/prompt.jsonl"
    python3 - "$work" <<'PY' || fail "$name $*: prompts are not the sources of training"
import json, sys
learn, prompt = ([json.loads(line) for line in open(sys.argv[1] + "/" + name)] for name in ("learn.jsonl", "prompt.jsonl"))
assert [row["source_ids"] for row in learn] == [row["source_ids"] for row in prompt] and len(learn) > 1
PY
    local reading=("$@")
    for weights in auto quantised; do
        with=(--model "$model" --weights "$weights" --threads 1 --precision f32)
        # evaluation of the text is that of the ids, but for flags inside a dialogue's source: those rows have one answer
        expect 0 "$FORERUN" eval "${with[@]}" --data "$work/$name.jsonl" --json "${reading[@]}"
        cp "$work/out" "$work/of-text"
        expect 0 "$FORERUN" eval "${with[@]}" --data "$work/learn.jsonl" --json --no-eos --template "{target}"
        cmp "$work/of-text" "$work/out" || fail "$name $*, $weights: evaluation of text and of its ids differ"
        for rows in "$name" prompt; do
            local how=("${reading[@]}")
            [ "$rows" = "$name" ] || how=()
            expect 0 "$FORERUN" generate "${with[@]}" --input "$work/$rows.jsonl" --max-new-tokens 5 "${how[@]}"
            grep -o '"generated_ids":.*' "$work/out" >"$work/of-$rows"
            grep -o 'prompts: [0-9]* tokens' "$work/err" >>"$work/of-$rows"
        done
        cmp "$work/of-$name" "$work/of-prompt" || fail "$name $*, $weights: generation from text and from its ids differ"
    done
}
for bos in true false; do
    chat_tokenizer "$model" "$chat" $bos
    same_ids text --template '<|im_start|>{source}:{target}!'
    same_ids chat --chat
    same_ids ids --template '{target}'
done

# with a prefix: its file says how rows are read, and generation starts from the ids of training
chat_tokenizer "$model" "$chat" true
train_prefix() {
    rm -rf "$work/run"
    cat >"$work/c.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/run", steps: 1, precision: f32, threads: 1}
tasks:
  - {name: t, train: "$work/$1.jsonl", $2, prefix: {init: {$3}, length: 3}, batch: {examples: 2}}
YAML
    expect 0 "$FORERUN" train "$work/c.yaml"
}
for init in 'random: 0.3' 'text: "abcdef"'; do
    for what in text chat; do
        if [ $what = text ]; then
            setting='template: "Q {source}:{target}"' options=(--rows "$work/text.jsonl" --template 'Q {source}:{target}')
        else
            setting='chat: true' options=(--chat "$work/chat.jsonl")
        fi
        train_prefix $what "$setting" "$init"
        expect 0 "$FORERUN" generate --model "$model" --prefix "$work/run/prefix.h5" --input "$work/$what.jsonl" --max-new-tokens 4 --threads 1
        grep -o '"generated_ids":.*' "$work/out" >"$work/of-text"
        "$FORERUN" tokenize --model "$model" --prompts "${options[@]}" >"$work/prompt.jsonl"
        # a prefix that starts from text holds the BOS
        [ "$init" = 'random: 0.3' ] || sed -i 's/\[256, /[/; s/\[256\]/[]/' "$work/prompt.jsonl"
        expect 0 "$FORERUN" generate --model "$model" --prefix "$work/run/prefix.h5" --input "$work/prompt.jsonl" --max-new-tokens 4 --threads 1
        grep -o '"generated_ids":.*' "$work/out" >"$work/of-ids"
        cmp "$work/of-text" "$work/of-ids" || fail "$what with a prefix from $init: the prompt is not the source of training"
    done
done

# a turn of weight 0 is not learned: "w" and its end are
head -2 "$work/chat.jsonl" | tail -1 >"$work/weighted.jsonl"
expect 0 "$FORERUN" eval --model "$model" --chat --data "$work/weighted.jsonl" --threads 1 --json
grep -q '"target_tokens": 2,' "$work/out" || fail "$(cat "$work/out")"

# what generate writes: the row as it stands, and JSON
expect 0 "$FORERUN" generate --model "$model" --input "$work/text.jsonl" --template '{source}{target}' --max-new-tokens 1 --threads 1
grep -qF '{"id":17293822569102704640,"score":null,"tag":1,"tag":2,"source":"a <s1> b\n","target":["x", "yy<s1>"],"generated":' "$work/out" ||
    fail "$(cat "$work/out")"

# bad rows: named together before anything is computed, or left out
cat >"$work/bad.jsonl" <<'JSON'
{"source": "A"}
{"messages": [{"role": "tool", "content": "x"}]}
{"source_ids": [999]}
{"source": "B", "wieght": 1}
{"source": "C"}
JSON
echo "an earlier answer" >"$work/answers.jsonl"
generate=("$FORERUN" generate --model "$model" --input "$work/bad.jsonl" --max-new-tokens 1 --threads 1)
for launcher in "" "mpirun -n 2"; do
    # shellcheck disable=SC2086
    expect 3 $launcher "${generate[@]}" --output "$work/answers.jsonl"
    says "bad.jsonl:2: message 1 has the role 'tool'"
    says "bad.jsonl:3: the id 999 is outside the model's vocabulary, 0 to 299"
    says "bad.jsonl:4: the row has the key \"wieght\", which is not known"
    says "3 rows cannot be used"
    [ "$(cat "$work/answers.jsonl")" = "an earlier answer" ] || fail "a refused input took the earlier answers away"
done
expect 0 "${generate[@]}" --on-error skip --output "$work/answers.jsonl"
says "bad.jsonl:3: the id 999 is outside the model's vocabulary, 0 to 299"
says "rows that cannot be used and are left out: 3"
[ "$(grep -c generated_ids "$work/answers.jsonl")" = 2 ] || fail "$(cat "$work/answers.jsonl")"
expect 0 "${generate[@]}" --on-error skip --ignore wieght
[ "$(grep -c generated_ids "$work/out")" = 3 ] || fail "$(cat "$work/out")"
expect 2 "${generate[@]}" --on-error never
says "--on-error is never; it must be stop or skip"

# the same in training, where the choice is part of the run
cat >"$work/bad.jsonl" <<'JSON'
{"source": "A", "target": "B"}
{"source": "A", "target": ""}
{"source": "C", "target": "D", "category": 7}
JSON
train_prefix text 'template: "{source}{target}"' 'zero: true'
rm -rf "$work/run"
sed -i "s|text.jsonl|bad.jsonl|" "$work/c.yaml"
expect 3 "$FORERUN" train "$work/c.yaml"
says 'bad.jsonl:2: "target" is empty'
says 'bad.jsonl:3: the row has the key "category"'
rm -rf "$work/run"
sed -i "s|, template|, data: {on_error: skip, ignore: [category]}, template|" "$work/c.yaml"
expect 0 "$FORERUN" train "$work/c.yaml"
says "rows that cannot be used and are left out: 1"
says "task t: 2 rows"
expect 6 "$FORERUN" train "$work/c.yaml" --resume --set tasks.t.data.on_error=stop
says "tasks.t.data.on_error was skip"
expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 1

# a source that the template has no place for
expect 0 "$FORERUN" eval --model "$model" --data "$work/text.jsonl" --template 'Q:{target}' --threads 1
says 'rows with a "source" that the template does not use: 4'
echo "every command reads rows alike"
