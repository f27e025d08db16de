#!/usr/bin/env bash
# Prefixes on some layers beside one on all: one set of bits a task on every layout and alone, nothing backward over
# edges below, resumed on another layout, and what other commands make of such a file.
. "$(dirname "$0")/common.sh"

make_tiny 128 6

# config NAMES...: the tasks called so; b on the upper half, c on two layers in the middle with an MLP.
config() {
    cat >"$work/c.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/run", seed: 3, precision: ${precision:-f32}, save_every: 2, threads: 1, valid_every: 2, measure_base: false}
tasks:
YAML
    for name in "$@"; do
        case $name in
            a) prefix='init: {random: 0.5}, length: 5' sizes='examples: 12, microbatch_tokens: 64' ;;
            b) prefix='init: {random: 0.5}, length: 4, layers: {first: 3}' sizes='examples: 9, microbatch_tokens: 100' ;;
            c) prefix='init: {random: 0.1}, length: 3, layers: {first: 2, count: 2}, mlp: {hidden: 8}' sizes='examples: 6, microbatch_tokens: 40' ;;
        esac
        echo "  - {name: $name, train: \"$rows\", valid: \"$rows\", valid_rows: 6, eos: false, steps: 4, seed: 5, prefix: {$prefix}, optimizer: {lr: 1.0e-2}, batch: {$sizes}}" >>"$work/c.yaml"
    done
}

# ---- layouts

for precision in f32 bf16; do
    config a b c
    train $precision 1 1 2>"$work/err" || fail "$(cat "$work/err")"
    for layout in "2 1" "3 1" "4 1" "6 1" "1 2" "2 2"; do
        read -r stages replicas <<<"$layout"
        for depth in 1 2; do
            name=$precision-${stages}x$replicas-$depth
            train "$name" "$stages" "$replicas" --set run.warmup_depth=$depth 2>"$work/err" || fail "$name: $(cat "$work/err")"
            same "$work/$precision/checkpoint-4.h5" "$work/$name/checkpoint-4.h5"
            same "$work/$precision/best.h5" "$work/$name/best.h5"
        done
    done
    for task in b c; do
        config $task
        train $precision-$task 3 1 2>"$work/err" || fail "$(cat "$work/err")"
        same "$work/$precision-$task/prefix.h5:$task" "$work/$precision/prefix.h5:$task"
    done
done
precision=f32
echo "identical on every layout, alone and beside others"
for task in a b c; do
    expect 1 "$FORERUN" compare "$work/f32/prefix.h5:$task" "$work/bf16/prefix.h5:$task"
done

# ---- traffic: with 6 stages edge e lies between layers e and e + 1; a task sends back over those above its first layer

python3 - "$work/f32-6x1-1/metrics.jsonl" <<'PY' || fail "traffic"
import json, sys
first = {"a": 0, "b": 3, "c": 2}
steps = [json.loads(line) for line in open(sys.argv[1])]
steps = [step for step in steps if "edges" in step]
assert len(steps) == 12, len(steps)
for step in steps:
    assert len(step["edges"]) == 5
    for e, edge in enumerate(step["edges"]):
        wanted = edge["forward_bytes"] if e >= first[step["task"]] else 0
        assert edge["forward_bytes"] > 0 and edge["backward_bytes"] == wanted, (step["task"], e, edge)
PY
# all 79 examples in every step: what plan says is what was carried, to the byte
config a b
all=(--set tasks.a.batch.examples=79 --set tasks.b.batch.examples=79)
train planned 3 2 "${all[@]}" 2>"$work/err" || fail "$(cat "$work/err")"
plan() {
    expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 6 --set run.stages=3 --set run.replicas=2 "${all[@]}" "$@"
}
plan
grep -q "less backward below a task's first layer with a prefix: " "$work/out" || fail "plan does not say it"
plan --json
python3 - "$work/out" "$work/planned/metrics.jsonl" <<'PY' || fail "plan and metrics differ"
import json, sys
plan = json.loads(open(sys.argv[1]).readlines()[-1])
carried = {}
for line in open(sys.argv[2]):
    step = json.loads(line)
    for e, edge in enumerate(step.get("edges", [])):
        total = carried.setdefault((step["step"], e), [0, 0])
        total[0] += edge["forward_bytes"]
        total[1] += edge["backward_bytes"]
