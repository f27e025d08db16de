#!/usr/bin/env bash
# Every instruction set that this processor has gives the same bits: prefixes, moments, losses and generated ids, in f32 and
# bf16, of weights that are converted and that stay in the file, and of ranks with unlike sets. All differences are told
# before it fails. usage: one_arithmetic.sh tiny|smollm2
. "$(dirname "$0")/common.sh"

steps=3
examples=4
sets=(generic avx2 avx512 avx512_vnni)
if [ "$1" = smollm2 ]; then
    need_model
    rows=$work/rows.jsonl
    python3 "$SOURCE/tests/support/make_tiny.py" "$work/unused" "$rows" 40000
    steps=1
    models=("$model")
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
    expect 0 mpirun -n 1 env "FORERUN_ISA=$first" "$FORERUN" "${words[@]}" : -n 1 env "FORERUN_ISA=$second" "$FORERUN" "${words[@]}"
}

for model in "${models[@]}"; do
    for precision in f32 bf16; do
        make_config $steps $examples $precision
        for weights in auto quantised; do
            what="$(basename "$model") $precision $weights"
            rm -rf "$work"/run-*
            for set in "${sets[@]}"; do
                trains "run-$set" "$set"
                both=(--model "$model" --prefix "$work/run-generic/prefix.h5" --precision "$precision" --weights "$weights" --threads 1)
                FORERUN_ISA=$set expect 0 "$FORERUN" eval "${both[@]}" --data "$work/few.jsonl" --json
                grep -o '"loss":[^,]*' "$work/out" >"$work/run-$set/loss"
                FORERUN_ISA=$set expect 0 "$FORERUN" generate "${both[@]}" --input "$work/few.jsonl" --max-new-tokens 12 --batch 2
                cp "$work/out" "$work/run-$set/generated"
                [ "$set" != generic ] || continue
                alike "$what: training with $set and generic" \
                    "$FORERUN" compare "$work/run-generic/checkpoint-$steps.h5" "$work/run-$set/checkpoint-$steps.h5"
                alike "$what: eval with $set and generic" cmp "$work/run-generic/loss" "$work/run-$set/loss"
                alike "$what: generate with $set and generic" cmp "$work/run-generic/generated" "$work/run-$set/generated"
            done
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
trains run-other generic
expect 0 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/run-seed" --set run.seed=4
expect 1 "$FORERUN" compare "$work/run-other/checkpoint-$steps.h5" "$work/run-seed/checkpoint-$steps.h5"
