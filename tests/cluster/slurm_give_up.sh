#!/usr/bin/env bash
# A job that gets nowhere is requeued twice, then stops and says why; one that can't be helped, that was cancelled or
# that was asked to stop by a STOP file is not requeued.
. "$(dirname "$0")/slurm.sh"

slurm_start 2
make_tiny
make_config 10 2 f32

# attempts JOB: how often it ran.
attempts() {
    grep -c "forerun-slurm: .* restart [0-9]*, from step" "$work/slurm-$1.out"
}

fake_forerun lost <<<'exit 5'
fake_forerun stopped <<<'exit 75'
fake_forerun unusable <<<'exit 6'
fake_forerun asked <<<'touch "$work/run asked/STOPPED"; exit 75'
fake_forerun cancelled <<<'trap "exit 75" TERM USR1; touch "$work/run cancelled/runs"; sleep 60 & wait'
export work
for kind in lost stopped unusable asked cancelled; do
    "$submit" --requeue --restarts 1 --forerun "$work/$kind" "$work/c.yaml" -- --set "run.dir=$work/run $kind" \
        >"$work/$kind.id"
done
for ((i = 0; i < 200; i++)); do
    [ ! -e "$work/run cancelled/runs" ] || break
    sleep 0.1
done
scancel "$(<"$work/cancelled.id")"

for kind in lost stopped; do
    job=$(<"$work/$kind.id")
    code=5
    [ "$kind" = lost ] || code=75
    wait_job "$job" 80 FAILED "$code"
    [ "$(job_field "$job" Restarts)" = 2 ] || fail "$kind: $(job_field "$job" Restarts) restarts, wanted 2"
    [ "$(attempts "$job")" = 3 ] || fail "$kind: $(attempts "$job") attempts, wanted 3"
    job_says "$job" "no progress: three attempts in a row began at step 0"
    job_says "$job" "last exit code $code"
done
job=$(<"$work/unusable.id")
wait_job "$job" 10 FAILED 6
[ "$(attempts "$job")" = 1 ] || fail "exit code 6: $(attempts "$job") attempts, wanted 1"
job_says "$job" "exit code 6: starting again would not help"
job=$(<"$work/asked.id")
wait_job "$job" 10 FAILED 75
[ "$(attempts "$job")" = 1 ] || fail "STOP: $(attempts "$job") attempts, wanted 1"
job_says "$job" "a STOP file asked for an end"
job=$(<"$work/cancelled.id")
wait_job "$job" 10 CANCELLED
[ "$(attempts "$job")" = 1 ] || fail "cancelled: $(attempts "$job") attempts, wanted 1"
job_says "$job" "Slurm ended the job (cancelled, preempted or out of time) at step 0: it does not requeue itself"
echo "codes 5 and 75 without progress: two requeues, then a named end; code 6, STOP and scancel: none"
