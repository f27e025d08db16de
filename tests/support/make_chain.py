"""A Llama of two layers that do nothing: what follows an id depends on that id alone. 288 ids, each followed by itself
unless told otherwise; the likeliest next one has nearly all of the probability, a second one nearly all of the rest.

usage: make_chain.py FOLDER [CHAIN_JSON [CONFIG_JSON]]: the chain is an object {"ID": [NEXT, SECOND]}; the fields of
the other object are added to config.json.
"""
import array
import json
import os
import struct
import sys

ROWS, FF, HEAD, LAYERS = 288, 4, 4, 2


def matrix(rows, columns, entries=()):
    values = array.array("f", bytes(4 * rows * columns))
    for row, column, value in entries:
        values[row * columns + column] = value
    return [rows, columns], values


def tensors(chain):
    yield "model.embed_tokens.weight", matrix(ROWS, ROWS, [(i, i, 1.0) for i in range(ROWS)])
    yield "model.norm.weight", ([ROWS], array.array("f", [1.0] * ROWS))
    heads = []
    for i in range(ROWS):
        following = chain.get(str(i), [i])
        heads += [(following[k], i, 1.0 - 0.4 * k) for k in range(len(following))]
    yield "lm_head.weight", matrix(ROWS, ROWS, heads)
    for i in range(LAYERS):
        layer = "model.layers.%d." % i
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield layer + name + ".weight", ([ROWS], array.array("f", [1.0] * ROWS))
        for name in "qkv":
            yield layer + "self_attn.%s_proj.weight" % name, matrix(HEAD, ROWS)
        yield layer + "self_attn.o_proj.weight", matrix(ROWS, HEAD)
        yield layer + "mlp.gate_proj.weight", matrix(FF, ROWS)
        yield layer + "mlp.up_proj.weight", matrix(FF, ROWS)
        yield layer + "mlp.down_proj.weight", matrix(ROWS, FF)


folder = sys.argv[1]
header, data = {}, b""
for name, (shape, values) in tensors(json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}):
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(values)]}
    data += values.tobytes()
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": ROWS,
          "intermediate_size": FF, "num_hidden_layers": LAYERS, "num_attention_heads": 1, "num_key_value_heads": 1,
          "head_dim": HEAD, "vocab_size": ROWS, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
          "tie_word_embeddings": False}
config.update(json.loads(sys.argv[3]) if len(sys.argv) > 3 else {})
os.makedirs(folder, exist_ok=True)
with open(os.path.join(folder, "model.safetensors"), "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
    json.dump(config, file)
