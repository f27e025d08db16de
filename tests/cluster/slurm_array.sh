#!/usr/bin/env bash
# An array runs a sweep; each entry's prefix is that of a plain run with the same override.
. "$(dirname "$0")/slurm.sh"

slurm_start 2
make_tiny
make_config 12 4 f32
sed 's/seed: 3/seed: 4/' "$work/c.yaml" >"$work/other config.yaml"

cat >"$work/list" <<'LIST'
# learning rates, then another config
--set tasks.t.optimizer.lr=2.0e-2
--set tasks.t.optimizer.lr=3.0e-2 --set tasks.t.prefix.length=4

--set tasks.t.optimizer.lr=4.0e-2 --set "run.dir=fourth of the sweep"
"other config.yaml" --set run.dir=other
LIST
job=$("$submit" --array "$work/list" --parallel 2 --ntasks 2 --forerun "$FORERUN" "$work/c.yaml" -- \
    --set run.log_every=2)
for i in 1 2 3 4; do
    wait_job "${job}_$i" 60 COMPLETED 0
done

# entry DIR CONFIG ARGUMENTS...: a plain run, then the entry's prefix in DIR must be the same.
entry() {
    local folder=$1 config=$2
    shift 2
    rm -rf "$work/plain"
    "$FORERUN" train "$config" "$@" --set "run.dir=$work/plain" 2>"$work/err" || fail "$(cat "$work/err")"
    same "$work/plain/prefix.h5" "$folder/prefix.h5"
    same "$work/plain/checkpoint-12.h5" "$folder/checkpoint-12.h5"
}
entry "$work/run/1" "$work/c.yaml" --set tasks.t.optimizer.lr=2.0e-2
entry "$work/run/2" "$work/c.yaml" --set tasks.t.optimizer.lr=3.0e-2 --set tasks.t.prefix.length=4
entry "$work/fourth of the sweep" "$work/c.yaml" --set tasks.t.optimizer.lr=4.0e-2
entry "$work/other" "$work/other config.yaml"
! "$FORERUN" compare "$work/run/1/prefix.h5" "$work/other/prefix.h5" >/dev/null || fail "the entries are all alike"
echo "a sweep of four entries: each its plain run's bits"
