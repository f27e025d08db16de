#!/usr/bin/env bash
# kill.sh ROUNDS [SEED [LANES]]: a run that is killed at any moment goes on to the bits of an uninterrupted one.
#
# A round starts a small run under mpirun that saves every step or every other, kills a random rank, mpirun or all
# of them with SIGKILL up to three times, resumes each time on another layout, and lets the last start finish. A third
# of the kills waits for a temporary file, one third for the first checkpoint and a random time, the rest falls anywhere
# from the start on. Always: what `latest` names can be read, a resume finds a checkpoint where there was one, and the
# end is bit-identical with nothing left behind. A round's choices follow from SEED plus its number: `kill.sh 1 SEED`
# repeats them. LANES rounds run side by side (3).
. "$(dirname "$0")/../e2e/common.sh"
shopt -s nullglob

rounds=$1
seed=${2:-$((RANDOM * 32768 + RANDOM))}
lanes=${3:-3}
steps=30
TOLD=9
events=$work/events
: >"$events"
exec {pause}<> <(:)

note() {
    echo "$*" >>"$events"
}

# A pause without a process: polling must not be slower than a save.
rest() {
    read -rt "$1" -u "$pause" || true
}

# failed TEXT: end the round (a subshell) and keep its folder.
failed() {
    trap - EXIT
    note "failed $dir"
    echo "FAILED: round of seed $round_seed: $* (folder kept: $dir)" >&2
    tail -n 5 "$dir".err* >&2
    [ ! -d "/proc/${launcher:-none}" ] || kill -KILL "$launcher" || true
    exit $TOLD
}

# The living processes of the round but for mpirun, in $ranks.
find_ranks() {
    local pid
    ranks=()
    while read -r pid; do
        [ "$pid" = "$launcher" ] || ranks+=("$pid")
    done < <(pgrep -f "run.dir=$dir " || true)
}

# Start the run on a random layout: mpirun's pid in $launcher.
launch() {
    local layouts=("1 1" "2 1" "1 2" "3 1" "1 3" "2 2" "4 1" "1 4") stages replicas
    read -r stages replicas <<<"${layouts[RANDOM % 8]}"
    starts=$((starts + 1))
    mpirun -n $((stages * replicas)) "$FORERUN" train "$work/c.yaml" --set "run.dir=$dir" \
        --set "run.stages=$stages" --set "run.replicas=$replicas" --set "run.save_every=$every" "$@" \
        >"$dir.out" 2>"$dir.err$starts" </dev/null &
    launcher=$!
    n_ranks=$((stages * replicas))
    ranks=()
}

is_running() {
    local stat=''
    kill -0 "$launcher" && read -r stat <"/proc/$launcher/stat" && [[ $stat != *") Z "* ]]
} 2>/dev/null

