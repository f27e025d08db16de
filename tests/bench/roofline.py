#!/usr/bin/env python3
"""Speed of training by arithmetic: from what kernels ask of a GPU (counts.txt) and rates that others measured. No GPU is timed.

usage: roofline.py [COUNTS]     default: counts.txt beside this file. Prints the tables of docs/gpu.md, "Speed by arithmetic".

A kernel takes as long as the slowest of three: its tensor-core operations, its other multiply-adds, its sectors of memory, each at
the rate that is achieved; then comes a gap. A stage's microbatch takes its layers' kernels one after another.
"""
import collections
import os
import re
import sys

WHAT = ("launches", "tiles of 4096 operations", "multiply-adds", "sectors read", "sectors written", "sectors asked for")
SECTOR = 32
TILE = 4096

# peaks: dense bf16 operations, f32 operations, bytes, a second
Gpu = collections.namedtuple("Gpu", "name tensor plain memory")
GPUS = [Gpu("H100 SXM", 989e12, 67e12, 3.35e12), Gpu("H200", 989e12, 67e12, 4.8e12)]

# What is achieved: (kernels, tensor operations a second, share of the plain ones). docs/gpu.md says whence.
Rate = collections.namedtuple("Rate", "kind names tensor plain")
RATES = [
    Rate("products", r"lt_\w+", 650e12, 0.5),
    Rate("products", r"tensor_\w+|product_\w+", 390e12, 0.5),
    Rate("attention", r"attend_\w*back\w*", 166e12, 0.5),
    Rate("attention", r"attend_\w+", 306e12, 0.5),
    Rate("the rest", r".*", 390e12, 0.5),
]
MEMORY = 0.9  # share of the bytes
GAP = 2e-6  # seconds from the end of a kernel to the start of the next

# layers, stages, weights of a layer (matrices)
Shape = collections.namedtuple("Shape", "name layers stages weights")
SHAPES = {"8b": Shape("8B", 32, 4, 4096 * (4096 + 2 * 1024 + 4096) + 3 * 4096 * 14336),
          "70b": Shape("70B", 80, 8, 8192 * (8192 + 2 * 1024 + 8192) + 3 * 8192 * 28672)}
MICROBATCH = 8192


def read(path):
    """{shape: {(rows, tokens): {kernel: counts}}}"""
    out = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                shape, rows, tokens, name, *counts = line.split()
                out.setdefault(shape, {}).setdefault((int(rows), int(tokens)), {})[name] = list(map(int, counts))
    return out


def fit(points):
    """Each count as a + b n + r (c + d n + e n n), r rows of n tokens, from five microbatches: weights and the prefix are read once a
    launch, angles of rotations once a position, gradients of the prefix are written once a row, activations once a token, and
    attention goes over pairs of tokens.
    @return {kernel: [(a, b, c, d, e) of each count]}"""
    n = min(points)[1]
    needed = [(1, n), (1, 2 * n), (1, 3 * n), (2, n), (2, 2 * n)]
    if not set(needed) <= set(points):
        sys.exit(f"counts of {needed} rows and tokens are needed, not of {sorted(points)}")
    if len({frozenset(kernels) for kernels in points.values()}) != 1:
        sys.exit("other kernels run in larger microbatches, so that nothing follows from smaller ones")
    out = {}
    for name in points[needed[0]]:
        out[name] = [constants(n, *five) for five in zip(*(points[point][name] for point in needed))]
    return out


def constants(n, one, long, longer, two, two_long):
    """Those of fit, from counts of the microbatches that it needs."""
    e = (longer - 2 * long + one) / (2 * n * n)
    slope = (long - one) / n - 3 * n * e  # b + d
    slope_of_two = (two_long - two) / n - 6 * n * e  # b + 2 d
    d = slope_of_two - slope
    start = one - slope * n - e * n * n  # a + c
    c = two - slope_of_two * n - 2 * e * n * n - start
    return start - c, slope - d, c, d, e


def at(fitted, rows, n):
    """A count for rows of n tokens."""
    a, b, c, d, e = fitted
    return a + b * n + rows * (c + d * n + e * n * n)


def seconds(gpu, name, counts):
    """Of a kernel's launches, without gaps. @return kind, seconds"""
    launches, tiles, fused, sectors_read, sectors_written, _ = counts
    rate = next(rate for rate in RATES if re.fullmatch(rate.names, name))
    assert launches > 0
    return rate.kind, max(TILE * tiles / rate.tensor, 2 * fused / (rate.plain * gpu.plain),
                          SECTOR * (sectors_read + sectors_written) / (MEMORY * gpu.memory))


def layer(gpu, counts):
    """Seconds of a layer's two passes by kind, from {kernel: counts}."""
    out = collections.Counter()
    for name, values in counts.items():
        kind, time = seconds(gpu, name, values)
        out[kind] += time
        out["gaps"] += GAP * values[0]
    return out


def mfu(gpu, shape, tokens, layer_seconds, factor):
    """Share of the peak that `factor` operations a weight and token take."""
    return factor * shape.weights * tokens / layer_seconds / gpu.tensor


def speeds(points_of):
    """Rows of the table of speeds."""
    kinds = ("products", "attention", "the rest", "gaps")
    yield ["model, layers x stages", "GPU", "tokens of a row", "tokens/s a GPU", "MFU (4N)", "by 6N", *(f"{kind}, %" for kind in kinds)]
    for key, points in points_of.items():
        shape, fits = SHAPES[key], fit(points)
        for gpu in GPUS:
            for n in (512, 1024):
                counts = {name: [at(fitted, MICROBATCH // n, n) for fitted in all_of] for name, all_of in fits.items()}
                times = layer(gpu, counts)
                whole = sum(times.values())
                yield [f"{shape.name}, {shape.layers // shape.stages} x {shape.stages}", gpu.name, str(n),
                       f"{MICROBATCH / (whole * shape.layers):,.0f}", f"{100 * mfu(gpu, shape, MICROBATCH, whole, 4):.0f} %",
                       f"{100 * mfu(gpu, shape, MICROBATCH, whole, 6):.0f} %", *(f"{100 * times[kind] / whole:.0f}" for kind in kinds)]


def kernels(points_of, n=512):
    """Rows of the table of kernels: what a layer's launches do to a token in rows of n."""
    yield ["model", "kernel or product", "launches", "tensor MFLOP", "other MFLOP", "KB", f"microseconds of {MICROBATCH} tokens, H100"]
    for key, points in points_of.items():
        for name, all_of in fit(points).items():
            counts = [at(fitted, MICROBATCH // n, n) for fitted in all_of]
            yield [SHAPES[key].name, f"`{name}`", f"{counts[0]:.0f}", f"{counts[1] * TILE / MICROBATCH / 1e6:.2f}",
                   f"{2 * counts[2] / MICROBATCH / 1e6:.2f}", f"{(counts[3] + counts[4]) * SECTOR / MICROBATCH / 1e3:.1f}",
                   f"{1e6 * seconds(GPUS[0], name, counts)[1]:.0f}"]


def print_table(rows):
    """As Markdown."""
    for i, row in enumerate(rows):
        print(f"| {' | '.join(row)} |")
        if i == 0:
            print("|---" * len(row) + "|")


def main():
    """Print both tables."""
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "counts.txt")
    points_of = read(path)
    print_table(speeds(points_of))
    print()
    print_table(kernels(points_of))


if __name__ == "__main__":
    main()
