#!/usr/bin/env bash
# `chat` through a pipe: turns and their answers are those of `generate` for the same dialogue, with any prefix and on two ranks;
# what it refuses it tells, and goes on.
. "$(dirname "$0")/common.sh"
. "$SOURCE/tests/support/chat_models.sh"

make_talker
launcher=
# talk TEXT ARGUMENT...: the text, with printf's escapes, through a pipe; the exit code in $code
talk() {
    code=0
    # shellcheck disable=SC2059,SC2086
    printf "$1" | $launcher "$FORERUN" chat --model "$model" --threads 1 "${@:2}" >"$work/out" 2>"$work/err" || code=$?
}
# answers TEXT [CODE]: standard output is these lines, the exit code 0 or CODE
answers() {
    printf '%s\n' "$1" | cmp - "$work/out" || fail "$(cat -A "$work/out" "$work/err")"
    [ "$code" = "${2:-0}" ] || fail "exit code $code: $(cat "$work/err")"
}

# ---- turns ----------------------------------------------------------------------------------------
model=$work/talker
for launcher in "" "mpirun -n 2"; do
    talk 'h\noh\n\n  \n//oh\ngo\\\non\\\nh' --max-new-tokens 20
    answers $'Hi!\nHi!\nHi!\nHi!'
    talk 'a\n' --max-new-tokens 7
    answers 'bcdéab'
    says "(cut after 7 tokens; --max-new-tokens allows more)"
    talk 'a\na\n' --max-new-tokens 7 --stop cd
    answers $'b\nb'
    talk 'o\n'
    answers $'\xEF\xBF\xBD'
    # the end in the middle of a line, and where a line was to go on
    talk 'h\nh'
    answers $'Hi!\nHi!'
    talk 'g\\\nh'
    answers 'Hi!'
    talk 'h\\\n'
    answers 'Hi!'
    talk '' && [ ! -s "$work/out" ] || fail "no turns: $(cat "$work/out")"
    talk '/quit\nh\n' && [ ! -s "$work/out" ] || fail "after /quit: $(cat "$work/out")"
done
launcher=
talk 'x\n' # no terminal: bytes as they are
answers $'\033]\a'

# ---- saved, and a row of training -------------------------------------------------------------------
printf '/system Be "kind".\nh\no\\\nh\n/save %s\n/reset\n/system\nh\n/save %s\n' "$work/saved rows" "$work/saved rows" >"$work/in"
"$FORERUN" chat --model "$model" --threads 1 <"$work/in" >"$work/out" 2>"$work/err" || fail "$(cat "$work/err")"
says "the dialogue is the last row of $work/saved rows"
cat >"$work/wanted" <<'ROWS'
{"messages":[{"role":"system","content":"Be \"kind\"."},{"role":"user","content":"h"},{"role":"assistant","content":"Hi!"},{"role":"user","content":"o\nh"},{"role":"assistant","content":"Hi!"}]}
{"messages":[{"role":"user","content":"h"},{"role":"assistant","content":"Hi!"}]}
ROWS
cmp "$work/wanted" "$work/saved rows" || fail "$(cat "$work/saved rows")"
expect 0 "$FORERUN" tokenize --model "$model" --chat "$work/saved rows"

# saves CODE TEXT PATH: a dialogue
saves() {
    printf 'h\n/save %s\n/prefixes\n' "$3" >"$work/in"
    code=0
    "$FORERUN" chat --model "$model" --threads 1 <"$work/in" >"$work/out" 2>"$work/err" || code=$?
    [ $code = "$1" ] || fail "exit code $code: $(cat "$work/err")"
    says "$2"
    grep -q "the base alone" "$work/out" || fail "it did not go on: $(cat "$work/out")"
}
printf '{"a":1}' >"$work/other.json"
cp "$work/other.json" "$work/other.copy"
saves 3 "exists and does not hold dialogues; give another file" "$work/other.json"
cmp "$work/other.json" "$work/other.copy" || fail "a foreign file was changed"
saves 1 "cannot write to $work/no-folder/x: No such file" "$work/no-folder/x"
saves 1 "cannot write to $work: " "$work"
saves 2 "config.json" "$model/config.json"
ln -s "$work/saved rows" "$work/link"
saves 1 "cannot write to $work/link" "$work/link"
printf '{"messages":[]}' >"$work/cut" # a row without its line end
saves 0 "the last row of $work/cut" "$work/cut"
[ "$(wc -l <"$work/cut")" = 2 ] || fail "$(cat "$work/cut")"

