#!/usr/bin/env bash
# `chat` on a terminal, driven in tmux: lines are edited and called back, answers come as they are computed, Ctrl-C stops an answer
# and leaves at the prompt the second time, what a model writes cannot command the terminal.
. "$(dirname "$0")/common.sh"
. "$SOURCE/tests/support/chat_models.sh"
command -v tmux >/dev/null || {
    echo "skipped: there is no tmux"
    exit 77
}

make_talker
make_random
socket=$work/tmux
# mux COMMAND...: a server of its own
mux() {
    tmux -f /dev/null -S "$socket" "$@"
}
trap 'mux kill-server 2>/dev/null || true; rm -rf "$work"' EXIT

# begin MODEL ARGUMENT...: a session of 100 columns; the exit code in $work/code
begin() {
    rm -f "$work/code"
    cat >"$work/begin" <<SH
cd $(printf '%q' "$work")
${setting:-} $(printf '%q ' "$FORERUN" chat --model "$@" --threads 1)
echo \$? >code
SH
    mux new-session -d -s t -x 100 -y 50 bash "$work/begin"
    waits '>'
}
# end CODE: it has ended so
end() {
    for _ in $(seq 6000); do
        [ ! -s "$work/code" ] || break
        sleep 0.02
    done
    [ "$(cat "$work/code" 2>/dev/null)" = "$1" ] || fail "exit code $(cat "$work/code"): $(screen)"
}
screen() {
    mux capture-pane -p -t t 2>/dev/null || true
}
# shows TEXT: within two minutes a line of the screen is, or begins with, this text
shows() {
    for _ in $(seq 6000); do
        screen | grep -qF -- "$1" && return 0
        sleep 0.02
    done
    fail "the screen does not show $1: $(screen)"
}
# waits PROMPT: within two minutes the last line is this prompt alone
waits() {
    for _ in $(seq 6000); do
        [ "$(screen | sed '/^$/d' | tail -1)" = "$1" ] && return 0
        sleep 0.02
    done
    fail "no prompt $1: $(screen)"
}
# keys KEY...: as tmux names them; a text is typed
keys() {
    mux send-keys -t t "$@"
}

# ---- turns, editing, history ----------------------------------------------------------------------
begin "$work/talker" --max-new-tokens 20
shows "answers come from the base alone: dialogues"
keys "oxo" BSpace BSpace BSpace "bah" Enter # edited to bah
shows "Hi!"
keys "one " 'é' "\\" Enter
waits .
keys "twa" Enter
shows "bcdéabcdéa"
shows "(cut after 20 tokens; --max-new-tokens allows more)"
keys Up Up Up # "twa" and its first line stand as one entry, then bah
keys C-a C-k "/save said" Enter
shows "the dialogue is the last row of said"
grep -qF '{"role":"user","content":"bah"},{"role":"assistant","content":"Hi!"},{"role":"user","content":"one é\ntwa"}' "$work/said" ||
    fail "$(cat "$work/said")"
keys Up Up Up Enter # /save said, one twa, bah
shows "> bah"
keys "/save again" Enter
shows "the last row of again"
[ "$(grep -o '"content":"bah"' "$work/again" | wc -l)" = 2 ] || fail "a line that is called back is said again: $(cat "$work/again")"
# what a model writes is shown, not obeyed
keys "x" Enter
shows '\x1b]\x07'
keys "o" Enter
shows $'\xEF\xBF\xBD'
keys C-d
end 0

# ---- an answer that goes on, and Ctrl-C ------------------------------------------------------------
begin "$work/talker" --context 1000000 --max-new-tokens 900000
keys "a" Enter
shows "bcdéabcdéabcdéabcdéa" # while it goes on: there would be 900000 tokens
! screen | grep -q "cut after" || fail "it is over already"
keys C-c
shows "(stopped)"
waits '>'
keys "h" Enter
shows "Hi!"
keys "/save stopped" Enter
shows "the last row of stopped"
python3 - "$work/stopped" <<'PY' || fail "$(head -c 300 "$work/stopped")"
import json, sys
messages = json.loads(open(sys.argv[1]).readline())["messages"]
assert [m["role"] for m in messages] == ["user", "assistant"] * 2
assert ("abcdé" + messages[1]["content"][4:9]).startswith("abcdé") and messages[1]["content"].startswith("bcdéabcd")
assert messages[3]["content"] == "Hi!"
PY
# hints N: so many times it was said how to leave; keys that follow an interrupt wait for that
hints() {
    for _ in $(seq 6000); do
        [ "$(screen | grep -cF "(Ctrl-C again, Ctrl-D or /quit leaves)")" = "$1" ] && return 0
        sleep 0.02
    done
    fail "not $1 hints: $(screen)"
}
keys "half a line" C-c
hints 1
keys "h" Enter # a turn in between: the next one is a first one again
waits '>'
keys C-c
hints 2
keys "/reset" Enter
shows "a new dialogue"
keys C-c
hints 3
keys C-c
end 0

# ---- prefixes, another answer ------------------------------------------------------------------------
begin "$work/random" --prefix "$both" --max-new-tokens 6 --temperature 1 --seed 3
keys "/use b" Enter
shows "answers come from $both:b: 5 slots, dialogues"
keys "/prefixes" Enter
shows "* b of $both: 5 slots, dialogues"
keys "q" Enter
shows "(cut after 6 tokens"
keys "/save first" Enter
shows "last row of first"
keys "/retry" Enter
for _ in $(seq 6000); do
    [ "$(screen | grep -c 'cut after 6 tokens')" = 2 ] && break
    sleep 0.02
done
keys "/save second" Enter
shows "last row of second"
python3 - "$work" <<'PY' || fail "/retry: $(cat "$work/first" "$work/second")"
import json, sys
first, second = (json.loads(open(sys.argv[1] + name).readline())["messages"] for name in ("/first", "/second"))
assert len(first) == len(second) == 2 and first[0] == second[0] and first[1] != second[1]
PY
keys "/use no-such" Enter
shows "error: "
keys "/none" Enter
shows "answers come from the base alone"
keys "/quit" Enter
end 0

# ---- colours, or none ---------------------------------------------------------------------------------
for setting in "" "NO_COLOR=1" "TERM=dumb"; do
    begin "$work/talker"
    keys "/quit" Enter
    end 0
done
setting=
# script's terminal keeps what is written, bytes as they are
type_in() {
    printf 'h\n/quit\n' | env "$@" script -qec \
        "$(printf '%q ' "$FORERUN" chat --model "$work/talker" --threads 1)" /dev/null >"$work/out" 2>&1 || fail "$(cat "$work/out")"
    grep -q 'Hi!' "$work/out" || fail "$(cat -v "$work/out")"
}
type_in TERM=xterm
grep -qF $'\033[2m' "$work/out" || fail "no colours: $(cat -v "$work/out")"
type_in TERM=xterm NO_COLOR=1
! grep -qE $'\033\\[(1|2)m' "$work/out" || fail "colours in spite of NO_COLOR: $(cat -v "$work/out")"
echo "chat on a terminal holds"
