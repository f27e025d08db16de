#!/usr/bin/env bash
# launch/run on one machine: what it prints, lost ranks, restarts, giving up, stopping; in paths with spaces.
# usage: launch_run.sh [user], where `user` means: as an ordinary user (needs root to become one).
. "$(dirname "$0")/../cluster/common.sh"
isolate "$@"

run=$SOURCE/launch/run
if [ "${1:-}" = user ]; then
    [ "$(id -u)" = 0 ] || skip "needs root to become an ordinary user"
    runuser -u nobody -- test -x "$FORERUN" || skip "the build folder is closed to other users"
    chmod 755 "$work"
    mkdir "$work/own"
    chown nobody "$work/own"
    make_tiny
    work=$work/own
    make_config 40 7 f32 true
    runuser -u nobody -- env HOME="$work" TMPDIR="$TMPDIR" bash "$run" --forerun "$FORERUN" -n 2 "$work/c.yaml" \
        2>"$work/err" || fail "as nobody: $(cat "$work/err")"
    [ "$(stat -c %U "$work/run/prefix.h5")" = nobody ] || fail "the run was not nobody's"
    echo "an ordinary user trains"
    exit 0
fi

make_tiny
make_config 600 7 f32 true
sed -i 's/save_every: 1000/save_every: 50/' "$work/c.yaml"
printf 'FORERUN_RESTART_DELAY=0\nFORERUN_TIMEOUT_X="a value"\n' >"$work/site file.env"
launch=(bash "$run" --forerun "$FORERUN" --site "$work/site file.env")

