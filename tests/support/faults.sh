#!/usr/bin/env bash
# Faults that a test must catch: put one at a time into a copy of the tree. For faults.sh of tests/walled and of
# tests/cuda_emulation, after common.sh; it takes their arguments:
#
#   [NAME...]         these faults alone
#   --check [BUILD]   nothing is run: each fault finds the text that it replaces, and what it leaves compiles, with the
#                     settings of a folder that CMake has made
#
# A fault whose text is no longer there, or that does not compile, ends the script.

# shellcheck disable=SC2154 # of common.sh
tree=$work/tree # for the caller to make
n_faults=0
# shellcheck disable=SC2034 # for the caller to fill
silent=()
changed= # the file that holds the fault so far
mode=run
if [ "${1:-}" = --check ]; then
    mode=check
    build_folder=${2:-$SOURCE/build/release}
    set --
fi
wanted=("$@")

place_faults() {
    python3 -B "$SOURCE/tests/support/place_faults.py" "$SOURCE" "$@" ||
        fail "change faults with the sources that they are put into ($0)"
}

restore() {
    [ -z "$changed" ] || cp "$SOURCE/src/$changed" "$tree/src/$changed"
    changed=
}

# put NAME FILE OLD NEW [OLD NEW...]: into that file of the sources; an earlier one is gone then. False where there is nothing to
# observe.
put() {
    local name=$1 file=$2
    shift 2
    if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then
        return 1
    fi
    n_faults=$((n_faults + 1))
    if [ $mode = check ]; then
        printf '%s\0' "$name" "$file" $# "$@" >>"$work/all"
        return 1
    fi
    [ "$changed" = "$file" ] || restore
    changed=$file
    printf '%s\0' "$name" "$file" $# "$@" | place_faults "$tree"
}

# After all of them. With --check the script ends here.
all_are_put() {
    [ ${#wanted[@]} = 0 ] || [ $n_faults = ${#wanted[@]} ] || fail "no such fault among: ${wanted[*]}"
    if [ $mode = check ]; then
        place_faults --compile "$build_folder" <"$work/all"
        exit 0
    fi
    restore
}
