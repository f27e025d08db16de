#!/usr/bin/env bash
# Signals are answered from the first moment, wherever the program hangs. signals.sh SHIM CASE; the shim stands in for a
# dead file system (hang_shim.c).
#   early     a first SIGINT or SIGTERM ends each command at once (130, 143) while a file that it needs hangs
#   ranks     one under mpirun: nobody is left behind
#   remember  SIGUSR1 while a run loads stops it after its first step (75)
#   late      the last save hangs: the first signal waits for it, the second leaves (143)
#   closed    a terminal or a pipe that is closed: SIGHUP stops a run (75), nohup's does not; a run goes on without
#             its output, other commands end by SIGPIPE (141)
#   terminal  a real terminal that is closed: a run ends with a checkpoint, also under mpirun and launch/run
#   mpirun    signals to plain mpirun: its exit code and what is saved, as README and launch/README.md say
#   rows      what a signal leaves of the rows of generate and eval are whole lines
. "$(dirname "$0")/../e2e/common.sh"

by_name "$1"
what=$2
make_tiny
run=$work/run
mark=$work/hangs
pid=

clean_up() {
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

# hang PATH COMMAND...: start it with calls on this path hanging, and wait until one does.
hang() {
    local path=$1
    shift
    rm -f "$mark"
    HANG_PATH=$path HANG_MARK=$mark LD_PRELOAD=$preload "$@" >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    wait_for_file "$mark"
}

# ends CODES: the command is over with one of these codes, long before it would be by itself.
ends() {
    local code=0
    timeout 20 tail --pid="$pid" -s 0.02 -f /dev/null || kill -KILL "$pid"
    wait "$pid" || code=$?
    pid=
    [[ " $1 " == *" $code "* ]] || fail "exit code $code, wanted $1: $(cat "$work/err")"
}

# leaves PATH COMMAND...: at once, on each of both signals.
leaves() {
    hang "$@"
    kill -INT "$pid"
    ends 130
    hang "$@"
    kill -TERM "$pid"
    ends 143
}

# A config whose second task starts from a prefix file.
make_prefix() {
    make_config 2 4 f32 true
    train made 1 1 2>"$work/err" || fail "$(cat "$work/err")"
    prefix=$work/made/prefix.h5
    sed -i "s|init: {random: 0.5}, length: 5|init: {file: \"$prefix\"}|" "$work/c.yaml"
}

case $what in
early)
    make_prefix
    for path in "$work/c.yaml" "$model" "$rows" "$prefix" "$run"; do
        leaves "$path" "$FORERUN" train "$work/c.yaml" --resume
        rm -rf "$run"
    done
    says "SIGTERM: process "
    leaves "$work/c.yaml" "$FORERUN" plan "$work/c.yaml" --ranks 2
    leaves "$work/c.yaml" "$FORERUN" preflight "$work/c.yaml"
    leaves "$model" "$FORERUN" eval --model "$model" --data "$rows"
    [ ! -s "$work/err" ] || fail "an interrupted eval says: $(cat "$work/err")"
    leaves "$rows" "$FORERUN" eval --model "$model" --data "$rows"
    leaves "$prefix" "$FORERUN" generate --model "$model" --prefix "$prefix" --input "$rows"
    leaves "$rows" "$FORERUN" generate --model "$model" --prefix "$prefix" --input "$rows"
    leaves "$prefix" "$FORERUN" inspect "$prefix"
    leaves "$prefix" "$FORERUN" compare "$prefix" "$prefix"
    : >"$work/some.gguf"
    leaves "$work/some.gguf" "$FORERUN" tokenize --model "$work/some.gguf"

    # a run that resumes loses nothing by it
    expect 75 "$FORERUN" train "$work/c.yaml" --stop-after 1
    cp "$run/checkpoint-1.h5" "$work/before.h5"
    leaves "$rows" "$FORERUN" train "$work/c.yaml" --resume
    same "$run/checkpoint-1.h5" "$work/before.h5"
    expect 0 "$FORERUN" train "$work/c.yaml" --resume
    # SIGUSR1 is no reason to leave, and other commands take no notice
    hang "$model" "$FORERUN" eval --model "$model" --data "$rows"
    kill -USR1 "$pid"
    sleep 0.3
    kill -0 "$pid" || fail "SIGUSR1 ended eval"
    kill -HUP "$pid"
    ends 129
    echo "first signals: 130, 143 and 129, wherever a command hangs"
    ;;
