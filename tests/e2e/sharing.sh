#!/usr/bin/env bash
# What is shared in a step: the same bits on every layout whatever is shared, nearly the same loss, nats of each example,
# resume in the middle of a source, and what is refused.
. "$(dirname "$0")/common.sh"

make_tiny
# Rows of one target: 6 sources with 10 tokens in common, each in 5 rows far from each other.
rows=$work/shared.jsonl
python3 - "$rows" <<'PYTHON'
import json, random, sys
generator = random.Random(5)
ids = lambda n: [generator.randrange(3, 128) for _ in range(n)]
prompt = ids(10)
sources = [prompt + ids(3 + 4 * i) for i in range(6)]
with open(sys.argv[1], "w", encoding="utf-8") as file:
    for i in range(30):
        row = {"source_ids": sources[i % 6], "target_ids": ids(1 + i % 9)}
        file.write(json.dumps(row) + "\n")
PYTHON
make_config 5 7 f32

# each SETTING...: every layout, microbatch and thread count; $work/$name-1x1 is the reference
each() {
    local name=$1 reference="$work/$1-1x1/checkpoint-5.h5" layout stages replicas
    shift
    for layout in "1 1" "2 1" "1 2" "2 2"; do
        read -r stages replicas <<<"$layout"
        train "$name-${stages}x$replicas" "$stages" "$replicas" "$@" 2>"$work/err" || fail "$(cat "$work/err")"
        same "$reference" "$work/$name-${stages}x$replicas/checkpoint-5.h5"
    done
    train "$name-small" 2 1 "$@" --set tasks.t.batch.microbatch_tokens=8 2>"$work/err" || fail "$(cat "$work/err")"
    same "$reference" "$work/$name-small/checkpoint-5.h5"
    train "$name-threads" 1 1 "$@" --set run.threads=2 2>"$work/err" || fail "$(cat "$work/err")"
    same "$reference" "$work/$name-threads/checkpoint-5.h5"
    echo "$name: identical on every layout"
}
each apart --set tasks.t.batch.share_sources=false
each shared
each prompt --set tasks.t.batch.share_prompt=3
each prompt_apart --set tasks.t.batch.share_prompt=2 --set tasks.t.batch.share_sources=false
each by_source --set tasks.t.batch.order=by_source

# the same gradients but for rounding, in fewer rows
python3 - "$work" <<'PYTHON'
import json, sys
runs = {}
for name in ("apart", "shared", "prompt", "prompt_apart", "by_source"):
    with open(f"{sys.argv[1]}/{name}-1x1/metrics.jsonl", encoding="utf-8") as file:
        runs[name] = [step for step in map(json.loads, file) if "rows" in step]
rows = {name: sum(step["rows"] for step in steps) for name, steps in runs.items()}
print(rows)
assert rows["prompt"] < rows["shared"] < rows["apart"] and rows["prompt_apart"] < rows["apart"], rows
assert rows["by_source"] < rows["shared"], rows
for name in ("shared", "prompt", "prompt_apart"):
    for a, b in zip(runs["apart"], runs[name]):
        assert all(a[key] == b[key] for key in ("examples", "tokens", "target_tokens")), (a, b)
        assert abs(a["loss"] - b["loss"]) < 1e-4 and abs(a["gradient_norm"] - b["gradient_norm"]) < 1e-3, (a, b)
assert runs["apart"][0]["loss"] == runs["shared"][0]["loss"]  # forward, a shared source has the same bits
assert runs["apart"][0]["rows"] == runs["apart"][0]["tokens"] - 7
PYTHON

# nats of an example do not depend on the rows beside it
head -n 9 "$rows" >"$work/nine.jsonl"
expect 0 "$FORERUN" eval --model "$model" --prefix "$work/shared-1x1/prefix.h5" --data "$rows" --no-eos \
    --rows-out "$work/all.nats"
expect 0 "$FORERUN" eval --model "$model" --prefix "$work/shared-1x1/prefix.h5" --data "$work/nine.jsonl" --no-eos \
    --rows-out "$work/nine.nats"
cmp <(head -n 9 "$work/all.nats") "$work/nine.nats" || fail "nats depend on neighbours"

# a step ends in the middle of a source: what follows is what would have followed
for name in by_source prompt; do
    sets=(--set tasks.t.batch.order=by_source)
    [ $name = by_source ] || sets=(--set tasks.t.batch.share_prompt=3)
    expect 75 train "part-$name" 2 1 --stop-after 2 "${sets[@]}"
    expect 0 train "part-$name" 1 2 --resume "${sets[@]}"
    same "$work/$name-1x1/checkpoint-5.h5" "$work/part-$name/checkpoint-5.h5"
done

# what is shared decides bits
for set in share_sources=false share_prompt=3 order=by_source; do
    expect 6 train shared-1x1 1 1 --resume --set "tasks.t.batch.$set"
    says "tasks.t.batch.${set%=*} was"
done
expect 2 train few 1 3 --set tasks.t.batch.share_prompt=4
says "in groups of share_prompt 4 are 2 units, fewer than the 3 replicas"
expect 2 train few 1 1 --set tasks.t.batch.order=sorted
says "shuffled"

expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 1 --set tasks.t.batch.order=by_source
grep -q "useful tokens, .* rows ([1-9][0-9]* % saved by sharing)" "$work/out" || fail "$(cat "$work/out")"
