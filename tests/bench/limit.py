"""The limit that matrix products set: measured on SmolLM2's shapes with both cores, by bench_gemm."""
import re
import subprocess

LAYERS, WIDTH, VOCABULARY = 30, 576, 49152
SHAPES = {"qkv": 960 * WIDTH, "attention out": WIDTH * WIDTH, "gate+up": 3072 * WIDTH, "down": WIDTH * 1536}
HEAD = VOCABULARY * WIDTH
PARAMETERS = LAYERS * sum(SHAPES.values())  # N of the layers' linear maps, 106 million
FORMULA = "4 N FLOPs a token (N = 106 million: a product forward, one backward) + 4 x 49152 x 576 a target token"
LINE = re.compile(r"^(qkv|attention out|gate\+up|down|head) +\S+ +(f32|bf16) +(forward|backward) .* ([\d.]+) GFLOP/s")


def measure(program, quick=False):
    """{(shape, type, direction): GFLOP/s} of two threads."""
    command = [program, "--threads", "2", "--repeat", "0.01" if quick else "0.3", "--m", "64" if quick else "472"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [LINE.match(line) for line in output.splitlines()]
    return {(m[1], m[2], m[3]): float(m[4]) for m in found if m}


def flops(target_share):
    """FLOPs a useful token."""
    return 4 * PARAMETERS + 4 * HEAD * target_share


def tokens_per_second(rates, precision, target_share):
    """What the products alone allow, each shape at its own rate."""
    parts = [(name, LAYERS * size) for name, size in SHAPES.items()] + [("head", HEAD * target_share)]
    seconds = sum(2e-9 * size / rates[name, precision, direction]
                  for name, size in parts for direction in ("forward", "backward"))
    return 1 / seconds


def describe(rates, precision, target_share):
    """For JSON: the peak is the fastest shape, the limit weighs all."""
    bound = tokens_per_second(rates, precision, target_share)
    return {"formula": FORMULA, "gflop_per_token": round(1e-9 * flops(target_share), 4),
            "target_share": round(target_share, 3),
            "peak_gflops": max(rate for key, rate in rates.items() if key[1] == precision),
            "weighted_gflops": round(1e-9 * flops(target_share) * bound, 1), "limit_tokens_per_second": round(bound, 1)}
