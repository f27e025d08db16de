#!/usr/bin/env bash
# Numbers that are not finite end with exit code 4 and a message, wherever they come from: logits of a generation, the
# text that a prefix starts from, every step of a run, its last validation.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 2 4 f32
# a model in which one tensor's first number is NaN; with infinity the logits overflow
spoil() { # FOLDER TENSOR BYTES INDEX
    cp -r "$work/tiny" "$work/$1"
    python3 - "$work/$1/model.safetensors" "$2" "$3" "${4:-0}" <<'PY'
import json, struct, sys
path, name, number, index = sys.argv[1:]
with open(path, "r+b") as file:
    length, = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
    file.seek(8 + length + header[name]["data_offsets"][0] + 4 * int(index))
    file.write(struct.pack("<f", float(number)))
PY
}
spoil nan model.norm.weight nan
spoil inf lm_head.weight inf 40
spoil row model.embed_tokens.weight nan $((7 * 32)) # the embedding of token 7 alone

printf '{"source_ids": [1]}\n{"source_ids": [2]}\n{"source_ids": [7]}\n{"source_ids": [3]}\n' >"$work/in.jsonl"
for run in "nan --precision f32" "inf --precision bf16" "nan --temperature 1 --top-k 3" "inf --weights quantised"; do
    read -r spoilt options <<<"$run"
    # shellcheck disable=SC2086
    expect 4 "$FORERUN" generate --model "$work/$spoilt" --input "$work/in.jsonl" --threads 1 --max-new-tokens 3 $options
    says "in.jsonl:1: the logits after 1 tokens of prompt and 0 generated ones are not finite"
done
# rows that were done before stay beside an output that is not there; the others are not there
expect 4 timeout 60 mpirun -n 2 "$FORERUN" generate --model "$work/row" --input "$work/in.jsonl" --output "$work/out.jsonl" \
    --batch 1 --threads 1 --max-new-tokens 1
says "in.jsonl:3: the logits"
[ ! -e "$work/out.jsonl" ] && [ "$(wc -l <"$work/out.jsonl.part")" = 2 ] || fail "rows written: $(cat "$work"/out.jsonl*)"
expect 4 "$FORERUN" generate --model "$work/row" --input "$work/in.jsonl" --output "$work/out.jsonl" --batch 4 --threads 1 \
    --max-new-tokens 1 --resume
says "out.jsonl.part holds the answers to 2 of 4 rows: continuing after them"
says "in.jsonl:3: the logits"

# training: fewer steps than run.nonfinite_limit, so nothing else ends it
for ranks in 1 2; do
    rm -rf "$work/run"
    expect 4 timeout 60 mpirun -n "$ranks" "$FORERUN" train "$work/c.yaml" --set "base.path=$work/nan" --set run.steps=2
    says "not to finite numbers: every step of t"
done
expect 4 "$FORERUN" train "$work/c.yaml" --set "base.path=$work/nan" --set run.steps=2 --resume
says "not to finite numbers: every step of t"
# the last validation alone: rows of training have no token 7 in their sources
rm -rf "$work/run"
printf '{"source_ids": [1, 2], "target_ids": [3, 4]}\n' >"$work/good.jsonl"
printf '{"source_ids": [1, 7], "target_ids": [3, 4]}\n' >"$work/seven.jsonl"
expect 4 "$FORERUN" train "$work/c.yaml" --set "base.path=$work/row" --set "tasks.t.train=$work/good.jsonl" \
    --set "tasks.t.valid=$work/seven.jsonl"
says "not to finite numbers: the last validation of t"
[ -f "$work/run/prefix.h5" ] || fail "no prefix was written"
expect 4 "$FORERUN" eval --model "$work/row" --data "$work/seven.jsonl" --rows-out "$work/nats" --no-eos
says "the loss is not finite"
[ ! -e "$work/nats" ] || fail "nats that are no numbers were written"
# the text that a prefix starts from
python3 "$SOURCE/tests/support/make_tokenizer.py" "$work/row"
printf '{"source": "a", "target": "b"}\n' >"$work/text.jsonl"
for ranks in 1 2; do
    rm -rf "$work/run"
    expect 4 timeout 60 mpirun -n "$ranks" "$FORERUN" train "$work/c.yaml" --set "base.path=$work/row" --set tasks.t.prefix.length=auto \
        --set 'tasks.t.prefix.init.text=a'$'\a''b' --set "tasks.t.train=$work/text.jsonl" --set 'tasks.t.template={source}{target}'
    says "tasks.t.prefix.init gives numbers that are not finite"
done
echo "nothing that is not finite passed for a result"
