"""Products, attention and a training stage of Llama 3 8B, by Forerun and by PyTorch, side by side in TFLOP/s.

usage: rates.py products|attentions PROGRAM   what rates.c measures, then the same by PyTorch
       rates.py stage ROWS TOKENS             PyTorch alone: training steps of four layers, as bench.sh has them

Where there is no PyTorch with a GPU, a line says so. Lines for the report are indented.
"""
import statistics
import subprocess
import sys
import time


def pytorch():
    """The module and None, or None and why there is none."""
    try:
        import torch  # pylint: disable=import-outside-toplevel
    except (ImportError, OSError) as error:
        return None, f"PyTorch is not compared: {error}"
    if not torch.cuda.is_available():
        return None, "PyTorch is not compared: it finds no GPU"
    return torch, None


def seconds_of(torch, call):
    """Of one call: about a tenth of a second of them, behind two that are not counted."""
    def run(n):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(n):
            call()
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / n
    run(1)
    return run(max(1, min(50, int(0.1 / max(run(1), 1e-6)))))


def numbers(torch, *shape):
    """bf16 numbers in [-1, 1)."""
    return (2 * torch.rand(*shape, device="cuda", dtype=torch.float32) - 1).to(torch.bfloat16)


def product(torch, fields):
    """Seconds of torch.matmul."""
    back, (m, n, k) = fields[0] == "backward", map(int, fields[1:4])
    w = numbers(torch, n, k)
    left = numbers(torch, m, n if back else k)
    return seconds_of(torch, lambda: torch.matmul(left, w if back else w.t()))


def attention(torch, fields):
    """Seconds of scaled_dot_product_attention: forward, or backward alone. Keys of a group are there once a head."""
    from torch.nn.attention.bias import causal_lower_right  # pylint: disable=import-outside-toplevel
    heads, _, head, prefix, rows, batch = map(int, fields[1:7])
    q = numbers(torch, batch, heads, rows, head).requires_grad_()
    k, v = (numbers(torch, batch, heads, prefix + rows, head).requires_grad_() for _ in range(2))
    mask = causal_lower_right(rows, prefix + rows)

    def forward():
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    if fields[0] == "forward":
        with torch.no_grad():
            return seconds_of(torch, forward)
    out = forward()
    d_out = numbers(torch, *out.shape)
    return seconds_of(torch, lambda: torch.autograd.grad(out, (q, k, v), d_out, retain_graph=True))


def rate(flop, seconds):
    """TFLOP/s in three digits."""
    return f"{flop / seconds / 1e12:.3g}" if seconds > 0 else "-"


def by_pytorch(torch, measure, fields, flop):
    """Its part of a line."""
    if torch is None:
        return ""
    try:
        return f", PyTorch {rate(flop, measure(torch, fields))}"
    except (RuntimeError, ImportError, TypeError) as error:
        return f", PyTorch fails: {str(error).splitlines()[0]}"


def compared(torch, kind, fields):
    """The line of a measurement."""
    if kind == "product":
        flop, own, lt = map(float, fields[4:7])
        return (f"  {fields[0]} {fields[1]} x {fields[2]} x {fields[3]}: own kernels {rate(flop, own)}, cuBLASLt {rate(flop, lt)}"
                + by_pytorch(torch, product, fields, flop))
    flop, own = map(float, fields[7:9])
    return (f"  {fields[0]} {fields[6]} x {fields[5]} tokens behind a prefix of {fields[4]}, {fields[1]} heads of {fields[3]}"
            f" (keys: {fields[2]}): {rate(flop, own)}" + by_pytorch(torch, attention, fields, flop))


