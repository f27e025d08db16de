#!/usr/bin/env bash
# One, two and three tasks on every layout of up to six ranks, uneven splits among them, with both warm-up depths: one
# set of bits a task. What the edges between stages carry is in the metrics, the same on every layout.
. "$(dirname "$0")/common.sh"

make_tiny 128 7
names=(a b c)

# config COUNT: the first COUNT tasks, of different lengths, sizes and numbers of steps.
config() {
    cat >"$work/c.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/run", seed: 3, precision: f32, save_every: 2, threads: 1, measure_base: false}
tasks:
  - {name: a, train: "$rows", eos: false, steps: 4, prefix: {init: {random: 0.5}, length: 5}, optimizer: {lr: 1.0e-2}, batch: {examples: 12, microbatch_tokens: 64}}
YAML
    if [ "$1" -ge 2 ]; then
        echo "  - {name: b, train: \"$rows\", eos: false, steps: 3, seed: 9, prefix: {init: {random: 0.1}, length: 3, mlp: {hidden: 8}}, batch: {examples: 6, microbatch_tokens: 200}}" >>"$work/c.yaml"
    fi
    if [ "$1" -ge 3 ]; then
        echo "  - {name: c, train: \"$rows\", eos: false, steps: 5, seed: 4, prefix: {init: {zero: true}, length: 6}, batch: {examples: 7, microbatch_tokens: 40}}" >>"$work/c.yaml"
    fi
}

# traffic RUN: bytes over each edge of each step of each task, as a sorted list without repetitions of an edge.
traffic() {
    python3 - "$1/metrics.jsonl" <<'PY'
import json, sys
steps = [step for step in map(json.loads, open(sys.argv[1])) if "edges" in step]
for step in sorted(steps, key=lambda step: (step["task"], step["step"])):
    edges = {(edge["forward_bytes"], edge["backward_bytes"]) for edge in step["edges"]}
    if edges:
        print(step["task"], step["step"], sorted(edges))
PY
}

config 3
train all 1 1 2>"$work/err" || fail "$(cat "$work/err")"
runs=0
for layout in "1 1" "1 2" "1 3" "1 4" "1 5" "1 6" "2 1" "2 2" "2 3" "3 1" "3 2" "4 1" "5 1" "6 1"; do
    read -r stages replicas <<<"$layout"
    depths=(1 2)
    [ "$stages" -gt 1 ] || depths=(1)
    for count in 1 2 3; do
        config $count
        for depth in "${depths[@]}"; do
            name=$count-${stages}x$replicas-$depth
            train "$name" "$stages" "$replicas" --set "run.warmup_depth=$depth" 2>"$work/err" ||
                fail "$name: $(cat "$work/err")"
            for task in "${names[@]:0:count}"; do
                same "$work/$name/prefix.h5:$task" "$work/all/prefix.h5:$task"
            done
            runs=$((runs + 1))
        done
    done
    if [ "$stages" -gt 1 ]; then
        traffic "$work/3-${stages}x$replicas-1" >"$work/traffic"
        [ -f "$work/traffic.first" ] || cp "$work/traffic" "$work/traffic.first"
        [ -s "$work/traffic" ] || fail "no traffic in the metrics of ${stages}x$replicas"
        cmp "$work/traffic" "$work/traffic.first" || fail "${stages}x$replicas carries other bytes"
    fi
done
echo "$runs runs: each task has one set of bits; the edges carry the same bytes on every layout"
same "$work/3-6x1-2/checkpoint-5.h5" "$work/all/checkpoint-5.h5"
config 3
train layer 3 1 --set run.warmup_depth=2 --set run.recompute=layer 2>"$work/err" || fail "$(cat "$work/err")"
same "$work/layer/checkpoint-5.h5" "$work/all/checkpoint-5.h5"
expect 1 "$FORERUN" compare "$work/all/prefix.h5:a" "$work/all/prefix.h5:c"

# a step of all 79 examples has the same rows each time: what `plan` says is what the edges carried, to the byte
config 1
set_all=(--set tasks.a.batch.examples=79)
train planned 3 2 "${set_all[@]}" 2>"$work/err" || fail "$(cat "$work/err")"
"$FORERUN" plan "$work/c.yaml" --ranks 6 --set run.stages=3 --set run.replicas=2 "${set_all[@]}" --json >"$work/plan.json"
python3 - "$work/plan.json" "$work/planned/metrics.jsonl" <<'PY' || fail "plan and metrics differ"
import json, sys

planned = json.loads(open(sys.argv[1]).readlines()[-1])["edge_bytes"]
steps = [step for step in map(json.loads, open(sys.argv[2])) if "edges" in step]
edges = [edge for step in steps for edge in step["edges"]]
assert len(steps) == 4 and len(edges) == 8, (len(steps), len(edges))
for edge in edges:
    assert edge["forward_bytes"] == edge["backward_bytes"] == planned, (edge, planned)
print("each edge carried the planned %d bytes each way in every step" % planned)
PY
