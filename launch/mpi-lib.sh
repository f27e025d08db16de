# shellcheck shell=bash
# Shared by launch/run, launch/preflight and launch/slurm; sourced. The caller sets `program` (its name in messages) and `root`
# (the source tree). Nothing here runs anything on its own.
#
#   hostfile, ranks, forerun, site   options as given, empty where not; gpus_per_node likewise
#   slots, per_host, host_list       of the host file: ranks in all, most ranks on one host, NAME:SLOTS,NAME:SLOTS
#   n_gpus, n_hosts                  GPUs of each host that ranks are placed by (0: they are not), and hosts
#   near                             array: what a rank starts by, to be bound near its GPU; empty where it is not
#   launcher                         array: mpirun and its options, up to the program
#   shown                            array: names of the environment that the command depends on

: "${program:?}" "${root:?}"
slots=0 per_host=1 host_list='' gpus_per_node='' n_gpus=0 n_hosts=1 near=()

# printable TEXT: the text in $printable with a ? for every control character (C0, DEL, C1 in UTF-8, those that turn the
# direction of writing): what files and other programs say must not command the terminal.
printable() {
    local LC_ALL=C
    printable=${1//[$'\x01'-$'\x1f'$'\x7f']/?}
    printable=${printable//$'\xc2'[$'\x80'-$'\x9f']/?}
    printable=${printable//$'\xe2\x80'[$'\x8e\x8f\xaa'-$'\xae']/?}
    printable=${printable//$'\xe2\x81'[$'\xa6'-$'\xa9']/?}
}

say() {
    local printable
    printable "$*"
    # the terminal may be closed: then nobody reads this, and the work goes on
    printf '%s: %s\n' "$program" "$printable" >&2 || true
}

die() {
    local code=$1
    shift
    say "$@"
    exit "$code"
}

# whole TEXT: whether it is a whole number of at most 18 digits, which is then in $whole, without leading zeros. Whatever
# comes from a file, a file's name or the environment goes through here before the shell calculates with it: the shell
# runs commands that it finds in a number's place, such as a[$(command)].
whole() {
    whole=''
    [[ $1 =~ ^[0-9]{1,18}$ ]] || return 1
    whole=$((10#$1))
}

# need_whole NAME TEXT LEAST: the number in $whole, or the end with a message.
need_whole() {
    whole "$2" && [ "$whole" -ge "$3" ] || die 2 "$1 '$2' is not a whole number of at least $3"
}

# need_gpus NAME TEXT: as need_whole, for GPUs of one host.
need_gpus() {
    whole "$2" && [ "$whole" -ge 1 ] && [ "$whole" -le 1000 ] || die 2 "$1 '$2' is not a whole number from 1 to 1000"
}

# checkpoint_step NAME: whether NAME is checkpoint-STEP.h5; the step is then in $whole.
checkpoint_step() {
    [[ $1 =~ ^checkpoint-([0-9]+)\.h5$ ]] && whole "${BASH_REMATCH[1]}"
}

# newest_step RUN_FOLDER: prints the step of the checkpoint that a resume begins with, 0 where there is none: the one that
# the file `latest` names, else the highest, as the program takes them.
newest_step() {
    local file name='' newest=0
    [ ! -f "$1/latest" ] || read -r name <"$1/latest" || true
    if checkpoint_step "$name"; then
        newest=$whole
    else
        for file in "$1"/checkpoint-*.h5; do
            if checkpoint_step "${file##*/}" && [ "$whole" -gt "$newest" ]; then
                newest=$whole
            fi
        done
    fi
    printf '%d\n' "$newest"
}

# own_file FILE...: what a run folder holds under a log's name must be a file of its own: to append to a link or a FIFO
# would write elsewhere, or wait for ever.
own_file() {
    local file
    for file in "$@"; do
        if [ -L "$file" ] || { [ -e "$file" ] && [ ! -f "$file" ]; }; then
            die 1 "$file must be a regular file; find out who made it, and remove it"
        fi
    done
}

# make_sign FILE: an empty file, new: what was there is removed, not written to (noclobber creates with O_EXCL).
make_sign() {
    rm -f -- "$1"
    (set -C && : >"$1")
}

# Settings of this cluster: every variable that the file sets is exported. The file is a shell script, and runs: it is of
# who starts the run, and the one file here that may hold commands.
read_site() {
    if [ -z "$site" ] && [ -f "$root/launch/site.env" ]; then
        site=$root/launch/site.env
    fi
    [ -n "$site" ] || return 0
    [ -r "$site" ] || die 2 "cannot read the site file $site"
    case $site in /*) ;; *) site=./$site ;; esac
    set -a
    if LC_ALL=C grep -q $'\r$' "$site" || [ "$(head -c 3 "$site")" = $'\xef\xbb\xbf' ]; then
        # of an editor of Windows: each CR would be a part of the value
        # shellcheck disable=SC1090
        . <(LC_ALL=C sed -e $'1s/^\xef\xbb\xbf//' -e $'s/\r*$//' "$site")
    else
        # shellcheck disable=SC1090
        . "$site"
    fi
    set +a
}

find_program() {
    forerun=${forerun:-$root/build/release/forerun}
    [ -x "$forerun" ] || die 2 "no program at $forerun; build it (cmake --preset release && cmake --build" \
        "--preset release) or name it with --forerun"
    forerun=$(cd "$(dirname "$forerun")" && pwd)/$(basename "$forerun")
}

# Count the host file's slots (where none are given 1 a line, or as many as there are GPUs) and put the hosts into one word for mpirun, so that what
# it maps is what was counted.
read_hosts() {
    [ -r "$hostfile" ] || die 2 "cannot read the host file $hostfile"
    local counted
    # an editor of Windows puts a mark in front and a CR behind each line
    counted=$(LC_ALL=C awk -v usual="$((n_gpus > 0 ? n_gpus : 1))" '
        NR == 1 { sub(/^\357\273\277/, "") }
        { sub(/#.*/, ""); sub(/\r+$/, "") }
        NF == 0 { next }
        {
            n = usual
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^slots=[1-9][0-9]*$/ && length($i) <= 12) { n = substr($i, 7) }
                else { bad = bad " " $i }
            }
            if ($1 !~ /^[A-Za-z0-9_][A-Za-z0-9_.@-]*$/) { bad = bad " " $1 }
            if (!($1 in slots)) { order[++n_hosts] = $1 }
            slots[$1] += n
            total += n
            if (slots[$1] > most) { most = slots[$1] }
        }
        END {
            if (bad != "") { print "bad" bad; exit }
            for (i = 1; i <= n_hosts; i++) {
                list = list (i > 1 ? "," : "") order[i] ":" slots[order[i]]
                if (i == 1 || slots[order[i]] < slots[least]) { least = order[i] }
            }
            print total + 0, most + 0, n_hosts + 0, slots[least] + 0, least, list
        }' <"$hostfile")
    case $counted in
    bad*) die 2 "the host file $hostfile says '${counted#bad }'; a line is: NAME slots=N" ;;
    "0 0 "*) die 2 "the host file $hostfile names no host" ;;
    esac
    read -r slots per_host n_hosts least_slots least_host host_list <<<"$counted"
}

