#!/usr/bin/env bash
# One run at a time writes to a run folder; a restart waits for the ranks that a killed mpirun left; ranks that see
# different folders, and a lost best prefix, are noticed.
. "$(dirname "$0")/../e2e/common.sh"

make_tiny
make_config 300 7 f32 true
sed -i "s|^    train:.*|&\n    valid: \"$rows\"|; s|save_every: 1000|save_every: 1, valid_every: 50|" "$work/c.yaml"
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"

# a second run on the folder of a living one is refused, with its process and host
"$FORERUN" train "$work/c.yaml" --set "run.dir=$work/busy" 2>"$work/first.err" &
first=$!
trap 'kill -KILL $first 2>/dev/null || true; rm -rf "$work"' EXIT
wait_for_file "$work/busy/latest"
kill -STOP $first
expect 1 train busy 2 1 --resume
says "another run (pid $first on $(uname -n)) is writing to the run folder $work/busy"
# one that waits goes on as soon as the other is gone
train busy 2 1 --resume 2>"$work/second.err" &
second=$!
for _ in $(seq 600); do
    ! grep -q "is in use; waiting" "$work/second.err" || break
    sleep 0.05
done
kill -KILL $first
wait $first 2>/dev/null || true
wait $second || fail "$(cat "$work/second.err")"
same "$work/whole/checkpoint-300.h5" "$work/busy/checkpoint-300.h5"
same "$work/whole/best.h5" "$work/busy/best.h5"
echo "run folder: one writer at a time"

# ranks live and save for about a second after their mpirun is killed; the restart's steps are not mixed with theirs
mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/orphans" 2>"$work/err" </dev/null &
launcher=$!
wait_for_file "$work/orphans/latest"
kill -KILL $launcher
train orphans 1 1 --resume 2>"$work/err" || fail "$(cat "$work/err")"
wait $launcher 2>/dev/null || true
same "$work/whole/checkpoint-300.h5" "$work/orphans/checkpoint-300.h5"
echo "run folder: a restart waits for orphans"

# a node that does not see the run folder must not start at step 0 beside one that goes on
train here 1 1 --stop-after 5 2>"$work/err" || true
mkdir -p "$work/there/log"
expect 6 mpirun -n 1 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/here" --resume : \
    -n 1 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/there" --resume
says "the ranks read checkpoints of different steps"
echo "run folder: the ranks agree on the checkpoint"

# a lost best.h5: the next validation is kept as the best, on all ranks
train lost 1 1 --stop-after 120 2>"$work/err" || true
printf 'x' | dd of="$work/lost/best.h5" bs=1 seek=4000 conv=notrunc 2>/dev/null
expect 0 train lost 2 1 --resume
says "best prefix so far is lost"
same "$work/whole/checkpoint-300.h5" "$work/lost/checkpoint-300.h5"
same "$work/whole/best.h5" "$work/lost/best.h5"
echo "run folder: a lost best prefix is noticed"
