# What the batch scripts share; sourced within a job, after common.sh.

# run_job MODE WORD...: parse a batch script's words, train, and act on the exit code.
#   MODE  once: no more than this job; requeue: puts itself back into the queue
run_job() {
    mode=$1
    shift
    list=
    parse_job "$@"
    read_site
    if [ -n "$list" ]; then
        read_entry "$list" "${SLURM_ARRAY_TASK_ID:?this script runs as a job array: sbatch --array=1-N}" \
            "$config" "${train_arguments[@]}"
        config=$entry_config
        train_arguments=("${entry_arguments[@]}")
    fi
    folder=$(run_dir "$config" "${train_arguments[@]}") || exit 2
    if [ "$starter" = srun ]; then
        . "$ROOT/launch/mpi-env.sh"
        # since 22.05 srun takes it from its own variable alone, and would give each task one processor
        [ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK="${SRUN_CPUS_PER_TASK:-$SLURM_CPUS_PER_TASK}"
    fi
    count_gpus
    need_whole SLURM_JOB_NUM_NODES "${SLURM_JOB_NUM_NODES:-1}" 1
    build_command "${SLURM_NTASKS:-$((n_gpus > 0 ? n_gpus * whole : 1))}" "$whole" "$config" "${train_arguments[@]}"
    begin_attempt
    run_command
    finish
}

# [options] [--list FILE] [--chain NAME] CONFIG [-- TRAIN ARGUMENT...]
parse_job() {
    chain=
    while [[ ${1:-} = -* ]]; do
        case $1 in
        --list) list=${2:?--list needs a file} && taken=2 ;;
        --chain) chain=${2:?--chain needs a name} && taken=2 ;;
        *) parse_common "$@" ;;
        esac
        [ "$taken" -gt 0 ] || usage_error "unknown option $1"
        shift "$taken"
    done
    config=${1:?no CONFIG given}
    shift
    if [ $# -gt 0 ]; then
        [ "$1" = -- ] || usage_error "found $1 after the config; train arguments come after --"
        shift
    fi
    train_arguments=("$@")
    check_train_arguments "$@"
}

# Steps at which the attempts of this job or chain began, one a line.
begin_attempt() {
    need_whole SLURM_JOB_ID "$SLURM_JOB_ID" 0
    [[ ${chain:-x} =~ ^[A-Za-z0-9_.-]+$ ]] || usage_error "--chain '$chain' must contain only letters, digits and _.-"
    starts=$folder/log/slurm-${chain:-$SLURM_JOB_ID}.starts
    mkdir -p "$folder/log"
    own_file "$starts"
    if [ -z "$chain" ] && [ "${SLURM_RESTART_COUNT:-0}" = 0 ]; then
        rm -f "$starts"
    fi
    step=$(newest_step "$folder")
    say "$(date '+%F %T') job $SLURM_JOB_ID, restart ${SLURM_RESTART_COUNT:-0}, from step $step of $folder"
    say "$(quoted "${command[@]}")"
    if no_progress; then
        give_up 5
    fi
    echo "$step" >>"$starts"
}

# The last three attempts began at $step (or beyond: a checkpoint was lost), and nothing has come of them.
no_progress() {
    local began last
    [ -f "$starts" ] || return 1
    mapfile -t last < <(tail -n 3 "$starts")
    [ ${#last[@]} -eq 3 ] || return 1
    for began in "${last[@]}"; do
        whole "$began" || {
            say "$starts holds '$began', which is not a step; not counted as an attempt"
            return 1
        }
        [ "$whole" -ge "$step" ] || return 1
    done
}

give_up() {
    say "no progress: three attempts in a row began at step $step and none reached a higher checkpoint (last exit" \
        "code $1); not started again. See the messages above, save more often (run.save_every), or ask for more time"
    cancel_rest
    exit "$1"
}

# USR1, and a TERM to the batch shell, come here alone: mpirun and srun take USR1 as the request to stop, TERM kills
# them. When Slurm ends the job, its TERM goes to every process, mpirun among them, which is then past stopping; this
# is launch/run's second signal then, and has it end at once.
pass_on() {
    signalled=$1
    interrupted=1
    say "$(date '+%F %T') got $1: stopping with a checkpoint"
    [ -z "$child" ] || kill -USR1 "$child" 2>/dev/null || true
}

# Run $command to its end, its exit code in $code.
run_command() {
    signalled=
    child=
    trap 'pass_on USR1' USR1
    trap 'pass_on TERM' TERM
    "${command[@]}" &
    child=$!
    [ -z "$signalled" ] || kill -USR1 "$child" 2>/dev/null || true
    while :; do
        interrupted=0
        code=0
        wait "$child" || code=$?
        [ "$interrupted" = 1 ] || break
    done
    child=
    step=$(newest_step "$folder")
}

# Cancelled, preempted or timed out: then Slurm decides what becomes of the job, not this script.
still_running() {
    local state
    state=$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T 2>/dev/null || true)
    [ "$state" = RUNNING ]
}

# The jobs of this chain that have not begun; there are none outside a chain.
cancel_rest() {
    if [ -n "$chain" ]; then
        say "cancelling the rest of the chain $chain"
        scancel --state=PENDING --name="$chain" --user="$(id -un)" || true
    fi
}

# Act on $code: see the table in README.md.
finish() {
    if [ "$code" = 0 ]; then
        say "$(date '+%F %T') done at step $step"
        cancel_rest
        exit 0
    fi
    if [ "$signalled" = TERM ] && ! still_running; then
        say "$(date '+%F %T') Slurm ended the job (cancelled, preempted or out of time) at step $step: it does not requeue" \
            "itself; submit the same again to go on"
        exit "$code"
    fi
    if [ "$code" != 75 ] && [ "$code" != 5 ] && [ "$code" -lt 128 ]; then
        say "exit code $code: starting again would not help; see the messages above"
        cancel_rest
        exit "$code"
    fi
    say "$(date '+%F %T') exit code $code at step $step"
    # Nobody signalled: somebody made a STOP file, which an answering run renames.
    if [ -z "$signalled" ] && { [ -e "$folder/STOP" ] || [ -e "$folder/STOPPED" ]; }; then
        say "a STOP file asked for an end; submit again to go on"
        cancel_rest
        exit "$code"
    fi
    start_again
}

start_again() {
    if [ "$mode" = once ] && [ -z "$chain" ]; then
        say "submit the same again to go on from step $step"
        exit "$code"
    fi
    if no_progress; then
        give_up "$code"
    fi
    if [ -n "$chain" ]; then
        say "the next job of the chain goes on, if there is one"
        exit "$code"
    fi
    if ! scontrol requeue "$SLURM_JOB_ID"; then
        say "Slurm refused to requeue; submit the same again to go on from step $step"
        exit "$code"
    fi
    say "requeued to go on from step $step"
    exit 0
}
