#!/usr/bin/env bash
# A rank that stops, under a real mpirun. stop_rank.sh CASE:
#   stopped STAGES REPLICAS RANK  the others leave in time with exit code 5 and one table that names the rank
#   hanging SHIM                  the same where opening a line file never ends (crash_shim.c): the others leave in time
#   slow      a rank stopped for less than the timeout trips nobody; the run ends with an undisturbed run's bits
#   busy      ranks wait for longer than the timeout for one that tokenises, and nobody leaves
#   signals   a second SIGTERM or SIGINT leaves at once, and what is saved is whole
. "$(dirname "$0")/../e2e/common.sh"

what=$1
run=$work/run
launcher=
with=() # more options of mpirun
pids=()

# Whatever goes wrong, no rank outlives the test.
clean_up() {
    local pid
    for pid in "${pids[@]}" $launcher; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT

# begin STAGES REPLICAS [ARGUMENTS...]: train in the background; $launcher, $pids (by rank) and $host once it steps.
begin() {
    local ranks=$(($1 * $2)) r
    mpirun -n $ranks "${with[@]}" "$FORERUN" train "$work/c.yaml" --set run.stages="$1" --set run.replicas="$2" "${@:3}" \
        >"$work/out" 2>"$work/err" </dev/null &
    launcher=$!
    wait_for_steps 3
    pids=()
    for ((r = 0; r < ranks; r++)); do
        until_slot "$r" task t
        pids[r]=$(slot "$r" pid)
    done
    host=$(slot 0 host)
}

wait_for_steps() {
    for _ in $(seq 400); do
        [ -e "$run/metrics.jsonl" ] && [ "$(grep -c '"lr"' "$run/metrics.jsonl")" -ge "$1" ] && return
        sleep 0.05
    done
    fail "no steps in $run: $(cat "$work/err")"
}

# slot RANK KEY: a value of its rank line.
slot() {
    tr ' ' '\n' <"$(printf '%s/log/rank-%04d.slot' "$run" "$1")" | sed -n "s/^$2=//p"
}

# until_slot RANK KEY VALUE: at most ten seconds.
until_slot() {
    for _ in $(seq 100); do
        [ "$(slot "$1" "$2")" = "$3" ] && return
        sleep 0.1
    done
    fail "rank $1's slot never said $2=$3 but $(slot "$1" "$2")"
}

is_stopped() {
    [ "$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status")" = T ]
}

# freeze PID: stop it and see it stopped.
freeze() {
    kill -STOP "$1"
    for _ in $(seq 50); do
        is_stopped "$1" && return
        sleep 0.02
    done
    fail "process $1 does not stop"
}

now_ms() {
    date +%s%3N
}

# ends_with CODE: the launcher's exit code; $passed is how long that took since $since, in ms.
ends_with() {
    local code=0
    wait "$launcher" || code=$?
    passed=$(($(now_ms) - since))
    launcher=
    [ "$code" = "$1" ] || fail "exit code $code after $passed ms, wanted $1: $(cat "$work/err")"
}

# A process that is gone, or waits for its parent to collect it.
is_gone() {
    local state
    state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || return 0
    [ -z "$state" ] || [ "$state" = Z ]
}

none_left() {
    local pid
    for pid in "${pids[@]}"; do
        is_gone "$pid" || fail "process $pid is still there: $(cat "/proc/$pid/status")"
    done
}

in_time() {
    [ "$passed" -le $((FORERUN_TIMEOUT * 1000 + 5000)) ] ||
        fail "took $passed ms with a timeout of $FORERUN_TIMEOUT s"
    [ "$passed" -ge $((FORERUN_TIMEOUT * 1000)) ] || fail "left after $passed ms already"
}

# one_table RANK RANKS: exactly one, it names the rank, and has a row a rank.
one_table() {
    local n
    n=$(grep -c "who waits for whom" "$work/err") || true
    [ "$n" = 1 ] || fail "$n tables: $(cat "$work/err")"
    grep -B1 "who waits for whom" "$work/err" |
        grep -q "^error: .*: rank $1 on $host has stopped or been cut off: no sign of life since ..:..:.. UTC, " ||
        fail "rank $1 on $host is not named: $(cat "$work/err")"
    n=$(grep -cE "^ +[0-9]+  $host +[0-9]+  (waiting|computing) " "$work/err") || true
    [ "$n" = "$2" ] || fail "$n rows, wanted $2: $(cat "$work/err")"
    grep -qE "^ +$1  $host .*<--" "$work/err" || fail "rank $1 is not marked: $(cat "$work/err")"
    grep -q "who waits for whom" "$run/log/timeout.txt" || fail "no table in the run folder"
}

make_tiny

case $what in
stopped)
    export FORERUN_TIMEOUT=3
    make_config 1000000 7 f32 true
    begin "$2" "$3"
    freeze "${pids[$4]}"
    since=$(now_ms)
    ends_with 5
    in_time
    one_table "$4" "$(($2 * $3))"
    none_left
    echo "rank $4 of $2 x $3 stopped: all have left after $passed ms"
    ;;
