#!/usr/bin/env bash
# srun --mpi=pmix starts two ranks on two nodes: the same bits; scancel --signal=TERM stops them with a checkpoint.
. "$(dirname "$0")/slurm.sh"

slurm_start 2
srun --mpi=list 2>&1 | grep pmix >"$work/out" || slurm_skip "its srun has no pmix"
make_tiny
steps=1500
make_config $steps 2 f32
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"

begin() {
    "$submit" --srun --nodes 2 --ntasks 2 --forerun "$FORERUN" "$work/c.yaml" -- --set run.stages=2 "$@"
}

job=$(begin --set run.save_every=1)
wait_steps "$work/run" 20
scancel --signal=TERM "$job"
wait_job "$job" 30 FAILED 75
job_says "$job" "srun --ntasks=2 --mpi=pmix"
stopped=$(sed -n 's/.*exit code 75 at step \([0-9]*\).*/\1/p' "$work/slurm-$job.out")
[ "$stopped" -ge 20 ] && [ "$stopped" -lt "$steps" ] || fail "stopped at step $stopped"
[ "$(cat "$work/run/latest")" = "checkpoint-$stopped.h5" ] || fail "latest is $(cat "$work/run/latest")"

# Through the batch shell, as Slurm does before the time limit: this time a checkpoint comes from the stop alone.
job=$(begin)
wait_steps "$work/run" $((stopped + 20))
scancel --batch --signal=USR1 "$job"
wait_job "$job" 30 FAILED 75
again=$(sed -n 's/.*exit code 75 at step \([0-9]*\).*/\1/p' "$work/slurm-$job.out")
[ "$again" -gt "$stopped" ] && [ "$again" -lt "$steps" ] || fail "stopped at step $again after $stopped"

# The first rank to leave with 75 must not have the others ended, whose code would hide it.
fake_forerun uneven <<'SH'
sleep $((3 * SLURM_PROCID))
exit 75
SH
job=$("$submit" --srun --nodes 2 --ntasks 2 --forerun "$work/uneven" "$work/c.yaml" -- --set "run.dir=$work/uneven run")
wait_job "$job" 30 FAILED 75

# A lost rank must not leave the other waiting for ever.
job=$(begin)
wait_steps "$work/run" $((again + 20))
mapfile -t ranks < <(job_ranks)
[ ${#ranks[@]} -eq 2 ] || fail "${#ranks[@]} ranks run, wanted 2"
kill -KILL "${ranks[0]}"
wait_job "$job" 50 FAILED
code=$(job_field "$job" ExitCode)
case ${code%:0} in
5 | 137 | 143) ;;
*) fail "a lost rank gave exit code $code" ;;
esac

job=$(begin)
wait_job "$job" 60 COMPLETED 0
job_says "$job" "from step $again of"
same "$work/whole/checkpoint-$steps.h5" "$work/run/checkpoint-$steps.h5"
echo "srun: stopped by TERM at step $stopped and by USR1 at step $again, lost a rank (exit code ${code%:0}), finished with the same bits"
