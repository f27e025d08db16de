# shellcheck shell=bash
# Shared by launch/run, launch/preflight and launch/slurm; sourced. The caller sets `program` (its name in messages) and `root`
# (the source tree). Nothing here runs anything on its own.
#
#   hostfile, ranks, forerun, site   options as given, empty where not
#   slots, per_host, host_list       of the host file: ranks in all, most ranks on one host, NAME:SLOTS,NAME:SLOTS
#   launcher                         array: mpirun and its options, up to the program
#   shown                            array: names of the environment that the command depends on

: "${program:?}" "${root:?}"
slots=0 per_host=1 host_list=''

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

# Count the host file's slots (1 a line where none are given) and put the hosts into one word for mpirun, so that what
# it maps is what was counted.
read_hosts() {
    [ -r "$hostfile" ] || die 2 "cannot read the host file $hostfile"
    local counted
    # an editor of Windows puts a mark in front and a CR behind each line
    counted=$(LC_ALL=C awk '
        NR == 1 { sub(/^\357\273\277/, "") }
        { sub(/#.*/, ""); sub(/\r+$/, "") }
        NF == 0 { next }
        {
            n = 1
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
            for (i = 1; i <= n_hosts; i++) { list = list (i > 1 ? "," : "") order[i] ":" slots[order[i]] }
            print total + 0, most + 0, list
        }' <"$hostfile")
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
        need_whole "number of ranks" "${ranks:-$slots}" 1
        n_ranks=$whole
    else
        need_whole "number of ranks" "${ranks:-${SLURM_NTASKS:-$(nproc)}}" 1
        n_ranks=$whole
        need_whole SLURM_JOB_NUM_NODES "${SLURM_JOB_NUM_NODES:-1}" 1
        per_host=$(((n_ranks + whole - 1) / whole))
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
}

# Fill `launcher` and `shown`. The keepalives let the daemons notice a host that vanished
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
        FORERUN_* | OMP_* | LD_LIBRARY_PATH)
            launcher+=(-x "$name")
            shown+=("$name")
            ;;
        OMPI_* | PMIX_* | PRTE_*) shown+=("$name") ;; # mpirun hands these on itself
        esac
    done < <(compgen -e | sort)
    read -ra exported <<<"${FORERUN_EXPORT:-}"
    for name in "${exported[@]}"; do
        [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || die 2 "FORERUN_EXPORT names '$name', which is not the name of a variable"
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