# GPUs of each host in $n_gpus: as asked for, else in a job of Slurm as many as it gave the node, else 0.
count_gpus() {
    local given=''
    n_gpus=0
    if [ -n "${SLURM_JOB_ID:-}" ] && [ -z "$hostfile" ]; then
        given=${SLURM_GPUS_ON_NODE:-${SLURM_GPUS_PER_NODE:-}}
        [[ $given != *,* ]] || given='' # several types of GPUs: TYPE:N,TYPE:N
        whole "${given##*:}" && [ "$whole" -ge 1 ] && [ "$whole" -le 1000 ] || whole=''
        given=$whole
    fi
    if [ -n "$gpus_per_node" ]; then
        need_gpus --gpus-per-node "$gpus_per_node"
        n_gpus=$whole
        [ -z "$given" ] || [ "$n_gpus" -le "$given" ] ||
            die 2 "--gpus-per-node $n_gpus, but Slurm gave this job $given on a node; submit it with as many" \
                "(sbatch --gres=gpu:$n_gpus)"
    else
        n_gpus=${given:-0}
    fi
}

# How many ranks, and how many of them on the fullest host. With GPUs one rank for each, where nothing else is asked for, and
# every host gets as many as the next.
count_ranks() {
    local usual=''
    slots=0
    count_gpus
    if [ -n "$hostfile" ]; then
        read_hosts
        usual=$slots
    else
        need_whole SLURM_JOB_NUM_NODES "${SLURM_JOB_NUM_NODES:-1}" 1
        n_hosts=$whole
        usual=${SLURM_NTASKS:-}
    fi
    if [ "$n_gpus" -gt 0 ] && { [ -n "$gpus_per_node" ] || [ -z "$usual" ]; }; then
        usual=$((n_hosts * n_gpus))
    fi
    need_whole "number of ranks" "${ranks:-${usual:-$(nproc)}}" 1
    n_ranks=$whole
    spread_ranks
}

