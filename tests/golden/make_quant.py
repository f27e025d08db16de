"""Write quant/blocks.safetensors: random blocks of each GGUF type and their values.

Needs the PyPI packages gguf (0.19) and numpy; the values come from gguf's own dequantisation, those of Q1_0 and Q2_0,
which it does not convert, from their formulas below. For each type T the file holds T.blocks (U8) and T.values (F32), and
T.hostile.blocks and T.hostile.values, whose scales are infinite, NaN or the largest. Run: python3 make_quant.py
"""

import json
import os
import struct

import gguf
import numpy

# Where the IEEE halves (scales, offsets) lie in a block; all other bytes may be anything.
HALVES = {"F16": [0], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
          "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
          "Q2_K": [80, 82], "Q3_K": [108], "IQ4_NL": [0], "IQ4_XS": [0], "TQ1_0": [52], "TQ2_0": [64], "MXFP4": [],
          "Q1_0": [0], "Q2_0": [0]}
BLOCKS = {"F16": 256, "BF16": 256, "MXFP4": 32, "Q1_0": 3}
HOSTILE = numpy.array([numpy.inf, -numpy.inf, numpy.nan, 65504], numpy.float16)
# MXFP4 has one byte for an exponent: the lowest ones, the highest and the one that its format calls a NaN.
EXPONENTS = [0, 1, 254, 255]
Q1_0, Q2_0 = (128, 18), (64, 18)


def random_blocks(random, name, count, size):
    """Blocks with finite halves: normal, negative and, in the last block, subnormal."""
    blocks = random.integers(0, 256, (count, size), dtype=numpy.uint8)
    for at in HALVES[name]:
        halves = random.normal(0, 0.02, count).astype(numpy.float16)
        halves[-1] = numpy.float16(3e-6)
        blocks[:, at:at + 2] = as_bytes(halves)
    if name == "BF16":
        top = (random.normal(0, 1, count).astype(numpy.float32).view(numpy.uint32) >> 16)
        blocks[:] = as_bytes(top.astype(numpy.uint16))
    return blocks.reshape(-1)


def hostile_blocks(random, name, size):
    """One block for each hostile scale; a second half of a block has the next one."""
    count = len(HOSTILE)
    blocks = random.integers(0, 256, (count, size), dtype=numpy.uint8)
    for i, at in enumerate(HALVES[name]):
        blocks[:, at:at + 2] = as_bytes(numpy.roll(HOSTILE, -i))
    if name == "MXFP4":
        blocks[:, 0] = EXPONENTS
    if name == "BF16":
        blocks[:] = as_bytes((HOSTILE.astype(numpy.float32).view(numpy.uint32) >> 16).astype(numpy.uint16))
    return blocks.reshape(-1)


def as_bytes(numbers):
    return numbers.view(numpy.uint8).reshape(len(numbers), 2)


def sizes(name):
    """Elements and bytes of a block."""
    return {"Q1_0": Q1_0, "Q2_0": Q2_0}.get(name) or gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]


def widen(name, blocks):
    if name not in ("Q1_0", "Q2_0"):
        return gguf.dequantize(blocks, gguf.GGMLQuantizationType[name]).astype(numpy.float32)
    length, size = sizes(name)
    rows = blocks.reshape(-1, size)
    scales = rows[:, :2].copy().view(numpy.float16).astype(numpy.float32)
    bits = numpy.unpackbits(rows[:, 2:], axis=1, bitorder="little").reshape(len(rows), length, -1).astype(numpy.int32)
    whole = 2 * bits[..., 0] - 1 if name == "Q1_0" else bits[..., 0] + 2 * bits[..., 1] - 1
    return (scales * whole.astype(numpy.float32)).reshape(-1)


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
    # Two generators, and types in the order in which they came: a new one changes no other's blocks.
    random, hostile = numpy.random.default_rng(1), numpy.random.default_rng(2)
    tensors = {}
    for name in HALVES:
        length, size = sizes(name)
        blocks = random_blocks(random, name, BLOCKS.get(name, 3 if length == 256 else 5), size)
        tensors[name + ".blocks"] = ("U8", blocks)
        tensors[name + ".values"] = ("F32", widen(name, blocks))
        blocks = hostile_blocks(hostile, name, size)
        tensors[name + ".hostile.blocks"] = ("U8", blocks)
        with numpy.errstate(all="ignore"):
            tensors[name + ".hostile.values"] = ("F32", widen(name, blocks))
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "quant")
    os.makedirs(folder, exist_ok=True)
    # Wider elements first, so that every tensor is aligned in the file.
    ordered = dict(sorted(tensors.items(), key=lambda item: item[1][0]))
    write_safetensors(os.path.join(folder, "blocks.safetensors"), ordered)


if __name__ == "__main__":
    main()
