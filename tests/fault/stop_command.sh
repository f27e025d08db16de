#!/usr/bin/env bash
# A rank of eval, generate or preflight that never comes, under a real mpirun and without a run folder.
# stop_command.sh COMMAND RANKS RANK SIGNAL
#   STOP  the others leave in time with exit code 5 and one message that names the rank, its host and who waits for it
#   KILL  mpirun ends the others, and says by what signal (137)
#   LOAD  the rank's model hangs for longer than the timeout and comes then: nobody leaves
# No rank is left in any case. The shim of LOAD is the fifth argument.
. "$(dirname "$0")/../e2e/common.sh"

command=$1 ranks=$2 rank=$3 signal=$4
export FORERUN_TIMEOUT=3
launcher=

clean_up() {
    [ -z "$launcher" ] || kill -KILL "$launcher" 2>/dev/null || true
    for file in "$work"/pid.*; do
        kill -KILL "$(cat "$file")" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT

make_tiny
python3 - "$rows" "$work/in.jsonl" "$([ "$signal" = LOAD ] && echo 40 || echo 100000)" <<'PY'
import sys
rows = open(sys.argv[1]).readlines()
with open(sys.argv[2], "w") as out:
    for i in range(int(sys.argv[3])):
        out.write(rows[i % len(rows)])
PY
case $command in
eval) arguments=(eval --model "$model" --threads 1 --data "$work/in.jsonl" --microbatch-tokens 64) ;;
generate) arguments=(generate --model "$model" --threads 1 --input "$work/in.jsonl" --max-new-tokens 20) ;;
preflight)
    make_config 5 4 f32 true
    arguments=(preflight "$work/c.yaml")
    ;;
esac

# One rank: it writes down who it is, then becomes the program. Rank $RANK alone is preloaded with the shim.
cat >"$work/rank" <<'SH'
#!/usr/bin/env bash
echo $$ >"$WORK/pid.$OMPI_COMM_WORLD_RANK"
[ -z "${SHIM:-}" ] || [ "$OMPI_COMM_WORLD_RANK" != "$RANK" ] || export LD_PRELOAD=$SHIM
exec "$@"
SH
chmod +x "$work/rank"
export WORK=$work RANK=$rank

start() {
    mpirun -n "$ranks" "$work/rank" "$FORERUN" "${arguments[@]}" >"$work/out" 2>"$work/err" </dev/null &
    launcher=$!
}

# ends_with CODE: the launcher's; $passed is how long that took since $since, in ms.
ends_with() {
    local code=0 file
    timeout 60 tail --pid="$launcher" -s 0.02 -f /dev/null || fail "still there: $(cat "$work/err")"
    wait "$launcher" || code=$?
    launcher=
    passed=$(($(date +%s%3N) - since))
    [ "$code" = "$1" ] || fail "exit code $code after $passed ms, wanted $1: $(cat "$work/err")"
    for file in "$work"/pid.*; do
        [ ! -e "/proc/$(cat "$file")/exe" ] || fail "${file##*/} is still there"
    done
}

if [ "$signal" = LOAD ]; then
    by_name "$5"
    export SHIM=$preload HANG_PATH=$model HANG_MARK=$work/hangs HANG_RELEASE=$work/release
    since=$(date +%s%3N)
    start
    wait_for_file "$work/hangs"
    sleep 8
    kill -0 "$launcher" || fail "left while a rank was loading: $(cat "$work/err")"
    : >"$work/release"
    ends_with 0
    echo "$command: rank $rank loads for 8 s with a timeout of $FORERUN_TIMEOUT s, and nobody leaves"
    exit 0
fi

if [ "$command" = preflight ]; then
    # it is short: hold one rank where it opens the base, so that the signal finds it there
    by_name "$5"
    export SHIM=$preload HANG_PATH=$model HANG_MARK=$work/hangs
    start
    wait_for_file "$work/hangs"
else
    start
    for _ in $(seq 400); do
        grep -q "^layout" "$work/err" && break
        sleep 0.05
    done
    sleep 0.5
fi
since=$(date +%s%3N)
kill "-$signal" "$(cat "$work/pid.$rank")"
if [ "$signal" = KILL ]; then
    ends_with 137
    echo "$command: rank $rank of $ranks killed: all have left after $passed ms"
    exit 0
fi
ends_with 5
[ "$passed" -ge $((FORERUN_TIMEOUT * 1000)) ] || fail "left after $passed ms already"
[ "$passed" -le $((FORERUN_TIMEOUT * 1000 + 15000)) ] || fail "took $passed ms with a timeout of $FORERUN_TIMEOUT s"
n=$(grep -c "^error: no progress within FORERUN_TIMEOUT (3.0 s): " "$work/err") || true
[ "$n" = 1 ] || fail "$n messages: $(cat "$work/err")"
says "rank $rank on $(uname -n) has stopped or been cut off: no sign of life since"
grep -qE "^ +$rank  $(uname -n) .*<--" "$work/err" || fail "rank $rank is not marked: $(cat "$work/err")"
grep -qE "^ +[0-9]+  $(uname -n) .* waiting " "$work/err" || fail "nobody waits: $(cat "$work/err")"
echo "$command: rank $rank of $ranks stopped: all have left after $passed ms"
