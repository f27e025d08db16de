#!/usr/bin/env bash
# A chain: each job goes on where the one before stopped, the one that is done cancels the rest; the same bits.
. "$(dirname "$0")/slurm.sh"

slurm_start 1
make_tiny
make_config 250 2 f32
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"

# Stops a hundred steps after where it began.
fake_forerun hundred <<SH
newest=\$(ls "$work/run" 2>/dev/null | sed -n 's/^checkpoint-\([0-9]*\).h5/\1/p' | sort -n | tail -n 1)
exec "$FORERUN" "\$@" --stop-after \$((\${newest:-0} + 100))
SH
"$submit" --chain 4 --ntasks 2 --forerun "$work/hundred" "$work/c.yaml" >"$work/ids"
mapfile -t jobs <"$work/ids"
[ ${#jobs[@]} -eq 4 ] || fail "${#jobs[@]} jobs, wanted 4"
wait_job "${jobs[2]}" 60 COMPLETED 0
wait_job "${jobs[0]}" 1 FAILED 75
wait_job "${jobs[1]}" 1 FAILED 75
wait_job "${jobs[3]}" 5 CANCELLED
job_says "${jobs[1]}" "from step 100 of"
job_says "${jobs[2]}" "from step 200 of"
job_says "${jobs[2]}" "done at step 250"
same "$work/whole/checkpoint-250.h5" "$work/run/checkpoint-250.h5"
echo "a chain of four: done in the third with the same bits, the fourth cancelled"
