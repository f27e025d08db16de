#!/usr/bin/env bash
# Models by the name of the hub, out of its cache, and GGUF models in several files: every command finds them, with the bits of
# the same model as a folder or in one file.
. "$(dirname "$0")/common.sh"

support=$SOURCE/tests/support
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_HOME
export FORERUN_CACHE=$work/digests
commit=0123456789abcdef0123456789abcdef01234567
make_tiny 128 2 264
python3 "$support/make_tokenizer.py" "$model" 4
python3 "$support/make_gguf.py" "$model" "$work/whole.gguf" '{}' Q8_0
mkdir "$work/parts"
python3 "$support/split_gguf.py" "$work/whole.gguf" "$work/parts/m" 3
part=$work/parts/m-00002-of-00003.gguf
make_config 3 4 f32

# cache HUB REPOSITORY FILE...: a snapshot of links to blobs, as the hub's tools make one.
cache() {
    local model=$1/models--${2/\//--} file n=0
    mkdir -p "$model/refs" "$model/blobs" "$model/snapshots/$commit"
    printf '%s' "$commit" >"$model/refs/main"
    for file in "${@:3}"; do
        n=$((n + 1))
        cp "$file" "$model/blobs/$n"
        ln -s "../../blobs/$n" "$model/snapshots/$commit/${file##*/}"
    done
}
hub=$work/home/hub
cache "$hub" org/tiny "$work"/tiny/*
cache "$hub" org/parts "$work"/parts/*
cache "$work/other" org/tiny "$work"/tiny/*

# digest FILE: of the base's weights
digest() {
    "$FORERUN" inspect "$1" | sed -n 's/^base .*\([0-9a-f]\{64\}\).*/\1/p'
}
# trained NAME MODEL [ARGUMENTS...]: into $work/NAME, with the bits and the base of $wanted
trained() {
    expect 0 "$FORERUN" train "$work/c.yaml" --set "base.path=$2" --set "run.dir=$work/$1" "${@:3}"
    [ -z "$wanted" ] || same "$work/$wanted/prefix.h5" "$work/$1/prefix.h5"
    [ -z "$wanted" ] || [ "$(digest "$work/$wanted/prefix.h5")" = "$(digest "$work/$1/prefix.h5")" ] ||
        fail "$1: another digest than $wanted"
}

# ---- training: the same bits and the same base -----------------------------------------------------------------------
wanted=""
trained folder "$work/tiny"
[ -n "$(digest "$work/folder/prefix.h5")" ] || fail "no digest: $("$FORERUN" inspect "$work/folder/prefix.h5")"
wanted=folder
HF_HOME=$work/home trained by_home org/tiny
says "model org/tiny is $hub/models--org--tiny/snapshots/$commit"
HF_HUB_CACHE=$hub trained by_hub "org/tiny@${commit:0:8}"
"$FORERUN" inspect "$work/by_home/prefix.h5" >"$work/out"
grep -q 'org/tiny' "$work/out" || fail "the prefix does not name its base: $(cat "$work/out")"
wanted=""
trained whole "$work/whole.gguf"
wanted=whole
trained part "$part"
trained in_file "$work/parts/m-00003-of-00003.gguf" --set base.weights=quantised
export HF_HOME=$work/home
trained by_name org/parts
says "model org/parts is $hub/models--org--parts/snapshots/$commit/m-00001-of-00003.gguf"
# a second time out of the cache of digests, which keeps those of files that were left alone for a while; not if a part is another
sleep 2.6
FORERUN_LOG=debug trained cached "$part"
says "kept in the cache: "
FORERUN_LOG=debug trained cached_again "$part"
says "read from the cache: "
cp "$part" "$work/copy"
mv "$work/copy" "$part"
FORERUN_LOG=debug trained replaced "$work/parts/m-00001-of-00003.gguf"
! grep -q "read from the cache: " "$work/err" || fail "a part that was replaced has the digest of the old one"
# several ranks; each with a cache of its own
mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set "base.path=$part" --set "run.dir=$work/stages" --set run.stages=2 2>"$work/err" ||
    fail "$(cat "$work/err")"
same "$work/whole/prefix.h5" "$work/stages/prefix.h5"
mpirun -n 1 env "HF_HUB_CACHE=$hub" "$FORERUN" train "$work/c.yaml" --set base.path=org/tiny --set "run.dir=$work/apart" : \
    -n 1 env "HF_HUB_CACHE=$work/other" "$FORERUN" train "$work/c.yaml" --set base.path=org/tiny --set "run.dir=$work/apart" \
    2>"$work/err" || fail "$(cat "$work/err")"
same "$work/folder/prefix.h5" "$work/apart/prefix.h5"
# a run goes on over the same model under another name
expect 0 "$FORERUN" train "$work/c.yaml" --set "base.path=$work/whole.gguf" --set "run.dir=$work/by_name" --resume
echo "where models: training"

