"""A copy of the tiny model (make_tiny.py) with 288 rows whose next token is the one that a table says: every layer adds nothing.

usage: make_table.py TINY FOLDER FROM:TO...    ids in hexadecimal; TO follows FROM
"""
import json
import os
import struct
import sys

VOCABULARY = WIDTH = 288
LAYERS = 4


def unit(i):
    return [1.0 if j == i else 0.0 for j in range(WIDTH)]


def zeros(rows, columns):
    return [[0.0] * columns] * rows


def tensors(follows):
    head = [[0.0] * WIDTH for _ in range(VOCABULARY)]
    for token, next_one in follows:
        head[next_one][token] = 1.0
    yield "model.embed_tokens.weight", [unit(i) for i in range(VOCABULARY)]
    yield "model.norm.weight", [[1.0] * WIDTH]
    yield "lm_head.weight", head
    for i in range(LAYERS):
        p = "model.layers.%d." % i
        yield p + "input_layernorm.weight", [[1.0] * WIDTH]
        yield p + "post_attention_layernorm.weight", [[1.0] * WIDTH]
        yield p + "self_attn.q_proj.weight", zeros(32, WIDTH)
        yield p + "self_attn.k_proj.weight", zeros(16, WIDTH)
        yield p + "self_attn.v_proj.weight", zeros(16, WIDTH)
        yield p + "self_attn.o_proj.weight", zeros(WIDTH, 32)
        yield p + "mlp.gate_proj.weight", zeros(4, WIDTH)
        yield p + "mlp.up_proj.weight", zeros(4, WIDTH)
        yield p + "mlp.down_proj.weight", zeros(WIDTH, 4)


def main():
    tiny, folder = sys.argv[1:3]
    follows = [tuple(int(part, 16) for part in pair.split(":")) for pair in sys.argv[3:]]
    config = json.load(open(os.path.join(tiny, "config.json"), encoding="utf-8"))
    config.update({"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_attention_heads": 4, "num_key_value_heads": 2,
                   "head_dim": 8, "intermediate_size": 4, "max_position_embeddings": 1 << 20})
    header, data = {}, b""
    for name, rows in tensors(follows):
        values = [v for row in rows for v in row]
        shape = [len(rows[0])] if len(rows) == 1 else [len(rows), len(rows[0])]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(values)]}
        data += struct.pack("<%df" % len(values), *values)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(folder)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)


main()
