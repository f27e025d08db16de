#!/usr/bin/env bash
# What `generate` writes: valid text for every row, an output that is replaced when it is whole, and answers of a killed
# generation that are gone on from to the same bytes.
. "$(dirname "$0")/common.sh"

# ---- text: bytes that are no characters, ids that stay true -----------------------------------
make_tiny
# A: half an emoji, for ever. B: FF. C: a surrogate's bytes, then a NUL. D: letters between halves of characters
python3 "$SOURCE/tests/support/make_table.py" "$model" "$work/odd" 41:F0 F0:9F 9F:41 42:FF FF:42 43:ED ED:A0 A0:80 80:00 00:43 \
    44:C3 C3:78 78:E2 E2:82 82:44
python3 - "$work/odd.jsonl" <<'PY'
import json, sys
with open(sys.argv[1], "w") as file:
    for i, source in enumerate("ABCD"):
        file.write(json.dumps({"id": i, "source": source}) + "\n")
        file.write(json.dumps({"generated_ids": [7], "id": i, "generated": "an old answer", "source": source}) + "\n")
PY
python3 "$SOURCE/tests/support/make_tokenizer.py" "$work/odd" 4
for tokens in 1 2 3 4 5 11; do
    for options in "--batch 1" "--batch 8 --precision f32"; do
        # shellcheck disable=SC2086
        expect 0 "$FORERUN" generate --model "$work/odd" --input "$work/odd.jsonl" --output "$work/odd.out" --threads 1 \
            --max-new-tokens $tokens $options
        python3 - "$work/odd.out" $tokens <<'PY' || fail "odd text, $tokens tokens, $options: $(cat "$work/odd.out")"
import json, sys
rows = [json.loads(line.decode("utf-8")) for line in open(sys.argv[1], "rb").read().splitlines()]
assert len(rows) == 8
for row in rows:
    assert len(row["generated_ids"]) == int(sys.argv[2])
    assert row["generated"] == bytes(row["generated_ids"]).decode("utf-8", "replace"), row
    assert list(row)[-2:] == ["generated", "generated_ids"] and len(row) == 4, row
PY
    done
done
for prompt in A B C D; do
    expect 0 "$FORERUN" generate --model "$work/odd" --prompt $prompt --threads 1 --max-new-tokens 5
    python3 -c 'import sys; text = open(sys.argv[1], "rb").read().decode("utf-8"); assert text.endswith("\n") and "\ufffd" in text' \
        "$work/out" || fail "the text after $prompt is not valid"
done
# ids alone, of a model without tokenizer: an old text does not stay as if it were new
printf '{"source_ids": [1], "generated": "an old answer"}\n' >"$work/in.jsonl"
expect 0 "$FORERUN" generate --model "$model" --input "$work/in.jsonl" --threads 1 --max-new-tokens 2
grep -qE '^\{"source_ids":\[1\],"generated_ids":\[[0-9]+,[0-9]+\]\}$' "$work/out" || fail "$(cat "$work/out")"

# ---- a bare prompt to a model for dialogues ----------------------------------------------------
hint="this model has a chat template; --chat"
cp -r "$work/odd" "$work/chat"
chatml='{% for m in messages %}{{ "<|im_start|>" + m.role + "\n" + m.content + "<|im_end|>\n" }}{% endfor %}'
chatml=$chatml'{% if add_generation_prompt %}{{ "<|im_start|>assistant\n" }}{% endif %}'
python3 "$SOURCE/tests/support/make_tokenizer.py" "$work/chat" 2 "$(CHATML=$chatml python3 -c '
import json, os
print(json.dumps({"chat_template": os.environ["CHATML"]}))')"
sed -i 's/<s0>/<|im_start|>/; s/<s1>/<|im_end|>/' "$work/chat/tokenizer.json"
ask() {
    expect 0 "$FORERUN" generate --model "$1" --threads 1 --max-new-tokens 1 "${@:2}"
}
hints() {
    says "$hint"
}
quiet() {
    ! grep -qF -- "$hint" "$work/err" || fail "said without need: $(cat "$work/err")"
}
ask "$work/chat" --prompt A && hints
FORERUN_LOG=warn ask "$work/chat" --prompt A && quiet
ask "$work/chat" --prompt A --template '{source}{target}' && quiet
ask "$work/chat" --input "$work/odd.jsonl" && quiet
ask "$work/odd" --prompt A && quiet