# launch NAME [OPTIONS...] [-- ARGUMENTS...]: in the background, into $work/NAME; pid in $launched.
start() {
    local name=$1 options=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    [ $# -eq 0 ] || shift
    # a shell's background jobs ignore SIGINT
    env --default-signal=INT "${launch[@]}" "${options[@]}" "$work/c.yaml" -- --set "run.dir=$work/$name" "$@" 2>"$work/$name.err" &
    launched=$!
}

finish() {
    code=0
    wait "$launched" || code=$?
    [ "$code" = "$1" ] || fail "exit code $code, wanted $1: $(cat "$work/$2.err")"
}

# The pid of rank $2 of the run in $work/$1, by the last header of its log.
pid_of() {
    sed -n 's/^== .* pid=\([0-9]*\)$/\1/p' "$work/$1/log/rank-000$2.log" | tail -n 1
}

expect 2 "${launch[@]}" "$work/c.yaml" -n 0
says "-n"
expect 2 "${launch[@]}" "$work/c.yaml" --frobnicate
expect 2 "${launch[@]}"
expect 0 "${launch[@]}" --help
grep -q -- --restarts "$work/out" || fail "--help does not list --restarts"
printf 'one slots=2\n\ntwo # a note\n' >"$work/host file"
expect 0 "${launch[@]}" --hostfile "$work/host file" "$work/c.yaml" --dry-run
grep -q -- '-n 3 --host one:2\\,two:1 ' "$work/out" || fail "three slots gave: $(cat "$work/out")"
printf 'one slot=2\n' >"$work/bad hosts"
expect 2 "${launch[@]}" --hostfile "$work/bad hosts" "$work/c.yaml" --dry-run
says "says 'slot=2'"
expect 2 "${launch[@]}" --hostfile "$work/host file" -n 4 "$work/c.yaml" --dry-run
says "3 slots"
expect 2 "${launch[@]}" "$work/c.yaml" -- --set run.nonsense=1
says "nonsense"

# the printed line is the command: a shell that gets it, without anything else, trains
cat >"$work/short.sh" <<'SH'
"$@" -n 2 "$work/c.yaml" --dry-run -- --set "run.dir=$work/dry run" --set run.steps=3 --set tasks.t.optimizer.schedule=constant
SH
export work
expect 0 env HF_HOME="$work/hub" bash "$work/short.sh" "${launch[@]}"
[ ! -e "$work/dry run" ] || fail "a dry run made the run folder"
for part in oob_tcp_keepalive_time 'FORERUN_TIMEOUT_X=a\ value' '-x FORERUN_TIMEOUT_X' '-x HF_HOME' ' --resume '; do
    grep -qF -- "$part" "$work/out" || fail "the dry run lacks $part: $(cat "$work/out")"
done
mkdir -p "$work/dry run/log"
(cd "$work" && env -i PATH="$PATH" HOME="$work" TMPDIR="${TMPDIR:-/tmp}" bash "$work/out") >"$work/err" 2>&1 ||
    fail "the printed command: $(cat "$work/err")"
[ -f "$work/dry run/prefix.h5" ] || fail "the printed command trained nothing"
echo "dry run: the printed command trains"

# undisturbed
start whole -n 1
finish 0 whole
mpirun_logs=$(cat "$work/whole/log/rank-0000.log")
[[ $mpirun_logs == *"rank=0 host="* ]] || fail "no log of rank 0"

# a lost rank
start lost -n 2
wait_for_file "$work/lost/latest"
kill -KILL "$(pid_of lost 1)"
finish 0 lost
same "$work/whole/checkpoint-600.h5" "$work/lost/checkpoint-600.h5"
same "$work/whole/prefix.h5" "$work/lost/prefix.h5"
grep -q "lost: rank 1 on $(uname -n) was killed by signal 9" "$work/lost.err" || fail "not named: $(cat "$work/lost.err")"
[ "$(grep -c '^== .* rank=1 ' "$work/lost/log/rank-0001.log")" = 2 ] || fail "not two starts in the log of rank 1"
grep -q 'resuming from .*checkpoint-' "$work/lost/log/rank-0000.log" || fail "the restart did not resume"
echo "a killed rank: named, restarted, the same bits"

# always dies: a program that is killed as soon as it starts, three times without progress
cat >"$work/dies" <<SH
#!/bin/sh
case " \$* " in *" --print-dir "*) exec "$FORERUN" "\$@" ;; esac
kill -KILL \$\$
SH
chmod +x "$work/dies"
expect 5 "${launch[@]}" --forerun "$work/dies" -n 1 --restarts 2 "$work/c.yaml" -- --set "run.dir=$work/dies dir"
says "giving up: 2 restarts without progress beyond step 0; last loss: rank 0 on $(uname -n) was killed by signal 9"
[ "$(grep -c ' rank=0 ' "$work/dies dir/log/rank-0000.log")" = 3 ] || fail "not one start and two restarts"
# codes that would come again are passed on at once
sed -i 's/^kill.*/exit 4/' "$work/dies"
expect 4 "${launch[@]}" --forerun "$work/dies" -n 1 "$work/c.yaml" -- --set "run.dir=$work/four"
[ "$(grep -c ' rank=0 ' "$work/four/log/rank-0000.log")" = 1 ] || fail "exit code 4 was restarted"
# the ranks' own 5 is a loss; what the rank lines say is reported
sed -i 's/^exit 4/sleep 1; exit 5/' "$work/dies"
mkdir -p "$work/five/log"
now=$(date +%s)
{
    echo "slot=1.0 rank=0 host=h0 pid=11 status=running state=waiting what=forward peer=1 step=12 task=t microbatch=3 since=$now.1 beat=$((now + 9)).456"
    echo "rank=1 host=h1 pid=12 status=running state=computing what=backward peer=-1 step=12 task=t microbatch=3 since=$now.1 beat=$((now + 4)).456"
    echo "slot=2.0 rank=2 host=h2 pid=13 status=running state=computing what=backward peer=-1 step=1 task=t microbatch=3 since=1.0 beat=$((now + 1)).0"
    echo "rank=3 host=h3 pid=14 status=ended state=closing what=- peer=-1 step=1 task=t microbatch=3 since=1.0 beat=$now.0"
} >"$work/five/all"
for r in 0 1 2 3; do
    sed -n "$((r + 1))p" "$work/five/all" >"$work/five/log/rank-000$r.slot"
done
expect 5 "${launch[@]}" --forerun "$work/dies" -n 1 --restarts 0 "$work/c.yaml" -- --set "run.dir=$work/five"
says "rank 0 on $(uname -n) left with exit code 5"
says "rank 1 on h1 (pid 12) gave its last sign of life 5.0 s before the others: computing backward, task t, step 12"
# the ranks' own table says more; one of an earlier start says nothing
sed -i 's/^sleep 1;/sleep 1; [ -n "$QUIET" ] || { echo "error: rank 2 on h2 has stopped"; echo "rank host"; } >"$FORERUN_LOG_DIR\/timeout.txt";/' "$work/dies"
expect 5 "${launch[@]}" --forerun "$work/dies" -n 1 --restarts 0 "$work/c.yaml" -- --set "run.dir=$work/five"
says "left with exit code 5; error: rank 2 on h2 has stopped"
touch -d '1 minute ago' "$work/five/log/timeout.txt"
QUIET=1 FORERUN_EXPORT=QUIET expect 5 "${launch[@]}" --forerun "$work/dies" -n 1 --restarts 0 "$work/c.yaml" -- --set "run.dir=$work/five"
! grep -q 'rank 2 on h2' "$work/err" || fail "an old table was told: $(cat "$work/err")"
echo "giving up after the restarts with 5 and the reason; 4 is passed on"

