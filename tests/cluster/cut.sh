#!/usr/bin/env bash
# A host's link is cut for good: launch/run ends within the keepalive bound, names the host, leaves nothing running;
# with a host file that lost that host it goes on with the others to the same bits. usage: cut.sh end|shrink
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/hosts.sh"
need_hosts "$@"

bound_s=20 # keepalive 2 + 3 x 1, mpirun's own end, and a busy machine
make_tiny
make_config 400 7 f32
sed -i 's/save_every: 1000/save_every: 20/' "$work/c.yaml"
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"
hosts_up 4 1000 200
printf 'h%d slots=1\n' 0 1 2 3 >"$work/hosts"
restarts=0
[ "$1" = end ] || restarts=2

on h0 bash "$SOURCE/launch/run" --forerun "$FORERUN" --hostfile "$work/hosts" --site "$HOSTS_FOLDER/site.env" \
    --restarts $restarts "$work/c.yaml" -- --set "run.dir=$work/four" 2>"$work/four.err" &
launched=$!
wait_for_file "$work/four/latest"
[ "$1" = end ] || printf 'h0 slots=1\nh1 slots=1\nh3 slots=1\n' >"$work/hosts"
tell "cut 2 0"
since=$SECONDS
code=0
wait "$launched" || code=$?
took=$((SECONDS - since))

# The hosts here see one file system, which the cut does not cut: the ranks' slots all look alive, so it is the daemons'
# keepalive that tells, well before run.timeout.
grep -q 'lost: host h2 cannot be reached any more (rank 2)' "$work/four.err" ||
    fail "h2 is not named: $(cat "$work/four.err")"
if [ "$1" = end ]; then
    [ $code = 5 ] || fail "exit code $code, wanted 5: $(cat "$work/four.err")"
    [ $took -le $bound_s ] || fail "ended after $took s, wanted $bound_s at most"
    for i in 0 1 2 3; do
        for _ in $(seq 100); do # the cut-off host needs its own keepalives to notice
            left=$(left_on "h$i")
            [ -n "$left" ] || break
            sleep 0.1
        done
        [ -z "$left" ] || fail "left on h$i: $left"
    done
    echo "cut for good: h2 named, exit 5 after $took s, nothing left on any host"
else
    [ $code = 0 ] || fail "exit code $code, wanted 0: $(cat "$work/four.err")"
    grep -q 'rank=2 host=h3 ' "$work/four/log/rank-0002.log" || fail "the restart did not use h3 for rank 2"
    same "$work/whole/checkpoint-400.h5" "$work/four/checkpoint-400.h5"
    echo "cut for good, host file without h2: three hosts finished with the same bits after $took s"
fi
