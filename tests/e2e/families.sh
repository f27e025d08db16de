#!/usr/bin/env bash
# Every family of models, from its folder and from its GGUF: each layout trains the same prefix bit for bit, whatever is
# computed again; weights that stay in the file give what converted ones do; a prefix goes from a folder to its GGUF.
# Rows are longer than the windows. usage: families.sh always|slides [NAME...]     NAME: these families alone, on 2x2 as well
. "$(dirname "$0")/common.sh"

window=$1
names=("${@:2}")
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

# once NAME [ARGUMENTS...]: train NAME on one rank, without mpirun.
once() {
    local name=$1
    shift
    "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/$name" --set "tasks.t.prefix.window=$window" "$@" \
        >"$work/out" 2>"$work/err" || fail "$model $name: $(cat "$work/err")"
}

# equals NAME: its prefix is that of the reference.
equals() {
    same "$work/reference/checkpoint-2.h5" "$work/$1/checkpoint-2.h5"
    rm -rf "${work:?}/$1"
}

# layout NAME STAGES REPLICAS [ARGUMENTS...]: train NAME on several ranks.
layout() {
    train "$@" --set "tasks.t.prefix.window=$window" 2>"$work/err" || fail "$model $*: $(cat "$work/err")"
    equals "$1"
}

# loss NAME [ARGUMENTS...]: of the rows under the folder's prefix.
loss() {
    expect 0 "$FORERUN" eval --model "$model" --prefix "$work/prefix.h5" --precision f32 --data "$rows" --json "${@:2}"
    grep -o '"loss":[^,]*' "$work/out" >"$work/loss-$1"
}

# bf16_quantised: what stays in the file gives the prefix of converted weights.
bf16_quantised() {
    make_config 2 5 bf16
    rm -rf "$work/reference"
    once reference
    once quantised --set base.weights=quantised
    equals quantised
}

# is_wanted NAME
is_wanted() {
    [ ${#names[@]} = 0 ] || [[ " ${names[*]} " == *" $1 "* ]]
}

n=0
for folder in "$SOURCE"/tests/golden/families/*/; do
    is_wanted "$(basename "$folder")" || continue
    # without a window the two are the same
    [ "$window" = always ] || grep -q '"sliding_window": [0-9]' "$folder/config.json" || continue
    n=$((n + 1))
    model=${folder%/}
    make_config 2 5 f32
    rm -rf "$work/reference"
    once reference
    once lean --set base.weights=quantised --set run.recompute=mlp --set tasks.t.batch.microbatch_tokens=16
    equals lean
    layout 2x1 2 1
    layout 1x2 1 2 --set run.recompute=layer
    if [ ${#names[@]} -gt 0 ]; then
        layout 2x2 2 2
    fi
    cp "$work/reference/prefix.h5" "$work/prefix.h5"
    if [ "$window" = always ]; then
        bf16_quantised
    fi
    if [ -e "$folder/model.gguf" ]; then
        loss folder
        model=${folder}model.gguf
        loss file --weights quantised
        # files of one model may round a rotation's divisors differently
        python3 -c 'import sys; a, b = (float(open(f).read().split(":")[1]) for f in sys.argv[1:]); sys.exit(abs(a - b) > 2e-5)' \
            "$work/loss-folder" "$work/loss-file" || fail "$model: the loss differs from the folder's"
        [ "$window" = slides ] || bf16_quantised
    fi
    echo "$(basename "$folder"): identical on all layouts"
done
[ "$n" -gt 0 ] && [ "$n" -ge ${#names[@]} ] || fail "$n models"
