#!/usr/bin/env bash
# Ranks that go round two hosts: the stages of a replica are on one host all the same, the log and preflight say so, and
# the bits are those of one process. In a row nothing is said.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/hosts.sh"
need_hosts "$@"

round="ranks of one node do not follow each other, so stages are given out node by node: replica 0 has the ranks 0, 2"
make_tiny
make_config 12 7 f32
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"
hosts_up 2 1000 200
printf 'h%d slots=2\n' 0 1 >"$work/hosts"

# launch PROGRAM MAP [ARGUMENTS...]: four ranks, mapped so.
launch() {
    local program=$1 map=$2
    shift 2
    expect 0 on h0 env "FORERUN_MPIRUN_ARGS=--map-by $map" bash "$SOURCE/launch/$program" --forerun "$FORERUN" \
        --hostfile "$work/hosts" --site "$HOSTS_FOLDER/site.env" -n 4 "$work/c.yaml" "$@"
}

# check NAME MAP STAGES: a run that leaves the bits of one process; its log in $work/err.
check() {
    launch run "$2" --restarts 0 -- --set "run.dir=$work/$1" --set "run.stages=$3" --set "run.replicas=$((4 / $3))"
    same "$work/whole/checkpoint-12.h5" "$work/$1/checkpoint-12.h5"
    same "$work/whole/prefix.h5" "$work/$1/prefix.h5"
}

# on_host NAME RANK HOST: where a rank of a run was.
on_host() {
    grep -q "rank=$2 host=$3 " "$work/$1/log/rank-000$2.log" || fail "rank $2 of $1 was not on $3"
}

check row slot 2
on_host row 1 h0
! grep -qE "ranks of one node|on several nodes" "$work/err" || fail "said of ranks in a row: $(cat "$work/err")"

check round node 2
on_host round 1 h1
on_host round 2 h0
says "$round"
! grep -q "on several nodes" "$work/err" || fail "$(cat "$work/err")"

check long node 4
says "$round, 1, 3; 1 of 1 replica lies on several nodes, the first is replica 0"

# preflight finds the same, and measures both kinds of link
launch preflight node -- --set run.stages=2 --set run.replicas=2
grep -qxF "placement: $round" "$work/out" || fail "$(cat "$work/out")"
medians=$(grep '^links, medians: inside nodes ' "$work/out") || fail "$(cat "$work/out")"
echo "$medians"
read -ra options <<<"${medians#*plan\`:}"
[ ${#options[@]} = 8 ] || fail "not four options: $medians"
expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 4 --ranks-per-node 2 "${options[@]}" --json
python3 - "$work/out" <<'PYTHON' || fail "$medians"
import json, sys
o = json.load(open(sys.argv[1]))
# the switch gives 1 Gbit/s and 200 us at most, whatever the load
sys.exit(not (o["link_bytes_a_second"] <= 125e6 and o["link_seconds"] >= 200e-6 and not o["link_assumed"]
              and o["node_link_bytes_a_second"] > 0 and not o["node_link_assumed"]))
PYTHON
echo "four ranks that go round two hosts: two stages of a replica share a host, identical to one process"
