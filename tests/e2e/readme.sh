#!/usr/bin/env bash
# The lines of README.md and docs/training.md, typed in a copy of the tree: the build without the quickstart, training,
# ranks, resume, sweep, plan. A config block is put where the text says.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/pages.sh"

need_model
tree="$work/fore run"
mkdir "$tree"
(cd "$SOURCE" && find . \( -path ./build -o -path ./models -o -path ./data -o -path ./runs -o -name .git \) -prune \
    -o -type f -print0 | tar --create --null --files-from=- --file=-) | tar --extract --directory "$tree"
mkdir "$tree/models"
ln -s "$(realpath "$model")" "$tree/models/smollm2-135m-instruct.gguf"
cd "$tree"
printf 'localhost slots=2\n' >hosts

page=README.md

forget_settings
type_lines '## Build' 1
[ -x build/release/forerun ] || fail "the lines of '## Build' build no program"

type_lines '## Train a prefix of your own' 1
block '## Train a prefix of your own' yaml 1 >mine.yaml
type_lines '## Train a prefix of your own' 2
# a run that lost its last checkpoint goes on from the one before, on four ranks, to the same bits
mv runs/mine/checkpoint-60.h5 last.h5
page=docs/training.md
type_lines '## Several ranks' 1
same runs/mine/checkpoint-60.h5 last.h5

type_lines '## Ask before a large run' 1
[ -s schedule.svg ] || fail "plan made no picture"
block '## Several tasks, and sweeps' yaml 1 >>mine.yaml
type_lines '## Several tasks, and sweeps' 1
[ "$(wc -l <runs/sweep/sweep.jsonl)" = 4 ] || fail "the sweep's table has not four lines"
sed -i '/^sweep:/,$d' mine.yaml
page=README.md
type_lines '## On a cluster' 1