ranks)
    make_config 5 4 f32 true
    for signal in INT TERM; do
        hang "$model" mpirun -n 3 "$FORERUN" train "$work/c.yaml"
        sleep 0.5 # the other ranks hang as well
        mapfile -t ranks < <(pgrep -P "$pid" -x "$(basename "$FORERUN")")
        [ ${#ranks[@]} = 3 ] || fail "${#ranks[@]} ranks"
        kill -$signal "${ranks[1]}"
        ends "$([ $signal = INT ] && echo 130 || echo 143)"
        for rank in "${ranks[@]}"; do
            [ ! -e "/proc/$rank/exe" ] || fail "rank $rank is still there"
        done
    done
    echo "a rank that leaves early takes the others along"
    ;;
remember)
    make_config 400 4 f32 true
    HANG_RELEASE=$work/release hang "$rows" "$FORERUN" train "$work/c.yaml"
    kill -USR1 "$pid"
    kill -USR1 "$pid"
    sleep 0.3
    kill -0 "$pid" || fail "SIGUSR1 ended a run that loads: $(cat "$work/err")"
    : >"$work/release"
    ends 75
    [ -e "$run/checkpoint-1.h5" ] || fail "not stopped after the first step: $(ls "$run")"
    expect 75 "$FORERUN" train "$work/c.yaml" --resume --stop-after 3
    echo "SIGUSR1 while a run loads: stopped after step 1"
    ;;
late)
    make_config 3 4 f32 true
    for signal in INT TERM; do
        rm -rf "$run"
        HANG_CALL=fsync hang "$run/checkpoint-3.h5" "$FORERUN" train "$work/c.yaml"
        kill -$signal "$pid"
        sleep 0.5
        kill -0 "$pid" || fail "the first SIG$signal ended a save: $(cat "$work/err")"
        kill -$signal "$pid"
        ends "$([ $signal = INT ] && echo 130 || echo 143)"
        says "second SIG$signal: rank 0 leaves at once"
        rm -f "$mark"
        expect 0 "$FORERUN" train "$work/c.yaml" --resume
    done
    echo "a last save that hangs: the second signal leaves"
    ;;
closed)
    make_config 1000000 7 f32 true
    "$FORERUN" train "$work/c.yaml" 2>"$work/err" </dev/null &
    pid=$!
    wait_for_steps "$run"
    kill -HUP "$pid"
    kill -HUP "$pid"
    ends 75
    rm -rf "$run"
    nohup "$FORERUN" train "$work/c.yaml" >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    wait_for_steps "$run"
    kill -HUP "$pid"
    sleep 0.5
    kill -0 "$pid" || fail "SIGHUP ended a run under nohup"
    kill -TERM "$pid"
    ends 75
    rm -rf "$run"
    make_config 20 7 f32 true
    code=0
    { "$FORERUN" train "$work/c.yaml" 2>&1 || echo $? >"$work/code"; } | sed 1q >"$work/out"
    [ ! -e "$work/code" ] || fail "a run whose output is closed ends with $(cat "$work/code")"
    [ -e "$run/prefix.h5" ] || fail "a run whose output is closed does not end"
    python3 - "$FORERUN" "$run/prefix.h5" <<'PY' || fail "inspect into a closed pipe"
import os, signal, subprocess, sys
read, write = os.pipe()
os.close(read)
code = subprocess.run([sys.argv[1], "inspect", sys.argv[2]], stdout=write, stderr=subprocess.PIPE)
assert (code.returncode, code.stderr) == (-signal.SIGPIPE, b""), code
PY
    echo "SIGHUP 75, closed output: a run goes on, other commands end by SIGPIPE"
    ;;
