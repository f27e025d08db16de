#!/usr/bin/env bash
# Slurm signals the job before its time limit, the job requeues itself, resumes, and ends with the bits of an
# uninterrupted run.
. "$(dirname "$0")/slurm.sh"

slurm_start 1
make_tiny
steps=3000
make_config $steps 2 f32
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"

job=$("$submit" --requeue --ntasks 2 --time 1 --signal-before 55 --forerun "$FORERUN" "$work/c.yaml" -- \
    --set "run.dir=$work/run")
output=$work/slurm-$job.out

# Limits are whole minutes and looked at twice a minute: the signal comes 5 to 40 s after the start. The ranks rest
# until then, so that a fast machine is not done before, and find the signal when they go on.
wait_steps "$work/run" 50
mapfile -t ranks < <(job_ranks)
[ ${#ranks[@]} -eq 2 ] || fail "${#ranks[@]} ranks run, wanted 2"
kill -STOP "${ranks[@]}"
for ((i = 0; i < 500; i++)); do
    ! grep -qF "got USR1: stopping with a checkpoint" "$output" || break
    sleep 0.1
done
kill -CONT "${ranks[@]}"

wait_job "$job" 150 COMPLETED 0
job_says "$job" "got USR1: stopping with a checkpoint"
job_says "$job" "stopped on request after step"
job_says "$job" "exit code 75 at step"
job_says "$job" "restart 1, from step"
job_says "$job" "done at step $steps"
[ "$(job_field "$job" Restarts)" -ge 1 ] || fail "Slurm counts no restart"
first=$(sed -n 's/.*requeued to go on from step \([0-9]*\).*/\1/p' "$output" | head -n 1)
[ "${first:-0}" -ge 50 ] && [ "$first" -lt "$steps" ] || fail "requeued at step '$first' of $steps"
resumed=$(sed -n 's/.*restart 1, from step \([0-9]*\).*/\1/p' "$output")
[ "$resumed" = "$first" ] || fail "resumed from step $resumed, requeued at $first"
same "$work/whole/checkpoint-$steps.h5" "$work/run/checkpoint-$steps.h5"
echo "signalled by Slurm and requeued $(job_field "$job" Restarts) times, first at step $first: the same bits"
