#!/usr/bin/env bash
# Files and folders that are no model, or hold something else than their name says: each is named for what it is, with the
# way out, by whatever command it is given to.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 2 2 f32
python3 - "$work/tiny" "$work" <<'PY'
"""Folders beside the tiny model: heads and names changed, a pointer in the weights' place."""
import json, os, struct, sys

source, work = sys.argv[1:]
with open(source + "/model.safetensors", "rb") as file:
    size = struct.unpack("<Q", file.read(8))[0]
    header, data = json.loads(file.read(size)), file.read()
tensors = {name: (at["dtype"], at["shape"], data[slice(*at["data_offsets"])]) for name, at in header.items()}
config = json.load(open(source + "/config.json"))


def write(name, tensors, **changes):
    folder, header, data = work + "/" + name, {}, b""
    for tensor, (dtype, shape, bytes) in tensors.items():
        header[tensor] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(bytes)]}
        data += bytes
    text = json.dumps(header).encode()
    os.makedirs(folder)
    with open(folder + "/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
    with open(folder + "/config.json", "w") as file:
        json.dump({**config, **changes}, file)


shared = {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"]}
headless = {name: tensor for name, tensor in tensors.items() if name != "lm_head.weight"}
write("own_head", tensors, tie_word_embeddings=True)
write("same_head", shared, tie_word_embeddings=True)
write("no_head", headless, tie_word_embeddings=True)
write("bare_names", {name.removeprefix("model."): tensor for name, tensor in tensors.items()})
write("scaled", tensors, rope_scaling={"rope_type": "dynamic", "factor": 4})
write("one_way", tensors, is_causal=False)
write("fp8", tensors, quantization_config={"quant_method": "fbgemm_fp8"})
PY

# loss FOLDER: of all rows.
loss() {
    expect 0 "$FORERUN" eval --model "$work/$1" --data "$rows" --no-eos --precision f32 --threads 1 --json
    sed -n 's/.*"loss": *\([0-9.]*\).*/\1/p' "$work/out" | head -n 1
}

# ---- the head, and names
own=$(loss tiny)
[ -n "$own" ] || fail "no loss in $(cat "$work/out")"
[ "$(loss own_head)" = "$own" ] || fail "a head of its own was left out"
[ "$(loss bare_names)" = "$own" ] || fail "other names, another model"
tied=$(loss no_head)
[ "$(loss same_head)" = "$tied" ] || fail "an equal head is another model"
[ "$tied" != "$own" ] || fail "the tied model has the loss of the other one"
expect 0 "$FORERUN" inspect "$work/own_head"
grep -q "separate head" "$work/out" || fail "$(cat "$work/out")"
expect 0 "$FORERUN" inspect "$work/same_head"
grep -q "tied head" "$work/out" || fail "$(cat "$work/out")"
# training, on several layouts, over a head that the flag denies
model=$work/own_head
make_config 2 2 f32
train one 1 1 2>"$work/err" || fail "$(cat "$work/err")"
train two 2 1 2>"$work/err" || fail "$(cat "$work/err")"
same "$work/one/prefix.h5" "$work/two/prefix.h5"
expect 0 "$FORERUN" train "$work/c.yaml" --set "base.path=$work/tiny" --set "run.dir=$work/plain"
same "$work/one/prefix.h5" "$work/plain/prefix.h5"
echo "what files are: the head and the names of the weights decide"

# everywhere CODE TEXT MODEL: each command that takes a model says so.
everywhere() {
    expect "$1" "$FORERUN" inspect "$3"
    says "$2"
    expect "$1" "$FORERUN" generate --model "$3" --prompt x
    says "$2"
    expect "$1" "$FORERUN" eval --model "$3" --data "$rows"
    says "$2"
    rm -rf "$work/run"
    expect "$1" "$FORERUN" train "$work/c.yaml" --set "base.path=$3"
    says "$2"
}

# planned TEXT MODEL: plan, which needs no weights, says so.
planned() {
    expect 3 "$FORERUN" plan "$work/c.yaml" --set "base.path=$2" --ranks 1
    says "$1"
}

# ---- settings
everywhere 3 "rope_scaling type dynamic, supported: default" "$work/scaled"
planned "rope_scaling type dynamic, supported: default" "$work/scaled"
everywhere 3 "is_causal is false, supported: true" "$work/one_way"
planned "is_causal is false, supported: true" "$work/one_way"
everywhere 3 "the weights are quantised by fbgemm_fp8" "$work/fp8"
planned "the weights are quantised by fbgemm_fp8" "$work/fp8"

# ---- paths and folders
everywhere 3 "fetch it with 'hf download Owner/Model' and give Owner/Model" Owner/Model
planned "hf download Owner/Model" Owner/Model
expect 3 "$FORERUN" tokenize --model Owner/Model
says "hf download Owner/Model"
everywhere 3 "give the folder, which holds config.json" "$work/tiny/model.safetensors"
mkdir "$work/adapter" "$work/gguf" "$work/torch"
echo '{}' >"$work/adapter/adapter_config.json"
everywhere 3 "it is an adapter (PEFT), not a model" "$work/adapter"
planned "it is an adapter (PEFT), not a model" "$work/adapter"
: >"$work/gguf/a.gguf"
everywhere 3 "holds a.gguf; give that file, not the folder" "$work/gguf"
cp "$work/tiny/config.json" "$work/torch/"
: >"$work/torch/pytorch_model.bin"
everywhere 3 "holds pytorch_model.bin and no safetensors" "$work/torch"
expect 0 "$FORERUN" plan "$work/c.yaml" --set "base.path=$work/torch" --ranks 1
everywhere 3 "so it is a run's folder, not a model" "$work/one"
echo "what files are: names tell"

# ---- contents
pointer='version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 350976\n'
cp -r "$work/tiny" "$work/lfs"
printf "$pointer" >"$work/lfs/model.safetensors"
everywhere 3 "a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'" "$work/lfs"
printf "$pointer" >"$work/lfs.gguf"
everywhere 3 "a Git LFS pointer" "$work/lfs.gguf"
printf "$pointer" >"$work/lfs/config.json"
everywhere 3 "a Git LFS pointer" "$work/lfs"
cp -r "$work/tiny" "$work/index"
rm "$work/index/model.safetensors"
echo '{"weight_map": {"lm_head.weight": "model-00001-of-00002.safetensors"}}' >"$work/index/model.safetensors.index.json"
everywhere 3 "names the file model-00001-of-00002.safetensors, which is not in the folder" "$work/index"
printf "$pointer" >"$work/index/model.safetensors.index.json"
everywhere 3 "a Git LFS pointer" "$work/index"
gzip -c "$work/tiny/model.safetensors" >"$work/packed.gguf"
everywhere 3 "packed by gzip; unpack it with gunzip" "$work/packed.gguf"

# ---- a prefix for a model, a model for a prefix
cp "$work/one/prefix.h5" "$work/p.h5"
expect 3 "$FORERUN" generate --model "$work/p.h5" --prompt x
says "a prefix or checkpoint that Forerun wrote; it goes to --prefix"
for given in "$work/lfs.gguf" "$work/packed.gguf"; do
    expect 6 "$FORERUN" generate --model "$work/tiny" --prefix "$given" --prompt x
    says "is not a Forerun checkpoint or prefix but"
done
printf 'GGUF\3\0\0\0' >"$work/model.gguf"
expect 6 "$FORERUN" eval --model "$work/tiny" --prefix "$work/model.gguf" --data "$rows"
says "but a GGUF model"
echo "what files are: contents tell"
