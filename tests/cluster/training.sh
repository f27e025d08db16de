#!/usr/bin/env bash
# Four hosts at 1 Gbit/s and 200 us train to the bits of one process: undisturbed, with lost frames, with a link that
# is down for three seconds. usage: training.sh clean|loss|pause
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/hosts.sh"
need_hosts "$@"

steps=60
[ "$1" != loss ] || steps=200
make_tiny
make_config $steps 7 f32
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"
case $1 in
loss) hosts_up 4 1000 200 1000 ;;
*) hosts_up 4 1000 200 ;;
esac
printf 'h%d\n' 0 1 2 3 >"$work/hosts"

on h0 bash "$SOURCE/launch/run" --forerun "$FORERUN" --hostfile "$work/hosts" --site "$HOSTS_FOLDER/site.env" \
    --restarts 0 "$work/c.yaml" -- --set "run.dir=$work/four" --set run.stages=2 --set run.replicas=2 \
    2>"$work/four.err" &
launched=$!
if [ "$1" = pause ]; then
    wait_for_file "$work/four/metrics.jsonl"
    cut_at=$(wc -l <"$work/four/metrics.jsonl")
    tell "cut 2 3"
    sleep 2.5
    during=$(wc -l <"$work/four/metrics.jsonl")
    [ "$during" -lt "$steps" ] || fail "the run was over before the link was mended"
    echo "link of h2 down for 3 s at step $cut_at; step $during after 2.5 s of it"
fi
code=0
wait "$launched" || code=$?
[ $code = 0 ] || fail "exit code $code: $(cat "$work/four.err")"
same "$work/whole/checkpoint-$steps.h5" "$work/four/checkpoint-$steps.h5"
same "$work/whole/prefix.h5" "$work/four/prefix.h5"
if [ "$1" = loss ]; then
    tell "mend 0"
    [ "${answer#ok }" -gt 0 ] || fail "no frame was lost"
    echo "${answer#ok } frames lost"
fi
for i in 0 1 2 3; do
    grep -q "rank=$i host=h$i " "$work/four/log/rank-000$i.log" || fail "rank $i did not run on h$i"
    [ -z "$(left_on "h$i")" ] || fail "left on h$i: $(left_on "h$i")"
done
echo "2 stages x 2 replicas on four hosts ($1): identical to one process"
