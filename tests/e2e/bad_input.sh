#!/usr/bin/env bash
# Every bad input ends with one clear line, the right exit code, on two ranks as on one, and never hangs.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 4 4 f32

# bad CODE TEXT [ARGUMENTS...]: on one rank and on two, the run must end so and leave no checkpoint.
bad() {
    local code=$1 text=$2
    shift 2
    for ranks in 1 2; do
        rm -rf "$work/run"
        expect "$code" timeout 60 mpirun -n $ranks "$FORERUN" train "$work/c.yaml" "$@"
        says "$text"
        [ "$(grep -c '^error: ' "$work/err")" = 1 ] || fail "more than one error line for: $text"
        ! ls "$work"/run/checkpoint-*.h5 >/dev/null 2>&1 || fail "a checkpoint was written"
    done
}

bad 2 "examples" --set tasks.t.batch.exampels=4
bad 2 "steps" --set run.steps=many
bad 2 "ranks" --set run.stages=5 --set run.replicas=1
bad 3 "nowhere.jsonl" --set "tasks.t.train=$work/nowhere.jsonl"
: >"$work/empty.jsonl"
bad 3 "is empty" --set "tasks.t.train=$work/empty.jsonl"
printf '{"source_ids": [1], "target_ids": [2]}\n{"source_ids": [1], "target_ids"\n' >"$work/broken.jsonl"
bad 3 "broken.jsonl:2:" --set "tasks.t.train=$work/broken.jsonl"
printf '{"source_ids": [1], "target_ids": []}\n' >"$work/none.jsonl"
bad 3 "none.jsonl:1:" --set "tasks.t.train=$work/none.jsonl"
printf '{"source": "a", "target": "b"}\n' >"$work/text.jsonl"
bad 3 "tokenizer" --set "tasks.t.train=$work/text.jsonl" --set 'tasks.t.template={source}{target}'
printf '{"source_ids": [1], "target_ids": [500]}\n' >"$work/high.jsonl"
bad 3 "high.jsonl:1:" --set "tasks.t.train=$work/high.jsonl"
bad 3 "nowhere" --set "base.path=$work/nowhere"
head -c 3000 "$work/tiny/model.safetensors" >"$work/cut"
mkdir "$work/damaged"
cp "$work/tiny/config.json" "$work/damaged/"
mv "$work/cut" "$work/damaged/model.safetensors"
bad 3 "model.safetensors" --set "base.path=$work/damaged"

# more stages than layers, fewer examples than replicas
rm -rf "$work/run"
expect 2 mpirun -n 5 "$FORERUN" train "$work/c.yaml" --set run.stages=5
says "4 layers"
rm -rf "$work/run"
expect 2 mpirun -n 3 "$FORERUN" train "$work/c.yaml" --set run.replicas=3 --set tasks.t.batch.examples=2
says "fewer than the 3 replicas"

# long rows are dropped and counted, or cut and counted
expect 0 "$FORERUN" train "$work/c.yaml" --set run.dir="$work/dropped" --set tasks.t.max_tokens=20
says "too long examples dropped"
expect 0 "$FORERUN" train "$work/c.yaml" --set run.dir="$work/cut-rows" --set tasks.t.max_tokens=20 --set tasks.t.long_rows=cut
says " cut"

# rows to continue: named by their line before the rows behind them take memory; values that would fill it are not parsed
printf '{"source_ids": [1]}\n{}\n' >"$work/gen.jsonl"
expect 3 "$FORERUN" generate --model "$work/tiny" --input "$work/gen.jsonl"
says 'gen.jsonl:2: a row needs "source"'
{
    printf '{"source_ids": ['
    awk 'BEGIN { for (i = 0; i < 1200000; i++) printf "[],"; print "[]]}" }'
} >"$work/lists.jsonl"
expect 3 "$FORERUN" generate --model "$work/tiny" --input "$work/lists.jsonl"
says "lists.jsonl:1: its JSON values would take more than 192 MiB"
expect 3 "$FORERUN" eval --model "$work/tiny" --data "$work/lists.jsonl"
says "lists.jsonl:1: its JSON values would take more than 192 MiB"

# usage
expect 2 "$FORERUN"
expect 2 "$FORERUN" frobnicate
expect 2 "$FORERUN" train
expect 2 "$FORERUN" train "$work/c.yaml" --resumed
says "did you mean --resume"
expect 2 "$FORERUN" eval
says "--model is missing"
for command in train plan eval generate inspect compare tokenize; do
    expect 0 "$FORERUN" $command --help
done
expect 0 "$FORERUN" --help-config
expect 0 "$FORERUN" --help-models