terminal)
    make_config 1000000 7 f32 true
    # close_on CODE COMMAND...: its terminal closes after three steps; it ends so, and there is a checkpoint to go on from.
    close_on() {
        local wanted=$1 code
        shift
        rm -rf "$run"
        code=$(python3 "$SOURCE/tests/support/terminal.py" "$run/metrics.jsonl" "$@" 2>"$work/err")
        [ "$code" = "$wanted" ] || fail "exit code $code, wanted $wanted: $* ($(cat "$work/err"))"
        wait_for_file "$run/latest"
        [ -e "$run/$(cat "$run/latest")" ] || fail "no checkpoint: $*"
    }
    close_on 75 "$FORERUN" train "$work/c.yaml"
    # the shell dies by the signal, as the terminal's own does; the run in it saves
    close_on -1 bash -c "\"$FORERUN\" train \"$work/c.yaml\"; true"
    close_on 1 mpirun -n 2 "$FORERUN" train "$work/c.yaml"
    close_on 75 "$SOURCE/launch/run" -n 2 --forerun "$FORERUN" "$work/c.yaml"
    expect 75 "$FORERUN" train "$work/c.yaml" --resume --stop-after 1
    echo "a closed terminal: 75, and a checkpoint"
    ;;
mpirun)
    make_config 1000000 7 f32 true
    # begin_ranks: two ranks that train, mpirun in a process group of its own as a terminal starts it.
    begin_ranks() {
        rm -rf "$run"
        set -m
        mpirun -n 2 "$FORERUN" train "$work/c.yaml" >"$work/out" 2>"$work/err" </dev/null &
        pid=$!
        set +m
        wait_for_steps "$run"
    }
    # stopped_whole: a checkpoint is there, and a run goes on from it.
    stopped_whole() {
        says "stopped on request after step"
        [ -e "$run/latest" ] || fail "$1: no checkpoint in $(ls "$run")"
        expect 75 "$FORERUN" train "$work/c.yaml" --resume --stop-after 1
    }
    begin_ranks
    kill -USR1 "$pid"
    ends 75
    stopped_whole SIGUSR1
    # Open MPI 4.1 leaves with its own code, 1, and kills its ranks after this many seconds, one by default
    export OMPI_MCA_odls_base_sigkill_timeout=4
    begin_ranks
    kill -INT -- "-$pid" # Ctrl-C in a terminal
    ends "1 75"
    stopped_whole SIGINT
    # a save that takes longer than that one second
    (
        wait_for_file "$mark"
        sleep 1.5
        : >"$work/release"
    ) &
    export HANG_PATH=$run/latest HANG_CALL=fsync HANG_MARK=$mark HANG_RELEASE=$work/release LD_PRELOAD=$preload
    begin_ranks
    unset LD_PRELOAD
    kill -TERM "$pid"
    ends "1 75"
    [ -e "$mark" ] || fail "no save was slow"
    stopped_whole SIGTERM
    echo "plain mpirun: SIGUSR1 75; SIGTERM and SIGINT its own code, with a checkpoint"
    ;;
rows)
    make_config 2 4 f32 true
    python3 - "$rows" "$work/in.jsonl" <<'PY'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
with open(sys.argv[2], "w") as out:
    for i in range(40000):
        out.write(json.dumps({"n": i, "note": "x" * 3000, "source_ids": rows[i % len(rows)]["source_ids"]}) + "\n")
PY
    for signal in INT TERM; do
        rm -f "$work"/rows-out*
        "$FORERUN" generate --model "$model" --input "$work/in.jsonl" --output "$work/rows-out" --threads 1 \
            --max-new-tokens 8 2>"$work/err" </dev/null &
        pid=$!
        for _ in $(seq 600); do
            [ "$(wc -l 2>/dev/null <"$work/rows-out.part" || echo 0)" -lt 20 ] || break
            sleep 0.05
        done
        kill -$signal "$pid"
        ends "$([ $signal = INT ] && echo 130 || echo 143)"
        says "rows-out.part: the same command with --resume continues after them"
        python3 - "$work/rows-out.part" <<'PY' || fail "half a row is left"
import json, sys
text = open(sys.argv[1]).read()
assert text.endswith("\n")
rows = [json.loads(line) for line in text.splitlines()]
assert 20 <= len(rows) < 40000 and [row["n"] for row in rows] == list(range(len(rows)))
PY
    done
    # eval's rows come whole or not at all: what was there before stays
    echo before >"$work/nats"
    HANG_CALL=fsync hang "$work/nats" "$FORERUN" eval --model "$model" --data "$rows" --rows-out "$work/nats"
    kill -INT "$pid"
    ends 130
    [ "$(cat "$work/nats")" = before ] || fail "half of the rows of eval: $(head -c 200 "$work/nats")"
    echo "rows are whole lines whenever a signal comes"
    ;;
*)
    fail "unknown case $what"
    ;;
esac
