#!/usr/bin/env bash
# replay.sh NAME: the first inputs of a fuzzer, kept findings (seeds/NAME holds them) and damaged copies of both.
set -euo pipefail
cd "$(dirname "$0")"

folder=$(mktemp -d "${TMPDIR:-/tmp}/forerun-replay.XXXXXX")
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/files"
bash seeds.sh "$1" "$folder/inputs"
FUZZ_FOLDER=$folder/files "$PROGRAMS/replay_$1" "$folder"/inputs/*
