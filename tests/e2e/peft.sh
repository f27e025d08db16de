#!/usr/bin/env bash
# Adapters of PEFT's: imported, they have PEFT's losses, start trainings and go out again with the same bits; exported ones are whole or
# not there; what cannot be taken or given is refused by name.
. "$(dirname "$0")/common.sh"

golden=$SOURCE/tests/golden
cd "$work"

# ---- PEFT's own adapters

# rows VALUES: the real tokens of golden values as rows of ids, and their loss on standard output.
rows_of() {
    python3 - "$1" <<'PYTHON'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + size])
def tensor(name, code):
    begin, end = header[name]["data_offsets"]
    return struct.unpack(f"<{(end - begin) // struct.calcsize(code)}{code}", data[8 + size + begin:8 + size + end])
rows, width = header["input_ids"]["shape"]
ids = tensor("input_ids", "q")
mask = tensor("attention_mask", "q") if "attention_mask" in header else [1] * len(ids)
with open("rows.jsonl", "w") as file:
    for row in range(rows):
        kept = [ids[i] for i in range(row * width, (row + 1) * width) if mask[i]]
        file.write(json.dumps({"source_ids": kept[:1], "target_ids": kept[1:]}) + "\n")
print(tensor("loss", "f")[0])
PYTHON
}

# near LOSS: the last command's JSON has it within 1e-4.
near() {
    python3 -c 'import json, sys; got = json.loads(sys.stdin.readlines()[-1])["loss"]; wanted = float(sys.argv[1]); \
print(f"loss {got:.6f}, PEFT {wanted:.6f}"); sys.exit(abs(got - wanted) > 1e-4)' "$1" <out || fail "another loss than PEFT's"
}

for name in tiny_llama_right tiny_llama_proj tiny_gpt2_right; do
    base=$golden/${name%_*}
    adapter=$golden/adapter_${name}_f32
    expect 0 "$FORERUN" import --from peft "$adapter" --model "$base" --output $name.h5 --task p
    says "$name.h5: task p, 5 slots x 2 layers x"
    loss=$(rows_of "$golden/${name}_f32.safetensors")
    expect 0 "$FORERUN" eval --model "$base" --prefix $name.h5:p --data rows.jsonl --no-eos --precision f32 --json
    near "$loss"
    ! grep -q warning: err || fail "$(cat err)"
    expect 0 "$FORERUN" export --to peft out-$name --prefix $name.h5 --base some/name
    cmp "$adapter/adapter_model.safetensors" out-$name/adapter_model.safetensors || fail "$name: other bits"
    expect 0 "$FORERUN" import --from peft out-$name --model "$base" --output again.h5
    expect 0 "$FORERUN" compare $name.h5:p again.h5:imported
done
python3 - out-tiny_llama_right/adapter_config.json "$golden/adapter_tiny_llama_right_f32/adapter_config.json" <<'PYTHON' || fail "another config"
import json, sys
ours, theirs = (json.load(open(name)) for name in sys.argv[1:])
assert ours["base_model_name_or_path"] == "some/name", ours
theirs["base_model_name_or_path"] = "some/name"
left_out = {key: value for key, value in theirs.items() if key not in ours}
assert all(theirs[key] == value for key, value in ours.items()), (ours, theirs)
assert set(left_out.values()) <= {None}, left_out
PYTHON
echo "imported and exported"

# ---- what an imported file is good for

model=$golden/tiny_llama
expect 0 "$FORERUN" inspect tiny_llama_proj.h5
grep -qx "  init         import: PREFIX_TUNING of PEFT 0.21.2, with projection, for tiny_llama" out || fail "$(cat out)"
cat >c.yaml <<YAML
base: {path: "$model"}
run: {dir: run, steps: 2, precision: f32, measure_base: false}
tasks:
  - {name: t, train: rows.jsonl, eos: false, prefix: {init: {file: "tiny_llama_right.h5:p"}}, batch: {examples: 2}}
