#!/usr/bin/env bash
# Training steps of a model with random weights on the GPU: what they took, then the profile; the lines of the report are indented.
# The share of what the GPU can do counts 4 FLOP a weight and token, forward and back (there are no gradients of weights); the
# vocabulary's weights count for targets alone, attention does not count. GPU_PEAK: what the GPU can do, in TFLOP/s.
# usage: bench.sh PROGRAM SHAPE STEPS EXAMPLES TOKENS MICROBATCH (SHAPE as in make_model.py; tokens of a row, of a microbatch)
set -euo pipefail

program=$1 shape=$2 steps=$3 examples=$4 tokens=$5 microbatch=$6
folder=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/forerun-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

python3 "$folder/make_model.py" "$work/model" "$work/rows.jsonl" "$shape" "$((steps * examples))" "$tokens"
cat >"$work/c.yaml" <<YAML
base: {path: "$work/model"}
run: {dir: "$work/run", seed: 3, steps: $steps, precision: bf16, save_every: 100000, measure_base: false, device: cuda}
tasks:
  - name: t
    train: "$work/rows.jsonl"
    eos: false
    prefix: {init: {random: 0.5}, length: 128}
    optimizer: {lr: 1.0e-3}
    batch: {examples: $examples, microbatch_tokens: $microbatch}
YAML
# trains NAME ARGUMENTS...
trains() {
    local name=$1
    shift
    "$program" train "$work/c.yaml" --set "run.dir=$work/$name" "$@" >"$work/out" 2>"$work/$name.err" || {
        cat "$work/out" "$work/$name.err" >&2
        exit 1
    }
}
trains run
python3 - "$work/run/metrics.jsonl" "$shape" "$tokens" "$work/model/config.json" "${GPU_PEAK:-}" <<'PY'
import json
import statistics
import sys

lines = [line for line in map(json.loads, open(sys.argv[1], encoding="utf-8")) if "lr" in line]
rates = [line["tokens_per_second"] for line in lines[1:]]  # the first step warms up
seconds = [line["seconds"] for line in lines[1:]]
print(f"  {sys.argv[2]}: {statistics.median(rates):.0f} tokens/s (median of {len(rates)} steps, {min(rates):.0f} to "
      f"{max(rates):.0f}; {statistics.median(seconds):.3f} s and {lines[-1]['tokens']} useful tokens a step), rows of {sys.argv[3]} "
      "tokens, prefix of 128, bf16")
with open(sys.argv[4], encoding="utf-8") as file:
    model = json.load(file)
heads = 2 * model["num_attention_heads"] + 2 * model["num_key_value_heads"]  # of q and o, of k and v
layer = model["hidden_size"] * (heads * model["head_dim"] + 3 * model["intermediate_size"])
weights = model["num_hidden_layers"] * layer + model["vocab_size"] * model["hidden_size"] / 2
rate = 4 * weights * statistics.median(rates) / 1e12
share = f", {100 * rate / float(sys.argv[5]):.1f} % of the {sys.argv[5]} that this GPU can do (MFU)" if sys.argv[5] else ""
print(f"  {sys.argv[2]}: {rate:.3g} TFLOP/s by 4 FLOP a weight and token{share}")
PY
# times of operators are the host's: it waits after each kernel, which costs some of the speed
FORERUN_SYNC=1 trains profile --profile --set run.steps=2
echo "  where two steps go, with FORERUN_SYNC=1:"
sed -n '/^operator /,/^all else/s/^/  /p' "$work/profile.err"
