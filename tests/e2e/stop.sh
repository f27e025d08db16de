#!/usr/bin/env bash
# A signal or a STOP file ends all ranks after the same step with a checkpoint (exit 75); --resume finishes with
# the uninterrupted run's bits.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 400 7 f32
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"

# one process, SIGTERM
"$FORERUN" train "$work/c.yaml" --set "run.dir=$work/one" 2>"$work/err" &
pid=$!
wait_for_steps "$work/one"
kill -TERM $pid
code=0
wait $pid || code=$?
[ $code = 75 ] || fail "SIGTERM gave exit code $code"
expect 0 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/one" --resume
same "$work/whole/checkpoint-400.h5" "$work/one/checkpoint-400.h5"

# two ranks, SIGUSR1 to mpirun
train two 2 1 2>"$work/err" &
pid=$!
wait_for_steps "$work/two"
kill -USR1 "$(pgrep -P $pid -x mpirun || echo $pid)"
code=0
wait $pid || code=$?
[ $code = 75 ] || fail "SIGUSR1 gave exit code $code: $(cat "$work/err")"
train two 1 2 --resume 2>"$work/err" || fail "$(cat "$work/err")"
same "$work/whole/checkpoint-400.h5" "$work/two/checkpoint-400.h5"

# a STOP file
train three 1 3 2>"$work/err" &
pid=$!
wait_for_steps "$work/three"
touch "$work/three/STOP"
code=0
wait $pid || code=$?
[ $code = 75 ] || fail "STOP gave exit code $code: $(cat "$work/err")"
[ -e "$work/three/STOPPED" ] || fail "an answered STOP file left no STOPPED"
[ ! -e "$work/three/STOP" ] || fail "an answered STOP file is still there and would stop the next start"
train three 3 1 --resume 2>"$work/err" || fail "$(cat "$work/err")"
same "$work/whole/checkpoint-400.h5" "$work/three/checkpoint-400.h5"
echo "signals and STOP: exit 75, finished with the same bits"
