#!/usr/bin/env bash
# The HTTP server over real sockets: every path, streams, errors, bounds, keys, signals; clients that are slow, broken, too many or
# gone; answers that are those of `generate`, on one rank and on two stages; a folder of prefixes that changes; and a log that
# holds no text. serve.sh [CASE...]: those of serve.py.
. "$(dirname "$0")/common.sh"

make_tiny 128 2 300
sed -i 's/"max_position_embeddings": 256/"max_position_embeddings": 20000/' "$model/config.json"
chat_tokenizer "$model" "{% for m in messages %}<|im_start|>{{ m.role }}:{{ m.content }}<|im_end|>{% endfor %}{% if tools %}[{{ tools | length }} tools]{% endif %}{% if add_generation_prompt %}<|im_start|>assistant:{% endif %}"
printf '{"messages": [{"role": "user", "content": "the 0"}, {"role": "assistant", "content": "user"}]}\n' >"$work/chat.jsonl"
cd "$work"
train_two_tasks
cat >"$work/talk.yaml" <<YAML
base: {path: "$model"}
run: {dir: talk, steps: 1, precision: f32, threads: 1, measure_base: false}
tasks:
  - {name: talk, train: "$work/chat.jsonl", chat: true, prefix: {init: {random: 0.5}, length: 3}, optimizer: {lr: 0.1},
     batch: {examples: 1, microbatch_tokens: 64}}
YAML
expect 0 "$FORERUN" train "$work/talk.yaml"
mkdir shelf
# mistakes that cost no loading
refused() {
    expect 2 "$FORERUN" serve --model "$model" --listen 127.0.0.1:0 "${@:2}"
    says "$1"
    ! grep -q layout "$work/err" || fail "told after loading: $1"
}
refused "it must be ADDRESS:PORT" --listen example.org:80
refused "is not a folder" --prefixes "$work/c.yaml"
refused "but must be a whole number" --queue 0
printf 'secret-one\n' >keys
chmod 644 keys
refused "can be read or written by other users" --key-file keys
! grep -q secret-one "$work/err" || fail "a key in a message"
cp run/prefix.h5 shelf/two.h5
cp talk/prefix.h5 shelf/talk.h5
python3 -B "$SOURCE/tests/e2e/serve.py" "$FORERUN" "$model" "$work" "$@" || fail "the server, see above"
