"""Prefixes that the Python module gives transformers: logits and losses against the golden values and against forerun's.

usage: compare_python.py FORERUN, with torch, transformers, safetensors and an installed forerun_prefix (`.ci/long python`)

For each model a prefix file is made of the golden prefix by forerun_prefix.write and read by forerun_prefix.open. The logits of
transformers behind past_key_values(...) are compared with the golden ones, and its loss on a row with that of `forerun eval`.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

import forerun_prefix
import numpy
import torch
import transformers
from safetensors.torch import load_file

GOLDEN = os.path.dirname(os.path.abspath(__file__))
LARGEST_ERROR, LARGEST_LOSS_ERROR = 2e-4, 2e-4


def identity(program, folder):
    """The line by which forerun knows a base."""
    text = subprocess.run([program, "inspect", folder], capture_output=True, text=True, check=True).stdout
    return next(line.split(None, 1)[1] for line in text.splitlines() if line.startswith("identity"))


def write_prefix(path, golden, base_shape, slides):
    """[layers, heads, slots, width] to a file; what it reads again."""
    keys, values = (golden[name].permute(0, 2, 1, 3).numpy() for name in ("prefix_k", "prefix_v"))
    prefix = forerun_prefix.Prefix(keys, values, eos=False, leading_bos=False,
                                   positions="after_prefix_within_window" if slides else "after_prefix")
    forerun_prefix.write(path, forerun_prefix.Collection({"golden": prefix}, base_shape=base_shape))
    read = forerun_prefix.open(path)["golden"]
    assert all(numpy.array_equal(read.keys[i], keys[i]) and numpy.array_equal(read.values[i], values[i]) for i in range(len(keys)))
    return read


def forerun_loss(program, folder, prefix, ids, work):
    """Mean loss of ids[1:] behind ids[:1], as eval computes it."""
    rows = os.path.join(work, "row.jsonl")
    with open(rows, "w", encoding="utf-8") as file:
        json.dump({"source_ids": ids[:1], "target_ids": ids[1:]}, file)
    done = subprocess.run([program, "eval", "--model", folder, "--prefix", prefix, "--data", rows, "--precision", "f32", "--no-eos",
                           "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])["loss"]


def compare(program, folder, values, slides, work):
    """The largest differences of logits and of a row's loss."""
    golden = load_file(values)
    path = os.path.join(work, "golden.h5")
    prefix = write_prefix(path, golden, identity(program, folder), slides)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = golden["input_ids"].reshape(-1, golden["input_ids"].shape[-1])
    wanted = golden["logits"].reshape(*ids.shape, -1)
    mask = golden.get("attention_mask", torch.ones_like(ids))
    cache = forerun_prefix.past_key_values(prefix, batch=len(ids), dtype=model.dtype)
    assert cache.get_seq_length() == prefix.length
    whole = torch.cat([torch.ones(len(ids), prefix.length, dtype=torch.int64), mask], 1)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=whole, past_key_values=cache).logits
        alone = model(input_ids=ids, attention_mask=mask).logits
    error = ((logits - wanted).abs() * mask.unsqueeze(-1)).max().item()
    without = ((alone - wanted).abs() * mask.unsqueeze(-1)).max().item()
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:]).item()
    assert bool(mask[0].all())
    loss_error = abs(loss - forerun_loss(program, folder, path, ids[0].tolist(), work))
    assert without > 100 * LARGEST_ERROR, "the prefix hardly matters: %g" % without
    return error, loss_error


def cases():
    """(name, folder, golden values, whether the prefix slides)"""
    for model in ("tiny_llama", "tiny_gpt2"):
        for kind in ("right", "nopad_p1"):
            yield "%s %s" % (model, kind), os.path.join(GOLDEN, model), os.path.join(GOLDEN, "%s_%s_f32.safetensors" % (model, kind)), False
    for values in sorted(glob.glob(os.path.join(GOLDEN, "families", "*.safetensors"))):
        name, _, mode, _ = os.path.basename(values).split(".")
        windowed = glob.glob(os.path.join(GOLDEN, "families", name + ".*.slides.safetensors"))
        if mode == "slides" or not windowed:  # in transformers windows always hide slots
            yield os.path.basename(values), os.path.join(GOLDEN, "families", name), values, mode == "slides"


def main():
    program, failed, n = sys.argv[1], [], 0
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as work:
        for name, folder, values, slides in cases():
            error, loss_error = compare(program, folder, values, slides, work)
            good = error < LARGEST_ERROR and loss_error < LARGEST_LOSS_ERROR
            n += 1
            print("%-40s logits within %.2g, loss within %.2g of forerun's%s" % (name, error, loss_error, "" if good else "  FAILED"))
            if not good:
                failed.append(name)
    assert n > 30, n
    if failed:
        sys.exit("differ: " + ", ".join(failed))


main()