# ---- killed in the middle, and gone on ---------------------------------------------------------
python3 - "$work/in.jsonl" <<'PY'
import json, random, sys
chance = random.Random(5)
with open(sys.argv[1], "w") as file:
    for i in range(1200):
        file.write(json.dumps({"n": i, "source_ids": [chance.randrange(128) for _ in range(1 + 13 * i % 40)]}) + "\n")
PY
out=$work/out.jsonl
sampled="--max-new-tokens 60 --temperature 0.9 --top-k 50 --top-p 0.95 --seed 4"
launcher=
# generate OUT ARGUMENTS...: all rows, through $launcher
generate() {
    # shellcheck disable=SC2086
    $launcher "$FORERUN" generate --model "$model" --input "$work/in.jsonl" --output "$1" --threads 1 $sampled "${@:2}"
}
lines() {
    cat "$1" 2>/dev/null | wc -l
}
# kill_at SIGNAL LINES ARGUMENTS...: a generation to $out is killed when its .part has so many lines
kill_at() {
    local signal=$1 n=$2 code=0
    shift 2
    # shellcheck disable=SC2086
    $launcher "$FORERUN" generate --model "$model" --input "$work/in.jsonl" --output "$out" --threads 1 $sampled "$@" \
        >"$work/log" 2>"$work/err" </dev/null &
    local pid=$!
    while [ "$(lines "$out.part")" -lt "$n" ]; do
        kill -0 $pid 2>/dev/null || fail "ended before it had $n lines: $(cat "$work/err")"
        sleep 0.01
    done
    kill "-$signal" $pid
    wait $pid || code=$?
    [ "$code" != 0 ] || fail "came to its end in spite of $signal"
    [ -f "$out.part" ] && [ -f "$out.part.info" ] || fail "nothing to go on from"
}

generate "$work/whole" --batch 4 2>"$work/err" || fail "$(cat "$work/err")"
[ "$(lines "$work/whole")" = 1200 ] || fail "rows are missing"
echo earlier >"$out"
# Open MPI's launcher passes a signal on a second later: what it starts is killed early and answers few rows at a time, so
# that no machine is done by then
for launcher in "" "mpirun -n 2"; do
    few=${launcher:+1}
    for batch in 1 $((few > 0 ? 2 : 4)); do
        kill_at TERM "${few:-40}" --batch $batch --overwrite
        grep -qF "the answers so far are in $out.part: the same command with --resume continues" "$work/err" ||
            fail "nothing says how to go on: $(cat "$work/err")"
        kill_at KILL 200 --batch $batch --resume
        [ "$(cat "$out")" = earlier ] || fail "the earlier output is gone"
        if [ -z "$launcher" ]; then
            cp "$out.part" "$work/part"
            printf '{"n":' >>"$out.part" # a torn line
            expect 0 generate "$out" --batch $((5 - batch)) --resume
            says "$out.part holds the answers to $(lines "$work/part") of 1200 rows: continuing after them"
        else # the ranks of a killed mpirun may live a moment longer, and are waited for
            expect 0 generate "$out" --batch $((5 - batch)) --resume
        fi
        cmp "$out" "$work/whole" || fail "$launcher, batch $batch: another output than an uninterrupted generation's"
        [ ! -e "$out.part" ] && [ ! -e "$out.part.info" ] || fail "left: $(ls "$work")"
        echo earlier >"$out"
    done
done
# Ctrl-C under mpirun, then one rank alone
launcher="mpirun -n 2" kill_at INT 1 --batch 1
generate "$out" --resume 2>"$work/err" || fail "$(cat "$work/err")"
cmp "$out" "$work/whole" || fail "gone on with one rank: another output"
launcher=

