#!/usr/bin/env bash
# FORERUN_WAIT_RANK: the rank says where it waits, nothing computes until something traces it, and then the run has the
# bits of any other. A setting that is not a rank of the run is refused on all ranks.
. "$(dirname "$0")/common.sh"

launcher=
clean_up() {
    [ -z "$launcher" ] || kill -TERM "$launcher" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

make_tiny
make_config 3 4 f32

for bad in two 2 -1 1.5 99999999999; do
    FORERUN_WAIT_RANK=$bad expect 2 mpirun -n 2 "$FORERUN" train "$work/c.yaml"
    says "FORERUN_WAIT_RANK is \"$bad\"; allowed is a rank of this run, from 0 to 1"
done
FORERUN_WAIT_RANK=1 expect 2 "$FORERUN" inspect "$rows"
says "from 0 to 0"
FORERUN_WAIT_RANK='' expect 0 "$FORERUN" inspect "$rows"
FORERUN_WAIT_RANK=0 expect 0 "$FORERUN" --help
grep -q FORERUN_WAIT_RANK "$work/out" || fail "--help does not name it"

# what waits is ended by a signal like any start
FORERUN_WAIT_RANK=0 "$FORERUN" inspect "$rows" >"$work/out" 2>"$work/err" &
alone=$!
for _ in $(seq 200); do
    ! grep -q "gdb -p $alone" "$work/err" || break
    sleep 0.05
done
says "rank 0 waits on $(hostname) for a debugger (FORERUN_WAIT_RANK): gdb -p $alone"
kill -TERM "$alone"
code=0
wait "$alone" || code=$?
[ "$code" = 143 ] || fail "exit code $code after SIGTERM"

FORERUN_WAIT_RANK=1 mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set run.stages=2 >"$work/out" 2>"$work/err" &
launcher=$!
pid=
for _ in $(seq 200); do
    pid=$(sed -n 's/^\[rank 1\] warning: rank 1 waits on .*: gdb -p \([0-9]*\)$/\1/p' "$work/err")
    [ -z "$pid" ] || break
    sleep 0.05
done
[ -n "$pid" ] || fail "rank 1 does not say that it waits: $(cat "$work/err")"
sleep 1
[ ! -e "$work/run/metrics.jsonl" ] || fail "the run went on without the rank that waits"

# a debugger's first call, and its leave a moment later
python3 - "$pid" <<'PY' || { echo "nothing may be traced here"; exit 77; }
import ctypes, sys, time
PTRACE_SEIZE = 0x4206
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
if libc.ptrace(PTRACE_SEIZE, int(sys.argv[1]), None, None) != 0:
    sys.exit("ptrace: error %d" % ctypes.get_errno())
time.sleep(0.5)
PY
wait "$launcher" || fail "exit code $?: $(cat "$work/err")"
launcher=
train plain 2 1 >"$work/out" 2>&1
same "$work/run/checkpoint-3.h5" "$work/plain/checkpoint-3.h5"