# ---- the same ids as rows: history, system turns, prefixes ----------------------------------------------
make_random
# by_rows NAME OPTION...: what `generate` answers to the messages in $work/NAME.jsonl
by_rows() {
    "$FORERUN" generate --model "$model" --threads 1 --chat --max-new-tokens 12 --input "$work/$1.jsonl" "${@:2}" 2>"$work/err" ||
        fail "$(cat "$work/err")"
}
# content FILE N: the content of message N of the saved dialogue
content() {
    python3 -c 'import json, sys; print(json.loads(open(sys.argv[1]).readline())["messages"][int(sys.argv[2])]["content"], end="")' "$1" "$2"
}
for launcher in "" "mpirun -n 2"; do
    for prefix in none a b; do
        rm -f "$work/said"
        use=$([ $prefix = none ] || echo "/use $prefix\n")
        options=$([ $prefix = none ] || echo "--prefix $both:$prefix")
        (cd "$work" && printf "/system Kind.\nfirst\n${use}second\n/save said\n" >in &&
            $launcher "$FORERUN" chat --model "$model" --threads 1 --max-new-tokens 12 --prefix "$both" <in >out 2>err) ||
            fail "$(cat "$work/err")"
        python3 - "$work" <<'PY'
import json, sys
said = json.loads(open(sys.argv[1] + "/said").readline())
json.dump({"messages": said["messages"][:2]}, open(sys.argv[1] + "/one.jsonl", "w"))
json.dump({"messages": said["messages"][:4]}, open(sys.argv[1] + "/two.jsonl", "w"))
PY
        by_rows one >"$work/one.out"
        (cd "$work" && by_rows two ${options:+--prefix "$both:$prefix"} >two.out)
        python3 - "$work" <<'PY' || fail "$launcher $prefix: $(cat "$work/said" "$work/one.out" "$work/two.out")"
import json, sys
said = json.loads(open(sys.argv[1] + "/said").readline())["messages"]
for name, place in (("one", 2), ("two", 4)):
    assert json.loads(open(sys.argv[1] + "/" + name + ".out").readline())["generated"] == said[place]["content"], name
PY
        cp "$work/said" "$work/said.$prefix"
    done
done
launcher=
[ "$(content "$work/said.a" 4 | md5sum)" != "$(content "$work/said.b" 4 | md5sum)" ] || fail "the prefix changes nothing"

# ---- prefixes -----------------------------------------------------------------------------------------
talk '/prefixes\n' --prefix "$both:b"
answers "  the base alone: dialogues (/none)
  a of $both: 5 slots, dialogues
* b of $both: 5 slots, dialogues"
cp "$both" "$work/copy.h5"
talk "/use $work/copy.h5:a\n/prefixes\n/none\n/prefixes\n/use b\n/use $work/copy.h5:a\n" --prefix "$both"
answers "  the base alone: dialogues (/none)
  a of $both: 5 slots, dialogues
  b of $both: 5 slots, dialogues
* a of $work/copy.h5: 5 slots, dialogues
* the base alone: dialogues (/none)
  a of $both: 5 slots, dialogues
  b of $both: 5 slots, dialogues
  a of $work/copy.h5: 5 slots, dialogues"
# refused TEXT CODE COMMAND: in a session that goes on
refused() {
    talk "$3\n/prefixes\n" --prefix "$both:a"
    says "$1"
    answers "  the base alone: dialogues (/none)
* a of $both: 5 slots, dialogues
  b of $both: 5 slots, dialogues" "$2"
}
for launcher in "mpirun -n 2" ""; do
    refused "no-such" 6 "/use no-such"
    refused "not a text in UTF-8" 3 'a\377b'
    [ -z "$launcher" ] || continue
    refused "holds no task c; it holds a, b" 6 "/use $both:c"
    refused "/use needs TASK or FILE[:TASK]" 2 "/use"
    refused "/none takes nothing behind it" 2 "/none a"
    refused "unknown command /hlep; did you mean /help" 2 "/hlep"
    refused "unknown command /" 2 "/"
    refused "there is no answer yet to try again" 3 "/retry"
    refused "there is nothing to save yet" 3 "/save $work/nothing"
    refused "not a text in UTF-8" 3 'a\000b'
    refused 'unknown command /\x1b[31m' 2 '/\033[31m'
done
launcher=
head -c 1000 "$both" >"$work/cut.h5"
refused "cut.h5" 6 "/use $work/cut.h5"
refused "model.safetensors" 6 "/use $model/model.safetensors"
# a prefix of a base with another shape; its model is the first one
(
    model=$work/tiny
    rows=$work/rows.jsonl
    python3 "$SOURCE/tests/support/make_tiny.py" "$work/three" "$work/rows3.jsonl" 128 3
    model=$work/three
    mkdir "$work/elsewhere"
    cd "$work/elsewhere"
    train_two_tasks
)
refused "layers" 6 "/use $work/elsewhere/run/checkpoint-2.h5:a"
# a file that one rank alone sees is used by none, and all go on
mkdir -p "$work/here" "$work/there"
cp "$both" "$work/here/p.h5"
for order in "here there" "there here"; do
    set -- $order
    code=0
    printf 'one\n/use p.h5:a\n/prefixes\ntwo\n' >"$work/in"
    talker=("$FORERUN" chat --model "$model" --threads 1 --max-new-tokens 3)
    mpirun -n 1 -wdir "$work/$1" "${talker[@]}" : -n 1 -wdir "$work/$2" "${talker[@]}" <"$work/in" >"$work/out" 2>"$work/err" || code=$?
    [ "$code" = 6 ] || fail "$order: exit code $code: $(cat "$work/err")"
    says "p.h5"
    grep -q '^\* the base alone' "$work/out" || fail "$order: $(cat "$work/out" "$work/err")"