# checkpoints that are none, and of another base
train good 1 1 2>"$work/err" || fail "$(cat "$work/err")"
expect 6 "$FORERUN" compare "$work/good/prefix.h5" "$rows"
says "rows.jsonl"
expect 6 "$FORERUN" eval --model "$SOURCE/tests/golden/tiny_llama" --prefix "$work/good/prefix.h5" --data "$rows"
says "prefix"
cp -r "$work/tiny" "$work/other"
printf '\x3f' | dd of="$work/other/model.safetensors" bs=1 seek=9000 conv=notrunc 2>/dev/null
expect 0 "$FORERUN" eval --model "$work/other" --prefix "$work/good/prefix.h5" --data "$rows" --no-eos --json
says "other weights"
expect 6 "$FORERUN" train "$work/c.yaml" --set run.dir="$work/good" --set "base.path=$work/other" --resume
says "--force"

# the weights are the same, the norms are not
cp -r "$work/tiny" "$work/norms"
sed -i 's/"rms_norm_eps": 1e-05/"rms_norm_eps": 1e-06/' "$work/norms/config.json"
other_norms() {
    expect 6 "$@"
    says "was made for another base: its norms have the epsilon 1e-05, the model's have 1e-06; use the model it was made for"
}
other_norms "$FORERUN" eval --model "$work/norms" --prefix "$work/good/prefix.h5" --data "$rows"
printf '{"source_ids": [1, 2, 3], "prefix": "%s"}\n' "$work/good/best.h5" >"$work/named.jsonl"
cp "$work/good/prefix.h5" "$work/good/best.h5"
other_norms "$FORERUN" generate --model "$work/norms" --input "$work/named.jsonl" --output "$work/answers"
says "named.jsonl:1"
rm "$work/good/best.h5"
for force in "" --force; do
    other_norms "$FORERUN" train "$work/c.yaml" --set run.dir="$work/good" --set "base.path=$work/norms" --resume $force
done
expect 0 "$FORERUN" inspect "$work/good/prefix.h5"
grep -q "base norms   epsilon 1e-05" "$work/out" || fail "inspect does not show the epsilon"
cp "$work/good/prefix.h5" "$work/old.h5"
python3 - "$work/old.h5" <<'PY'
import hashlib, re, sys
data = open(sys.argv[1], "rb").read().replace(b'"base_norm_eps"', b'"xase_norm_eps"', 1)
seal = hashlib.sha256(data[512:]).hexdigest().encode()
open(sys.argv[1], "wb").write(re.sub(rb"sha256 [0-9a-f]{64}", b"sha256 " + seal, data, count=1))
PY
expect 0 "$FORERUN" eval --model "$work/norms" --prefix "$work/old.h5" --data "$rows" --no-eos --json # does not say
for _ in $(seq 60); do printf '{"source_ids": [1, 2, 3]}\n'; done >"$work/many.jsonl"
many=("$FORERUN" generate --threads 1 --max-new-tokens 4 --input "$work/many.jsonl" --output "$work/answers")
(ulimit -f 1 && "${many[@]}" --model "$work/tiny") >/dev/null 2>&1 </dev/null || [ -s "$work/answers.part" ] || fail "no answers are left"
expect 2 "${many[@]}" --model "$work/norms" --resume
says "the epsilon of the model's norms differs from what its answers were made with (9.9999997473787516e-06 then"
sed -i 's/"rms_norm_eps": 1e-06/"rms_norm_eps": 9.99999974e-06/' "$work/norms/config.json"            # as GGUF keeps it
expect 0 "$FORERUN" eval --model "$work/norms" --prefix "$work/good/prefix.h5" --data "$rows" --no-eos --json

# numbers that are not finite: skipped, counted, ended after the limit
cp -r "$work/tiny" "$work/nan"
size=$(stat -c %s "$work/nan/model.safetensors")
printf '\x00\x00\xc0\x7f' | dd of="$work/nan/model.safetensors" bs=1 seek=$((size - 400)) conv=notrunc 2>/dev/null
expect 4 mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set run.dir="$work/wild" --set run.steps=20 \
    --set "base.path=$work/nan" --set run.nonfinite_limit=3
says "3 steps in a row"

# a folder that is full: the run ends with the cause
if [ "$(id -u)" = 0 ] && mkdir "$work/small" && mount -t tmpfs -o size=96k none "$work/small" 2>/dev/null; then
    trap 'umount "$work/small" || true; rm -rf "$work"' EXIT
    expect 1 mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set run.dir="$work/small/run" --set tasks.t.prefix.length=64
    says "space"
    ! ls "$work"/small/run/*.tmp* >/dev/null 2>&1 || fail "a temporary file was left"
fi
echo "all bad inputs ended as they should"
