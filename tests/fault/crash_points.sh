#!/usr/bin/env bash
# crash_points.sh SHIM [all]: each system call of a small run on its folder fails, or is the run's last.
#
# Two runs are counted by the preloaded SHIM (crash_shim.c): one from the start, and the resume of one that was killed in
# a save. The main thread's calls (m1, m2, ...) and those of the thread that writes checkpoints (w1, ...) are counted
# apart: each comes in the same order in every run, while the other is anywhere. Then for each of their calls, in each
# mode: a killed run is dead, a failing call ends the run with exit code 1 and a message that names file and reason;
# only what can be done without (caches, the lock's text, removing old files) may fail unnoticed. Afterwards `latest`
# can be read, and a resume ends with the uninterrupted run's bytes and no temporary file. Without `all`, modes eio,
# full and short take every fourth call.
. "$(dirname "$0")/../e2e/common.sh"
shopt -s nullglob

by_name "$1"
extent=${2:-some}
steps=2
lanes=2
declare -A calls names
dir=run # relative, so that the files of both lanes and of the reference have the same bytes

# run_disturbed ID MODE [ARGUMENTS...]: exit code in $code, messages in err, calls in log.
run_disturbed() {
    local number=$1 mode=$2
    shift 2
    code=0
    rm -f log
    CRASH_FOLDER=$dir CRASH_LOG=log CRASH_AT=$number CRASH_MODE=$mode LD_PRELOAD=$preload \
        "$FORERUN" train "$work/c.yaml" "$@" >out 2>err </dev/null || code=$?
} 2>/dev/null

# lay SCENARIO: the folder as it is before the scenario's run.
lay() {
    rm -rf "$dir"
    [ "$1" = start ] || cp -a "$work/killed" "$dir"
}

# The run does without these: CALL and NAME of the file; NAME/ where the folder is synced for it.
is_dispensable() {
    case $1:$2 in
    close:*.tmp.*) [[ $2 = tokens-* ]] ;;
    close:* | unlink:* | *:tokens-* | *:store-* | ftruncate:lock | pwrite:lock | open:latest | open:best.h5) true ;;
    *) false ;;
    esac
}

# broken TEXT: the point at hand is not as it must be.
broken() {
    cat err >&2
    fail "$scenario run, mode $mode at call $number (${calls[$number]:-} ${names[$number]:-}): $*"
}

