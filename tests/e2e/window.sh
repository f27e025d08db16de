#!/usr/bin/env bash
# `prefix.window` from the config to the files and back, on a model without windows: it is kept, told and compared, and
# changes no number there.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 4 8 f32
slides=(--set tasks.t.prefix.window=slides)
says_so="tasks.t.prefix.window is slides, and no layer of the base has a window: it has no effect"

# ---- training: the same numbers, other files

for window in always slides; do
    [ $window = slides ] && n=1 || n=0
    train $window 2 1 --set tasks.t.prefix.window=$window 2>"$work/err" || fail "$(cat "$work/err")"
    [ "$(grep -cF "$says_so" "$work/err")" = $n ] || fail "$window: $(cat "$work/err")"
    "$FORERUN" inspect "$work/$window/checkpoint-4.h5" >"$work/$window.txt"
    for file in checkpoint-4.h5 prefix.h5; do
        head -1 "$work/$window/$file" | tr -d '\0' >"$work/title"
        grep -qx "Forerun checkpoint 2.$((2 + n))" "$work/title" || fail "$window: $(cat "$work/title")"
    done
done
grep -qx "  window       slides: a layer's window may hide slots" "$work/slides.txt" || fail "$(cat "$work/slides.txt")"
! grep -q "^  window" "$work/always.txt" || fail "$(cat "$work/always.txt")"
for file in checkpoint-4.h5 prefix.h5; do
    expect 1 "$FORERUN" compare "$work/always/$file" "$work/slides/$file"
    grep -qF "task t: window always against slides" "$work/out" || fail "$(cat "$work/out")"
done
echo "trained: the same numbers, told apart"

# ---- resume: only as it was

expect 75 train part 1 1 "${slides[@]}" --stop-after 2
expect 6 train part 1 1 --resume
says "tasks.t.prefix.window was slides in the run that is resumed and is always now"
train part 1 1 "${slides[@]}" --resume 2>"$work/err" || fail "$(cat "$work/err")"
same "$work/slides/checkpoint-4.h5" "$work/part/checkpoint-4.h5"
tamper() {
    python3 "$SOURCE/tests/support/tamper.py" "$work/always/checkpoint-4.h5" "$work/changed.h5" "$1"
}
tamper '/tasks/t@positions="after_prefix_within_window"'
expect 6 train changed 1 1 "--resume=$work/changed.h5"
says "changed.h5: task t has prefix.window slides, the run wants always; resume with the config it was started with"
tamper '/tasks/t@positions="before_prefix"'
expect 6 "$FORERUN" inspect "$work/changed.h5"
says "positions of /tasks/t is not 'after_prefix' or 'after_prefix_within_window', the only values that this version reads"
echo "resumed: only with the same window"

# ---- use, and a start from such a file

for window in always slides; do
    expect 0 "$FORERUN" eval --model "$model" --prefix "$work/$window/prefix.h5" --data "$rows" --precision f32 --json
    python3 -c 'import json, sys; print(json.loads(sys.stdin.readlines()[-1])["loss"])' <"$work/out" >"$work/loss-$window"
done
cmp "$work/loss-always" "$work/loss-slides" || fail "a window that is not there hides slots"
train again 1 1 --set "tasks.t.prefix.init.file=$work/slides/prefix.h5" --set tasks.t.prefix.length=auto 2>"$work/err" || fail "$(cat "$work/err")"
"$FORERUN" inspect "$work/again/prefix.h5" >"$work/out"
! grep -q "^  window" "$work/out" || fail "the config decides, not the file that a prefix starts from"
echo "used"

# ---- answers that were begun under the other window are not continued

for _ in $(seq 12); do cat "$rows"; done >"$work/in.jsonl"
out=$work/out.jsonl
generate=("$FORERUN" generate --model "$model" --input "$work/in.jsonl" --output "$out" --threads 1 --max-new-tokens 40)
"${generate[@]}" --prefix "$work/always/prefix.h5" >"$work/log" 2>&1 </dev/null &
pid=$!
while [ ! -s "$out.part" ] || [ ! -s "$out.part.info" ]; do
    kill -0 $pid 2>/dev/null || fail "ended too early: $(cat "$work/log")"
    sleep 0.01
done
kill -TERM $pid
wait $pid && fail "came to its end: $(cat "$work/log")"
expect 2 "${generate[@]}" --prefix "$work/slides/prefix.h5" --resume
says "differs from what its answers were made with"
expect 0 "${generate[@]}" --prefix "$work/always/prefix.h5" --resume
echo "answers: gone on with under the same window alone"
