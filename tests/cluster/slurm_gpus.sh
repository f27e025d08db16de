#!/usr/bin/env bash
# submit --gpus-per-node under a Slurm with two GPUs on its node: the job has them, one rank computes on each (the emulated
# program), a job that is put back goes on, and more GPUs than there are is refused. FORERUN_CUDA: that program;
# LD_LIBRARY_PATH finds its driver.
. "$(dirname "$0")/slurm.sh"

slurm_start 1 2
make_tiny
steps=6
make_config $steps 2 f32
export FR_EMULATED_GPUS=2
FORERUN=$FORERUN_CUDA
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"

# forerun that first writes down what its rank was given; the first attempt waits for a signal after its first step.
cat >"$work/seen" <<SH
#!/usr/bin/env bash
case " \$* " in *" --print-dir "*) exec "$FORERUN" "\$@" ;; esac
echo "\$SLURM_GPUS_ON_NODE \$CUDA_VISIBLE_DEVICES \${CUDA_DEVICE_ORDER:-none}" \
    >"$work/seen.\$SLURM_JOB_ID.\${OMPI_COMM_WORLD_RANK:-\$SLURM_PROCID}"
if [ -e "$work/hold" ]; then
    exec "$FORERUN" "\$@" --stop-after 2
fi
exec "$FORERUN" "\$@"
SH
chmod +x "$work/seen"

# seen JOB ORDER: both ranks of it had both GPUs.
seen() {
    local rank
    for rank in 0 1; do
        [ "$(cat "$work/seen.$1.$rank")" = "2 0,1 $2" ] || fail "rank $rank of job $1 had: $(cat "$work/seen.$1.$rank")"
    done
}

# ---- one rank a GPU; it is stopped, put back, and ends with the bits of one process
: >"$work/hold"
job=$("$submit" --requeue --gpus-per-node 2 --forerun "$work/seen" "$work/c.yaml" -- --set run.stages=2)
for ((i = 0; i < 300; i++)); do
    ! grep -qF "requeued to go on from step 2" "$work/slurm-$job.out" 2>/dev/null || break
    sleep 0.1
done
rm "$work/hold"
wait_job "$job" 60 COMPLETED 0
job_says "$job" "restart 1, from step 2"
job_says "$job" "launch/run -n 2 --gpus-per-node 2"
seen "$job" PCI_BUS_ID
[ "$(job_field "$job" NumTasks)" = 2 ] || fail "$(job_field "$job" NumTasks) tasks"
for i in 0 1; do
    [ "$(grep -c "computes on GPU $i (Emulated GPU, GPU-fe0${i}0000)" "$work/run/log/rank-000$i.log")" = 2 ] ||
        fail "rank $i: $(cat "$work/run/log/rank-000$i.log")"
done
same "$work/whole/checkpoint-$steps.h5" "$work/run/checkpoint-$steps.h5"

# ---- a batch script without the option takes what Slurm gave: all GPUs of the node, one rank each
job=$(sbatch --parsable --gres=gpu:2 "$SOURCE/launch/slurm/job.sbatch" --root "$SOURCE" --forerun "$work/seen" "$work/c.yaml" -- \
    --set "run.dir=$work/given")
wait_job "$job" 60 COMPLETED 0
job_says "$job" "launch/run -n 2 --forerun"
seen "$job" PCI_BUS_ID
grep -q "computes on GPU 1 " "$work/given/log/rank-0001.log" || fail "$(cat "$work/given/log/rank-0001.log")"
same "$work/whole/checkpoint-$steps.h5" "$work/given/checkpoint-$steps.h5"

# ---- by srun: every rank sees both, and takes its own
if srun --mpi=list 2>&1 | grep -q pmix; then
    job=$("$submit" --srun --gpus-per-node 2 --forerun "$work/seen" "$work/c.yaml" -- --set "run.dir=$work/direct")
    wait_job "$job" 60 COMPLETED 0
    job_says "$job" "--ntasks-per-node=2"
    seen "$job" none
    for i in 0 1; do
        grep -q "computes on GPU $i (" "$work/slurm-$job.out" || fail "no rank on GPU $i: $(cat "$work/slurm-$job.out")"
    done
    same "$work/whole/checkpoint-$steps.h5" "$work/direct/checkpoint-$steps.h5"
fi

# ---- more than there are
expect 1 "$submit" --ntasks 2 --gpus-per-node 3 --forerun "$FORERUN" "$work/c.yaml"
says "Slurm refused the job with 3 GPUs on each node"
job=$(sbatch --parsable --gres=gpu:1 "$SOURCE/launch/slurm/job.sbatch" --root "$SOURCE" --gpus-per-node 2 --forerun "$FORERUN" \
    "$work/c.yaml" -- --set "run.dir=$work/more")
wait_job "$job" 30 FAILED 2
job_says "$job" "--gpus-per-node 2, but Slurm gave this job 1 on a node"
echo "a Slurm with two GPUs: one rank on each by mpirun and srun, put back and finished with the same bits; three are refused"