assert len(carried) == 8, carried
for (_, e), total in carried.items():
    assert total == [plan["edge_bytes"], plan["stage"][e + 1]["backward_bytes"]], (e, total, plan)
a, b = 5 * 2 * 8 * 8, 4 * 2 * 8 * 8
bounds = [(s["first_layer"], s["first_layer"] + s["layers"]) for s in plan["stage"]]
for s, (low, high) in zip(plan["stage"], bounds):
    assert s["reduction_bytes"] == 2 * ((high - low) * a + max(0, high - max(low, 3)) * b), s
assert plan["stage"][1]["backward_bytes"] * 2 == plan["edge_bytes"] == plan["stage"][2]["backward_bytes"], plan
PY
echo "edges carry what was planned: nothing backward below"

# ---- resume on other layouts

config a b c
layouts=("6 1" "1 1" "2 2" "3 1")
for stop in 1 2 3; do
    read -r s1 r1 <<<"${layouts[stop]}"
    read -r s2 r2 <<<"${layouts[stop - 1]}"
    expect 75 train "part-$stop" "$s1" "$r1" --stop-after $stop
    train "part-$stop" "$s2" "$r2" --resume 2>"$work/err" || fail "$(cat "$work/err")"
    same "$work/f32/checkpoint-4.h5" "$work/part-$stop/checkpoint-4.h5"
    same "$work/f32/best.h5" "$work/part-$stop/best.h5"
done
expect 6 train part-1 1 1 --resume --set tasks.b.prefix.layers.first=4
says "tasks.b.prefix.layers.first was 3"
echo "resumed on other layouts: identical"

# ---- the files

"$FORERUN" inspect "$work/f32/checkpoint-4.h5" >"$work/out"
grep -qF "layers       3 to 5 of 0 to 5" "$work/out" || fail "$(cat "$work/out")"
[ "$(grep -c "^  layers " "$work/out")" = 2 ] || fail "$(cat "$work/out")"
for task in a b c; do
    for ranks in 1 2 6; do
        expect 0 mpirun -n $ranks "$FORERUN" eval --model "$model" --prefix "$work/f32/prefix.h5:$task" --data "$rows" \
            --precision f32 --stages $ranks --json
        python3 -c 'import json, sys; print(json.loads(sys.stdin.readlines()[-1])["loss"])' <"$work/out" >"$work/loss-$ranks"
        cmp "$work/loss-1" "$work/loss-$ranks" || fail "eval of $task on $ranks stages"
    done
    cp "$work/loss-1" "$work/loss-of-$task"
done
! cmp -s "$work/loss-of-a" "$work/loss-of-b" || fail "two prefixes, one loss"

# ---- init from a file

file=(--set "tasks.b.prefix.init.file=$work/f32/prefix.h5:b" --set tasks.b.prefix.length=auto --set tasks.b.optimizer.lr=0)
config b
for layout in "1 1" "3 1"; do
    read -r stages replicas <<<"$layout"
    train "file-$stages" "$stages" "$replicas" "${file[@]}" 2>"$work/err" || fail "$(cat "$work/err")"
    same "$work/file-$stages/prefix.h5:b" "$work/f32/prefix.h5:b"
done
expect 2 train other 1 1 "${file[@]}" --set tasks.b.prefix.layers.first=0
says "tasks.b has a prefix on layers 0 to 5, its init $work/f32/prefix.h5:b on layers 3 to 5"
expect 2 train other-2 1 1 "${file[@]}" --set "tasks.b.prefix.init.file=$work/f32/prefix.h5:a"
says "set prefix.layers to {first: 0, count: 6}"

# ---- bad numbers: both are named

for key in first=6 count=4; do
    expect 2 "$FORERUN" train "$work/c.yaml" --set "tasks.b.prefix.layers.$key"
    says "tasks.b.prefix.layers reaches up to layer 6, the base has layers 0 to 5"
    rm -rf "$work/run"
    expect 2 "$FORERUN" plan "$work/c.yaml" --ranks 2 --set "tasks.b.prefix.layers.$key"
    says "tasks.b.prefix.layers reaches up to layer 6, the base has layers 0 to 5"
done
