# A Slurm of its own for a test: munge, slurmctld and virtual nodes on this machine, in a private folder on free
# ports, taken down again whatever becomes of the test. Sourced by the slurm_*.sh tests; on top of e2e/common.sh.
#
#   slurm_start NODES [GPUS]   up with NODES idle nodes of two processors, or the test is skipped (exit 77); each node has
#                       GPUS things that Slurm takes for GPUs
#   FORERUN_REQUIRE_SLURM=1   not to be able to start it is a failure then

# processes_of DIR: ids of every process that was started with the private Slurm in DIR. Job steps detach
# themselves from their daemon, but all inherit its settings.
processes_of() {
    local environment
    grep -lzF "SLURM_CONF=$1/" /proc/[0-9]*/environ 2>/dev/null | while IFS= read -r environment; do
        environment=${environment#/proc/}
        [ "${environment%/environ}" = $$ ] || echo "${environment%/environ}"
    done || true
}

# slurm_clean DIR WORK: end them all, then remove both folders.
slurm_clean() {
    local ids round
    for ((round = 0; round < 50; round++)); do
        mapfile -t ids < <(processes_of "$1")
        [ ${#ids[@]} -gt 0 ] || break
        if [ "$round" -lt 10 ]; then
            kill "${ids[@]}" 2>/dev/null || true
        else
            kill -KILL "${ids[@]}" 2>/dev/null || true
        fi
        sleep 0.2
    done
    rm -rf "$1" "$2"
}

# slurm.sh --guard PID DIR WORK: clean up once the test PID is gone, however it went.
if [ "${1:-}" = --guard ]; then
    while kill -0 "$2" 2>/dev/null; do
        sleep 0.5
    done
    slurm_clean "$3" "$4"
    exit 0
fi

. "$(dirname "${BASH_SOURCE[0]}")/../e2e/common.sh"
submit=$SOURCE/launch/slurm/submit
slurm=

slurm_skip() {
    echo "no Slurm here: $*"
    [ "${FORERUN_REQUIRE_SLURM:-0}" = 0 ] || fail "a Slurm is required"
    exit 77
}

is_free() {
    ! (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free_ports N: the first of N ports in a row that nobody listens on.
free_ports() {
    local first i
    while :; do
        first=$((20000 + RANDOM % 10000))
        for ((i = 0; i < $1; i++)); do
            is_free $((first + i)) || continue 2
        done
        echo "$first"
        return
    done
}

slurm_config() {
    local nodes=$1 gpus=$2 port i
    port=$(free_ports $((nodes + 1)))
    cat <<CONF
ClusterName=forerun
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port
MailProg=/bin/true
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$slurm/run/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/spool.%n
TmpFS=$slurm/tmp.%n
SlurmctldPidFile=$slurm/slurmctld.pid
SlurmdPidFile=$slurm/slurmd.%n.pid
SlurmctldLogFile=$slurm/log/slurmctld
SlurmdLogFile=$slurm/log/slurmd.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=2,batch_sched_delay=0
MpiDefault=none
KillWait=30
SlurmdTimeout=60
ReturnToService=2
SwitchType=switch/none
GresTypes=gpu
PartitionName=test Nodes=n[0-$((nodes - 1))] Default=YES MaxTime=INFINITE OverSubscribe=FORCE:4 State=UP
CONF
    for ((i = 0; i < nodes; i++)); do
        echo "NodeName=n$i NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 1 + i))" \
            "CPUs=2 RealMemory=1000 State=UNKNOWN$([ "$gpus" = 0 ] || echo " Gres=gpu:$gpus")"
    done
}

# gres.conf: Slurm wants devices, and does not open them: each is a second /dev/null.
gres_config() {
    local nodes=$1 gpus=$2 i
    for ((i = 0; i < gpus; i++)); do
        mknod "$slurm/nvidia$i" c 1 3 2>/dev/null || slurm_skip "this root may make no devices"
    done
    [ "$gpus" = 0 ] || echo "NodeName=n[0-$((nodes - 1))] Name=gpu File=$slurm/nvidia[0-$((gpus - 1))]" >"$slurm/gres.conf"
}

# The daemons stay in the foreground of a background job; what they say is in $slurm/log.
start_daemons() {
    local nodes=$1 gpus=$2 i
    mkdir -p "$slurm"/{munge,run,state,log}
    chmod 755 "$slurm" "$slurm"/{run,state,log}
    chmod 700 "$slurm/munge"
    head -c 1024 /dev/urandom >"$slurm/munge/key"
    chmod 400 "$slurm/munge/key"
    slurm_config "$nodes" "$gpus" >"$slurm/slurm.conf"
    gres_config "$nodes" "$gpus"
    echo "CgroupPlugin=cgroup/v1" >"$slurm/cgroup.conf"
    munged --foreground --force --key-file="$slurm/munge/key" --socket="$slurm/run/munge.sock" \
        --pid-file="$slurm/munge/pid" --log-file="$slurm/munge/log" --seed-file="$slurm/munge/seed" \
        >"$slurm/log/munged" 2>&1 &
    for ((i = 0; i < 50; i++)); do
        [ ! -S "$slurm/run/munge.sock" ] || break
        sleep 0.1
    done
    slurmctld -D -c -f "$slurm/slurm.conf" >"$slurm/log/slurmctld.out" 2>&1 &
    for ((i = 0; i < nodes; i++)); do
        mkdir -p "$slurm/spool.n$i" "$slurm/tmp.n$i"
        chmod 1777 "$slurm/tmp.n$i"
        slurmd -D -N "n$i" -f "$slurm/slurm.conf" >"$slurm/log/slurmd.n$i.out" 2>&1 &
    done
}

slurm_start() {
    local nodes=$1 program i
    export PATH=$PATH:/usr/sbin:/sbin
    [ "$(id -u)" = 0 ] || slurm_skip "only root can start it"
    for program in munged slurmctld slurmd sbatch srun; do
        command -v "$program" >/dev/null || slurm_skip "$program is missing (launch/install-deps.sh test)"
    done
    # Sockets have short names, and slurm.conf knows no quotes.
    slurm=$(mktemp -d "${TMPDIR:-/tmp}/forerun-slurm.XXXXXX")
    case $slurm in
    *[[:space:]]*)
        rmdir "$slurm"
        slurm=$(mktemp -d /tmp/forerun-slurm.XXXXXX)
        ;;
    esac
    trap 'slurm_clean "$slurm" "$work"' EXIT
    trap 'exit 143' TERM INT HUP
    (setsid bash "$SOURCE/tests/cluster/slurm.sh" --guard $$ "$slurm" "$work" </dev/null >/dev/null 2>&1 &)
    export SLURM_CONF=$slurm/slurm.conf
    start_daemons "$nodes" "${2:-0}"
    for ((i = 0; i < 150; i++)); do
        [ "$(sinfo --noheader --Node --format=%T 2>/dev/null | grep -cx idle)" != "$nodes" ] || break
        sleep 0.2
    done
    if [ "$i" = 150 ]; then
        tail -n 20 "$slurm"/log/*
        slurm_skip "it did not come up"
    fi
    cd "$work"
}

# job_field JOB NAME: a field of `scontrol show job`.
job_field() {
    scontrol --oneliner show job "$1" | tr ' ' '\n' | sed -n "s/^$2=//p" | head -n 1
}

# What jobs, the controller and the nodes said, for a failure.
slurm_show() {
    tail -n 60 "$work"/slurm-*.out >&2 || true
    squeue >&2 || true
    tail -n 20 "$slurm"/log/slurmctld "$slurm"/log/slurmd.n[0-9] >&2 || true
}

# wait_job JOB SECONDS STATE [EXIT]: the job gets into the state, with this exit code, in time.
wait_job() {
    local state='' end=$((SECONDS + $2))
    while [ "$SECONDS" -le "$end" ]; do
        state=$(job_field "$1" JobState)
        [ "$state" != "$3" ] || break
        case $state in
        COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) break ;;
        esac
        sleep 0.2
    done
    if [ "$state" != "$3" ] || { [ -n "${4:-}" ] && [ "$(job_field "$1" ExitCode)" != "$4:0" ]; }; then
        slurm_show
        fail "job $1 is $state with $(job_field "$1" ExitCode) after $2 s, wanted $3 ${4:-}"
    fi
}

# job_says JOB TEXT: its output holds the text, soon: a job that Slurm ends may still be writing.
job_says() {
    local end=$((SECONDS + 10))
    while [ "$SECONDS" -le "$end" ]; do
        ! grep -qF -- "$2" "$work/slurm-$1.out" || return 0
        sleep 0.2
    done
    slurm_show
    fail "job $1 does not say: $2"
}

# wait_steps DIR N: its run has told of N steps.
wait_steps() {
    local end=$((SECONDS + 30))
    while [ "$SECONDS" -le "$end" ]; do
        [ "$(cat "$1/metrics.jsonl" 2>/dev/null | grep -c '"lr"')" -lt "$2" ] || return 0
        sleep 0.1
    done
    slurm_show
    fail "no steps in $1"
}

# job_ranks: process ids of the ranks of all jobs that run.
job_ranks() {
    local id
    for id in $(processes_of "$slurm"); do
        [ "$(cat "/proc/$id/comm" 2>/dev/null)" != forerun ] || echo "$id"
    done
}

# A forerun of another kind for jobs: the shell commands on standard input, at $work/NAME. It trains in no way of
# its own, but says where the run is, like the program.
fake_forerun() {
    {
        printf '#!/usr/bin/env bash\ncase " $* " in *" --print-dir "*) exec %q "$@" ;; esac\n' "$FORERUN"
        cat
    } >"$work/$1"
    chmod +x "$work/$1"
}
