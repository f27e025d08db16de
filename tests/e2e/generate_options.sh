#!/usr/bin/env bash
# Options of `generate`: texts that end at a stop, several answers of a row, logarithms of probability, standard input, system turns,
# a text as it comes on a terminal; and that an unfinished generation is continued with the same options alone.
. "$(dirname "$0")/common.sh"

make_tiny
# a b c d e-acute a b ...; x is followed by an escape, then "]", then x again
python3 "$SOURCE/tests/support/make_table.py" "$model" "$work/table" 61:62 62:63 63:64 64:C3 C3:A9 A9:61 78:1B 1B:5D 5D:78 0A:61
chat_tokenizer "$work/table" '{% for m in messages %}<{{ m.role }}>{{ m.content }}
{% endfor %}{% if add_generation_prompt %}<assistant>
{% endif %}'
model=$work/table

# ask ARGUMENT...: 12 tokens
ask() {
    "$FORERUN" generate --model "$model" --threads 1 --max-new-tokens 12 "$@"
}
# gives TEXT ARGUMENT...: standard output is this text and a line end
gives() {
    local wanted=$1
    shift
    expect 0 ask "$@"
    [ "$(cat "$work/out"; echo .)" = "$wanted"$'\n.' ] || fail "$(cat -A "$work/out"), wanted $wanted: $*"
}

