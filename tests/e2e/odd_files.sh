#!/usr/bin/env bash
# What others left under a name that the program opens: FIFOs, devices and folders in a file's place are refused at once,
# links are not written through, texts of files are shown escaped.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 3 2 f32
sed -i "s|, schedule: cosine||" "$work/c.yaml"
train good 1 1 2>"$work/err" || fail "$(cat "$work/err")"
mkfifo "$work/fifo" "$work/fifo.yaml" "$work/fifo.h5" "$work/fifo.jsonl"

# at_once CODE TEXT ARGUMENTS...: refused, long before the time is over that a hanging open would take.
at_once() {
    local code=$1 text=$2
    shift 2
    rm -rf "$work/run"
    expect "$code" timeout 60 "$FORERUN" "$@"
    says "$text"
}

# ---- no regular files
what="not a regular file but a FIFO, device or socket"
at_once 3 "$what" train "$work/fifo.yaml"
at_once 3 "$what" train /dev/zero
at_once 3 "not a regular file but a folder" train "$work"
at_once 3 "$what" train "$work/c.yaml" --set "base.path=$work/fifo"
at_once 3 "$what" train "$work/c.yaml" --set "tasks.t.train=$work/fifo.jsonl"
at_once 3 "$what" train "$work/c.yaml" --set "tasks.t.valid=$work/fifo.jsonl"
at_once 3 "$what" plan "$work/fifo.yaml" --ranks 1
at_once 3 "$what" inspect "$work/fifo"
at_once 3 "$what" inspect "$work/fifo.h5"
at_once 3 "$what" inspect "$work/fifo.jsonl"
at_once 3 "$what" generate --model "$work/fifo" --prompt x
at_once 3 "$what" generate --model "$work/tiny" --input "$work/fifo.jsonl"
at_once 3 "$what" eval --model "$work/tiny" --data "$work/fifo.jsonl"
at_once 3 "$what" tokenize --model "$work/fifo"
cp -r "$work/tiny" "$work/odd"
rm "$work/odd/model.safetensors"
mkfifo "$work/odd/model.safetensors"
expect 3 timeout 60 "$FORERUN" inspect "$work/odd"
# the run folder's own files
cp -r "$work/good" "$work/fifos"
rm "$work/fifos/latest"
mkfifo "$work/fifos/latest" "$work/fifos/STOP"
expect 0 timeout 60 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/fifos" --set run.steps=4 --resume
rm "$work/fifos/metrics.jsonl"
mkfifo "$work/fifos/metrics.jsonl"
at_once 1 "metrics.jsonl" train "$work/c.yaml" --set "run.dir=$work/fifos" --set run.steps=5 --resume
echo "hostile files: what is no regular file is refused at once"

# ---- links
echo precious >"$work/precious"
ln -s "$work/precious" "$work/link"
expect 1 "$FORERUN" eval --model "$work/tiny" --data "$rows" --no-eos --rows-out "$work/link"
says "it is a symbolic link"
expect 1 "$FORERUN" generate --model "$work/tiny" --input "$rows" --output "$work/link" --max-new-tokens 1
says "it is a symbolic link"
# planted NAME: a run folder with a link of this name.
planted() {
    rm -rf "$work/planted"
    cp -r "$work/good" "$work/planted"
    mkdir -p "$work/planted/log"
    rm -f "$work/planted/$1"
    ln -s "$work/precious" "$work/planted/$1"
}
planted lock
at_once 1 "not a regular file (a symbolic link)" train "$work/c.yaml" --set "run.dir=$work/planted" --set run.steps=4 --resume
for name in metrics.jsonl latest prefix.h5 config.yaml checkpoint-4.h5 log/rank-0000.slot log/rank-0001.slot log/timeout.txt; do
    planted "$name"
    # a slot that cannot be written may end the run, but must not be written through
    mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/planted" --set run.steps=4 --resume \
        >"$work/out" 2>"$work/err" </dev/null || true
    [ "$(cat "$work/precious")" = precious ] || fail "written through the link $name"
done
[ "$(cat "$work/precious")" = precious ] || fail "written through a link"
echo "hostile files: no link is followed when writing"

# ---- texts
esc=$(printf '\033')
printf 'tasks: [{"%s[2J\n' "$esc" >"$work/esc.yaml"
expect 2 "$FORERUN" train "$work/esc.yaml"
! grep -q "$esc" "$work/err" || fail "an escape sequence was printed"
bad_name=$(printf 'no\033]0;owned\007such\nfile\302\233')
expect 3 "$FORERUN" inspect "$bad_name"
says 'no\x1b]0;owned\x07such\nfile\u009b'
# a template with escape sequences is in the prefix file that was trained with it
sed 's|^    eos: false|&\n    template: "\\e[31mred {target}\\nstep  999"|' "$work/c.yaml" >"$work/red.yaml"
expect 0 "$FORERUN" train "$work/red.yaml" --set "run.dir=$work/red"
expect 0 "$FORERUN" inspect "$work/red/prefix.h5"
grep -qF 'template     "\x1b[31mred {target}\nstep  999"' "$work/out" || fail "$(cat -v "$work/out")"
! grep -q "$esc" "$work/out" || fail "inspect printed an escape sequence"
echo "hostile files: texts are escaped"
