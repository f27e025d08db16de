"""A tiny random Llama (four layers, grouped-query attention) as a Hugging Face folder, and pre-tokenised rows.

usage: make_tiny.py FOLDER ROWS.jsonl VOCABULARY [LAYERS [EMBEDDINGS [HEAD]]]: ids of rows below VOCABULARY, of the model below
EMBEDDINGS (128); heads of HEAD numbers (8)
"""
import json
import os
import random
import struct
import sys

WIDTH, FF, HEADS, KV_HEADS = 32, 48, 4, 2
LAYERS = int(sys.argv[4]) if len(sys.argv) > 4 else 4
HEAD = int(sys.argv[6]) if len(sys.argv) > 6 else 8


def tensors(vocabulary):
    yield "model.embed_tokens.weight", [vocabulary, WIDTH]
    yield "model.norm.weight", [WIDTH]
    yield "lm_head.weight", [vocabulary, WIDTH]
    for i in range(LAYERS):
        layer = "model.layers.%d." % i
        yield layer + "input_layernorm.weight", [WIDTH]
        yield layer + "post_attention_layernorm.weight", [WIDTH]
        yield layer + "self_attn.q_proj.weight", [HEADS * HEAD, WIDTH]
        yield layer + "self_attn.k_proj.weight", [KV_HEADS * HEAD, WIDTH]
        yield layer + "self_attn.v_proj.weight", [KV_HEADS * HEAD, WIDTH]
        yield layer + "self_attn.o_proj.weight", [WIDTH, HEADS * HEAD]
        yield layer + "mlp.gate_proj.weight", [FF, WIDTH]
        yield layer + "mlp.up_proj.weight", [FF, WIDTH]
        yield layer + "mlp.down_proj.weight", [WIDTH, FF]


def write_model(folder, vocabulary):
    generator = random.Random(1)
    header, data = {}, b""
    for name, shape in tensors(vocabulary):
        n = shape[0] * (shape[1] if len(shape) == 2 else 1)
        scale = 0.2 if len(shape) == 2 else 0.05
        offset = 0.0 if len(shape) == 2 else 1.0
        values = [offset + scale * generator.gauss(0.0, 1.0) for _ in range(n)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * n]}
        data += struct.pack("<%df" % n, *values)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(folder)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": WIDTH,
              "intermediate_size": FF, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
              "num_key_value_heads": KV_HEADS, "head_dim": HEAD, "vocab_size": vocabulary,
              "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
              "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False}
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)


def write_rows(path, vocabulary):
    generator = random.Random(2)

    def ids(low, high):
        return [generator.randrange(3, vocabulary) for _ in range(generator.randint(low, high))]

    with open(path, "w", encoding="utf-8") as file:
        for i in range(40):
            targets = [ids(1, 9) for _ in range(1 + i % 3)]
            file.write(json.dumps({"source_ids": ids(2, 30), "target_ids": targets}) + "\n")


write_model(sys.argv[1], int(sys.argv[5]) if len(sys.argv) > 5 else 128)
write_rows(sys.argv[2], int(sys.argv[3]))