# Ranks on the fullest host, after a change of $n_ranks; a host file without GPUs has said so itself.
spread_ranks() {
    if [ -z "$hostfile" ] || [ "$n_gpus" -gt 0 ]; then
        per_host=$(((n_ranks + n_hosts - 1) / n_hosts))
    fi
}

# What the number of ranks means for the GPUs, and whether the host file has room for them.
check_gpus() {
    [ "$n_gpus" -gt 0 ] || return 0
    if [ -n "$hostfile" ]; then
        [ "$least_slots" -ge "$n_gpus" ] && [ "$least_slots" -ge "$per_host" ] ||
            die 2 "$least_host has slots=$least_slots in the host file $hostfile, but $n_gpus GPUs and $per_host ranks are wanted on" \
                "each host; write slots=N with at least that behind it, or leave the number away for one rank a GPU"
    fi
    if [ "$per_host" -gt "$n_gpus" ]; then
        say "$per_host ranks on a host with $n_gpus GPU$([ "$n_gpus" = 1 ] || echo s): ranks share them, and their memory"
    elif [ "$per_host" -lt "$n_gpus" ]; then
        say "$per_host rank$([ "$per_host" = 1 ] || echo s) on a host with $n_gpus GPUs: some have nothing to do"
    fi
}

# More ranks than processors: each launcher of Open MPI, up to 4 and from 5 on, has a setting of its own.
allow_oversubscription() {
    export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
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
        allow_oversubscription
    fi
    export OMPI_MCA_hwloc_base_binding_policy=${OMPI_MCA_hwloc_base_binding_policy:-none}
    export PRTE_MCA_hwloc_default_binding_policy=${PRTE_MCA_hwloc_default_binding_policy:-none}
    # Else a rank that is killed at its start may keep a lock that mpirun waits for: see mpi-env.sh.
    export PMIX_MCA_gds=${PMIX_MCA_gds:-hash}
    if [ -n "$hostfile" ] && [ -z "${SLURM_JOB_ID:-}" ]; then
        # the daemons of other hosts get no environment from here
        export OMPI_MCA_orte_launch_agent=${OMPI_MCA_orte_launch_agent:-env PMIX_MCA_gds=$PMIX_MCA_gds orted}
    fi
    # Else mpirun throws away what srun says of a daemon that it could not start.
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        export OMPI_MCA_orte_leave_session_attached=${OMPI_MCA_orte_leave_session_attached:-1}
    fi
    if [ "$(id -u)" = 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
    # its numbers are of this host, whose ranks would have other GPUs than those of the others
    if [ "$n_hosts" -gt 1 ] && [ -n "$hostfile" ] && [ -n "${CUDA_VISIBLE_DEVICES+set}" ] &&
        [[ " ${FORERUN_EXPORT:-} " != *" CUDA_VISIBLE_DEVICES "* ]]; then
        say "CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES is left out: it is of this host; FORERUN_EXPORT=CUDA_VISIBLE_DEVICES sets" \
            "it on all of them"
        unset CUDA_VISIBLE_DEVICES
    fi
}

# Placement by GPUs, behind the other options: as many ranks on each host, each near its GPU (launch/near-gpu), unless options or
# settings of Open MPI say otherwise.
place_by_gpus() {
    local options=" ${FORERUN_MPIRUN_ARGS:-} "
    near=()
    [ "$n_gpus" -gt 0 ] || return 0
    # Slurm counts slots by tasks or processors; how many ranks a host gets is said here
    [[ $options = *" --map-by "* ]] || launcher+=(--map-by "ppr:$per_host:node:oversubscribe")
    if [ "$OMPI_MCA_hwloc_base_binding_policy$PRTE_MCA_hwloc_default_binding_policy" = nonenone ] &&
        [[ $options != *" --bind-to "* ]]; then
        near=("$root/launch/near-gpu" "$n_gpus")
    fi
}

# Fill `launcher`, `near` and `shown`. The keepalives let the daemons notice a host that vanished
# without a word: without them mpirun waits for ever.
make_launcher() {
    local name keepalive extra exported
    launcher=("${FORERUN_MPIRUN:-mpirun}" -n "$n_ranks")
    [ -z "$hostfile" ] || launcher+=(--host "$host_list")
    read -ra keepalive <<<"${FORERUN_KEEPALIVE:-2 1 3}"
    [ ${#keepalive[@]} -eq 3 ] || die 2 "FORERUN_KEEPALIVE '${FORERUN_KEEPALIVE:-}' must be three numbers:" \
        "idle seconds, seconds between probes, probes"
    for name in "${keepalive[@]}"; do
        need_whole "FORERUN_KEEPALIVE '${FORERUN_KEEPALIVE:-}':" "$name" 0
    done
    launcher+=(--mca oob_tcp_keepalive_time "${keepalive[0]}" --mca oob_tcp_keepalive_intvl "${keepalive[1]}"
        --mca oob_tcp_keepalive_probes "${keepalive[2]}")
    shown=()
    while IFS= read -r name; do
        case $name in
        FORERUN_MPIRUN | FORERUN_MPIRUN_ARGS | FORERUN_KEEPALIVE | FORERUN_SHARE_CORES | FORERUN_EXPORT) ;;
        FORERUN_RESTART_DELAY) ;;
        FORERUN_* | OMP_* | LD_LIBRARY_PATH | HF_HOME | HF_HUB_CACHE | HUGGINGFACE_HUB_CACHE) # the last: where models lie
            launcher+=(-x "$name")
            shown+=("$name")
            ;;
        OMPI_* | PMIX_* | PRTE_*) shown+=("$name") ;; # mpirun hands these on itself
        CUDA_VISIBLE_DEVICES | CUDA_DEVICE_ORDER)
            # on this host they go along like all else, on others they do not; Slurm sets the first on each node
            [ "$n_hosts" -gt 1 ] || shown+=("$name")
            ;;
        esac
    done < <(compgen -e | sort)
    read -ra exported <<<"${FORERUN_EXPORT:-}"
    for name in "${exported[@]}"; do
        [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || die 2 "FORERUN_EXPORT names '$name', which is not the name of a variable"
        [ -n "${!name+set}" ] || die 2 "FORERUN_EXPORT names $name, which is not set"
        [ "$name" != CUDA_VISIBLE_DEVICES ] || [ -z "${SLURM_JOB_ID:-}" ] ||
            die 2 "FORERUN_EXPORT names CUDA_VISIBLE_DEVICES, which Slurm sets on each node; leave it out"
        launcher+=(-x "$name")
        shown+=("$name")
    done
    read -ra extra <<<"${FORERUN_MPIRUN_ARGS:-}"
    launcher+=("${extra[@]}")
    place_by_gpus
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