# ---- refused --------------------------------------------------------------------------------------
echo earlier >"$out"
kill_at TERM 40
cp "$out.part" "$work/part"
# refuses CODE TEXT ARGUMENTS...: nothing is lost
refuses() {
    expect "$1" timeout 60 "$FORERUN" generate --model "$model" --input "$work/in.jsonl" --output "$out" --threads 1 "${@:3}"
    says "$2"
    [ "$(cat "$out")" = earlier ] || fail "the earlier output is gone"
    [ ! -e "$work/part" ] || cmp -s "$out.part" "$work/part" || fail "answers were lost"
}
all="$sampled --resume"
# shellcheck disable=SC2086
{
    refuses 2 "holds $(lines "$work/part") answers of an unfinished generation" $sampled
    refuses 2 "--seed differs from what its answers were made with (4 then, 5 now)" $all --seed 5
    refuses 2 "--temperature differs from what" $all --temperature 0.8
    refuses 2 "--top-k differs from what" $all --top-k 40
    refuses 2 "--top-p differs from what" $all --top-p 0.9
    refuses 2 "--max-new-tokens differs from what" $all --max-new-tokens 61
    refuses 2 "--precision differs from what" $all --precision f32
    refuses 2 "the model differs from what" $all --model "$SOURCE/tests/golden/tiny_llama"
    head -1199 "$work/in.jsonl" >"$work/fewer.jsonl"
    sed 's/"n": 7,/"n": 77,/' "$work/in.jsonl" >"$work/changed.jsonl"
    refuses 2 "the encoding of the prompts differs from what" $all --input "$work/fewer.jsonl"
    refuses 2 "--input differs from what" $all --input "$work/changed.jsonl"
    refuses 2 "--resume or --overwrite, not both" $all --overwrite
}
expect 2 "$FORERUN" generate --model "$model" --prompt a --output "$out" --resume
says "--resume continues with rows; it needs --input"
expect 2 "$FORERUN" generate --model "$model" --input "$work/in.jsonl" --threads 1 --resume
says "--resume needs --output FILE with a regular file: standard output keeps no answers to continue from"
# what is refused before the first answer leaves an earlier output and nothing else
rm "$out.part" "$out.part.info" "$work/part"
printf '{"source_ids": [1]}\n{"source_ids": [1.5]}\n' >"$work/bad.jsonl"
refuses 3 "bad.jsonl:2" --input "$work/bad.jsonl"
refuses 2 "--top-p" --top-p 7
refuses 3 "no-such-model" --model "$work/no-such-model"
refuses 2 "unknown option" --no-such-option
[ ! -e "$out.part" ] && [ ! -e "$out.part.info" ] || fail "left: $(ls "$work")"

# ---- two writers --------------------------------------------------------------------------------
"$FORERUN" generate --model "$model" --input "$work/in.jsonl" --output "$out" --threads 1 --max-new-tokens 200 >"$work/log" 2>&1 </dev/null &
first=$!
while [ "$(lines "$out.part")" -lt 1 ]; do sleep 0.01; done
kill -STOP $first
expect 1 timeout 60 "$FORERUN" generate --model "$model" --input "$work/in.jsonl" --output "$out" --threads 1 --overwrite
says "another process (pid $first) is writing to the output $out; wait for its end, stop it, or name another one"
kill -CONT $first
wait $first || fail "$(cat "$work/log")"
[ "$(lines "$out")" = 1200 ] || fail "the first writer's rows are not all there"

# ---- readers that leave, disks that are full ------------------------------------------------------
code=0
{ generate /dev/stdout 2>"$work/err" || code=$?; echo $code >"$work/code"; } | head -1 >"$work/first"
[ "$(cat "$work/code")" = 141 ] || fail "a closed pipe: exit code $(cat "$work/code"), $(cat "$work/err")"
cmp "$work/first" <(head -1 "$work/whole") || fail "the row before the reader left"
! grep -q "error" "$work/err" || fail "a closed pipe is no error: $(cat "$work/err")"
for ranks in 1 2; do
    expect 1 timeout 60 mpirun -n $ranks "$FORERUN" generate --model "$model" --input "$work/in.jsonl" --output /dev/full --threads 1
    says "cannot write to /dev/full: No space left on device"
done
disk=$work/disk
mkdir "$disk"
if mount -t tmpfs -o size=64k none "$disk" 2>/dev/null; then
    trap 'umount "$disk" || true; rm -rf "$work"' EXIT
    for launcher in "" "mpirun -n 2"; do
        mount -o remount,size=64k "$disk"
        expect 1 generate "$disk/o"
        says "cannot write to $disk/o.part: No space left on device; free space or choose another folder"
        says "rows: the same command with --resume continues after them"
        [ ! -e "$disk/o" ] || fail "an output that is not whole"
        mount -o remount,size=16m "$disk"
        expect 0 generate "$disk/o" --resume
        cmp "$disk/o" "$work/whole" || fail "after a full disk: another output"
        rm "$disk/o"
    done
else
    echo "not tried: a small full disk, which cannot be mounted here"
fi
echo "texts are valid, and what a killed generation had answered is kept"