# Wait for the moment to kill.
wait_for_moment() {
    local moment=$1 sightings=$((RANDOM % 6)) globs=("checkpoint-*" "latest" "checkpoint-*" "*") glob last='' files
    glob=${globs[RANDOM % 4]}
    case $moment in
    anywhere)
        rest "0.$(printf %03d $((RANDOM % 900)))"
        find_ranks
        return
        ;;
    between)
        while is_running && [ ! -e "$dir/latest" ]; do rest 0.005; done
        find_ranks
        rest "0.$(printf %03d $((RANDOM % 200)))"
        return
        ;;
    esac
    while is_running && find_ranks && [ ${#ranks[@]} -lt "$n_ranks" ]; do rest 0.01; done
    while is_running; do
        # shellcheck disable=SC2206 # the pattern is meant as one
        files=("$dir"/$glob.tmp.*)
        if [ ${#files[@]} -gt 0 ] && [ "${files[0]}" != "$last" ]; then
            last=${files[0]}
            [ $((sightings--)) -gt 0 ] || return 0
        fi
    done
}

# mpirun's end in $ended; a stuck one would hold up the test for ever.
wait_for_launcher() {
    local tries=30000
    while is_running; do
        [ $((tries--)) -gt 0 ] || failed "mpirun has not ended for 5 minutes"
        rest 0.01
    done
    ended=0
    wait "$launcher" 2>/dev/null || ended=$?
}

# strike VICTIM: returns 1 if the run had ended by itself before.
strike() {
    local victim=$1
    [ ${#ranks[@]} -gt 0 ] || victim=all
    case $victim in
    rank) kill -KILL "${ranks[RANDOM % ${#ranks[@]}]}" 2>/dev/null || true ;;
    mpirun) kill -KILL "$launcher" 2>/dev/null || true ;;
    all) kill -KILL "$launcher" "${ranks[@]}" 2>/dev/null || true ;;
    esac
    wait_for_launcher
    [ "$ended" != 0 ] || return 1
    note "kill $victim"
}

wait_until_gone() {
    local tries=1500
    while find_ranks && [ ${#ranks[@]} -gt 0 ]; do
        [ $((tries--)) -gt 0 ] || failed "processes ${ranks[*]} outlive their mpirun by 15 s"
        rest 0.01
    done
}

# What `latest` names can be read. Orphans may replace and delete it every few milliseconds, faster than `inspect`
# starts, so there are attempts for two seconds.
check_latest() {
    local name files=("$dir"/checkpoint-*.h5) tries=100
    if [ ${#files[@]} = 0 ] && [ "$had" = 0 ]; then
        return
    fi
    had=1
    while :; do
        files=("$dir"/checkpoint-*.h5)
        [ ${#files[@]} -gt 0 ] || failed "the checkpoints are gone"
        # killed between the very first checkpoint and `latest`: a resume takes the highest step
        name=$(cat "$dir/latest" 2>/dev/null || basename "${files[0]}")
        ! "$FORERUN" inspect "$dir/$name" >"$dir.out" 2>&1 || return 0
        [ $((tries--)) -gt 0 ] || failed "latest names $name: $(cat "$dir.out")"
        rest 0.02
    done
}

# Only a kill inside a save leaves a temporary file, or a checkpoint that `latest` does not name yet.
count_inside() {
    local left=("$dir"/*.tmp.*) files=("$dir"/checkpoint-*.h5) newest
    if [ ${#left[@]} -gt 0 ]; then
        note inside
    elif [ ${#files[@]} -gt 0 ]; then
        newest=$(printf '%s\n' "${files[@]##*/}" | sort -t- -k2n | tail -n 1)
        [ "$(cat "$dir/latest" 2>/dev/null)" = "$newest" ] || note inside
    fi
}

# check_log HAD: the last start went on from a checkpoint if there was one, and found none damaged.
check_log() {
    ! grep -q "trying the previous checkpoint\|does not name a checkpoint" "$dir.err$starts" || failed "a damaged file was met"
    [ "$1" = 0 ] || ! grep -q "starting at step 0" "$dir.err$starts" || failed "the checkpoint was not found"
}

check_end() {
    local file left
    for file in checkpoint-$steps.h5 prefix.h5 best.h5; do
        "$FORERUN" compare "$work/whole/$file" "$dir/$file" >"$dir.out" || failed "$file: $(cat "$dir.out")"
    done
    [ "$(cat "$dir/latest")" = checkpoint-$steps.h5 ] || failed "latest names $(cat "$dir/latest")"
    [ "$(grep -c '"lr"' "$dir/metrics.jsonl")" = $steps ] || failed "not one metrics line a step"
    left=("$dir"/*.tmp.*)
    [ ${#left[@]} = 0 ] || failed "left behind: ${left[*]}"
}

run_round() {
    round_seed=$1 dir=$work/round-$1 starts=0 had=0 every=$((1 + RANDOM % 2))
    local kills=$((1 + RANDOM % 3)) victims=(rank mpirun all) moments=(save between anywhere) victim before
    local resume=()
    for ((; kills > 0; kills--)); do
        before=$had
        launch "${resume[@]}"
        resume=(--resume)
        wait_for_moment "${moments[RANDOM % 3]}"
        victim=${victims[RANDOM % 3]}
        strike "$victim" || break
        check_log "$before"
        check_latest
        # half of the restarts meet the ranks that a killed mpirun left
        if [ "$victim" != mpirun ] || [ $((RANDOM % 2)) = 0 ]; then
            wait_until_gone
            count_inside
            check_latest
        fi
    done
    before=$had
    launch --resume
    wait_for_launcher
    [ "$ended" = 0 ] || failed "the last start ended with $ended"
    check_log "$before"
    wait_until_gone
    check_end
    note "round"
    rm -rf "${dir:?}" "$dir".*
}

# run_lane LANE: every LANES-th round.
run_lane() {
    local round code
    for ((round = $1; round < rounds; round += lanes)); do
        # shellcheck disable=SC2030 # each round draws from its own seed
        code=0
        (RANDOM=$((seed + round)) && run_round $((seed + round))) || code=$?
        [ $code = 0 ] || [ $code = $TOLD ] || echo "FAILED: round of seed $((seed + round)) ended with $code" >&2
    done
}

make_tiny
make_config $steps 7 f32 true
sed -i "s|^    train:.*|&\n    valid: \"$rows\"|; s|save_every: 1000|valid_every: 5|" "$work/c.yaml"
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"
for ((lane = 0; lane < lanes; lane++)); do
    run_lane $lane &
done
wait
count() {
    grep -c "^$1" "$events" || true
}
echo "$(count round) of $rounds rounds ended with the uninterrupted run's bits (seed $seed); kills: $(count 'kill rank')" \
    "of a rank, $(count 'kill mpirun') of mpirun, $(count 'kill all') of all; $(count inside) seen inside a save"
if [ "$(count round)" != "$rounds" ]; then
    trap - EXIT
    exit 1
fi