# ---- stops -----------------------------------------------------------------------------------
gives "bcdéabcdéa" --prompt a
gives "bc" --prompt a --stop d
gives "bcd" --prompt a --stop éa
gives "bc" --prompt a --stop abc --stop dé
gives "bcdéa" --prompt a --stop bcdéab --stop bcdé_ --stop bcdéax --stop 'bcdea' --stop 'bcdéabcdéabcd' --stop bcda --max-new-tokens 6
gives "" --prompt a --stop bc
printf '{"source":"a"}\n{"source":"b"}\n' >"$work/in.jsonl"
expect 0 ask --input "$work/in.jsonl" --stop d
[ "$(cat "$work/out")" = '{"source":"a","generated":"bc","generated_ids":[98,99,100]}
{"source":"b","generated":"c","generated_ids":[99,100]}' ] || fail "$(cat "$work/out")"

# ---- standard input, system turns, JSON ------------------------------------------------------
# piped TEXT ARGUMENT...: with this standard input
piped() {
    printf "$1" | ask "${@:2}" >"$work/out" 2>"$work/err" || fail "$(cat "$work/err")"
}
piped 'b\na\n' --prompt - --stop d
[ "$(cat "$work/out")" = bc ] || fail "a prompt of two lines, whose last line end is not a part of it: $(cat "$work/out")"
piped '{"source":"a"}\n' --input - --stop d
[ "$(cat "$work/out")" = '{"source":"a","generated":"bc","generated_ids":[98,99,100]}' ] || fail "$(cat "$work/out")"
gives '{"prompt":"a","generated":"bc","generated_ids":[98,99,100]}' --prompt a --json --stop d
for ranks in 1 2; do # rank 0 reads, all know
    printf '{"source":"a"}\n' | mpirun -n $ranks "$FORERUN" generate --model "$model" --threads 1 --max-new-tokens 12 --input - --stop d \
        >"$work/out" 2>"$work/err" || fail "$(cat "$work/err")"
    [ "$(cat "$work/out")" = '{"source":"a","generated":"bc","generated_ids":[98,99,100]}' ] || fail "$ranks ranks: $(cat "$work/out")"
done
FORERUN_LOG=debug expect 0 ask --prompt q --system Kind. --json
python3 - "$work/out" <<'PY' || fail "$(cat "$work/out")"
import json, sys
assert json.load(open(sys.argv[1]))["generated"].startswith("abcd")  # behind the line end that opens an answer
PY
# the turn stands where a dialogue has none, and the rows of the output are the input's
cat >"$work/turns.jsonl" <<'ROWS'
{"messages":[{"role":"user","content":"q"}]}
{"messages": [{"role": "system", "content": "Own."}, {"role": "user", "content": "q"}]}
ROWS
cat >"$work/with.jsonl" <<'ROWS'
{"messages": [{"role": "system", "content": "Kind."}, {"role": "user", "content": "q"}]}
{"messages": [{"role": "system", "content": "Own."}, {"role": "user", "content": "q"}]}
ROWS
# the tiny random model, whose answers depend on every token
model=$work/tiny288
python3 "$SOURCE/tests/support/make_tiny.py" "$model" "$work/other.jsonl" 128 4 288 8
cp "$work/table/tokenizer.json" "$work/table/tokenizer_config.json" "$model"
for rows in turns with; do
    expect 0 ask --input "$work/$rows.jsonl" --system Kind.
    sed 's/.*"generated_ids"/{"generated_ids"/' "$work/out" >"$work/$rows.ids"
done
cmp "$work/turns.ids" "$work/with.ids" || fail "--system is not the turn that a row may have"
expect 0 ask --input "$work/turns.jsonl"
! cmp -s <(head -1 "$work/turns.ids") <(sed 's/.*"generated_ids"/{"generated_ids"/' "$work/out" | head -1) || fail "--system changes nothing"
head -1 "$work/turns.jsonl" | cmp - <(sed 's/,"generated":.*/}/' "$work/out" | head -1) || fail "the row was changed"
printf '{"source_ids": [1]}\n' >"$work/ids.jsonl"
expect 3 ask --input "$work/ids.jsonl" --system Kind.
says "ids.jsonl:1: a system turn needs a dialogue"
expect 3 ask --prompt a --template '{source}{target}' --system Kind.
says "a system turn needs a dialogue"

# ---- several answers, logarithms --------------------------------------------------------------
sampled="--temperature 0.9 --seed 5"
# shellcheck disable=SC2086
{
    expect 0 ask --input "$work/in.jsonl" $sampled
    cp "$work/out" "$work/one"
    expect 0 ask --input "$work/in.jsonl" $sampled --n 3 --logprobs 2 --batch 2
    cp "$work/out" "$work/three"
}
python3 - "$work" <<'PY' || fail "$(cat "$work/three")"
import json, math, sys
one, three = ([json.loads(line) for line in open(sys.argv[1] + name)] for name in ("/one", "/three"))
assert [(row["source"], row["generation"]) for row in three] == [(s, i) for s in "ab" for i in range(3)]
assert [row["generated_ids"] for row in three[::3]] == [row["generated_ids"] for row in one], "the first one is that of --n 1"
assert len({tuple(row["generated_ids"]) for row in three}) == 6, "other random numbers"
for row in three:
    assert list(row) == ["source", "generation", "logprobs", "generated", "generated_ids"], list(row)
    assert [token["id"] for token in row["logprobs"]] == row["generated_ids"]
    for token in row["logprobs"]:
        first, second = token["top"]
        assert 0 > first["logprob"] >= second["logprob"] and token["logprob"] <= first["logprob"]
        assert math.exp(first["logprob"]) + math.exp(second["logprob"]) < 1
        assert all(top["logprob"] == token["logprob"] for top in token["top"] if top["id"] == token["id"])
PY
expect 0 ask --prompt a --json --logprobs 0
grep -qE '^\{"prompt":"a","logprobs":\[\{"id":[0-9]+,"logprob":-[0-9.e-]+\},' "$work/out" || fail "$(cat "$work/out")"
# what changes the choice changes it
for option in "--min-p 0.9" "--repetition-penalty 1.5"; do
    # shellcheck disable=SC2086
    expect 0 ask --input "$work/in.jsonl" $sampled $option
    ! cmp -s "$work/out" "$work/one" || fail "$option changes nothing"
done

# ---- gone on with the same options alone ------------------------------------------------------
python3 -c 'for i in range(60): print("{\"source\":\"%s%d\"}" % (chr(97 + i % 26), i))' >"$work/in.jsonl"
out=$work/out.jsonl
options="$sampled --n 2 --logprobs 1 --stop a --min-p 0.01 --repetition-penalty 1.1"
# shellcheck disable=SC2086
{
    ask --input "$work/in.jsonl" --output "$work/whole" $options 2>"$work/err" || fail "$(cat "$work/err")"
    "$FORERUN" generate --model "$model" --threads 1 --max-new-tokens 60 --input "$work/in.jsonl" --output "$out" $options \
        2>"$work/err" </dev/null &
    pid=$!
    while [ "$(cat "$out.part" 2>/dev/null | wc -l)" -lt 5 ]; do
        kill -0 $pid || fail "ended early: $(cat "$work/err")"
        sleep 0.01
    done
    kill -KILL $pid
    wait $pid 2>/dev/null || true
}
# the answers so far are those of the shorter generation, cut as a power cut would
cp "$out.part.info" "$work/info"
sed 's/^--max-new-tokens: 60$/--max-new-tokens: 12/' "$work/info" >"$out.part.info"
head -7 "$work/whole" >"$out.part"
printf '{"source":"' >>"$out.part"
cp "$out.part" "$work/part"
cp "$out.part.info" "$work/info"
# refuses TEXT ARGUMENT...
refuses() {
    expect 2 ask --input "$work/in.jsonl" --output "$out" --resume "${@:2}"
    says "$1"
    cmp "$out.part" "$work/part" || fail "answers were lost"
}
refuses "--stop differs from what its answers were made with (at its default now, but not then)" \
    $sampled --n 2 --logprobs 1 --min-p 0.01 --repetition-penalty 1.1
refuses "--stop differs from what" $sampled --n 2 --logprobs 1 --min-p 0.01 --repetition-penalty 1.1 --stop b
refuses "--min-p differs from what" $sampled --n 2 --logprobs 1 --min-p 0.02 --repetition-penalty 1.1 --stop a
refuses "--repetition-penalty differs from what" $sampled --n 2 --logprobs 1 --min-p 0.01 --repetition-penalty 1.2 --stop a
refuses "--n differs from what" $sampled --n 3 --logprobs 1 --min-p 0.01 --repetition-penalty 1.1 --stop a
refuses "--logprobs differs from what" $sampled --n 2 --logprobs 2 --min-p 0.01 --repetition-penalty 1.1 --stop a
# shellcheck disable=SC2086
expect 0 ask --input "$work/in.jsonl" --output "$out" --resume $options
says "holds the answers to 7 of 120 rows: continuing after them"
cmp "$out" "$work/whole" || fail "gone on: another output"
# an answer without its logarithms, or of other ids, is not one
for change in 's/"logprobs":\[.*\],"generated":/"generated":/' 's/"generated_ids":\[./&1/' 's/,"logprobs":\[{/,"logprobs":[{"id":1},{/'; do
    cp "$work/info" "$out.part.info"
    head -7 "$work/whole" | sed "3$change" >"$out.part"
    cp "$out.part" "$work/part"
    # shellcheck disable=SC2086
    refuses "out.jsonl.part:3: this line is not the answer" $options
done

# ---- a terminal gets the text as it comes, escaped -----------------------------------------------
model=$work/table
script -qec "$(printf '%q ' "$FORERUN" generate --model "$model" --threads 1 --max-new-tokens 12 --prompt a --stop bcdéab_)" /dev/null \
    >"$work/out" 2>&1 </dev/null || fail "$(cat "$work/out")"
grep -qx $'bcdéabcdéa\r' "$work/out" || fail "$(cat -A "$work/out")"
script -qec "$(printf '%q ' "$FORERUN" generate --model "$model" --threads 1 --max-new-tokens 4 --prompt x)" /dev/null \
    >"$work/out" 2>&1 </dev/null || fail "$(cat "$work/out")"
grep -qxF '\x1b]x\x1b'$'\r' "$work/out" || fail "$(cat -A "$work/out")"

# ---- refused ---------------------------------------------------------------------------------------
# mistake TEXT ARGUMENT...
mistake() {
    expect 2 ask "${@:2}"
    says "$1"
}
mistake "a stop text has 0 bytes" --prompt a --stop ""
mistake "a stop text must be UTF-8" --prompt a --stop $'\xff'
mistake "--n 2 needs --temperature above 0" --input "$work/in.jsonl" --n 2
mistake "--n needs JSON" --prompt a --n 2 --temperature 1
mistake "--logprobs needs JSON" --prompt a --logprobs 2
mistake "logprobs" --prompt a --json --logprobs 21
mistake "--json is for --prompt" --input "$work/in.jsonl" --json
mistake "min-p" --prompt a --min-p 2
mistake "repetition-penalty" --prompt a --repetition-penalty -1
model=$SOURCE/tests/golden/tiny_llama
printf '{"source_ids": [1]}\n' >"$work/ids.jsonl"
mistake "--stop needs texts, but the model has no tokenizer" --input "$work/ids.jsonl" --stop a
printf 'a\0b' >"$work/nul"
model=$work/table
code=0
ask --prompt - <"$work/nul" >"$work/out" 2>"$work/err" || code=$?
[ $code = 3 ] || fail "a NUL in a prompt: exit code $code"
says "a text without NUL"
code=0
ask --input - </dev/null >"$work/out" 2>"$work/err" || code=$?
[ $code = 3 ] || fail "no rows: exit code $code"
says "standard input is empty"
echo "options of generate hold"
