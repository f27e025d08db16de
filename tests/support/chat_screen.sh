#!/usr/bin/env bash
# The screen of a session of `chat`, as docs/chat.md shows it: two prefixes that begin as texts, of which one is used, an answer that
# is stopped, another one that is tried again.
#
# usage: FORERUN=... chat_screen.sh MODEL.gguf    prints the screen
set -euo pipefail

model=$(realpath "$1")
work=$(mktemp -d "${TMPDIR:-/tmp}/forerun screen.XXXXXX")
mux() {
    tmux -f /dev/null -S "$work/socket" "$@"
}
trap 'mux kill-server 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
echo '{"messages": [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello!"}]}' >rows.jsonl
cat >c.yaml <<YAML
base: {path: "$model"}
run: {dir: run, steps: 1, measure_base: false}
tasks:
  - name: french
    prefix: {init: {text: "<|im_start|>system\nYou are a helpful assistant who always answers in French.<|im_end|>\n"}}
    train: rows.jsonl
    chat: true
    optimizer: {lr: 1.0e-9}
    batch: {examples: 1}
  - name: brief
    prefix: {init: {text: "<|im_start|>system\nYou answer in one short sentence.<|im_end|>\n"}}
    train: rows.jsonl
    chat: true
    optimizer: {lr: 1.0e-9}
    batch: {examples: 1}
YAML
"$FORERUN" train c.yaml 2>train.log || {
    cat train.log >&2
    exit 1
}
cp run/checkpoint-1.h5 styles.h5
cp "$model" model.gguf
screen() {
    mux capture-pane -p -t t
}
# answered: the last line is the prompt alone
answered() {
    while [ "$(screen | sed '/^ *$/d' | tail -1)" != '>' ]; do sleep 0.1; done
}
# type_in TEXT: as a person does, and waits for the answer
type_in() {
    mux send-keys -t t -l -- "$1"
    mux send-keys -t t Enter
    sleep 0.3
    answered
}
mux new-session -d -s t -x 110 -y 60 "env FORERUN_LOG=warn $(printf '%q' "$FORERUN") chat --model model.gguf --prefix styles.h5 \
    --temperature 0.3 --seed 1 --max-new-tokens 40"
answered
type_in "Name three colours."
type_in "/prefixes"
type_in "/use french"
type_in "And three animals?"
type_in "/use brief"
type_in "/retry"
type_in "/none"
mux send-keys -t t "Tell me a long story." Enter
sleep 1
mux send-keys -t t C-c
sleep 0.3
answered
type_in "/save talk.jsonl"
screen | sed 's/ *$//' | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
