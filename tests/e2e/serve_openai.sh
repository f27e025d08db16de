#!/usr/bin/env bash
# OpenAI's own client library against the server, unchanged: every call that there is here, streams, errors; sixteen prefixes at
# once, each with the answers of `generate`; ten thousand requests in flat memory. serve_openai.sh PYTHON: an interpreter with openai.
. "$(dirname "$0")/common.sh"

python=$1
make_tiny 128 2 300
sed -i 's/"max_position_embeddings": 256/"max_position_embeddings": 4096/' "$model/config.json"
chat_tokenizer "$model" "{% for m in messages %}<|im_start|>{{ m.role }}:{{ m.content }}<|im_end|>{% endfor %}{% if tools %}[{{ tools | length }} tools]{% endif %}{% if add_generation_prompt %}<|im_start|>assistant:{% endif %}"
cd "$work"
{
    cat <<YAML
base: {path: "$model"}
run: {dir: run, steps: 2, precision: f32, threads: 1, measure_base: false}
tasks:
YAML
    for i in $(seq 10 25); do
        cat <<YAML
  - {name: p$i, seed: $i, train: "$rows", eos: false, prefix: {init: {random: 0.5}, length: $((i - 5))}, optimizer: {lr: 0.1},
     batch: {examples: 4, microbatch_tokens: 64}}
YAML
    done
} >sixteen.yaml
expect 0 "$FORERUN" train sixteen.yaml
mkdir shelf
cp run/prefix.h5 shelf/many.h5
# what generate says of each prefix: three prompts
python3 - "$work" <<'PY'
import json, sys
folder = sys.argv[1]
with open(folder + "/in.jsonl", "w") as file:
    for i in range(10, 26):
        for text in ("the", "red ball", "is"):
            file.write(json.dumps({"source": text, "prefix": f"{folder}/shelf/many.h5:p{i}", "id": f"many:p{i}"}) + "\n")
PY
expect 0 "$FORERUN" generate --model "$model" --input in.jsonl --output wanted.jsonl --threads 1 --precision f32 --max-new-tokens 24
"$FORERUN" serve --model "$model" --prefixes shelf --listen 127.0.0.1:0 --threads 1 --precision f32 --max-new-tokens 200 >url 2>log &
server=$!
trap 'kill -KILL $server 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 300); do
    [ ! -s url ] || break
    sleep 0.1
done
[ -s url ] || fail "the server does not begin: $(cat log)"
"$python" -B "$SOURCE/tests/e2e/serve_openai.py" "$(cat url)" "$server" wanted.jsonl || fail "OpenAI's client: $(tail -n 5 log)"
kill -TERM "$server"
code=0
wait "$server" || code=$?
[ $code = 0 ] || fail "the server ended with $code"
