#!/usr/bin/env bash
# forerun plan: a 70B model on 1,024 ranks from config.json alone, the same choice as train, pictures, bad input.
. "$(dirname "$0")/common.sh"

# plan ARGUMENTS...: tables into $work/out
plan() {
    expect 0 "$FORERUN" plan "$@"
}

# json EXPRESSION: the last line of $work/out is one object `o`, for which the expression holds.
json() {
    tail -n 1 "$work/out" | python3 -c "
import json, sys
o = json.load(sys.stdin)
ok = $1
if not ok:
    print({k: v for k, v in o.items() if k != 'stage'})
sys.exit(not ok)" || fail "not so: $1"
}

# ---- a large model that is not there

mkdir "$work/large"
cat >"$work/large/config.json" <<'JSON'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 8192,
 "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
 "vocab_size": 128256, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
 "tie_word_embeddings": false}
JSON
cat >"$work/large.yaml" <<YAML
base: {path: "$work/large"}
run: {dir: "$work/large run", steps: 100, precision: bf16}
tasks:
  - name: first
    train: "$work/nowhere.jsonl"
    template: "{source}{target}"
    prefix: {init: {text: "Summarise the text in one short sentence."}}
    batch: {examples: 4096, microbatch_tokens: 1024}
  - name: second
    train: "$work/nowhere.jsonl"
    template: "{source}{target}"
    prefix: {init: {random: 0.5}, length: 128}
    batch: {examples: 2048, microbatch_tokens: 1024}
YAML
large=("$work/large.yaml" --ranks 1024 --node-memory 80G --flops 4e14 --link-gbps 400
    --tokens-per-example 512 --target-share 0.25)
began=$(date +%s%N)
plan "${large[@]}" --svg "$work/large.svg"
echo "70B on 1,024 ranks: $((($(date +%s%N) - began) / 1000000)) ms"
grep -q "sizes are assumed" "$work/out" || fail "does not say that sizes are assumed"
grep -q "^stage 0 " "$work/out" || fail "no picture"
grep '^stage [0-9]* *[.a-zA-Z0-9=-]*$' "$work/out" | awk 'length > 100 { exit 1 }' || fail "a row is too wide"
plan "${large[@]}" --json
[ "$(wc -l <"$work/out")" = 1 ] || fail "more than the object is printed"
json 'o["stages"] * o["replicas"] == 1024 and o["fits"]'
json 'sum(s["layers"] for s in o["stage"]) == 80 and len(o["stage"]) == o["stages"]'
json 'abs(o["stage"][-1]["cost"] - o["stage"][-1]["layers"] - 0.25 * 8192 * 128256 / 855638016) < 1e-9'
json 'o["edge_bytes"] == (4096 + 2048) * 512 * 8192 * 4'
json 'all(s["reduction_bytes"] == 2 * s["layers"] * (11 + 128) * 8 * 128 * 8 for s in o["stage"])'
json 'o["largest_bytes"] == max(s["memory"]["total"] for s in o["stage"]) <= 0.9 * o["rank_memory"]'
json 'all(sum(v for k, v in s["memory"].items() if k != "total") == s["memory"]["total"] for s in o["stage"])'
json 'o["simulated_passes"] <= 2 * 6 * o["stages"] * (4 * o["stages"] + 2)'
json 'abs(o["tokens_per_second"] * o["step_seconds"] - 6144 * 512) < 1'
json 'o["link_hides"] and 0 <= o["bubble"] < 1 and not o["tasks"][0]["from_rows"] and o["tasks"][0]["length_assumed"]'
json '[c["step_seconds"] for c in o["candidates"] if c["fits"]] == sorted(c["step_seconds"] for c in o["candidates"] if c["fits"])'
json 'all(c["fits"] != bool(c["reason"]) for c in o["candidates"]) and not o["candidates"][-1]["possible"]'
plan "${large[@]}" --node-memory 640G --ranks-per-node 8 --json # replicas of a node hold the weights once
json 'o["stages"] == 1 and o["fits"] and o["stage"][0]["memory"]["weights"] < 141e9 / 8 + 1e9'
expect 1 "$FORERUN" plan "$work/large.yaml" --ranks 1024 --node-memory 4G --json
json 'not o["fits"] and "GiB" in o["candidates"][0]["reason"]'
json 'o["needed"]["rank_bytes"] > 30e9 and not o["loading"]["file_is_here"]'
plan "$work/large.yaml" --ranks 1024 --node-memory 640G --set run.stages=64 --link-gbps 0.001 --json
json 'o["stages"] == 64 and not o["link_hides"]'
json 'o["step_seconds"] >= o["edge_bytes"] / o["replicas"] / o["link_bytes_a_second"]'

# ---- links inside nodes and between them: stages of a replica share a node where its ranks are enough

