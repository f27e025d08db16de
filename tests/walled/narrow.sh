#!/usr/bin/env bash
# A device that has bf16 between operators (narrow.h) trains the same prefix on every layout and whatever is computed again.
# Its losses are near those of the plain CPU, which has f32 there, and it generates the same text, on two stages too. PLAIN:
# the program on the CPU.
. "$(dirname "$0")/../e2e/common.sh"

make_tiny
python3 "$SOURCE/tests/support/make_tokenizer.py" "$model"
make_config 6 7 bf16 true
export WALL_WORK=bf16

losses() {
    grep -o '"loss": *[^,}]*' "$work/$1/metrics.jsonl" | tr -d '"los: '
}

# near NAME: the losses of that run on both devices differ, by rounding alone. A number has 8 bits in bf16, so it is rounded by
# up to 2^-9, which is 0.002; errors of many numbers cancel in a sum. A prefix that is not the text's costs 0.03.
near() {
    paste -d ' ' <(losses "plain-$1") <(losses "$1") | awk -v most=0.004 '
        { d = $1 - $2; d = d < 0 ? -d : d; max = d / $1 > max ? d / $1 : max; differ = differ || d > 0 }
        END { printf "losses of %d steps within %.5f\n", NR, max; exit !(NR == 6 && differ && max < most) }' ||
        fail "losses of $1 on the CPU, in bf16: $(losses "plain-$1") $(losses "$1")"
}

for start in random text; do
    options=()
    [ $start = random ] || options=(--set tasks.t.prefix.init.text=guide)
    FORERUN=$PLAIN train plain-$start 1 1 "${options[@]}" 2>"$work/err" || fail "$(cat "$work/err")"
    train $start 1 1 "${options[@]}" 2>"$work/err" || fail "$(cat "$work/err")"
    near $start
    for layout in "2 1 none" "1 2 mlp" "2 2 layer" "1 1 layer"; do
        read -r stages replicas recompute <<<"$layout"
        name=$start-${stages}x$replicas-$recompute
        train "$name" "$stages" "$replicas" --set "run.recompute=$recompute" "${options[@]}" 2>"$work/err" ||
            fail "$(cat "$work/err")"
        same "$work/$start/checkpoint-6.h5" "$work/$name/checkpoint-6.h5"
        echo "$name: identical"
    done
done

# generate NAME PROGRAM STAGES
generate() {
    mpirun -n "$3" "$2" generate --model "$model" --prefix "$work/text/prefix.h5" --input "$work/few.jsonl" \
        --precision bf16 --threads 1 --max-new-tokens 6 --batch 3 --output "$work/$1" 2>"$work/err" || fail "$(cat "$work/err")"
}

# the likeliest token of each place is likelier than another by more than rounding
head -5 "$rows" >"$work/few.jsonl"
generate plain "$PLAIN" 1
for stages in 1 2; do
    generate narrow "$FORERUN" $stages
    cmp "$work/plain" "$work/narrow"
done
