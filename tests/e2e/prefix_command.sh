#!/usr/bin/env bash
# forerun prefix: collections are made and changed in place, their prefixes generate what they did where they came from, and
# what is refused, cut short by a full disk or done by several at once loses nothing.
. "$(dirname "$0")/common.sh"

make_tiny 128 2
cd "$work"
train_two_tasks
prefix() {
    "$FORERUN" prefix "$@"
}
digest() {
    sha256sum <"$1"
}
# refused CODE TEXT ARGUMENTS...: c.h5 stays as it is, and nothing is left beside it
refused() {
    local code=$1 text=$2 before
    before=$(digest c.h5)
    shift 2
    expect "$code" prefix "$@"
    says "$text"
    [ "$(digest c.h5)" = "$before" ] || fail "c.h5 changed: $*"
    ! ls ./*.lock ./*.tmp.* >/dev/null 2>&1 || fail "something is left: $(ls)"
}
ids() {
    "$FORERUN" generate --model "$model" --prefix "$1" --input "$rows" --max-new-tokens 6 --precision f32 2>/dev/null |
        python3 -c 'import json, sys; print([json.loads(line)["generated_ids"] for line in sys.stdin])'
}

# a collection from a prefix, a checkpoint and a network's prefix
expect 0 prefix add c.h5 run/prefix.h5:a
grep -qx 'c.h5: a is added; it holds 1 prefix' out || fail "$(cat out)"
expect 0 prefix add c.h5 run/checkpoint-2.h5:b
grep -q '^left out: the optimizer' out || fail "$(cat out)"
expect 0 prefix add c.h5 mlp/checkpoint-2.h5:a --as from-mlp
same c.h5:b run/prefix.h5:b
same c.h5:from-mlp mlp/prefix.h5:a
for task in a b; do
    theirs=$(ids run/prefix.h5:$task)
    [ -n "$theirs" ] && [ "$(ids c.h5:$task)" = "$theirs" ] || fail "c.h5:$task generates other ids"
done
[ "$(ids c.h5:a)" != "$(ids c.h5:from-mlp)" ] || fail "two prefixes generate the same"

# list and info
expect 0 prefix list c.h5
[ "$(cut -d ' ' -f 1 out | tr '\n' ' ')" = "a b from-mlp " ] || fail "$(cat out)"
grep -qE '^a +slots 5  layers 0-1/2  best -  step 2  rows of ids$' out || fail "$(cat out)"
expect 0 prefix info run/checkpoint-2.h5
cp out info
expect 0 "$FORERUN" inspect run/checkpoint-2.h5
[ -z "$(comm -23 <(sort -u out) <(sort -u info))" ] || fail "info lacks: $(comm -23 <(sort -u out) <(sort -u info))"
expect 0 prefix info run/checkpoint-2.h5:b
cp out info
grep -q '^  keys         root mean square 0\.[0-9]*, largest' info && grep -q '^    dir: "run"$' info || fail "$(cat info)"
! grep -q '^task a' info || fail "info prints another task"

# equal content has equal bytes, however it came there
expect 0 prefix add d.h5 run/prefix.h5:b --as later
expect 0 prefix add d.h5 d.h5:later --as a
expect 0 prefix rename d.h5 later b
expect 0 prefix remove d.h5 a
expect 0 prefix add e.h5 run/checkpoint-2.h5:b
cmp d.h5 e.h5 || fail "equal content, other bytes"

# the mean, against Python's own
expect 0 prefix average c.h5 a b from-mlp --as mean
expect 0 python3 - "$SOURCE/docs/format-checkpoint.md" c.h5 <<'PY'
import re, struct, sys
page, path = sys.argv[1:]
code = re.search(r"```python\n(.*?)```", open(page).read(), re.S).group(1).split("\nfor name")[0]
sys.argv = ["", path]
exec(code)
attributes, arrays = read(path)
def numbers(task):
    return [arrays["/tasks/%s/layers/%d/%s" % (task, layer, kind)][1] for layer in (0, 1) for kind in "kv"]
for a, b, c, mean in zip(*map(numbers, ("a", "b", "from-mlp", "mean"))):
    assert len(mean) == 5 * 2 * 8
    assert list(mean) == [struct.unpack("f", struct.pack("f", (x + y + z) / 3))[0] for x, y, z in zip(a, b, c)]
assert attributes["/tasks/mean"]["best_loss"] == "inf" and attributes["/tasks/mean"]["step"] == 0
PY
[ -n "$(ids c.h5:mean)" ] || fail "the mean generates nothing"

# what is refused
refused 2 "needs a word that says what to do"
refused 2 "does not know the word lst; did you mean list?" lst c.h5
refused 2 "forerun prefix rename takes 3 arguments (FILE OLD NEW), got 2" rename c.h5 a
refused 2 "does not take --as" remove c.h5 a --as b
refused 2 "--as is missing" average c.h5 a b
refused 2 "prefix a is named twice" average c.h5 a a --as x
refused 2 "takes at least 3 arguments (FILE TASK...), got 2" average c.h5 a --as x
refused 2 "c.h5 holds a prefix a already" add c.h5 run/prefix.h5:a
refused 2 "'x/y' cannot be the name" rename c.h5 a x/y
refused 6 "holds 2 tasks (a, b); choose one as run/prefix.h5:TASK" add c.h5 run/prefix.h5
refused 6 "c.h5 holds no task z; it holds a, b, from-mlp, mean" remove c.h5 z
refused 2 "remove the file itself: rm c.h5" remove c.h5 mean a b from-mlp
refused 6 "is a checkpoint from which a run can go on" remove run/checkpoint-2.h5 a
refused 6 "is a checkpoint from which a run can go on" add mlp/checkpoint-2.h5 c.h5:mean
refused 6 "No such file" remove none.h5 a
refused 6 "No such file" add new.h5 none.h5:a
refused 1 "its folder nowhere: No such file" add nowhere/c.h5 c.h5:a
refused 1 "it is a folder" add run c.h5:a
ln -s c.h5 link.h5
refused 1 "it is a symbolic link" remove link.h5 a
[ ! -e new.h5 ] || fail "a failed add left a file"
python3 "$SOURCE/tests/support/make_tiny.py" other rows2.jsonl 128 3
sed 's/dir: run/dir: other-run/; s|path: .*tiny|path: "other|' c.yaml >other.yaml
expect 0 "$FORERUN" train other.yaml
refused 6 "for a base of another shape than c.h5: 'llama layers=3" add c.h5 other-run/prefix.h5:a --as x
python3 "$SOURCE/tests/support/tamper.py" run/prefix.h5 eps.h5 '/tasks/a@base_norm_eps="9.9999999999999995e-07"'
refused 6 "norms have epsilon" add c.h5 eps.h5:a --as x
python3 "$SOURCE/tests/support/tamper.py" run/prefix.h5 weights.h5 "/@base_digest=\"$(printf '%064d' 1)\""
refused 6 "for a base with other weights than c.h5" add c.h5 weights.h5:a --as x
python3 "$SOURCE/tests/support/tamper.py" run/prefix.h5 odd.h5 '/tasks/a@template_text="\u001b[31m{source}\n{target}"'
expect 0 prefix list odd.h5
grep -qF '"\x1b[31m{source}\n{target}"' out || fail "a text of the file reaches the terminal: $(cat -v out)"
head -c 3000 c.h5 >cut.h5
refused 6 "SHA-256" remove cut.h5 a

# a run that trains holds its folder, and somebody's file is not taken for a lock
cp c.h5 run/c.h5
python3 - run/lock <<'PY' &
import fcntl, sys, time
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
open("held", "w").close()
time.sleep(60)
PY
holder=$!
wait_for_file held
refused 1 "is writing to the run folder run" remove run/c.h5 a
kill $holder
wait $holder 2>/dev/null || true
expect 0 prefix remove run/c.h5 a
echo mine >c.h5.lock
expect 2 prefix remove c.h5 a
says "c.h5.lock is not empty"
[ "$(cat c.h5.lock)" = mine ] || fail "somebody's file changed"
: >c.h5.lock # what a killed change leaves
expect 0 prefix rename c.h5 a first
[ ! -e c.h5.lock ] || fail "a lock is left"
expect 0 prefix rename c.h5 first a

# a full disk
(ulimit -f 8 && refused 1 "File too large" add c.h5 run/prefix.h5:a --as more)
[ "$(prefix list c.h5 | wc -l)" = 4 ] || fail "c.h5 lost something"

# several at once, all on one file
add_one() {
    "$FORERUN" prefix add "$shared/many.h5" run/prefix.h5:a --as "t$1"
}
shared=$work
pids=()
for i in 1 2 3 4 5 6; do
    add_one $i >"many-$i" 2>&1 &
    pids+=($!)
done
for pid in "${pids[@]}"; do
    wait "$pid" || fail "one of several: $(cat many-*)"
done
[ "$(prefix list many.h5 | wc -l)" = 6 ] || fail "a prefix is lost: $(prefix list many.h5)"

# strip leaves the names of the training out
before=$(ids c.h5:b)
expect 0 prefix strip c.h5
! grep -qaE 'random|tiny|avx|generic' c.h5 || fail "strip left: $(strings c.h5 | grep -E 'random|tiny|avx|generic')"
[ "$(ids c.h5:b)" = "$before" ] || fail "a stripped prefix generates other ids"
expect 0 "$FORERUN" inspect c.h5
grep -q '^base file      unknown' out && grep -q '^  data         not named' out || fail "$(cat out)"
echo "prefix command: collections hold what was put into them"