nodes=("$work/large.yaml" --ranks 64 --node-memory 8TB --set run.stages=8)
plan "${nodes[@]}" --ranks-per-node 8 --link-gbps 10 --link-us 20 --node-link-gbps 80 --node-link-us 4 --json
json 'o["link_bytes_a_second"] == 1.25e9 and o["node_link_bytes_a_second"] == 1e10 and not o["node_link_assumed"]'
json 'o["replicas_on_several_nodes"] == 0 and o["edges_between_nodes"] == 0'
json 'abs(o["message_seconds"] - (o["message_bytes"] / 1e10 + 4e-6)) < 1e-12'
plan "${nodes[@]}" --ranks-per-node 6 --node-link-gbps 80 --json
json 'o["replicas_on_several_nodes"] == 8 and o["edges_between_nodes"] == 1'
json 'abs(o["message_seconds"] - (o["message_bytes"] / 1.25e9 + 2e-5)) < 1e-12'
plan "${nodes[@]}" --ranks-per-node 8 --json
json 'o["link_assumed"] and o["node_link_assumed"] and o["node_link_bytes_a_second"] == 5e9 and o["node_link_seconds"] == 2e-6'
plan "${nodes[@]}" --ranks-per-node 8 --link-gbps 400 --link-us 1 --json # inside a node it is not slower
json 'o["node_link_bytes_a_second"] == 5e10 and o["node_link_seconds"] == 1e-6 and o["node_link_assumed"]'
plan "${nodes[@]}" --ranks-per-node 6
grep -q "^  8 of 8 replicas lie on several nodes: up to 1 of the 7 edges of a replica leads to another node$" "$work/out" ||
    fail "$(cat "$work/out")"
grep -q "^links      between nodes 10 Gbit/s and 20 us (assumed; --link-gbps, --link-us); inside a node 40 Gbit/s and 2 us (assumed;" \
    "$work/out" || fail "$(cat "$work/out")"
[ "$(ls "$work/large")" = config.json ] || fail "plan wrote into the model's folder"
[ ! -e "$work/large run" ] || fail "plan made a run folder"

# ---- pictures

make_tiny
make_config 4 79 f32
plan "$work/c.yaml" --ranks 4 --set run.stages=4 --svg "$work/tiny.svg"
for svg in large tiny; do
    python3 - "$work/$svg.svg" <<'PYTHON' || fail "$svg.svg"
import sys
import xml.etree.ElementTree as tree

SVG = "{http://www.w3.org/2000/svg}"
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == SVG + "svg", root.tag
width, height = float(root.get("width")), float(root.get("height"))
for box in root.iter(SVG + "rect"):
    if box.get("x"):
        x, y = float(box.get("x")), float(box.get("y"))
        assert 0 <= x and x + float(box.get("width")) <= width, box.attrib
        assert 0 <= y and y + float(box.get("height")) <= height, box.attrib
passes = [g.find(SVG + "title").text for g in root.iter(SVG + "g")]
assert any(p.startswith("forward") for p in passes) and any(p.startswith("backward") for p in passes)
PYTHON
done

# ---- real rows: all examples are in every step, so the rows of a step can be counted here

grep -q "sizes are those of the first 79 examples" "$work/out" || fail "does not say that rows were read"
rows_of_step=$(python3 -c "
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
print(sum(len(r['source_ids']) + sum(len(t) - 1 for t in r['target_ids']) for r in rows))" "$rows")
plan "$work/c.yaml" --ranks 2 --set run.stages=2 --json
json "o['edge_bytes'] == $rows_of_step * 32 * 4 and o['tasks'][0]['from_rows']"
json 'o["stage"][0]["reduction_bytes"] == 2 * o["stage"][0]["layers"] * 5 * 2 * 8 * 8'
[ ! -e "$work/run" ] || fail "plan made a run folder"

# ---- a device with memory of its own: it has what the host had, and decides what fits

make_config 1 8 f32
plan "$work/c.yaml" --ranks 4 --device-memory 1G
grep -q "^device     1.00 GiB of its own memory for a rank" "$work/out" || fail "the device is not named"
grep -q "^host       " "$work/out" || fail "no table of the host's memory"
grep -q "workspace        head      images     scratch    products        sums       slack      device$" "$work/out" || fail "not all parts of the device"
plan "$work/c.yaml" --ranks 4 --device-memory 1G --json
json 'o["device_memory"] == 2**30 and o["fits"] and o["stages"] == 1'
json 'all(m["device"] == sum(m[k] for k in ("weights", "activations", "edges", "validation", "workspace", "head", "images", "scratch", "products", "sums", "slack"))
          and m["total"] == m["process"] + max(m["loading"], m["tasks"] + m["copies"])
          for m in (s["memory"] for s in o["stage"]))'