# a host that does not answer at the first start, as ssh would tell it, is tried again; one that never does is named
# (Open MPI 5.0's mpirun crashes where it is to reach a host and there is no network but the loopback)
if [ -n "${FR_ISOLATED:-}" ] && ip link add eth9 type veth peer name eth8; then
    ip addr add 10.77.9.1/24 dev eth9
    ip link set eth8 up
    ip link set eth9 up
fi
mkdir "$TMPDIR/bin"
cat >"$TMPDIR/bin/late-ssh" <<SH
#!/bin/sh
if [ ! -e "\$TMPDIR/answers" ]; then
    [ -n "\$NEVER" ] || touch "\$TMPDIR/answers"
    echo "ssh: connect to host \$1 port 22: Connection timed out" >&2
    exit 255
fi
shift
exec sh -c "\$*"
SH
chmod +x "$TMPDIR/bin/late-ssh"
cat >"$work/late.env" <<SITE
OMPI_MCA_plm=rsh
OMPI_MCA_plm_rsh_agent=late-ssh
PRTE_MCA_plm=ssh
PRTE_MCA_plm_ssh_agent=late-ssh
OMPI_MCA_orte_tmpdir_base=$TMPDIR
FORERUN_RESTART_DELAY=0
PATH=$TMPDIR/bin:$PATH
SITE
echo 'elsewhere slots=1' >"$work/elsewhere"
late=(bash "$run" --forerun "$FORERUN" --site "$work/late.env" --hostfile "$work/elsewhere" "$work/c.yaml")
NEVER=1 expect 5 "${late[@]}" --restarts 1 -- --set "run.dir=$work/never"
says "giving up: 1 restarts without progress beyond step 0; last loss: no rank began, a host did not start mpirun's daemon (ssh: connect to host elsewhere port 22: Connection timed out)"
expect 0 "${late[@]}" --restarts 1 -- --set "run.dir=$work/late" --set run.steps=3 --set tasks.t.optimizer.schedule=constant
says "restart 1 of 1 without progress, from step 0"
[ -f "$work/late/prefix.h5" ] || fail "the second start trained nothing"
echo "a host that does not start mpirun's daemon: quoted, tried again"

# one signal: a checkpoint and 75; the next start goes on; a leftover STOP file is no obstacle
for signal in TERM USR1 INT; do
    start "stop$signal" -n 2 -- --set run.steps=600
    wait_for_file "$work/stop$signal/latest"
    kill "-$signal" "$launched"
    finish 75 "stop$signal"
    grep -q 'checkpoint written' "$work/stop$signal.err" || fail "no checkpoint: $(cat "$work/stop$signal.err")"
    [ ! -e "$work/stop$signal/STOP" ] || fail "STOP was left behind"
done
touch "$work/stopTERM/STOP"
start stopTERM -n 1
finish 0 stopTERM
same "$work/whole/checkpoint-600.h5" "$work/stopTERM/checkpoint-600.h5"
echo "TERM, USR1, INT: 75 with a checkpoint, then the same bits"

# a second signal ends at once what does not answer the first
cat >"$work/deaf" <<SH
#!/bin/bash
case " \$* " in *" --print-dir "*) exec "$FORERUN" "\$@" ;; esac
trap '' TERM USR1 INT
for ((i = 0; i < 600; i++)); do sleep 0.1; done
SH
chmod +x "$work/deaf"
mkdir -p "$work/deaf dir"
start "deaf dir" -n 2 --forerun "$work/deaf"
wait_for_file "$work/deaf dir/log/rank-0001.log"
wait_for_file "$work/deaf dir/log/.started"
deaf=$(pid_of "deaf dir" 1)
kill -TERM "$launched"
sleep 0.5
kill -0 "$launched" || fail "the first signal ended it: $(cat "$work/deaf dir.err")"
asked=$SECONDS
kill -TERM "$launched"
finish 143 "deaf dir"
[ $((SECONDS - asked)) -le 6 ] || fail "the second signal took $((SECONDS - asked)) s"
sleep 0.3
! is_running "$deaf" || fail "rank 1 is still there"
[ ! -e "$work/deaf dir/STOP" ] || fail "STOP was left behind"
echo "a second signal ends at once"
