# shellcheck shell=bash
# Shared by launch/run and launch/preflight; sourced. The caller sets `program` (its name in messages) and `root`
# (the source tree). Nothing here runs anything on its own.
#
#   hostfile, ranks, forerun, site   options as given, empty where not
#   slots, per_host, host_list       of the host file: ranks in all, most ranks on one host, NAME:SLOTS,NAME:SLOTS
#   launcher                         array: mpirun and its options, up to the program
#   shown                            array: names of the environment that the command depends on

: "${program:?}" "${root:?}"
slots=0 per_host=1 host_list=''

say() {
    printf '%s: %s\n' "$program" "$*" >&2
}

die() {
    local code=$1
    shift
    say "$@"
    exit "$code"
}

need_whole() {
    [[ $2 =~ ^[0-9]+$ ]] && [ "$2" -ge "$3" ] || die 2 "$1 '$2' is not a whole number of at least $3"
}

# Settings of this cluster: every variable that the file sets is exported.
read_site() {
    if [ -z "$site" ] && [ -f "$root/launch/site.env" ]; then
        site=$root/launch/site.env
    fi
    [ -n "$site" ] || return 0
    [ -r "$site" ] || die 2 "cannot read the site file $site"
    case $site in /*) ;; *) site=./$site ;; esac
    set -a
    # shellcheck disable=SC1090
    . "$site"
    set +a
}

find_program() {
    forerun=${forerun:-$root/build/release/forerun}
    [ -x "$forerun" ] || die 2 "no program at $forerun; build it (cmake --preset release && cmake --build" \
        "--preset release) or name it with --forerun"
    forerun=$(cd "$(dirname "$forerun")" && pwd)/$(basename "$forerun")
}

# Count the host file's slots (1 a line where none are given) and put the hosts into one word for mpirun, so that what
# it maps is what was counted.
read_hosts() {
    [ -r "$hostfile" ] || die 2 "cannot read the host file $hostfile"
    local counted
    counted=$(awk '
        { sub(/#.*/, "") }
        NF == 0 { next }
        {
            n = 1
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^slots=[1-9][0-9]*$/) { n = substr($i, 7) }
                else { bad = bad " " $i }
            }
            if (!($1 in slots)) { order[++n_hosts] = $1 }
            slots[$1] += n
            total += n
            if (slots[$1] > most) { most = slots[$1] }
        }
        END {
            if (bad != "") { print "bad" bad; exit }
            for (i = 1; i <= n_hosts; i++) { list = list (i > 1 ? "," : "") order[i] ":" slots[order[i]] }
            print total + 0, most + 0, list
        }' "$hostfile")
    case $counted in
    bad*) die 2 "the host file $hostfile says '${counted#bad }'; a line is: NAME slots=N" ;;
    "0 0 ") die 2 "the host file $hostfile names no host" ;;
    esac
    read -r slots per_host host_list <<<"$counted"
}

# How many ranks, and how many of them on the fullest host.
count_ranks() {
    slots=0
    if [ -n "$hostfile" ]; then
        read_hosts
        n_ranks=${ranks:-$slots}
    else
        n_ranks=${ranks:-${SLURM_NTASKS:-$(nproc)}}
        local nodes=${SLURM_JOB_NUM_NODES:-1}
        per_host=$(((n_ranks + nodes - 1) / nodes))
    fi
    need_whole "number of ranks" "$n_ranks" 1
}

# Settings that every start needs. Ranks that outnumber the processors must not spin while they wait.
# Binding is off because each rank takes its share of all processors that it may use.
set_environment() {
    local share=${FORERUN_SHARE_CORES:-auto}
    if [ "$share" = auto ]; then
        share=0
        [ "$per_host" -le "$(nproc)" ] || share=1
    fi
    if [ "$share" = 1 ]; then
        . "$root/launch/mpi-env.sh"
    fi
    if [ -z "$hostfile" ] && [ -z "${SLURM_JOB_ID:-}" ]; then
        export OMPI_MCA_rmaps_base_oversubscribe=1
    fi
    export OMPI_MCA_hwloc_base_binding_policy=${OMPI_MCA_hwloc_base_binding_policy:-none}
    # Else mpirun throws away what srun says of a daemon that it could not start.
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        export OMPI_MCA_orte_leave_session_attached=${OMPI_MCA_orte_leave_session_attached:-1}
    fi
    if [ "$(id -u)" = 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
}

# Fill `launcher` and `shown`. The keepalives let the daemons notice a host that vanished
# without a word: without them mpirun waits for ever.
make_launcher() {
    local name keepalive extra
    launcher=("${FORERUN_MPIRUN:-mpirun}" -n "$n_ranks")
    [ -z "$hostfile" ] || launcher+=(--host "$host_list")
    read -ra keepalive <<<"${FORERUN_KEEPALIVE:-2 1 3}"
    [ ${#keepalive[@]} -eq 3 ] || die 2 "FORERUN_KEEPALIVE '${FORERUN_KEEPALIVE:-}' must be three numbers:" \
        "idle seconds, seconds between probes, probes"
    launcher+=(--mca oob_tcp_keepalive_time "${keepalive[0]}" --mca oob_tcp_keepalive_intvl "${keepalive[1]}"
        --mca oob_tcp_keepalive_probes "${keepalive[2]}")
    shown=()
    while IFS= read -r name; do
        case $name in
        FORERUN_MPIRUN | FORERUN_MPIRUN_ARGS | FORERUN_KEEPALIVE | FORERUN_SHARE_CORES | FORERUN_EXPORT) ;;
        FORERUN_RESTART_DELAY) ;;
        FORERUN_* | OMP_* | LD_LIBRARY_PATH)
            launcher+=(-x "$name")
            shown+=("$name")
            ;;
        OMPI_*) shown+=("$name") ;; # mpirun hands these on itself
        esac
    done < <(compgen -e | sort)
    for name in ${FORERUN_EXPORT:-}; do
        [ -n "${!name+set}" ] || die 2 "FORERUN_EXPORT names $name, which is not set"
        launcher+=(-x "$name")
        shown+=("$name")
    done
    read -ra extra <<<"${FORERUN_MPIRUN_ARGS:-}"
    launcher+=("${extra[@]}")
}

# print_command COMMAND...: as a line that a shell takes, with the environment in front.
print_command() {
    local name line=env word
    for name in "${shown[@]}"; do
        printf -v word '%q' "${!name}"
        line+=" $name=$word"
    done
    for word in "$@"; do
        printf -v word '%q' "$word"
        line+=" $word"
    done
    printf '%s\n' "$line"
}
