"""A folder of make_tiny.py or make_chain.py, with its tokenizer.json where it has one, as a GGUF file (F32).

usage: make_gguf.py FOLDER FILE.gguf [METADATA_JSON [Q8_0]]: keys to set, or to leave out where the value is null. Integers
become uint32 (int32 if negative). With Q8_0, matrices whose rows are whole blocks of 32 are so quantised. Added tokens are control tokens, user-defined ones where "special" is false.
"""
import json
import os
import struct
import sys

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
         "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def item(value):
    if isinstance(value, bool):
        return BOOL, struct.pack("<?", value)
    if isinstance(value, int):
        return (U32, struct.pack("<I", value)) if value >= 0 else (I32, struct.pack("<i", value))
    if isinstance(value, float):
        return F32, struct.pack("<f", value)
    return STRING, string(value)


def pack(value):
    if not isinstance(value, list):
        kind, raw = item(value)
        return struct.pack("<I", kind) + raw
    items = [item(one) for one in value]
    kind = items[0][0] if items else STRING
    return struct.pack("<IIQ", ARRAY, kind, len(items)) + b"".join(raw for _, raw in items)


def tokenizer_values(folder):
    path = os.path.join(folder, "tokenizer.json")
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        root = json.load(file)
    tokens = {number: (text, 1) for text, number in root["model"]["vocab"].items()}
    for added in root["added_tokens"]:
        tokens[added["id"]] = (added["content"], 3 if added.get("special", True) else 4)
    order = [tokens[i] for i in range(len(tokens))]
    merges = [one if isinstance(one, str) else " ".join(one) for one in root["model"]["merges"]]
    return {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2",
            "tokenizer.ggml.tokens": [text for text, _ in order],
            "tokenizer.ggml.token_type": [kind for _, kind in order], "tokenizer.ggml.merges": merges}


def gguf_name(name):
    name = name[:-len(".weight")]
    if name.startswith("model.layers."):
        layer, rest = name[len("model.layers."):].split(".", 1)
        return "blk.%s.%s.weight" % (layer, NAMES[rest])
    return {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}[name] + ".weight"


def pair_rows(raw, heads, rows, columns):
    """Halves of a head's rows to adjacent pairs, as converters lay out Q and K."""
    width, half = 4 * columns, rows // heads // 2
    lines = [raw[i * width:(i + 1) * width] for i in range(rows)]
    return b"".join(lines[(head * 2 + side) * half + i] for head in range(heads) for i in range(half)
                    for side in range(2))


def q8_0(raw):
    """Blocks of 32: the scale as a half, then whole numbers from -127 to 127."""
    values = struct.unpack("<%df" % (len(raw) // 4), raw)
    blocks = b""
    for i in range(0, len(values), 32):
        block = values[i:i + 32]
        scale, = struct.unpack("<e", struct.pack("<e", max(map(abs, block)) / 127))
        blocks += struct.pack("<e32b", scale, *(max(-127, min(127, round(v / scale))) if scale else 0 for v in block))
    return blocks


folder, out = sys.argv[1:3]
with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
    config = json.load(file)
with open(os.path.join(folder, "model.safetensors"), "rb") as file:
    size, = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(size))
    data = file.read()
values = {"general.architecture": "llama", "llama.block_count": config["num_hidden_layers"],
          "llama.embedding_length": config["hidden_size"], "llama.feed_forward_length": config["intermediate_size"],
          "llama.context_length": config["max_position_embeddings"],
          "llama.attention.head_count": config["num_attention_heads"],
          "llama.attention.head_count_kv": config["num_key_value_heads"],
          "llama.attention.key_length": config["head_dim"], "llama.attention.value_length": config["head_dim"],
          "llama.rope.dimension_count": config["head_dim"], "llama.rope.freq_base": 10000.0,
          "llama.attention.layer_norm_rms_epsilon": config["rms_norm_eps"]}
values.update(tokenizer_values(folder))
values.update(json.loads(sys.argv[3]) if len(sys.argv) > 3 else {})
values = {key: value for key, value in values.items() if value is not None}
heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
table, blocks = b"", b""
for name, tensor in header.items():
    first, last = tensor["data_offsets"]
    raw, shape = data[first:last], tensor["shape"]
    part = name.split(".")[-2]
    if part in heads:
        raw = pair_rows(raw, heads[part], *shape)
    table += string(gguf_name(name)) + struct.pack("<I", len(shape))
    kind = 0
    if len(sys.argv) > 4 and len(shape) == 2 and shape[1] % 32 == 0:
        kind, raw = 8, q8_0(raw)
    table += b"".join(struct.pack("<Q", n) for n in reversed(shape)) + struct.pack("<IQ", kind, len(blocks))
    blocks += raw + b"\0" * (-len(raw) % 32)
start = b"GGUF" + struct.pack("<IQQ", 3, len(header), len(values))
start += b"".join(string(key) + pack(value) for key, value in values.items()) + table
with open(out, "wb") as file:
    file.write(start + b"\0" * (-len(start) % 32) + blocks)
