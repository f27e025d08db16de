#!/usr/bin/env bash
# From a bare Debian 12 to a tuned prefix: install, build, fetch a model, build a task, tune on two ranks, then
# show the loss on rows it has not seen and five answers side by side. Start it again and it goes on where it was.
#
#   QUICKSTART_STEPS=N  steps of tuning (default 40)
#   FORERUN_HOME=DIR    where build, models, data and runs go (default: this folder, if it can be written)
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
steps=${QUICKSTART_STEPS:-40}
home=${FORERUN_HOME:-$root}
[ -w "$home" ] || home=$PWD
build="$home/build/release"
model="$home/models/smollm2-135m-instruct.gguf"
data="$home/data/debdesc"
run="$home/runs/quickstart-$steps"
template='{source}\nSynopsis:{target}'
instruction='Write the one-line synopsis of the Debian package that is described.'
started=$SECONDS

say() {
    printf '\n== %s (%d s)\n' "$1" $((SECONDS - started)) >&2
}

say "packages"
bash "$root/launch/install-deps.sh" build model
say "build"
# The same folder as of tests/run.sh, and the same settings, so that either can come first.
mkdir -p "$build"
if ! cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release >"$build/configure.log" 2>&1; then
    cat "$build/configure.log" >&2
    exit 1
fi
cmake --build "$build" --target forerun >&2
say "model"
bash "$root/launch/fetch-model.sh" "$home/models"
say "task"
bash "$root/launch/build-debdesc.sh" "$data"
. "$root/launch/mpi-env.sh"
forerun="$build/forerun"

say "tuning a prefix for $steps steps on two ranks"
mpirun -n 2 "$forerun" train "$root/configs/debdesc.yaml" --resume \
    --set "base.path=$model" --set "run.dir=$run" --set "run.steps=$steps" \
    --set "tasks.debdesc.train=$data/train.jsonl" --set "tasks.debdesc.valid=$data/dev.jsonl"

say "loss on 200 rows that were never seen"
evaluate() {
    mpirun -n 2 "$forerun" eval --model "$model" --data "$data/test.jsonl" --max-rows 200 --json "$@" 2>/dev/null |
        python3 -c 'import json, sys; print("%.4f" % json.loads(sys.stdin.readlines()[-1])["loss"])'
}
bare=$(evaluate --template "$template")
printf 'the bare model                  %s nats per token\n' "$bare"
instructed=$(evaluate --template "$instruction\\n$template")
printf 'with a written instruction      %s\n' "$instructed"
tuned=$(evaluate --prefix "$run/best.h5")
printf 'with the prefix                 %s\n' "$tuned"

say "five descriptions"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
head -n 5 "$data/test.jsonl" >"$work/rows.jsonl"
"$forerun" generate --model "$model" --template "$instruction\\n$template" --input "$work/rows.jsonl" \
    --output "$work/instructed.jsonl" --max-new-tokens 24 2>/dev/null
"$forerun" generate --model "$model" --prefix "$run/best.h5" --input "$work/rows.jsonl" \
    --output "$work/tuned.jsonl" --max-new-tokens 24 2>/dev/null
python3 - "$work" <<'PY'
import json, sys

def rows(name):
    return [json.loads(line) for line in open("%s/%s.jsonl" % (sys.argv[1], name), encoding="utf-8")]

def first_line(text):
    return (text.strip().splitlines() or [""])[0]

for row, instructed, tuned in zip(rows("rows"), rows("instructed"), rows("tuned")):
    print("\n%s" % row["source"][:160].replace("\n", " "))
    print("  Debian's synopsis  %s" % row["target"].strip())
    print("  with instruction   %s" % first_line(instructed["generated"]))
    print("  with the prefix    %s" % first_line(tuned["generated"]))
PY
say "done; the prefix is $run/best.h5"