YAML
loss=$(rows_of "$golden/tiny_llama_right_f32.safetensors")
expect 0 "$FORERUN" train c.yaml
grep '"step": *1[,}]' run/metrics.jsonl >out || fail "$(cat run/metrics.jsonl)"
near "$loss"
echo '{"source_ids": [3, 4, 5]}' >prompt.jsonl
expect 0 "$FORERUN" generate --model "$model" --prefix tiny_llama_right.h5 --input prompt.jsonl --max-new-tokens 3
grep -q generated_ids out || fail "$(cat out)"
expect 0 "$FORERUN" export --to peft trained/deep/adapter --prefix run/prefix.h5 --model "$model"
expect 0 "$FORERUN" export --to peft from-checkpoint --prefix run/checkpoint-2.h5:t
cmp trained/deep/adapter/adapter_model.safetensors from-checkpoint/adapter_model.safetensors
expect 0 "$FORERUN" import --from peft from-checkpoint --model "$model" --output t.h5 --template '{source}\nA:{target}'
expect 0 "$FORERUN" inspect t.h5
grep -qxF '  template     "{source}\nA:{target}"' out || fail "$(cat out)"
echo "used"

# ---- windows: a prefix of PEFT's slides

mistral=$golden/families/mistral
sed "s|$model|$mistral|; s|init: {file: [^}]*}|init: {random: 0.5}, length: 3|; s|dir: run|dir: always|" c.yaml >w.yaml
printf '{"source_ids": [5], "target_ids": [6, 7, 8]}\n' >rows.jsonl
expect 0 "$FORERUN" train w.yaml
expect 3 "$FORERUN" export --to peft w --prefix always/prefix.h5
says "the base has layers with a window, in which peft hides slots from tokens far behind; train with \`window: slides\`, or give --anyway"
expect 3 "$FORERUN" export --to peft w --prefix always/prefix.h5 --model "$mistral"
[ ! -e w ] || fail "a refused export left a folder"
expect 0 "$FORERUN" export --to peft w --prefix always/prefix.h5 --anyway
says "warning: always/prefix.h5: in layers with a window peft hides slots"
expect 0 "$FORERUN" import --from peft w --model "$mistral" --output w.h5
expect 0 "$FORERUN" inspect w.h5
grep -qx "  window       slides: a layer's window may hide slots" out || fail "$(cat out)"
expect 0 "$FORERUN" export --to peft w2 --prefix w.h5 --model "$mistral"
cmp w/adapter_model.safetensors w2/adapter_model.safetensors
sed 's|dir: always|dir: some|; s|length: 3|length: 3, layers: {first: 1}|' w.yaml >some.yaml
expect 0 "$FORERUN" train some.yaml
expect 3 "$FORERUN" export --to peft w3 --prefix some/prefix.h5 --anyway
says "task t has a prefix on layers 1 to "
[ ! -e w3 ] || fail "a refused export left a folder"
echo "windows"

# ---- what is refused

