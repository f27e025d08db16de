#!/usr/bin/env bash
# Every instruction set that this processor has gives the same bits: prefixes, moments, losses and generated ids, in f32 and
# bf16, of weights that are converted and that stay in the file, and of ranks with unlike sets. All differences are told
# before it fails. The losses are those kept here, whatever processor, compiler and system they come from: a change of them
# counts up fr_device_arithmetic. usage: one_arithmetic.sh tiny|smollm2
. "$(dirname "$0")/common.sh"

steps=3
examples=4
sets=(generic avx2 avx512 avx512_vnni)
declare -A kept=(
    [tiny-f32.gguf f32]=5.53252309 [tiny-f32.gguf bf16]=5.53686605
    [tiny-q8_0.gguf f32]=5.53029734 [tiny-q8_0.gguf bf16]=5.52920491
    [tiny_gpt2 f32]=5.34958023 [tiny_gpt2 bf16]=5.34723362
    [smollm2 bf16]=14.6169215
)
if [ "$1" = smollm2 ]; then
    need_model
    rows=$work/rows.jsonl
    python3 "$SOURCE/tests/support/make_tiny.py" "$work/unused" "$rows" 40000
else
    make_tiny
    python3 "$SOURCE/tests/support/make_gguf.py" "$model" "$work/tiny-f32.gguf"
    python3 "$SOURCE/tests/support/make_gguf.py" "$model" "$work/tiny-q8_0.gguf" '{}' Q8_0
    models=("$work/tiny-f32.gguf" "$work/tiny-q8_0.gguf" "$SOURCE/tests/golden/tiny_gpt2")
fi
head -6 "$rows" >"$work/few.jsonl"

n_compared=0
n_different=0
# alike NAME COMMAND...: count and tell whether the command finds its files alike
alike() {
    local name=$1
    shift
    n_compared=$((n_compared + 1))
    if ! "$@" >"$work/difference" 2>&1; then
        n_different=$((n_different + 1))
        echo "DIFFERENT $name: $(tail -1 "$work/difference")"
    fi
}
# trains NAME FIRST [SECOND STAGES]: with one set, or two ranks with unlike ones
trains() {
    local name=$1 first=$2 second=${3:-} stages=${4:-1}
    local words=(train "$work/c.yaml" --set "run.dir=$work/$name" --set "base.weights=$weights")
    if [ -z "$second" ]; then
        FORERUN_ISA=$first expect 0 "$FORERUN" "${words[@]}"
        return
    fi
    words+=(--set "run.stages=$stages" --set "run.replicas=$((3 - stages))")
    expect 0 mpirun -n 2 "$SOURCE/tests/support/unlike_ranks.sh" "$first" "$second" "$FORERUN" "${words[@]}"
}

# measures SET RUN: loss and text with RUN's prefix, to the folder of the set's run
measures() {
    local both=(--model "$model" --prefix "$work/$2/prefix.h5" --precision "$precision" --weights "$weights" --threads 1)
    FORERUN_ISA=$1 expect 0 "$FORERUN" eval "${both[@]}" --data "$work/few.jsonl" --json
    grep -o '"loss":[^,]*' "$work/out" >"$work/run-$1/loss"
    FORERUN_ISA=$1 expect 0 "$FORERUN" generate "${both[@]}" --input "$work/few.jsonl" --max-new-tokens 12 --batch 2
    cp "$work/out" "$work/run-$1/generated"
}
# all_sets WHAT FIRST SET...: each trains, and measures with the prefix of the first
all_sets() {
    local what=$1 first=$2 set
    shift
    rm -rf "$work"/run-*
    for set in "$@"; do
        trains "run-$set" "$set"
        measures "$set" "run-$first"
        [ "$set" != "$first" ] || continue
        alike "$what: training with $set and $first" \
            "$FORERUN" compare "$work/run-$first/checkpoint-$steps.h5" "$work/run-$set/checkpoint-$steps.h5"
        alike "$what: eval with $set and $first" cmp "$work/run-$first/loss" "$work/run-$set/loss"
        alike "$what: generate with $set and $first" cmp "$work/run-$first/generated" "$work/run-$set/generated"
    done
}
# is_kept NAME SET: the loss is the one that this file keeps
is_kept() {
    alike "$1: the kept loss ${kept[$1]} and $(cat "$work/run-$2/loss")" grep -qxF "\"loss\": ${kept[$1]}" "$work/run-$2/loss"
}

if [ "$1" = smollm2 ]; then
    # plain C fuses by a call each, so it gets one step of some 60 tokens
    precision=bf16 weights=auto
    make_config $steps $examples $precision
    all_sets "SmolLM2 $precision" "${sets[@]:1}"
    is_kept "smollm2 bf16" avx2
    steps=1 examples=3
    make_config $steps $examples $precision
    all_sets "SmolLM2 $precision, one step" avx2 generic
    models=()
fi
for model in "${models[@]}"; do
    for precision in f32 bf16; do
        make_config $steps $examples $precision
        for weights in auto quantised; do
            what="$(basename "$model") $precision $weights"
            all_sets "$what" "${sets[@]}"
            is_kept "$(basename "$model") $precision" generic
            for pair in "generic avx512_vnni 2" "avx512_vnni generic 1" "avx2 avx512 2"; do
                read -r first second stages <<<"$pair"
                trains run-mixed "$first" "$second" "$stages"
                alike "$what: training with $first beside $second, $stages stages, and generic" \
                    "$FORERUN" compare "$work/run-generic/checkpoint-$steps.h5" "$work/run-mixed/checkpoint-$steps.h5"
                rm -rf "$work/run-mixed"
            done
        done
    done
    echo "$(basename "$model"): done"
done
echo "$1: $n_compared comparisons, $n_different different"
[ $n_different = 0 ] || fail "$n_different of $n_compared comparisons find other bits"
# the comparison itself can tell a difference
trains run-other avx2
expect 0 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/run-seed" --set run.seed=4
expect 1 "$FORERUN" compare "$work/run-other/checkpoint-$steps.h5" "$work/run-seed/checkpoint-$steps.h5"