check_resume() {
    local name had=0 file files=("$dir"/checkpoint-*.h5)
    [ ${#files[@]} = 0 ] || had=1
    if [ -e "$dir/latest" ]; then
        name=$(<"$dir/latest")
        "$FORERUN" inspect "$dir/$name" >out 2>&1 || broken "latest names $name: $(cat out)"
    fi
    code=0
    "$FORERUN" train "$work/c.yaml" --resume >out 2>err </dev/null || code=$?
    [ $code = 0 ] || broken "the resume ended with $code"
    ! grep -q "trying the previous checkpoint\|does not name a checkpoint" err || broken "a damaged file was met"
    [ $had = 0 ] || ! grep -q "starting at step 0" err || broken "the checkpoint was not found"
    check_end
}

check_end() {
    local file left=("$dir"/*.tmp.*)
    for file in checkpoint-$steps.h5 prefix.h5 best.h5 latest config.yaml; do
        cmp "$work/whole/$file" "$dir/$file" >out 2>&1 || broken "$(cat out)"
    done
    [ ${#left[@]} = 0 ] || broken "left behind: ${left[*]}"
    [ "$(grep -c '"lr"' "$dir/metrics.jsonl")" = $steps ] || broken "not one metrics line a step"
}

# The message names a file of the folder and the reason, and no temporary file is left but those of a run before.
check_failure() {
    local file reason="No space left on device"
    local wanted=1
    [ "$mode" != eio ] || reason="Input/output error"
    case $mode:${calls[$number]}:${names[$number]} in
    full:*) ;; # what fails is a later call
    *:open:checkpoint-*.h5) wanted=6 reason="none of its 1 checkpoints can be used" ;;
    *:open:metrics.jsonl) wanted=3 ;;
    esac
    [ $code = "$wanted" ] || broken "exit code $code, wanted $wanted"
    grep -qE "^error: (.* )?$dir(/[^ :]*)?: $reason" err || broken "the message does not say what failed"
    for file in "$dir"/*.tmp.*; do
        [ "$scenario" = resume ] && [ -e "$work/killed/${file##*/}" ] || broken "left behind: $file"
    done
}

# Whether the disturbed run must end with an error. The last thing that takes space is the main thread's line about the
# last file that the writer wrote.
must_fail() {
    if [ "$mode" = full ]; then
        [[ $number = w* || ${number#m} -le $last_space ]]
    else
        ! is_dispensable "${calls[$number]}" "${names[$number]}"
    fi
}

try_point() {
    case $mode:${calls[$number]} in
    torn:*write | short:*write) ;;
    torn:* | short:*) return 0 ;;
    esac
    lay "$scenario"
    run_disturbed "$number" "$mode" "${arguments[@]}"
    points=$((points + 1))
    if [ "$mode" = kill ] || [ "$mode" = torn ]; then
        [ $code = 137 ] || broken "exit code $code"
    elif [ "$mode" != short ] && must_fail; then
        check_failure
    else
        [ $code = 0 ] || broken "exit code $code"
        check_end
        return 0
    fi
    check_resume
}

# Learn the scenario's calls: id to call and file, and the main thread's last that takes space and is needed.
count_calls() {
    local at call path
    local -A renamed=()
    ids=() calls=() names=() last_space=0
    lay "$scenario"
    run_disturbed "" kill "${arguments[@]}"
    [ $code = 0 ] || fail "counting ended with $code: $(cat err)"
    while read -r at call path; do
        path=${path##*/}
        case $call:$path in
        rename:*) renamed[${at:0:1}]=$path ;;
        open:run | fsync:run) path=${renamed[${at:0:1}]}/ ;; # the folder is synced for the sake of the file renamed in it
        esac
        ids+=("$at")
        calls[$at]=$call
        names[$at]=$path
        case $at:$call in
        m*:create | m*:*write | m*:fsync | m*:mkdir) is_dispensable "$call" "$path" || last_space=${at#m} ;;
        esac
    done <log
}

# The points of both scenarios that fall to a lane, in a folder of its own.
run_lane() {
    local lane=$1 turn=0 points=0 stride i
    mkdir "$work/lane-$lane"
    cd "$work/lane-$lane"
    for scenario in start resume; do
        arguments=()
        [ $scenario = start ] || arguments=(--resume)
        count_calls
        [ "$lane" != 0 ] || echo "$scenario: ${#ids[@]} calls, $(printf '%s\n' "${ids[@]}" | grep -c w) of the writer"
        for mode in kill torn enospc eio full short; do
            stride=1
            [[ $extent = all || $mode =~ ^(kill|torn|enospc)$ ]] || stride=4
            for ((i = 0; i < ${#ids[@]}; i += stride)); do
                number=${ids[i]}
                [ $((turn++ % lanes)) != "$lane" ] || try_point
            done
        done
    done
    echo "$points" >points
}

make_tiny
make_config $steps 7 f32 true
sed -i "s|^    train:.*|&\n    valid: \"$rows\"|; s|save_every: 1000|save_every: 1, keep: 1, valid_every: 1|
    s|dir: [^,]*|dir: $dir|" "$work/c.yaml"
cd "$work"
expect 0 "$FORERUN" train "$work/c.yaml"
mv "$dir" "$work/whole"
scenario=start arguments=()
count_calls
number=$(grep -m 1 "fsync .*/checkpoint-$steps" log | cut -d ' ' -f 1)
lay start
run_disturbed "$number" kill
[ $code = 137 ] || fail "exit code $code of a killed run"
printf '{"task":"t","st' >>"$dir/metrics.jsonl"
printf half | tee "$dir/tokens-0.cache.tmp.1" >"$dir/prefix.h5.tmp.1"
mv "$dir" "$work/killed"

pids=()
for ((lane = 0; lane < lanes; lane++)); do
    run_lane $lane &
    pids+=($!)
done
failures=0
for pid in "${pids[@]}"; do
    wait "$pid" || failures=1
done
[ $failures = 0 ] || fail "see above"
points=$(($(cat "$work"/lane-*/points | paste -sd+)))
echo "$points crash points: each ends as it must, and a resume ends with the uninterrupted run's bytes"