def compare(case, program):
    """A line a measurement, in turn with the program. @return the exit code"""
    torch, reason = pytorch()
    print(f"  {case}, TFLOP/s in bf16{'' if reason is None else f'; {reason}'}", flush=True)
    measured, others = 0, []
    with subprocess.Popen([program, case], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        for line in run.stdout:
            kind, *fields = line.rstrip("\n").split("\t")
            if kind in ("product", "attention"):
                print(compared(torch, kind, fields), flush=True)
                measured += 1
                run.stdin.write("\n")
                run.stdin.flush()
            else:
                others.append(line)
    if run.returncode != 0 or measured == 0:
        print("".join(others) + f"{program} {case} ends with exit code {run.returncode} and {measured} measurements")
        return 1
    return 0


# ---- a stage ----

WIDTH, INNER, LAYERS, HEADS, KV_HEADS, HEAD, VOCABULARY, PREFIX = 4096, 14336, 4, 32, 8, 128, 32000, 128


def make_layers(torch):
    """Frozen weights, and each layer's prefix, which is trained."""
    layers = []
    for _ in range(LAYERS):
        sizes = {"qkv": ((HEADS + 2 * KV_HEADS) * HEAD, WIDTH), "o": (WIDTH, HEADS * HEAD), "up": (2 * INNER, WIDTH),
                 "down": (WIDTH, INNER)}
        layer = {name: 0.03 * numbers(torch, *shape) for name, shape in sizes.items()}
        layer["prefix"] = [numbers(torch, 1, KV_HEADS, PREFIX, HEAD).requires_grad_() for _ in range(2)]
        layers.append(layer)
    return layers


def run_layer(torch, layer, x, rows, tokens):
    """A block of Llama: norm, attention behind the prefix, norm, SwiGLU. x: [rows * tokens, width]"""
    from torch.nn.attention.bias import causal_lower_right  # pylint: disable=import-outside-toplevel
    functional = torch.nn.functional
    qkv = functional.linear(functional.rms_norm(x, (WIDTH,)), layer["qkv"]).view(rows, tokens, HEADS + 2 * KV_HEADS, HEAD)
    q, k, v = (part.transpose(1, 2) for part in qkv.split([HEADS, KV_HEADS, KV_HEADS], dim=2))
    k, v = (torch.cat([prefix.expand(rows, -1, -1, -1), own], dim=2).repeat_interleave(HEADS // KV_HEADS, dim=1)
            for prefix, own in zip(layer["prefix"], (k, v)))
    seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=causal_lower_right(tokens, PREFIX + tokens))
    x = x + functional.linear(seen.transpose(1, 2).reshape(rows * tokens, -1), layer["o"])
    gate, up = functional.linear(functional.rms_norm(x, (WIDTH,)), layer["up"]).chunk(2, dim=1)
    return x + functional.linear(functional.silu(gate) * up, layer["down"])


def stage(rows, tokens):
    """Forward and backward of a batch; rotations and the optimizer are left out, which favours PyTorch."""
    torch, reason = pytorch()
    if torch is None:
        print(f"  {reason}")
        return 0
    layers, table = make_layers(torch), 0.03 * numbers(torch, VOCABULARY, WIDTH)
    ids = torch.randint(VOCABULARY, (rows, tokens), device="cuda")
    prefixes = [part for layer in layers for part in layer["prefix"]]

    def step():
        x = torch.nn.functional.embedding(ids, table).view(rows * tokens, WIDTH)
        for layer in layers:
            x = run_layer(torch, layer, x, rows, tokens)
        half = x.view(rows, tokens, WIDTH)[:, tokens // 2 - 1:-1].reshape(-1, WIDTH)
        logits = torch.nn.functional.linear(torch.nn.functional.rms_norm(half, (WIDTH,)), table)
        loss = torch.nn.functional.cross_entropy(logits.float(), ids[:, tokens // 2:].reshape(-1))
        torch.autograd.grad(loss, prefixes)
    try:
        seconds = statistics.median(seconds_of(torch, step) for _ in range(3))
    except RuntimeError as error:
        print(f"  PyTorch fails: {str(error).splitlines()[0]}")
        return 0
    print(f"  PyTorch {torch.__version__}, the same shape without rotations and optimizer, operators as they are: "
          f"{rows * tokens / seconds:.0f} tokens/s, {seconds:.3f} s for {rows} rows of {tokens}")
    return 0


if sys.argv[1] == "stage":
    sys.exit(stage(int(sys.argv[2]), int(sys.argv[3])))
sys.exit(compare(sys.argv[1], sys.argv[2]))
