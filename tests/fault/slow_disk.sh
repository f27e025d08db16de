#!/usr/bin/env bash
# slow_disk.sh SHIM: a disk slower than the steps (crash_shim.c). Training waits for it and tells so, no checkpoint is left
# out, no rank is blamed, and what the program says at its end is committed by then.
. "$(dirname "$0")/../e2e/common.sh"

export CRASH_FOLDER=$work/slow CRASH_MODE=slow CRASH_MS=300
by_name "$1"
steps=6
make_tiny
make_config $steps 7 f32 true
sed -i "s|save_every: 1000|save_every: 1, keep: 100|" "$work/c.yaml"
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"

# slow [ARGUMENTS...]: two ranks, and a timeout that three saves outlast.
slow() {
    FORERUN_TIMEOUT=1 mpirun -n 2 -x "LD_PRELOAD=$preload" "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/slow" \
        --set run.stages=2 --set run.replicas=1 "$@"
}

slow 2>"$work/err" || fail "$(cat "$work/err")"
for ((step = 1; step <= steps; step++)); do
    same "$work/whole/checkpoint-$step.h5" "$work/slow/checkpoint-$step.h5"
done
python3 - "$work/slow/metrics.jsonl" $steps <<'PY' || fail "metrics.jsonl does not tell of the waits"
import json, sys
saves = [line for line in map(json.loads, open(sys.argv[1])) if "saved" in line]
names = [save["saved"] for save in saves]
assert names == ["checkpoint-%d.h5" % step for step in range(1, int(sys.argv[2]) + 1)] + ["prefix.h5"], names
blocked = sum(save["blocked_seconds"] for save in saves)
writing = sum(save["writer_seconds"] for save in saves)
assert all(save["writer_seconds"] >= 0.3 > save["writer_cpu_seconds"] for save in saves), saves
assert 0.5 * writing < blocked < 1.2 * writing, (blocked, writing)
PY
echo "slow disk: training waits, nothing is left out"

# one save outlasts the timeout by itself
rm -r "$work/slow"
CRASH_MS=2500 slow --set run.steps=1 2>"$work/err" || fail "$(cat "$work/err")"
[ "$(cat "$work/slow/latest")" = checkpoint-1.h5 ] || fail "latest is $(cat "$work/slow/latest")"
echo "slow disk: a save that outlasts the timeout blames nobody"

# a request to stop while two checkpoints are on their way: committed when the program says so
rm -r "$work/slow"
slow 2>"$work/err" &
launcher=$!
wait_for_file "$work/slow/latest"
touch "$work/slow/STOP"
code=0
wait $launcher || code=$?
[ $code = 75 ] || fail "exit code $code: $(cat "$work/err")"
step=$(sed -n 's/.*stopped on request after step \([0-9]*\),.*/\1/p' "$work/err" | head -n 1)
[ "$(cat "$work/slow/latest")" = "checkpoint-$step.h5" ] || fail "stopped after $step, latest is $(cat "$work/slow/latest")"
[ -e "$work/slow/STOPPED" ] || fail "no file STOPPED"
same "$work/whole/checkpoint-$step.h5" "$work/slow/checkpoint-$step.h5"
echo "slow disk: a stop is answered once its checkpoint is committed"
