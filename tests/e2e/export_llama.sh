#!/usr/bin/env bash
# `forerun export --to llama.cpp` on a tiny model and its GGUF file: sizes and heads of the files, what is printed, what is refused.
# That llama.cpp reads them is shown by golden/compare_llama_cpp.py.
. "$(dirname "$0")/common.sh"

make_tiny 320 4 320
python3 "$SOURCE/tests/support/make_tokenizer.py" "$model" 8
python3 "$SOURCE/tests/support/make_gguf.py" "$model" "$work/tiny.gguf"
make_config 2 4 f32
train run 1 1 2>"$work/err" || fail "$(cat "$work/err")"
mv "$work/run/prefix.h5" "$work/p.h5"
train part 1 1 --set tasks.t.prefix.layers.first=1 --set tasks.t.prefix.layers.count=2 2>"$work/err" || fail "$(cat "$work/err")"
mv "$work/part/prefix.h5" "$work/part.h5"
cd "$work" || exit

# export_to CODE OUTPUT [OPTION...]: of p.h5, unless the options say otherwise
export_to() {
    local code=$1 output=$2
    shift 2
    expect "$code" "$FORERUN" export "$output" --to llama.cpp --prefix p.h5 --model tiny.gguf "$@"
}

# size_is FILE BYTES
size_is() {
    [ "$(stat -c %s "$1")" = "$2" ] || fail "$1 has $(stat -c %s "$1") bytes, not $2"
}

# head_is FILE WORD...: its first 32-bit words
head_is() {
    local file=$1 n=$(($# - 1))
    shift
    [ "$(od -An -v -td4 -N $((4 * n)) "$file" | xargs)" = "$*" ] || fail "$file begins with $(od -An -td4 -N $((4 * n)) "$file")"
}

# ---- files: 5 slots of 2 x 8 numbers in 4 layers, in both forms of the model

head=$((4 * 3 + 5 * 4)) cells=$((8 + 5 * 12 + 8)) numbers=$((2 * 4 * 5 * 16)) # of the keys and values
export_to 0 f16.bin
size_is f16.bin $((head + cells + 8 * 12 + 2 * numbers))
head_is f16.bin 1734833009 3 5 263 263 263 263 263 1 5 0 1 0
printf '%s\n' "f16.bin: sequence state of llama.cpp, version 3, $(stat -c %s f16.bin) bytes" \
    "cache     f16, flash attention on, 5 positions" "tokens    5 times 263 <s7>" | cmp - out || fail "$(cat out)"
warnings 1 # the prefix was trained over the folder
says "other weights"
export_to 0 again.bin --prefix p.h5:t --state sequence --cache-type f16 --flash-attention on --marker 263
cmp f16.bin again.bin || fail "what is spelled out has other bytes than the defaults"
export_to 0 f32.bin --cache-type f32 --flash-attention off --marker 3
size_is f32.bin $((head + cells + 8 * 12 + 4 * numbers))
head_is f32.bin 1734833009 3 5 3 3 3 3 3
export_to 0 session.bin --state session --first-token 65
size_is session.bin $((head + 4 + 4 + 5 + cells + 8 * 12 + 2 * numbers))
head_is session.bin 1734833006 10 6 263 263 263 263 263 65 5
grep -qx "tokens    5 times 263 <s7>, then 65" out || fail "$(cat out)"
export_to 0 session.bin --state session
head_is session.bin 1734833006 10 5
[ "$(tail -c +33 session.bin | head -c 9 | tail -c 5)" = llama ] || fail "the session does not name the architecture"
tail -c +42 session.bin | cmp - <(tail -c +33 f16.bin) || fail "a session has another cache than a sequence"
echo "files: as long as they should be"

# ---- refused, with nothing written

rm -f no.bin
export_to 2 no.bin --model tiny
says "--model is the folder tiny; it must be the GGUF file"
expect 3 "$FORERUN" export no.bin --to llama.cpp --prefix part.h5 --model tiny.gguf
says "the prefix stands on layers 1 to 2, and the base has 4"
export_to 6 no.bin --prefix p.h5:other
says "other"
export_to 3 no.bin --model none.gguf
export_to 2 no.bin --state both
says "--state is both; it must be session or sequence"
export_to 2 no.bin --cache-type q8_0
says "--cache-type is q8_0; it must be f16 or f32"
export_to 2 no.bin --flash-attention auto
says "--flash-attention is auto; it must be on or off"
export_to 2 no.bin --first-token 5
says "--first-token is for --state session alone"
export_to 3 no.bin --marker 320
says "--marker"
export_to 3 no.bin --state session --first-token 320
says "--first-token"
export_to 2 no.bin --marker -1
export_to 2 no.bin --anyway
says "--anyway is for --to peft alone; leave it out"
expect 2 "$FORERUN" export no.bin --to llama --prefix p.h5 --model tiny.gguf
says "--to is llama; it must be"
expect 2 "$FORERUN" export no.bin --to llama.cpp --model tiny.gguf
says "--prefix"
expect 2 "$FORERUN" export no.bin --to llama.cpp --prefix p.h5
says "--model"
expect 2 "$FORERUN" export --to llama.cpp --prefix p.h5 --model tiny.gguf
python3 "$SOURCE/tests/support/make_tiny.py" other other.jsonl 320 3 320
python3 "$SOURCE/tests/support/make_tokenizer.py" other 8
python3 "$SOURCE/tests/support/make_gguf.py" other other.gguf
export_to 6 no.bin --model other.gguf
says "the prefix is for a base of 4 layers"
export_to 1 nowhere/no.bin
[ ! -e no.bin ] || fail "a failed export left a file"
echo "refused: by name"

# ---- inputs are never written over

for name in p.h5 tiny.gguf; do
    cp $name kept
    export_to 2 $name
    says "is the file that"
    ln -f $name link
    export_to 2 link
    says "is the file that"
    cmp $name kept || fail "$name was changed"
done
echo "inputs: kept"
