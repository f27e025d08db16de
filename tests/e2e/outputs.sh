#!/usr/bin/env bash
# Files that the user names for results: never one that is read, a FIFO or link in place of a file, a folder that is not there.
. "$(dirname "$0")/common.sh"
make_tiny
make_config 1 4 f32
mkdir "$work/o"
cd "$work/o"
expect 0 "$FORERUN" train "$work/c.yaml"
cp "$work/run/checkpoint-1.h5" p.h5
cp "$rows" d.jsonl
printf '{"source_ids": [1, 2, 3]}\n' >i.jsonl
ln d.jsonl hard
ln -s d.jsonl link
ln -s "$work/tiny" m
cp "$work/c.yaml" c.yaml
evaluate() { "$FORERUN" eval --model m --prefix p.h5 --data d.jsonl --threads 1 --max-rows 4 "$@"; }
generate() { "$FORERUN" generate --model m --prefix p.h5 --threads 1 --max-new-tokens 4 --input "$@"; }
plan() { "$FORERUN" plan c.yaml --ranks 2 "$@"; }
find . "$work/tiny" -type f -exec sha256sum {} + | sort >"$work/before"

# ---- what is read stays ------------------------------------------------------------------------
for name in d.jsonl ./d.jsonl hard link "$work/o/d.jsonl"; do
    expect 2 evaluate --rows-out "$name"
    says "--rows-out $name is the file that --data reads; name another one"
    expect 2 generate d.jsonl --output "$name"
    says "--output $name is the file that --input reads; name another one"
done
for name in p.h5 ./p.h5; do
    expect 2 evaluate --rows-out "$name"
    says "the file that --prefix reads"
    expect 2 generate i.jsonl --output "$name"
    says "the file that --prefix reads"
done
expect 2 evaluate --rows-out m/config.json
says "a file of the folder that --model reads"
expect 2 generate i.jsonl --output "$work/tiny/model.safetensors"
says "a file of the folder that --model reads"
cp d.jsonl rows.part
expect 2 generate rows.part --output rows --overwrite
says "rows.part is the file that --input reads"
cmp d.jsonl rows.part || fail "rows.part is gone"
rm rows.part
printf '{"source_ids": [1, 2, 3], "prefix": "%s"}\n' i.h5 p.h5:t >named.jsonl
for name in i.h5 p.h5 ./p.h5 linked.h5; do
    cp p.h5 i.h5
    ln -f p.h5 linked.h5
    expect 2 "$FORERUN" generate --model m --threads 1 --max-new-tokens 4 --input named.jsonl --output "$name" --overwrite
    says "--output $name is the file that \"prefix\" of a row of --input reads; name another one"
done
for part in part part.info; do
    sed "s/i.h5/rows.$part/" named.jsonl >n.jsonl
    cp p.h5 rows.$part
    expect 2 "$FORERUN" generate --model m --threads 1 --max-new-tokens 4 --input n.jsonl --output rows --overwrite
    cmp p.h5 rows.$part || fail "rows.$part is gone"
    rm rows.$part
done
head -c 16 "$work/o/named.jsonl" >rows.part.info
expect 2 generate rows.part.info --output rows
says "--output: its rows.part.info is the file that --input reads"
rm rows.part.info named.jsonl n.jsonl i.h5 linked.h5
sed 's/{random: 0.5}/{file: "p.h5:t"}/' c.yaml >f.yaml
expect 2 "$FORERUN" plan f.yaml --ranks 2 --svg p.h5
says "--svg p.h5 is the file that prefix.init.file reads"
rm f.yaml
expect 2 plan --svg ./c.yaml
says "the file that CONFIG reads"
expect 2 plan --svg "$rows"
says "the file that train reads"
expect 2 plan --svg m/config.json
says "a file of the folder that base.path reads"

# ---- before anything is computed ----------------------------------------------------------------
for command in "evaluate --rows-out" "plan --svg"; do
    expect 1 $command none/out
    says "its folder none"
    expect 1 $command m
    says "symbolic link"
    expect 1 $command "$work/tiny"
    says "it is a folder"
    [ ! -s "$work/out" ] || fail "$command computed first"
done
find . "$work/tiny" -type f -exec sha256sum {} + | sort | cmp - "$work/before" || fail "a file changed"

# ---- a FIFO takes the bytes, a link is refused ----------------------------------------------------
mkfifo pipe
for command in "evaluate --rows-out" "plan --svg"; do
    timeout 60 cat pipe >got &
    reader=$!
    expect 0 $command pipe
    wait "$reader"
    [ -p pipe ] && [ -s got ] || fail "$command: the FIFO is gone or got nothing"
done
expect 2 "$FORERUN" convert p.h5 pipe
says "exists already"
[ -p pipe ] || fail "convert replaced a FIFO"
expect 0 plan --svg new.svg
[ -s new.svg ] || fail "no picture"

# ---- a limit on the size of files is told of ------------------------------------------------------
code=0
for _ in $(seq 60); do cat i.jsonl; done >many.jsonl
(ulimit -f 1 && generate many.jsonl --output answers) >/dev/null 2>"$work/err" </dev/null || code=$?
[ "$code" = 1 ] || fail "exit code $code at the limit: $(cat "$work/err")"
says "File too large"
