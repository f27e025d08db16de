#!/usr/bin/env bash
# Rows side by side, each with the prefix that it names, are what each is alone: any batch, any order of ending, on one
# rank and on two stages, in both precisions; and what is said when a row names no usable prefix.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 2 4 f32
cat >>"$work/c.yaml" <<YAML
  - name: u
    train: "$rows"
    eos: false
    prefix: {init: {random: 0.7}, length: 9}
    optimizer: {lr: 3.0e-2}
    batch: {examples: 4, microbatch_tokens: 64}
YAML
train two 1 1 2>"$work/err" || fail "$(cat "$work/err")"
both=$work/two/checkpoint-2.h5
cp "$both" "$work/copy.h5"
# prompts of 1 to 40 ids, three prefixes and the default one; the rows' own numbers key the sampling
python3 - "$work/in.jsonl" "$both" "$work/copy.h5" <<'PY'
import json, random, sys
out, both, copy = sys.argv[1:]
chance = random.Random(5)
names = [both + ":t", both + ":u", copy + ":u", None]
with open(out, "w") as file:
    for i in range(23):
        row = {"n": i, "source_ids": [chance.randrange(128) for _ in range(1 + 13 * i % 40)]}
        if names[i % 4] is not None:
            row["prefix"] = names[i % 4]
        file.write(json.dumps(row) + "\n")
PY

# generate NAME RANKS ARGUMENTS...: all rows into $work/NAME
generate() {
    local name=$1 ranks=$2
    shift 2
    mpirun -n "$ranks" "$FORERUN" generate --model "$model" --prefix "$both:t" --input "$work/in.jsonl" --output "$work/$name" \
        --threads 1 --max-new-tokens 9 "$@" 2>"$work/err" || fail "$(cat "$work/err")"
}

# rows_together OPTIONS: any batch on one rank and on two stages
rows_together() {
    local options=$1 run ranks batch
    # shellcheck disable=SC2086
    generate alone 1 --batch 1 $options
    for run in "1 2" "1 16" "1 64" "2 1" "2 16"; do
        read -r ranks batch <<<"$run"
        # shellcheck disable=SC2086
        generate together "$ranks" --batch "$batch" $options
        cmp "$work/alone" "$work/together" || fail "batch of $batch on $ranks ranks, $options: other rows"
    done
    # the prefix as the option, and another one
    [ "$options" = "--precision f32" ] || return 0
    python3 - "$work" <<'PY' || fail "rows do not depend on their prefixes as they should"
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1] + "/alone")]
assert [row["n"] for row in rows] == list(range(23)), "order"
with open(sys.argv[1] + "/bare.jsonl", "w") as file:
    for row in rows:
        if row["n"] % 4 == 1:
            file.write(json.dumps({"n": row["n"], "source_ids": row["source_ids"]}) + "\n")
PY
    expect 0 "$FORERUN" generate --model "$model" --prefix "$both:u" --input "$work/bare.jsonl" --output "$work/option" \
        --threads 1 --max-new-tokens 9 --precision f32
    python3 - "$work" <<'PY' || fail "--prefix and \"prefix\" differ"
import json, sys
option, alone = ({row["n"]: row["generated_ids"] for row in map(json.loads, open(sys.argv[1] + name))} for name in ("/option", "/alone"))
assert option == {n: ids for n, ids in alone.items() if n % 4 == 1}
PY
    expect 0 "$FORERUN" generate --model "$model" --prefix "$both:t" --input "$work/bare.jsonl" --output "$work/other" \
        --threads 1 --max-new-tokens 9 --precision f32
    ! cmp -s "$work/option" "$work/other" || fail "the prefix changes nothing"
}
side_by_side rows_together "--precision f32" "--precision bf16 --temperature 0.9 --seed 4"

# refused: RANKS CODE TEXT ROW
refused() {
    printf '{"source_ids": [1]}\n%s\n' "$4" >"$work/in.jsonl"
    expect "$2" mpirun -n "$1" "$FORERUN" generate --model "$model" --prefix "$both:t" --input "$work/in.jsonl" --max-new-tokens 2
    says "$3"
}
for ranks in 1 2; do
    refused $ranks 3 'in.jsonl:2: "prefix" must be a string, FILE[:TASK]' '{"source_ids": [1], "prefix": 7}'
    refused $ranks 6 "holds no task v; it holds t, u" "{\"source_ids\": [1], \"prefix\": \"$both:v\"}"
    refused $ranks 6 "no-such.h5" '{"source_ids": [1], "prefix": "no-such.h5"}'
    refused $ranks 3 'in.jsonl:2: the prompt is empty' '{"source_ids": []}'
done
model=$SOURCE/tests/golden/tiny_gpt2
refused 1 6 "use the model it was made for" '{"source_ids": [1]}'
echo "rows side by side are what they are alone"
