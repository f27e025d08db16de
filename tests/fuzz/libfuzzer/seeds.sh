#!/usr/bin/env bash
# seeds.sh NAME DIR: first inputs of the fuzzer NAME into DIR: those in seeds/NAME, and those that fuzz_seeds writes.
# PROGRAMS is the folder of the built test programs. A writer with needs of its own gets a line in `case`.
set -euo pipefail

name=$1
out=$2
here=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$out"
if [ -d "$here/seeds/$name" ]; then
    cp "$here/seeds/$name"/* "$out"
fi
if "$PROGRAMS/fuzz_seeds" --list | grep -qx "$name"; then
    FUZZ_SEEDS=$out "$PROGRAMS/fuzz_seeds" "$name" >&2
fi
if [ -z "$(ls -A "$out")" ]; then
    echo "seeds.sh: no first inputs for $name: neither $here/seeds/$name nor a case in seeds.c" >&2
    exit 1
fi
