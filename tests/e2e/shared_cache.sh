#!/usr/bin/env bash
# One rank of all tokenises a data file, also where the ranks are on several nodes that share the run folder; without a folder to
# write to, each node does so for itself. shared_cache.sh SHIM: makes each rank a node of its own (node_shim.c).
. "$(dirname "$0")/common.sh"
by_name "$1"

make_tiny 128 2
make_config 2 4 f32
# made N RUN: so many ranks have tokenised the file
made() {
    local n
    n=$(grep -c "rows.jsonl: tokenised" "$work/err" || true)
    [ "$n" = "$1" ] || fail "tokenised $n times in $2, wanted $1: $(cat "$work/err")"
}
export FORERUN_LOG=debug FORERUN_LOG_RANKS=all
expect 0 mpirun -n 3 -x "LD_PRELOAD=$preload" "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/nodes" --set run.replicas=3
made 1 nodes
expect 0 train node 1 3
made 1 node
FORERUN_LOG=error same "$work/nodes/prefix.h5" "$work/node/prefix.h5"
echo "shared cache: one rank of all makes it"
