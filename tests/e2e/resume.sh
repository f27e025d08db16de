#!/usr/bin/env bash
# Stop at any step, go on with another layout and keeping less: the bits of an uninterrupted run. usage: resume.sh tiny|smollm2
. "$(dirname "$0")/common.sh"

if [ "$1" = tiny ]; then
    make_tiny
    steps=6
    examples=7
else
    need_model
    rows=$work/rows.jsonl
    python3 "$SOURCE/tests/support/make_tiny.py" "$work/unused" "$rows" 40000
    steps=3
    examples=4
fi
make_config $steps $examples f32
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"
layouts=("1 1" "2 1" "1 2" "3 1" "2 2" "4 1")
for ((stop = 1; stop < steps; stop++)); do
    read -r s1 r1 <<<"${layouts[stop % 6]}"
    read -r s2 r2 <<<"${layouts[(stop + 2) % 6]}"
    expect 75 train "part-$stop" "$s1" "$r1" --stop-after $stop
    says "--resume"
    train "part-$stop" "$s2" "$r2" --resume --set run.recompute=layer 2>"$work/err" || fail "$(cat "$work/err")"
    same "$work/whole/checkpoint-$steps.h5" "$work/part-$stop/checkpoint-$steps.h5"
    lines=$(grep -c '"lr"' "$work/part-$stop/metrics.jsonl")
    [ "$lines" = "$steps" ] || fail "$lines metric lines for $steps steps"
    echo "$1 stopped after $stop on ${s1}x$r1, finished on ${s2}x$r2: identical"
done
cmp "$work/whole/prefix.h5" "$work/part-1/prefix.h5" >/dev/null || echo "note: prefix files differ in their layout text only"
same "$work/whole/prefix.h5" "$work/part-1/prefix.h5"

# a folder in use needs --resume; a finished run resumes to nothing
expect 2 train whole 1 1
says "--resume"
expect 0 train whole 2 1 --resume=latest
# identity keys and the data must be those of the start
expect 6 train whole 1 1 --resume --set run.seed=9
says "seed"
head -n 30 "$rows" >"$work/fewer.jsonl"
expect 6 train whole 1 1 --resume --set "tasks.t.train=$work/fewer.jsonl"
says "other data"
# a prefix for inference cannot be resumed
expect 6 train whole 1 1 "--resume=$work/whole/prefix.h5"
says "no optimizer state"
# a damaged newest checkpoint falls back to the one before
train pair 1 1 --set run.save_every=$((steps - 1)) 2>"$work/err" || fail "$(cat "$work/err")"
printf 'x' | dd of="$work/pair/checkpoint-$steps.h5" bs=1 seek=4000 conv=notrunc 2>/dev/null
expect 0 train pair 1 1 --resume --set run.save_every=$((steps - 1))
says "checkpoint-$steps.h5"
same "$work/whole/checkpoint-$steps.h5" "$work/pair/checkpoint-$steps.h5"