device_bytes=$(tail -n 1 "$work/out" | python3 -c 'import json, sys; print(json.load(sys.stdin)["stage"][0]["memory"]["device"])')
plan "$work/c.yaml" --ranks 4 --device-memory $((device_bytes * 10 / 9 - 2)) --json
json 'o["fits"] and o["stages"] > 1 and o["largest_bytes"] < o["rank_memory"]'
expect 1 "$FORERUN" plan "$work/c.yaml" --ranks 4 --device-memory 1000
grep -q "in its device; 90 % of its memory is 900 B" "$work/out" || fail "the device is not the reason: $(cat "$work/out")"
grep -q "of its device's instead of 1000 B" "$work/out" || fail "the remedy does not name the device"
plan "$work/c.yaml" --ranks 4 --device-memory 80GB --set run.device=cuda --json
json 'o["device_memory"] == 80 * 10**9 and o["ranks_per_device"] == 1 and o["microbatch_tokens_auto"] == 1024'
json 'all(s["memory"]["scratch"] >= 65536 and s["memory"]["slack"] > 0 for s in o["stage"])'
open=(--set run.device=cuda --set tasks.t.batch.microbatch_tokens=auto)
plan "$work/c.yaml" --ranks 4 --device-memory 80GB --ranks-per-gpu 2 "${open[@]}" --json
json 'o["device_memory"] == 40 * 10**9 and o["ranks_per_device"] == 2 and o["microbatch_tokens_auto"] == 8192'
plan "$work/c.yaml" --ranks 4 --device-memory 80GB --ranks-per-gpu 2 "${open[@]}"
grep -q "^device     37.25 GiB of its own memory for a rank, 2 ranks a device; batch.microbatch_tokens: auto is 8192" "$work/out" ||
    fail "the device is not told: $(cat "$work/out")"
plan "$work/c.yaml" --ranks 4 --json
json 'o["device_memory"] == 0 and all(s["memory"]["device"] == 0 for s in o["stage"])'

# ---- train chooses the same, with few examples and many, and loads the same layers

for examples in 1 3 8; do
    make_config 1 $examples f32
    for ranks in 2 4; do
        rm -rf "$work/run"
        expect 0 mpirun -n $ranks "$FORERUN" train "$work/c.yaml"
        trained=$(sed -n 's/.*layout \([0-9]*x[0-9]*\),.*/\1/p' "$work/err")
        plan "$work/c.yaml" --ranks $ranks --ranks-per-node $ranks --json
        planned=$(python3 -c 'import json, sys; o = json.load(sys.stdin); print("%dx%d" % (o["stages"], o["replicas"]))' <"$work/out")
        [ "$trained" = "$planned" ] || fail "$examples examples on $ranks ranks: train took '$trained', plan '$planned'"
    done
done

# ---- bad input: one line, the right code

# bad CODE TEXT ARGUMENTS...
bad() {
    local code=$1 text=$2
    shift 2
    expect "$code" timeout 60 "$FORERUN" plan "$@"
    says "$text"
    [ "$(grep -c '^error: ' "$work/err")" = 1 ] || fail "not one error line for: $text"
    [ ! -s "$work/out" ] || fail "results were printed with: $text"
}

bad 2 "--ranks is missing" "$work/c.yaml"
bad 2 "--ranks" "$work/c.yaml" --ranks 0
bad 2 "--ranks" "$work/c.yaml" --ranks many
bad 2 "--node-memory is 40X" "$work/c.yaml" --ranks 2 --node-memory 40X
bad 2 "--node-memory is -1G" "$work/c.yaml" --ranks 2 --node-memory=-1G
if [[ $("$FORERUN" eval --device gpu 2>&1) != *"or cuda"* ]]; then
    bad 2 "run.device is cuda, which this program is built without" "$work/c.yaml" --ranks 2 --set run.device=cuda
fi
bad 2 "--device-memory is much" "$work/c.yaml" --ranks 2 --device-memory much
bad 2 "--device-memory is of devices with memory of their own" "$work/c.yaml" --ranks 2 --device-memory 1G --set run.device=cpu
bad 2 "--ranks-per-gpu is of devices with memory of their own" "$work/c.yaml" --ranks 2 --ranks-per-gpu 2 --set run.device=cpu
bad 2 "--flops is 0" "$work/c.yaml" --ranks 2 --flops 0
bad 2 "--target-share is 2" "$work/c.yaml" --ranks 2 --target-share 2
bad 2 "did you mean --ranks" "$work/c.yaml" --rank 2
bad 2 "exampels" "$work/c.yaml" --ranks 2 --set tasks.t.batch.exampels=4
bad 3 "nowhere.yaml" "$work/nowhere.yaml" --ranks 2
bad 3 "nowhere" "$work/c.yaml" --ranks 2 --set "base.path=$work/nowhere"
bad 2 "5 stages, the model has 4 layers" "$work/c.yaml" --ranks 5 --set run.stages=5
bad 2 "is not the number of ranks 5" "$work/c.yaml" --ranks 5 --set run.stages=2
bad 2 "fewer than the 16 replicas" "$work/c.yaml" --ranks 16 --set run.stages=1
printf '{"source_ids": [1], "target_ids"\n' >"$work/broken.jsonl"
bad 3 "broken.jsonl:1:" "$work/c.yaml" --ranks 2 --set "tasks.t.train=$work/broken.jsonl"
expect 1 "$FORERUN" plan "$work/c.yaml" --ranks 2 --json --svg "$work/no folder/a.svg"
says "no folder"
expect 0 "$FORERUN" plan --help
echo "plan agrees with train and with the formulas"