import() { "$FORERUN" import --from peft "$@" --output x.h5; }
right=$golden/adapter_tiny_llama_right_f32
expect 3 import "$right" --model "$golden/tiny_gpt2"
says "is for a base of 2 layers x 2 key/value heads x 16, $golden/tiny_gpt2 has 2 x 4 x 16; give the model"
expect 3 import "$right/adapter_config.json" --model "$model"
says "is a file, must be a folder"
expect 3 import none --model "$model"
says "none does not exist"
expect 3 import "$right" --model "$right"
says "so it is an adapter (PEFT), not a model"
says "a prefix of PEFT's becomes a prefix file by \`forerun import\`"
expect 6 "$FORERUN" eval --model "$model" --prefix "$right" --data rows.jsonl
says "not a regular file but a folder; give a file (of a run folder give best.h5 or prefix.h5; \`forerun import\` makes a prefix file of an adapter of PEFT's)"
expect 2 "$FORERUN" import "$right" --model "$model" --output x.h5
says "--from"
expect 2 "$FORERUN" import --from lora "$right" --model "$model" --output x.h5
says "--from is lora; it must be peft"
expect 2 import "$right"
says "--model"
expect 2 import "$right" --model "$model" --task "a b"
says "--task is a b; use 1 to 100"
expect 2 "$FORERUN" import --from peft from-checkpoint --model "$model" --output from-checkpoint/adapter_config.json
says "is a file of the folder that SOURCE reads"
expect 1 "$FORERUN" import --from peft "$right" --model "$model" --output no/x.h5
says "make the folder or name another file"
bad() { # bad CODE TEXT SED: an adapter with a changed config
    rm -rf bad
    cp -r "$right" bad
    sed -i "$3" bad/adapter_config.json
    expect "$1" timeout 20 "$FORERUN" import --from peft bad --model "$model" --output x.h5
    says "$2"
    says "bad/adapter_"
}
bad 3 "peft_type is LORA, must be PREFIX_TUNING or CARTRIDGE" 's/PREFIX_TUNING/LORA/'
bad 3 "task_type is SEQ_2_SEQ_LM, must be CAUSAL_LM" 's/CAUSAL_LM/SEQ_2_SEQ_LM/'
bad 3 "num_virtual_tokens is 0, must be from 1" 's/"num_virtual_tokens": 5/"num_virtual_tokens": 0/'
bad 3 "must be [6, 128]" 's/"num_virtual_tokens": 5/"num_virtual_tokens": 6/'
bad 3 "num_layers is missing" '/num_layers/d'
bad 3 "not valid JSON" 's/}//'
bad 3 'peft_type is ?[31m, must' 's/PREFIX_TUNING/\\u001b[31m/'
head -c 2000 "$right/adapter_model.safetensors" >bad/adapter_model.safetensors
cp "$right/adapter_config.json" bad
expect 3 import bad --model "$model"
says "truncated or damaged"
rm bad/adapter_model.safetensors
printf '\200\002' >bad/adapter_model.bin
expect 3 import bad --model "$model"
says "a pickle, which can run code and is never opened"
[ ! -e x.h5 ] || fail "a refused import left a file"

expect 2 "$FORERUN" export target --prefix run/prefix.h5
says "--to"
expect 2 "$FORERUN" export --to gguf target --prefix run/prefix.h5
says "--to is gguf; it must be"
expect 2 "$FORERUN" export --to peft target --prefix run/prefix.h5 --cache-type f32
says "--cache-type is for --to llama.cpp alone; leave it out"
expect 2 "$FORERUN" export --to peft run --prefix run/prefix.h5
says "already, and an adapter's folder holds nothing else"
expect 2 "$FORERUN" export --to peft c.yaml --prefix run/prefix.h5
says "c.yaml is there and is not a folder"
expect 6 "$FORERUN" export --to peft target --prefix none.h5
says "none.h5"
expect 6 "$FORERUN" export --to peft target --prefix run/prefix.h5:other
says "other"
expect 6 "$FORERUN" export --to peft target --prefix run/prefix.h5 --model "$golden/tiny_gpt2"
says "the base has 2 x 4 x 16"
python3 "$SOURCE/tests/support/tamper.py" run/prefix.h5 nameless.h5 /@base_shape=drop
expect 2 "$FORERUN" export --to peft target --prefix nameless.h5
says "nameless.h5 does not name its base, whose windows must be known; name the base by --model"
expect 0 "$FORERUN" export --to peft nameless --prefix nameless.h5 --model "$model"
says "warning: nameless.h5 does not name its base; only its sizes were compared"
expect 1 bash -c 'ulimit -f 1; exec "$@"' - "$FORERUN" export --to peft target --prefix run/prefix.h5
says "File too large"
[ ! -e target ] || fail "a failed export left a folder"
expect 1 "$FORERUN" export --to peft /proc/none --prefix run/prefix.h5
echo "refused"