hanging)
    export FORERUN_TIMEOUT=3
    export CRASH_FOLDER=$run CRASH_MODE=hang
    by_name "$2"
    make_config 1000000 7 f32 true
    with=(-x "LD_PRELOAD=$preload")
    begin 2 1
    freeze "${pids[1]}"
    since=$(now_ms)
    : >"$run/hang"
    ends_with 5
    in_time
    says "cannot be read or written in time"
    none_left
    echo "a line file that hangs: all have left after $passed ms"
    ;;
slow)
    export FORERUN_TIMEOUT=8
    make_config 1200 7 f32 true
    begin 2 1
    freeze "${pids[1]}"
    sleep 1
    before=$(wc -l <"$run/metrics.jsonl")
    sleep 3
    [ "$(wc -l <"$run/metrics.jsonl")" = "$before" ] || fail "the run does not wait for the stopped rank"
    [ "$(slot 0 state)" = waiting ] || fail "rank 0 is $(slot 0 state)"
    since=$(now_ms)
    kill -CONT "${pids[1]}"
    ends_with 0
    [ ! -e "$run/log/timeout.txt" ] || fail "a table was written"
    [ "$(slot 0 status) $(slot 1 status)" = "ended ended" ] || fail "$(cat "$run"/log/*.slot)"
    mv "$run" "$work/disturbed"
    unset FORERUN_TIMEOUT
    expect 0 "$FORERUN" train "$work/c.yaml"
    same "$run/checkpoint-1200.h5" "$work/disturbed/checkpoint-1200.h5"
    echo "stopped for 4 s of 8: the same bits"
    ;;
busy)
    export FORERUN_TIMEOUT=1
    make_config 5 7 f32 true
    cp "$rows" "$work/many.jsonl"
    for _ in $(seq 14); do # 2^14 times the rows
        cat "$work/many.jsonl" "$work/many.jsonl" >"$work/more.jsonl"
        mv "$work/more.jsonl" "$work/many.jsonl"
    done
    mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set "tasks.t.train=$work/many.jsonl" \
        >"$work/out" 2>"$work/err" </dev/null &
    launcher=$!
    since=$(now_ms)
    longest=0
    while kill -0 "$launcher" 2>/dev/null; do
        if [ "$(slot 1 state 2>/dev/null)" = waiting ] && [ "$(slot 0 state)" = tokenising ]; then
            waited=$(("$(slot 1 beat | tr -d .)" - "$(slot 1 since | tr -d .)"))
            longest=$((waited > longest ? waited : longest))
        fi
        sleep 0.2
    done
    ends_with 0
    [ "$longest" -gt 1800 ] || fail "rank 1 waited for $longest ms only: the test needs more rows"
    [ ! -e "$run/log/timeout.txt" ] || fail "a table was written"
    echo "rank 1 waited $longest ms for rank 0 to tokenise"
    ;;
signals)
    export FORERUN_TIMEOUT=0
    make_config 1000000 7 f32 true
    begin 2 1 --set run.save_every=20
    wait_for_steps 45
    freeze "${pids[1]}"
    until_slot 0 state waiting
    kill -TERM "${pids[0]}"
    sleep 1.5
    [ "$(slot 0 state)" = waiting ] || fail "the first SIGTERM did not let rank 0 wait on"
    since=$(now_ms)
    kill -TERM "${pids[0]}"
    ends_with 143
    [ "$passed" -le 4000 ] || fail "the second SIGTERM took $passed ms"
    says "second SIGTERM: rank 0 leaves at once"
    none_left
    expect 0 "$FORERUN" inspect "$(find "$run" -name 'checkpoint-*.h5' | sort -V | tail -n 1)"
    step=$(find "$run" -name 'checkpoint-*.h5' | sed 's/.*-\([0-9]*\).h5/\1/' | sort -n | tail -n 1)
    expect 75 "$FORERUN" train "$work/c.yaml" --resume --stop-after $((step + 7))
    mv "$run" "$work/disturbed"
    expect 75 "$FORERUN" train "$work/c.yaml" --stop-after $((step + 7))
    same "$run/checkpoint-$((step + 7)).h5" "$work/disturbed/checkpoint-$((step + 7)).h5"

    # one process, in a step that takes long; a background job of a script ignores SIGINT, and this must not matter
    rm -rf "$run"
    make_config 5 200000 f32 true
    "$FORERUN" train "$work/c.yaml" 2>"$work/err" </dev/null &
    launcher=$!
    until [ -e "$run/log/rank-0000.slot" ]; do sleep 0.05; done
    until_slot 0 state computing
    kill -INT "$launcher"
    sleep 1
    since=$(now_ms)
    kill -INT "$launcher"
    ends_with 130
    [ "$passed" -le 2000 ] || fail "the second SIGINT took $passed ms"
    says "second SIGINT: rank 0 leaves at once"
    echo "second signals: exit 143 and 130, what was saved is whole"
    ;;
*)
    fail "unknown case $what"
    ;;
esac
