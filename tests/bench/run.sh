#!/usr/bin/env bash
# Training speed and memory on the real model: SmolLM2-135M, batch 8, prefix of 32, two threads: of one rank, and of
# two ranks that each run half of the microbatches.
#
#   usage: tests/bench/run.sh [--data DIR] [--steps N] [--precision f32|bf16] [--peer PYTHON]
#
# DIR holds train.jsonl with source and target (default: the Debian task of launch/build-debdesc.sh). Prints useful
# (source + target) tokens a second as minimum, median and maximum over the steps, CPU seconds beside wall seconds,
# and peak memory, beside what Hugging Face PEFT 0.21.2 reached elsewhere (its E2E rows, a 2-core machine with bf16
# instructions, same batch and prefix): not the same machine, so a ratio to it is only a hint. With --peer (a Python
# that has torch, transformers and peft) the peer runs here, on the same rows, right after.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
data=$root/data/debdesc steps=8 precision=bf16 peer=
while [ $# -gt 0 ]; do
    case $1 in
    --data) data=$2 ;;
    --steps) steps=$2 ;;
    --precision) precision=$2 ;;
    --peer) peer=$2 ;;
    *)
        sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift 2
done
bash "$root/launch/fetch-model.sh"
if [ "$data" = "$root/data/debdesc" ]; then
    bash "$root/launch/build-debdesc.sh"
fi
cmake --preset release -S "$root" -B "$root/build/release" >/dev/null
cmake --build "$root/build/release" --target forerun >/dev/null
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/bench.yaml" <<YAML
base: {path: "$root/models/smollm2-135m-instruct.gguf"}
run: {dir: "$work/run", steps: $steps, precision: $precision, save_every: 1000}
tasks:
  - name: bench
    train: "$data/train.jsonl"
    template: "{source}\n{target}"
    prefix: {init: {random: 0.02}, length: 32}
    optimizer: {lr: 1.0e-2}
    batch: {examples: 8, microbatch_tokens: 1024}
YAML
echo "load before: $(cut -d ' ' -f 1-3 /proc/loadavg), $(nproc) processors, $(grep -m 1 'model name' /proc/cpuinfo | cut -d : -f 2)"
. "$root/launch/mpi-env.sh"
python3 "$(dirname "$0")/measure.py" "$root/build/release/forerun" "$work" "$precision"
[ -n "$peer" ] || exit 0
model="$root/models/smollm2-135m-instruct.gguf"
forerun="$root/build/release/forerun"
head -n $((8 * steps)) "$data/train.jsonl" >"$work/head.jsonl"
# the same tokenisation for the peer: source and template as one string, the target as another
for part in source target; do
    python3 -c 'import json, sys
for line in open(sys.argv[1], encoding="utf-8"):
    row = json.loads(line)
    print(json.dumps(row["source"] + "\n" if sys.argv[2] == "source" else row["target"]))' "$work/head.jsonl" $part |
        "$forerun" tokenize --model "$model" --jsonl --no-special >"$work/$part.ids"
done
paste -d '|' "$work/source.ids" "$work/target.ids" |
    sed 's/^\(.*\)|\(.*\)$/{"source_ids": \1, "target_ids": \2}/' >"$work/ids.jsonl"
for kind in "f32 sdpa" "f32 eager" "bf16 eager"; do
    # shellcheck disable=SC2086
    printf 'peer on this machine, %-12s ' "$kind"
    # shellcheck disable=SC2086
    "$peer" "$(dirname "$0")/peer.py" "$model" "$work/ids.jsonl" $kind "$steps" 2>/dev/null | tail -n 1
done
