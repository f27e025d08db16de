#!/usr/bin/env bash
# Peak memory of training SmolLM2-135M in bf16 with a prefix of 32, one rank: over sizes of microbatches and what the
# backward pass computes again (batch 8), then a single row of 8,000 random tokens with `recompute: layer`, which must
# stay within 1.5 GB. The row takes minutes.
#
#   usage: tests/bench/memory.sh [--data DIR] [--steps N] [--threads N] [--only table|row]
#
# DIR holds train.jsonl with source and target (default: the Debian task of launch/build-debdesc.sh).
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
data=$root/data/debdesc steps=4 threads=2 only=
while [ $# -gt 0 ]; do
    case $1 in
    --data) data=$2 ;;
    --steps) steps=$2 ;;
    --threads) threads=$2 ;;
    --only) only=$2 ;;
    *)
        sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift 2
done
bash "$root/launch/fetch-model.sh"
if [ "$data" = "$root/data/debdesc" ] && [ "$only" != row ]; then
    bash "$root/launch/build-debdesc.sh"
fi
cmake --preset release -S "$root" -B "$root/build/release" >/dev/null
cmake --build "$root/build/release" --target forerun >/dev/null
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
config() {
    cat <<YAML
base: {path: "$root/models/smollm2-135m-instruct.gguf"}
run: {dir: "$work/run", steps: $1, precision: bf16, measure_base: false, save_every: 1000, threads: $threads}
tasks:
  - name: bench
    train: "$2"
    $3
    prefix: {init: {random: 0.02}, length: 32}
    batch: {examples: $4, microbatch_tokens: 1024}
YAML
}
config "$steps" "$data/train.jsonl" 'template: "{source}\n{target}"' 8 >"$work/table.yaml"
config 1 "$work/row.jsonl" 'eos: false' 1 >"$work/row.yaml"
python3 "$(dirname "$0")/memory.py" "$root/build/release/forerun" "$work" ${only:+"$only"}
