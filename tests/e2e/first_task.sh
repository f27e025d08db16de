#!/usr/bin/env bash
# The lines of docs/first-task.md, typed: a table, a look at it, a prefix, what it is worth, a conversation, a server.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/pages.sh"

need_model
command -v curl >/dev/null || fail "curl is missing: launch/install-deps.sh test"
page=$SOURCE/docs/first-task.md
mkdir -p "$work/a tree/build/release" "$work/a tree/models"
cd "$work/a tree"
ln -s "$FORERUN" build/release/forerun
ln -s "$(realpath "$model")" models/smollm2-135m-instruct.gguf
forget_settings

type_lines '## The table' 1
block '## The table' yaml 1 >commands.yaml

type_lines '## Look before training' 1
for word in "24 used" "list all files with their sizes" "duplicates     none"; do
    grep -qF -- "$word" "$work/out" || fail "data check says nothing of $word: $(cat "$work/out")"
done

type_lines '## Train, and see what it is worth' 1
for word in "exact match" ROUGE-L BLEU chrF; do
    grep -qiF -- "$word" "$work/out" || fail "eval says nothing of $word: $(cat "$work/out")"
done

type_lines '## Talk to it' 1
[ -s "$work/out" ] || fail "chat answers nothing"

# the port of the page may be taken by another test
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
sed "s/127\\.0\\.0\\.1:8080/127.0.0.1:$port/" "$page" >"$work/page.md"
page=$work/page.md
type_lines '## Serve it' 1
"$FORERUN" generate --model models/smollm2-135m-instruct.gguf --prefix served/commands.h5 --prompt "find all Go files" \
    --max-new-tokens 16 >"$work/generated" 2>"$work/err"
tail -n 1 "$work/out" | python3 -c '
import json, sys
answer = json.load(sys.stdin)["choices"][0]["text"]
wanted = open(sys.argv[1], encoding="utf-8").read().removesuffix("\n")
assert answer == wanted, (answer, wanted)' "$work/generated" || fail "serve and generate answer otherwise"
