#!/usr/bin/env bash
# The commands on the real model: step 0 from text equals the prompted base, eval and generate on any layout,
# inspect, tokenize, and base weights untouched by training.
. "$(dirname "$0")/common.sh"

need_model
before=$(sha256sum "$model")
cat >"$work/rows.jsonl" <<'JSON'
{"source": "The library reads and writes archives of many formats.", "target": " archive library"}
{"source": "A game of chess for the terminal, with a strong engine.", "target": [" chess for the terminal", " terminal chess game"]}
{"source": "Tools to watch the temperature of a computer.", "target": " temperature monitor"}
JSON
rows=$work/rows.jsonl
instruction='Write a title.'
cat >"$work/c.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/run", steps: 2, precision: f32}
tasks:
  - name: t
    train: "$rows"
    valid: "$rows"
    template: "\n{source}\nTitle:{target}"
    prefix: {init: {text: "$instruction"}}
    optimizer: {kind: sgd, lr: 0.0}
    batch: {examples: 4}
YAML

loss() {
    "$@" --json 2>"$work/err" | python3 -c 'import json, sys; print("%.9f" % json.loads(sys.stdin.readlines()[-1])["loss"])'
}

mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/profiled" --profile 2>"$work/profile" >/dev/null || fail "$(cat "$work/profile")"
grep -q '^linear  .* [0-9.]* %  *[0-9.]*$' "$work/profile" && grep -q '^all else ' "$work/profile" || fail "no profile: $(cat "$work/profile")"

# learning rate 0: the prefix stays what the text gave; the prompted base is the same text in the template
train run 2 1 2>"$work/err" || fail "$(cat "$work/err")"
ours=$(loss "$FORERUN" eval --model "$model" --prefix "$work/run/prefix.h5" --data "$rows" --precision f32)
prompted=$(loss "$FORERUN" eval --model "$model" --template "$instruction\\n{source}\\nTitle:{target}" --data "$rows" --precision f32)
python3 -c "import sys; sys.exit(abs($ours - $prompted) > 1e-4)" || fail "prefix from text $ours, prompted base $prompted"
[ "$ours" != "$(loss "$FORERUN" eval --model "$model" --template '\n{source}\nTitle:{target}' --data "$rows" --precision f32)" ] || fail "the prefix changes nothing"
echo "step 0 from text $ours, prompted $prompted"

# eval gives the same bits on every layout
for layout in "2 1" "1 2" "3 1"; do
    read -r stages replicas <<<"$layout"
    other=$(loss mpirun -n $((stages * replicas)) "$FORERUN" eval --model "$model" --prefix "$work/run/prefix.h5" --data "$rows" --precision f32 --stages "$stages")
    [ "$other" = "$ours" ] || fail "eval on ${stages}x$replicas: $other, on one rank $ours"
done
expect 0 "$FORERUN" eval --model "$model" --prefix "$work/run/best.h5:t" --data "$rows" --rows-out "$work/rows-out.jsonl"
[ "$(wc -l <"$work/rows-out.jsonl")" = 4 ] || fail "rows-out does not hold one line an example"

# generation: one rank and three stages, greedy and sampled, agree
for options in "--seed 1" "--temperature 0.8 --top-k 40 --top-p 0.9 --seed 7"; do
    # shellcheck disable=SC2086
    one=$("$FORERUN" generate --model "$model" --prefix "$work/run/prefix.h5" --prompt "A painting program." --max-new-tokens 12 $options 2>/dev/null)
    # shellcheck disable=SC2086
    three=$(mpirun -n 3 "$FORERUN" generate --model "$model" --prefix "$work/run/prefix.h5" --prompt "A painting program." --max-new-tokens 12 $options 2>/dev/null)
    [ -n "$one" ] && [ "$one" = "$three" ] || fail "generated '$one' on one rank, '$three' on three"
done
expect 0 "$FORERUN" generate --model "$model" --prefix "$work/run/prefix.h5" --input "$rows" --output "$work/out.jsonl" --max-new-tokens 4
python3 -c "
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
assert len(rows) == 3 and all('generated' in row and row['source'] for row in rows)" "$work/out.jsonl" || fail "bad output rows"

# the same text on the upper half of the layers, on any layout
for layout in "1 1" "3 1"; do
    read -r stages replicas <<<"$layout"
    train "upper-$stages" "$stages" "$replicas" --set tasks.t.prefix.layers.first=15 2>"$work/err" || fail "$(cat "$work/err")"
done
same "$work/upper-1/prefix.h5" "$work/upper-3/prefix.h5"
one=$("$FORERUN" generate --model "$model" --prefix "$work/upper-1/prefix.h5" --prompt "A painting program." --max-new-tokens 12 2>/dev/null)
three=$(mpirun -n 3 "$FORERUN" generate --model "$model" --prefix "$work/upper-1/prefix.h5" --prompt "A painting program." --max-new-tokens 12 2>/dev/null)
[ -n "$one" ] && [ "$one" = "$three" ] || fail "upper layers: generated '$one' on one rank, '$three' on three"
expect 0 "$FORERUN" generate --model "$model" --chat --prompt "Name a colour." --max-new-tokens 8

# inspect everything; tokenize
for file in "$model" "$work/run/prefix.h5" "$work/run/checkpoint-2.h5" "$rows" "$work/c.yaml"; do
    expect 0 "$FORERUN" inspect "$file"
done
ids=$(printf '"Hello world 42"\n"<|im_start|>"\n' | "$FORERUN" tokenize --model "$model" --jsonl | tr '\n' ' ')
[ "$ids" = "[19556, 905, 216, 36, 34] [1] " ] || fail "ids $ids"
[ "$(sha256sum "$model")" = "$before" ] || fail "the base changed"
echo "commands agree"
