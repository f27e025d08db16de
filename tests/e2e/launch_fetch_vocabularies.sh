#!/usr/bin/env bash
# launch/fetch-vocabularies.sh keeps nothing but the right files, says why otherwise, and leaves nothing behind.
. "$(dirname "$0")/common.sh"

real_python=$(command -v python3)
export real_python

# A python3 whose pip hands out $handed (none: it fails as without a network); all else is the real one's.
mkdir "$work/bin"
cat >"$work/bin/python3" <<'SH'
#!/bin/sh
if [ "$1 $2" != "-m pip" ]; then
    exec "$real_python" "$@"
fi
if [ "$3" = --version ]; then
    exit "${no_pip:-0}"
fi
while [ $# -gt 1 ]; do
    [ "$1" = --dest ] && folder=$2
    shift
done
[ -n "$handed" ] || exit 1
cp "$handed" "$folder/"
SH
chmod +x "$work/bin/python3"
export PATH="$work/bin:$PATH" handed=""

# make_package FILE FOLDER NAME...: a source package with files of FOLDER where llama.cpp has them.
make_package() {
    handed=$1
    mkdir -p "$work/tree/llama_cpp_python/vendor/llama.cpp/models"
    for name in "${@:3}"; do
        cp "$2/$name" "$work/tree/llama_cpp_python/vendor/llama.cpp/models/"
    done
    tar -C "$work/tree" -czf "$handed" llama_cpp_python
    rm -r "$work/tree"
}

# holds FILE...: the folder holds these and nothing else, hidden or not.
holds() {
    [ "$(ls -A "$work/vocabularies")" = "$(printf '%s\n' "$@")" ] ||
        fail "left in the folder: $(ls -A "$work/vocabularies")"
}

fetch() {
    expect "$1" bash "$SOURCE/launch/fetch-vocabularies.sh" "$work/vocabularies"
}

fetch 3
says "could not download llama-cpp-python==0.3.36; check the network"
holds ""

no_pip=1 fetch 3
says "install python3-pip"
holds ""

printf 'not a package' >"$work/cut.tar.gz"
handed="$work/cut.tar.gz"
fetch 1
holds ""

make_package "$work/few.tar.gz" "$SOURCE/tests/golden/tokens" ggml-vocab-gpt-2.gguf
fetch 3
says "nothing was kept"
holds ""

folder=${FORERUN_VOCABULARIES:-$SOURCE/models/vocabularies}
if [ ! -d "$folder" ]; then
    echo "the vocabularies are not there: the way to success was not tried"
    exit 0
fi
mapfile -t names < <(sed 's/.* //' "$SOURCE/launch/vocabularies.sha256")
make_package "$work/right.tar.gz" "$folder" "${names[@]}"
fetch 0
holds "${names[@]}"
handed=""
fetch 0
says "has them"