# ---- the other commands ------------------------------------------------------------------------------------------------
printf '{"source_ids": [65, 66]}\n' >"$work/in.jsonl"
# answers MODEL: the loss of the prefix and what it generates
answers() {
    expect 0 "$FORERUN" eval --model "$1" --prefix "$work/whole/prefix.h5" --data "$rows" --no-eos --max-rows 8 --threads 1 --json
    ! grep -q warning "$work/err" || fail "$1: $(cat "$work/err")"
    grep -o '"loss": *[0-9.]*' "$work/out" >"$work/answer" || fail "no loss: $(cat "$work/out")"
    expect 0 "$FORERUN" generate --model "$1" --prefix "$work/whole/prefix.h5" --input "$work/in.jsonl" --max-new-tokens 4 --threads 1
    grep -o '"generated_ids":[^]]*]' "$work/out" >>"$work/answer" || fail "no ids: $(cat "$work/out")"
    cat "$work/answer"
}
one=$(answers "$work/whole.gguf")
echo "$one"
for name in "$part" org/parts org/parts:m-00001-of-00003.gguf "org/parts@main:m-00003-of-00003.gguf"; do
    [ "$(answers "$name")" = "$one" ] || fail "$name: $(answers "$name"), wanted $one"
done
expect 0 "$FORERUN" inspect org/parts
grep -q '^weights  *in 3 files' "$work/out" || fail "$(cat "$work/out")"
grep -v '^weights  *in\|^model ' "$work/out" >"$work/split"
expect 0 "$FORERUN" inspect "$work/whole.gguf"
grep -v '^model ' "$work/out" | cmp - "$work/split" || fail "inspect: another model"
for name in "$work/tiny" org/tiny org/parts "$part"; do
    printf 'A b' | "$FORERUN" tokenize --model "$name" >"$work/out" 2>"$work/err" || fail "$(cat "$work/err")"
    [ "$(cat "$work/out")" = "65 32 98" ] || fail "$name: $(cat "$work/out")"
done
# planned MODEL FILE...: plan finds the settings and the size of these files
planned() {
    expect 0 "$FORERUN" plan "$work/c.yaml" --set "base.path=$1" --ranks 2 --json
    grep -q "\"model_bytes\": *$(cat "${@:2}" | wc -c)," "$work/out" || fail "plan: not $(cat "${@:2}" | wc -c) bytes: $(cat "$work/out")"
}
planned "$work/whole.gguf" "$work/whole.gguf"
planned "$part" "$work"/parts/*
planned org/parts "$work"/parts/*
planned org/tiny "$work/tiny/model.safetensors"
says "model org/tiny is"
expect 0 "$FORERUN" preflight "$work/c.yaml" --set base.path=org/parts
echo "where models: every command"

# ---- outputs are apart from what is read ---------------------------------------------------------------------------------
for output in "$work/parts/m-00001-of-00003.gguf" "$part"; do
    expect 2 "$FORERUN" generate --model "$part" --input "$work/in.jsonl" --output "$output" --overwrite
    says "is the file that --model reads"
    expect 2 "$FORERUN" plan "$work/c.yaml" --set "base.path=$part" --ranks 2 --svg "$output"
    says "is the file that base.path reads"
done
expect 2 "$FORERUN" generate --model org/tiny --input "$work/in.jsonl" --output "$hub/models--org--tiny/blobs/1" --overwrite
says "is a file of the folder that --model reads"

# ---- what is missing ------------------------------------------------------------------------------------------------------
# everywhere TEXT MODEL: each command that reads a model says so.
everywhere() {
    expect 3 "$FORERUN" inspect "$2"
    says "$1"
    expect 3 "$FORERUN" generate --model "$2" --prompt x
    says "$1"
    expect 3 "$FORERUN" train "$work/c.yaml" --set "base.path=$2" --set "run.dir=$work/none"
    says "$1"
    expect 3 "$FORERUN" tokenize --model "$2"
    says "$1"
    expect 3 "$FORERUN" plan "$work/c.yaml" --set "base.path=$2" --ranks 1
    says "$1"
    [ ! -e "$work/none" ] || fail "$2: a run's folder was made"
}
everywhere "fetch it with 'hf download org/none' and give org/none" org/none
everywhere "has no revision v2 of this model, but 1 other; fetch it with 'hf download org/tiny --revision v2'" org/tiny@v2
everywhere "lacks this file; fetch it with 'hf download org/parts q.gguf'; GGUF files that are there: m-00001-of-00003.gguf; give" org/parts:q.gguf
everywhere "No such file or directory" "org/../tiny"
mv "$part" "$work/kept"
everywhere "m-00002-of-00003.gguf: this part of the model is missing" "$work/parts/m-00003-of-00003.gguf"
rm "$hub/models--org--parts/snapshots/$commit/m-00003-of-00003.gguf"
: >"$hub/models--org--parts/blobs/3.incomplete"
everywhere "lacks m-00003-of-00003.gguf, part 3 of 3 (1 download was begun and not ended); fetch it with 'hf download org/parts m-00003-of-00003.gguf'" org/parts
cp "$work/whole.gguf" "$part"
everywhere "m-00002-of-00003.gguf: by its name the file is part 2 of 3" "$work/parts/m-00001-of-00003.gguf"
head -c 2000 "$work/kept" >"$part"
everywhere "m-00002-of-00003.gguf: " "$work/parts/m-00001-of-00003.gguf"
echo "where models: what is missing"
