# Shared by the batch scripts and submit; sourced with ROOT set to the source tree.

root=$ROOT
program=forerun-slurm
# shellcheck source=../mpi-lib.sh
. "$root/launch/mpi-lib.sh"

usage_error() {
    die 2 "$@"
}

# quoted WORD...: one line that a shell reads back as these words.
quoted() {
    local line
    printf -v line '%q ' "$@"
    echo "${line% }"
}

# parse_common "$@": options that submit and the batch scripts share, into variables; the number of words
# taken is in $taken (0: not one of them).
hostfile=
forerun=
site=
restarts=
starter=mpirun
parse_common() {
    taken=2
    case $1 in
    --forerun) forerun=${2:?--forerun needs a path} ;;
    --site) site=${2:?--site needs a file} ;;
    --restarts) restarts=${2:?--restarts needs a number} ;;
    --gpus-per-node) gpus_per_node=${2:?--gpus-per-node needs a number} ;;
    --srun)
        starter=srun
        taken=1
        ;;
    *) taken=0 ;;
    esac
}

# The same options again as words, in $common_words.
common_words() {
    common_words=()
    [ "$starter" = mpirun ] || common_words+=(--srun)
    [ -z "$gpus_per_node" ] || common_words+=(--gpus-per-node "$gpus_per_node")
    [ -z "$restarts" ] || common_words+=(--restarts "$restarts")
    [ -z "$forerun" ] || common_words+=(--forerun "$forerun")
    [ -z "$site" ] || common_words+=(--site "$site")
}

# check_train_arguments WORD...: what every attempt must decide for itself is refused.
check_train_arguments() {
    local word
    for word in "$@"; do
        case $word in
        --resume*) usage_error "found $word among the train arguments; leave it out: every job resumes by itself" ;;
        --overwrite) usage_error "found $word among the train arguments; a job that is put back would begin anew each time:" \
            "remove the old run first, e.g. with forerun train ... --overwrite --stop-after 1" ;;
        esac
    done
}

# run_dir CONFIG [TRAIN ARGUMENT...]: the run folder that these give, asked of the program, which checks them all.
run_dir() {
    "${forerun:-$ROOT/build/release/forerun}" train "$@" --print-dir
}

# build_command TASKS NODES CONFIG [TRAIN ARGUMENT...]: what a job runs, in $command.
build_command() {
    local tasks nodes config=$3 common_words placed=()
    need_whole "number of ranks" "$1" 1
    tasks=$whole
    need_whole "number of nodes" "$2" 1
    nodes=$whole
    shift 3
    if [ "$starter" = srun ]; then
        # Every rank sees all GPUs of the job on its node, and the program takes them in turn. Not --gpu-bind=none: with it
        # Slurm 22.05 sets no CUDA_VISIBLE_DEVICES, and GPUs of other jobs may be seen as well.
        [ "$n_gpus" = 0 ] || placed=("--ntasks-per-node=$(((tasks + nodes - 1) / nodes))")
        # Not --kill-on-bad-exit: the first rank to leave with 75 would have the others killed, and 143 come out.
        command=(srun "--ntasks=$tasks" "${placed[@]}" --mpi=pmix --kill-on-bad-exit=0 --wait=30
            "${forerun:-$ROOT/build/release/forerun}" train "$config" --resume "$@")
        return
    fi
    common_words
    command=("$ROOT/launch/run" -n "$tasks" "${common_words[@]}" "$config")
    if [ $# -gt 0 ]; then
        command+=(-- "$@")
    fi
}

# entries FILE: the lines of an array's list that are no comments and not empty.
entries() {
    # CR and the mark in front come from an editor of Windows
    LC_ALL=C sed -e $'1s/^\xef\xbb\xbf//' -e $'s/\r*$//' -- "$1" | grep -avE '^[[:space:]]*(#|$)' || true
}

# read_entry FILE INDEX CONFIG [TRAIN ARGUMENT...]: entry INDEX (from 1) of a list, as $entry_config and
# $entry_arguments. A line is [CONFIG] TRAIN ARGUMENTS, quoted as for a shell but never evaluated. An entry of
# the common config without a run.dir of its own gets FOLDER/INDEX below the config's.
read_entry() {
    local file=$1 index line words folder
    need_whole "the number of an entry of $1:" "$2" 1
    index=$whole
    entry_config=$3
    shift 3
    line=$(entries "$file" | sed -n "${index}p")
    [ -n "$line" ] || usage_error "$file has no entry $index"
    words=$(xargs -n1 printf '%s\n' <<<"$line") || usage_error "$file, entry $index: unmatched quotes: $line"
    mapfile -t words <<<"$words"
    entry_arguments=("$@")
    if [[ ${words[0]} != -* ]]; then
        entry_config=${words[0]}
        words=("${words[@]:1}")
    elif [[ " ${words[*]}" != *[\ =]run.dir=* ]]; then
        folder=$(run_dir "$entry_config" "$@") || exit 2
        words+=(--set "run.dir=$folder/$index")
    fi
    entry_arguments+=("${words[@]}")
    check_train_arguments "${entry_arguments[@]}"
}
