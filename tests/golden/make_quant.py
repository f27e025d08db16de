"""Write quant/blocks.safetensors: random blocks of each GGUF type and their values.

Needs the PyPI packages gguf and numpy; the values come from gguf's own dequantisation. For each type
T the file holds T.blocks (U8) and T.values (F32). Run: python3 make_quant.py
"""

import json
import os
import struct

import gguf
import numpy

# Where the IEEE halves (scales, offsets) lie in a block; all other bytes may be anything.
HALVES = {"F16": [0], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
          "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
BLOCKS = {"F16": 256, "BF16": 256, "Q4_K": 3, "Q5_K": 3, "Q6_K": 3}


def random_blocks(random, name, count, size):
    """Blocks with finite halves: normal, negative and, in the last block, subnormal."""
    blocks = random.integers(0, 256, (count, size), dtype=numpy.uint8)
    for at in HALVES[name]:
        halves = random.normal(0, 0.02, count).astype(numpy.float16)
        halves[-1] = numpy.float16(3e-6)
        blocks[:, at:at + 2] = halves.view(numpy.uint8).reshape(count, 2)
    if name == "BF16":
        top = (random.normal(0, 1, count).astype(numpy.float32).view(numpy.uint32) >> 16)
        blocks[:] = top.astype(numpy.uint16).view(numpy.uint8).reshape(count, 2)
    return blocks.reshape(-1)


def write_safetensors(path, tensors):
    """tensors: name -> (dtype, array)."""
    header, data = {}, b""
    for name, (dtype, array) in tensors.items():
        raw = array.tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main():
    random = numpy.random.default_rng(1)
    tensors = {}
    for name in HALVES:
        kind = gguf.GGMLQuantizationType[name]
        size = gguf.GGML_QUANT_SIZES[kind][1]
        blocks = random_blocks(random, name, BLOCKS.get(name, 5), size)
        values = gguf.dequantize(blocks, kind).astype(numpy.float32)
        tensors[name + ".blocks"] = ("U8", blocks)
        tensors[name + ".values"] = ("F32", values)
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "quant")
    os.makedirs(folder, exist_ok=True)
    # Wider elements first, so that every tensor is aligned in the file.
    ordered = dict(sorted(tensors.items(), key=lambda item: item[1][0]))
    write_safetensors(os.path.join(folder, "blocks.safetensors"), ordered)


if __name__ == "__main__":
    main()
