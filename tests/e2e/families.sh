#!/usr/bin/env bash
# Every family of models, from its folder and from its GGUF: each layout trains the same prefix bit for bit, whatever is
# computed again; weights that stay in the file give what converted ones do; a prefix goes from a folder to its GGUF.
# Rows are longer than the windows. usage: families.sh always|slides
. "$(dirname "$0")/common.sh"

window=$1
rows=$work/rows.jsonl
python3 - "$rows" <<'PY'
import json
import random
import sys

generator = random.Random(5)
with open(sys.argv[1], "w", encoding="utf-8") as file:
    for _ in range(8):
        row = {"source_ids": [generator.randrange(1, 96) for _ in range(generator.randrange(20, 40))],
               "target_ids": [generator.randrange(1, 96) for _ in range(generator.randrange(4, 12))]}
        file.write(json.dumps(row) + "\n")
PY

# trains NAME STAGES REPLICAS [ARGUMENTS...]: the prefix of NAME equals that of the reference.
trains() {
    train "$@" --set "tasks.t.prefix.window=$window" 2>"$work/err" || fail "$model $*: $(cat "$work/err")"
    same "$work/reference/checkpoint-2.h5" "$work/$1/checkpoint-2.h5"
    rm -rf "${work:?}/$1"
}

# loss NAME: of the rows under the reference's prefix.
loss() {
    expect 0 "$FORERUN" eval --model "$model" --prefix "$prefix" --precision f32 --data "$rows" --json "${@:2}"
    grep -o '"loss":[^,]*' "$work/out" >"$work/loss-$1"
}

n=0
for folder in "$SOURCE"/tests/golden/families/*/; do
    # without a window the two are the same
    [ "$window" = always ] || grep -q '"sliding_window": [0-9]' "$folder/config.json" || continue
    n=$((n + 1))
    prefix=$work/prefix.h5
    for model in "${folder%/}" "$folder"model.gguf; do
        [ -e "$model" ] || continue
        for precision in f32 bf16; do
            rm -rf "$work/reference"
            make_config 2 5 $precision
            train reference 1 1 --set "tasks.t.prefix.window=$window" 2>"$work/err" || fail "$model: $(cat "$work/err")"
            trains quantised 1 1 --set base.weights=quantised
            # one kind of file and one precision for what does not depend on them
            [ "$precision" = f32 ] && [ -d "$model" ] || continue
            trains 2x1 2 1
            trains 1x2 1 2
            trains layer 2 1 --set run.recompute=layer
            trains mlp 1 1 --set run.recompute=mlp --set tasks.t.batch.microbatch_tokens=16
            cp "$work/reference/prefix.h5" "$prefix"
            loss folder
        done
        loss file --weights quantised
        # files of one model may round a rotation's divisors differently
        python3 -c 'import sys; a, b = (float(open(f).read().split(":")[1]) for f in sys.argv[1:]); sys.exit(abs(a - b) > 2e-5)' \
            "$work/loss-folder" "$work/loss-file" || fail "$model: the loss differs from the folder's"
    done
    echo "$(basename "$folder"): identical on all layouts"
done
[ "$n" -gt 0 ] || fail "no models"
