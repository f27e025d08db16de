"""A model with random bf16 weights in the shape of a known one, and pre-tokenised rows for it: for speed, never for values.

usage: make_model.py FOLDER ROWS.jsonl SHAPE N_ROWS TOKENS: SHAPE is 135m (SmolLM2-135M), 8b-stage (four layers of Llama 3 8B),
tiny, or 8b-zeros and 70b-zeros (three layers of Llama 3, few tokens, all weights zeros in a file with a hole); each row has TOKENS
ids, of which the last half are the target.
"""
import array
import json
import os
import random
import struct
import sys

# name: (width, feed-forward width, layers, heads, key/value heads, head size, vocabulary)
SHAPES = {"135m": (576, 1536, 30, 9, 3, 64, 49152), "8b-stage": (4096, 14336, 4, 32, 8, 128, 32000),
          "tiny": (64, 96, 2, 4, 2, 16, 256), "8b-zeros": (4096, 14336, 3, 32, 8, 128, 256),
          "70b-zeros": (8192, 28672, 3, 64, 8, 128, 256)}
BLOCK = 1 << 20  # numbers that are drawn; matrices are pieces of them


def tensors(width, inner, layers, heads, kv_heads, head, vocabulary):
    """Names with shapes."""
    yield "model.embed_tokens.weight", [vocabulary, width]
    yield "model.norm.weight", [width]
    for i in range(layers):
        layer = f"model.layers.{i}."
        yield layer + "input_layernorm.weight", [width]
        yield layer + "post_attention_layernorm.weight", [width]
        yield layer + "self_attn.q_proj.weight", [heads * head, width]
        yield layer + "self_attn.k_proj.weight", [kv_heads * head, width]
        yield layer + "self_attn.v_proj.weight", [kv_heads * head, width]
        yield layer + "self_attn.o_proj.weight", [width, heads * head]
        yield layer + "mlp.gate_proj.weight", [inner, width]
        yield layer + "mlp.up_proj.weight", [inner, width]
        yield layer + "mlp.down_proj.weight", [width, inner]


def drawn(chance):
    """A block of bf16 numbers, their spread about 0.03: bits of f32, the upper halves."""
    floats = array.array("f", (chance.gauss(0.0, 0.03) for _ in range(BLOCK // 16)))
    halves = array.array("H", floats.tobytes())[1::2]
    parts = [halves] * 16
    chance.shuffle(parts)
    return b"".join(part.tobytes() for part in parts)


def write_numbers(file, block, chance, n):
    """n numbers: pieces of the block from drawn places on."""
    while n > 0:
        start = chance.randrange(BLOCK // 2)
        piece = min(n, BLOCK - start)
        file.write(block[2 * start:2 * (start + piece)])
        n -= piece


def write_matrices(file, shape):
    """Random ones, and ones for norms."""
    chance = random.Random(1)
    block = drawn(chance)
    for _, sizes in tensors(*shape):
        if len(sizes) == 2:
            write_numbers(file, block, chance, sizes[0] * sizes[1])
        else:
            file.write(b"\x80\x3f" * sizes[0])  # 1.0


def write_model(folder, name):
    """config.json and model.safetensors."""
    shape = SHAPES[name]
    width, inner, layers, heads, kv_heads, head, vocabulary = shape
    header, at = {}, 0
    for tensor, sizes in tensors(*shape):
        n = sizes[0] * (sizes[1] if len(sizes) == 2 else 1)
        header[tensor] = {"dtype": "BF16", "shape": sizes, "data_offsets": [at, at + 2 * n]}
        at += 2 * n
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(folder)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        if name.endswith("-zeros"):
            file.truncate(file.tell() + at)
        else:
            write_matrices(file, shape)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": width,
              "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
              "num_key_value_heads": kv_heads, "head_dim": head, "vocab_size": vocabulary,
              "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
              "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False}
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)


def main():
    """The model, then the rows."""
    folder, rows, shape, n_rows, tokens = sys.argv[1:]
    write_model(folder, shape)
    chance = random.Random(2)
    vocabulary = SHAPES[shape][-1]
    half = int(tokens) // 2
    with open(rows, "w", encoding="utf-8") as file:
        for _ in range(int(n_rows)):
            ids = [chance.randrange(vocabulary) for _ in range(2 * half)]
            file.write(json.dumps({"source_ids": ids[:half], "target_ids": ids[half:]}) + "\n")


main()