done
expect 6 "$FORERUN" chat --model "$model" --prefix "$work/no-such.h5"
expect 6 "$FORERUN" chat --model "$model" --prefix "$both:c"
says "holds no task c; it holds a, b"

# ---- other forms: a template of its own, no chat template at all ------------------------------------------
talk 'one\ntwo\n/prefixes\n/save %s\n' --template '{source}: {target}' --max-new-tokens 3
grep -q "^\* the base alone: single texts, by its template" "$work/out" || fail "$(cat "$work/out")"
says "each line is a text of its own"
model=$work/talker
cp -r "$model" "$work/bare"
python3 "$SOURCE/tests/support/make_tokenizer.py" "$work/bare" 6 '{"eos_token": "<s1>"}'
model=$work/bare
talk 'h\na\n/prefixes\n' --max-new-tokens 4
says "there is no chat template, so the text is continued as it is"
answers $'Hi!\nbcd\xEF\xBF\xBD\n* the base alone: texts that go on (/none)'
expect 3 "$FORERUN" chat --model "$SOURCE/tests/golden/tiny_llama"
says "chat needs the model's tokenizer"

# ---- too long ----------------------------------------------------------------------------------------------
model=$work/talker
for launcher in "" "mpirun -n 2"; do
    python3 -c 'print("h" * 300); print("h"); print("y" * 2000000); print("h")' >"$work/in"
    code=0
    $launcher "$FORERUN" chat --model "$model" --threads 1 --context 128 <"$work/in" >"$work/out" 2>"$work/err" || code=$?
    answers $'Hi!\nHi!' 3
    says "the dialogue is too long: "
    says "leave no space in a context of 128"
    says "(the last turn is left out of the dialogue)"
    says "the line has more than 1048576 bytes, so it was left out"
done
launcher=
python3 -c 'print("h" * 1000000)' >"$work/in" # a turn that may be this long
code=0
"$FORERUN" chat --model "$model" --threads 1 <"$work/in" >"$work/out" 2>"$work/err" || code=$?
[ $code = 3 ] || fail "$(cat "$work/err")"
says "the template needs more than 16 MiB of memory"
says "(the last turn is left out of the dialogue)"
talk 'a\nh\n' --context 64
says "(the context of 64 tokens is full; /reset begins anew"
says "the dialogue is too long: "

# ---- signals, output that ends -------------------------------------------------------------------------------
mkfifo "$work/fifo"
for signal in INT TERM; do
    "$FORERUN" chat --model "$model" --threads 1 <"$work/fifo" >"$work/out" 2>"$work/err" &
    pid=$!
    exec 9>"$work/fifo"
    echo h >&9
    while ! grep -q 'Hi!' "$work/out"; do
        kill -0 $pid || fail "$(cat "$work/err")"
        sleep 0.01
    done
    kill -$signal $pid
    code=0
    wait $pid || code=$?
    exec 9>&-
    [ "$signal $code" = "INT 0" ] || [ "$signal $code" = "TERM 143" ] || fail "$signal: exit code $code"
done
# an answer that is interrupted stays, and the session goes on
(cd "$work" && printf 'a\nh\n' >in)
"$FORERUN" chat --model "$model" --threads 1 --context 1000000 --max-new-tokens 900000 <"$work/in" >"$work/out" 2>"$work/err" &
pid=$!
while [ "$(head -c 100 "$work/out" 2>/dev/null | wc -c)" -lt 100 ]; do
    kill -0 $pid || fail "$(cat "$work/err")"
    sleep 0.01
done
kill -INT $pid
wait $pid || fail "$(cat "$work/err")"
says "(stopped)"
[ "$(tail -1 "$work/out")" = 'Hi!' ] || fail "$(tail -c 300 "$work/out")"
code=0
# a row that does not fit on the disk leaves no part of itself
printf 'h\n/save %s\n/save %s\n' "$work/small" "$work/small" >"$work/in"
python3 - "$FORERUN" "$model" "$work" <<'PY' || fail "a row in parts"
import os, resource, signal, subprocess, sys
program, model, work = sys.argv[1:]
row = len('{"messages":[{"role":"user","content":"h"},{"role":"assistant","content":"Hi!"}]}\n')
def limit():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (row + 10, row + 10))
with open(work + "/in", "rb") as given:
    ran = subprocess.run([program, "chat", "--model", model, "--threads", "1"], stdin=given, capture_output=True, preexec_fn=limit)
assert b"cannot write" in ran.stderr, ran.stderr
assert os.path.getsize(work + "/small") == row, os.path.getsize(work + "/small")
PY
printf 'h\n' | "$FORERUN" chat --model "$model" --threads 1 >/dev/full 2>"$work/err" || code=$?
[ $code = 1 ] || fail "a full disk: exit code $code"
says "cannot write to standard output"
expect 2 "$FORERUN" chat --model "$model" --top-p 7
expect 2 "$FORERUN" chat --model "$model" --context 1
echo "chat through a pipe holds"
