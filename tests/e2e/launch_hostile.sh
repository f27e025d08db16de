#!/usr/bin/env bash
# What stands in a file's name or content, or in the environment, is never evaluated by the launch scripts' shell, and
# nothing in a run folder leads their writing elsewhere. Each case would make the file $touched.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 3 2 f32
touched=$work/touched
evil="BASH_VERSINFO[\$(touch '$touched')]"
mkdir "$work/bin" "$work/tree"
cp -r "$SOURCE/launch" "$work/tree/"
rm -f "$work/tree/launch/site.env"
cat >"$work/bin/srun" <<'SH'
#!/bin/sh
exit 0
SH
cp "$work/bin/srun" "$work/bin/scontrol"
chmod +x "$work/bin/srun" "$work/bin/scontrol"
export PATH="$work/bin:$PATH"

# harmless CODE COMMAND...: it ends with the code, and nothing was run on the side.
harmless() {
    expect "$@"
    [ ! -e "$touched" ] || fail "a command out of the data ran: ${*:2}"
}

# job [VARIABLE=VALUE...]: what Slurm starts, at its second attempt.
job() {
    env SLURM_JOB_ID=7 SLURM_RESTART_COUNT=1 SLURM_NTASKS=1 "$@" bash "$work/tree/launch/slurm/requeue.sbatch" \
        --root "$work/tree" --srun --forerun "$FORERUN" "$work/c.yaml"
}
run_dry() {
    env "$@" "$work/tree/launch/run" --forerun "$FORERUN" --dry-run "$work/c.yaml"
}

# ---- a log of starts from somebody else
mkdir -p "$work/run/log"
printf '%s\n' "$evil" "$evil" "$evil" >"$work/run/log/slurm-7.starts"
harmless 0 job
says "which is not a step"
printf '0\n0\n08\n' >"$work/run/log/slurm-7.starts"
harmless 5 job
says "no progress"
rm -r "$work/run"

# ---- the environment
harmless 2 job "SLURM_NTASKS=$evil"
harmless 2 job "SLURM_JOB_ID=$evil"
printf '%s\n' '--set run.steps=1' >"$work/list"
for index in "$evil" "1e touch '$touched';1"; do
    harmless 2 env SLURM_JOB_ID=7 SLURM_NTASKS=1 "SLURM_ARRAY_TASK_ID=$index" bash "$work/tree/launch/slurm/array.sbatch" \
        --root "$work/tree" --srun --forerun "$FORERUN" --list "$work/list" "$work/c.yaml"
    says "whole number"
done
harmless 2 run_dry "SLURM_NTASKS=$evil"
harmless 2 run_dry SLURM_NTASKS=2 "SLURM_JOB_NUM_NODES=$evil"
harmless 0 run_dry SLURM_NTASKS=08 SLURM_JOB_NUM_NODES=02
harmless 2 run_dry "FORERUN_EXPORT=$evil"
says "not the name of a variable"
harmless 2 run_dry "FORERUN_KEEPALIVE=1 2 x[\$(touch\${IFS}'$touched')]"
harmless 2 "$work/tree/launch/preflight" -n "$evil" --forerun "$FORERUN" --dry-run "$work/c.yaml"
harmless 1 env "OMPI_COMM_WORLD_RANK=$evil" "FORERUN_LOG_DIR=$work" "$work/tree/launch/rank" true

# ---- a host file: a name that ssh would take for an option
printf "%s slots=1\n" "-oProxyCommand=x" >"$work/hosts"
harmless 2 "$work/tree/launch/run" --forerun "$FORERUN" --hostfile "$work/hosts" --dry-run "$work/c.yaml"
says "a line is: NAME slots=N"

# ---- names of files in the run folder
mkdir -p "$work/run"
: >"$work/run/checkpoint-a[\$(touch touched)].h5"
: >"$work/run/checkpoint-99999999999999999999.h5"
printf '%s\n' "checkpoint-$evil.h5" >"$work/run/latest"
(cd "$work" && harmless 0 job)
[ ! -e "$work/touched" ] || fail "a file's name was evaluated"
rm -r "$work/run"

# ---- links and FIFOs where logs and signs belong
echo precious >"$work/precious"
mkdir -p "$work/run/log"
ln -s "$work/precious" "$work/run/log/slurm-7.starts"
harmless 1 job
says "find out who made it"
rm "$work/run/log/slurm-7.starts"
mkfifo "$work/run/log/launch.log"
harmless 1 timeout 60 "$work/tree/launch/run" -n 1 --forerun "$FORERUN" "$work/c.yaml"
says "find out who made it"
rm "$work/run/log/launch.log"
ln -s "$work/precious" "$work/run/log/rank-0000.log"
harmless 1 env OMPI_COMM_WORLD_RANK=0 "FORERUN_LOG_DIR=$work/run/log" "$work/tree/launch/rank" true
says "find out who made it"
rm "$work/run/log/rank-0000.log"
for sign in log/.started STOP; do
    ln -s "$work/precious" "$work/run/$sign"
done
harmless 0 env OMPI_COMM_WORLD_RANK=0 "FORERUN_LOG_DIR=$work/run/log" "$work/tree/launch/rank" true
export root=$work/tree program=launch
. "$work/tree/launch/mpi-lib.sh"
make_sign "$work/run/STOP"
for sign in log/.started STOP; do
    [ ! -L "$work/run/$sign" ] || fail "$sign is a link still"
    [ -f "$work/run/$sign" ] || fail "$sign is not there"
done
[ "$(cat "$work/precious")" = precious ] || fail "a link's target was written to"

# ---- control characters in what the scripts say
say $'a\e[31mb\x7f\xc2\x9bc\xe2\x80\xaed \xc3\xa4 \xe2\x80\x94' 2>"$work/err"
printf 'launch: a?[31mb??c?d \xc3\xa4 \xe2\x80\x94\n' | cmp - "$work/err" || fail "not escaped: $(od -c "$work/err")"
echo "launch scripts: nothing is evaluated, no link followed"
