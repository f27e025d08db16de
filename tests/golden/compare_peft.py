#!/usr/bin/env python3
"""Compare prefixes that go from PEFT to Forerun and back: logits and losses over the same base, in f32.

usage: compare_peft.py FORERUN PREFIX_LOGITS [SMOLLM2.gguf]

Bases: tests/golden/tiny_llama and tiny_gpt2, every family of tests/golden/families, and where it is given SmolLM2, as a GGUF file and
as the folder that transformers writes of the same weights. For each base and for 1 and 32 slots:

  import   an adapter that PEFT saves (PREFIX_TUNING, the same with projection, CARTRIDGE), through `forerun import`: of random numbers,
           over SmolLM2 of the keys and values of a text
  export   a prefix that `forerun train` has trained for three steps, through `forerun export`; and each imported one, whose tensor must
           come out with the same bits
  start    the first step of a training that starts from the imported file has the adapter's loss

Printed are the largest difference of a logit, and losses of both sides. A difference of more than 1e-4 is a failure, unless PEFT's own f32
is farther than half of that from the same model in f64, and Forerun of the same order, at most four times as far: some prefixes put SmolLM2 into states that enlarge
roundings. Needs torch, transformers, peft, gguf. Exit code 1 after a failure.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import warnings

import numpy
import torch
import transformers
from peft import CartridgeConfig, PeftModel, PrefixTuningConfig, get_peft_model, initialize_kv_prefix_from_past_key_values
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
SLOTS = (1, 32)
LENGTHS = (17, 33, 40)
LIMIT = 1e-4
# gemma3_mm is gemma3 beside a part for pictures. Which factors of LongRoPE turn a row depends on the longest row of a run, and PEFT
# computes each row alone.
LEFT_OUT = ("gemma3_mm", "phi3_longrope")
KINDS = ("PREFIX_TUNING", "projection", "CARTRIDGE")


def load(folder, gguf=None):
    """A base in f32."""
    more = {"gguf_file": gguf} if gguf else {}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **more)
    return model.eval().requires_grad_(False)


def make_rows(vocabulary, texts):
    """Lists of ids."""
    generator = torch.Generator().manual_seed(7)
    return [torch.randint(3, vocabulary, (n,), generator=generator).tolist() for n in LENGTHS] + texts


class Base:
    """A model of both sides, and rows for it; with texts, the ids that prefixes stand for."""

    def __init__(self, name, path, model, texts=()):
        self.name, self.path, self.model = name, path, model
        self.text = [token for ids in texts for token in ids]
        config = model.config.get_text_config()
        self.rows = make_rows(config.vocab_size, list(texts))


def logits_of(model, rows):
    """PEFT's logits of each row."""
    with torch.no_grad():
        return [model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long)).logits[0].numpy()
                for ids in rows]


class Rotary(torch.nn.Module):
    """Cosines and sines in f64, of a plain rotation."""

    def __init__(self, config):
        super().__init__()
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.rates = config.rope_parameters["rope_theta"] ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)

    def forward(self, x, position_ids):
        """As transformers calls it."""
        angles = position_ids[..., None].double() * self.rates
        angles = torch.cat([angles, angles], -1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def exact_logits(model, rows):
    """The same by a Llama in f64 throughout; transformers' own has norms, rotations and eager attention in f32 at any type."""
    model = copy.deepcopy(model).double()
    base = model.get_base_model()
    base.set_attn_implementation("sdpa")
    base.model.rotary_emb = Rotary(base.config)
    for module in base.modules():
        if type(module).__name__ == "LlamaRMSNorm":
            module.forward = lambda x, m=module: m.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + m.variance_epsilon)
    return logits_of(model, rows)


def loss_of(logits, rows):
    """Mean nats of all tokens but the first ones."""
    nats = [torch.nn.functional.cross_entropy(torch.tensor(values[:-1]).double(), torch.tensor(ids[1:]), reduction="sum")
            for values, ids in zip(logits, rows)]
    return float(sum(nats)) / sum(len(ids) - 1 for ids in rows)


class Forerun:
    """The program, with files in a folder of its own."""

    def __init__(self, program, tool, folder):
        self.program, self.tool, self.folder = program, tool, folder

    def path(self, name):
        """In the folder."""
        return os.path.join(self.folder, name)

    def run(self, *arguments):
        """Standard output; a failure ends the comparison."""
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"forerun {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def rows(self, base):
        """A file of the base's rows."""
        path = self.path("rows.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            for ids in base.rows:
                file.write(json.dumps({"source_ids": ids[:1], "target_ids": ids[1:]}) + "\n")
        return path

    def logits(self, base, prefix):
        """Forerun's logits of each row."""
        lines = "".join(" ".join(map(str, ids)) + "\n" for ids in base.rows)
        done = subprocess.run([self.tool, base.path, prefix], input=lines.encode(), capture_output=True, check=False)
        if done.returncode != 0:
            sys.exit(f"prefix_logits {base.path} {prefix}: {done.stderr.decode()}")
        values = numpy.frombuffer(done.stdout, numpy.float32)
        ends = numpy.cumsum([len(ids) for ids in base.rows])
        return numpy.split(values.reshape(ends[-1], -1), ends[:-1])

    def loss(self, base, prefix):
        """By `eval`, over the same tokens."""
        out = self.run("eval", "--model", base.path, "--prefix", prefix, "--data", self.rows(base), "--no-eos", "--precision", "f32",
                       "--json")
        return json.loads(out.splitlines()[-1])["loss"]

    def train(self, base, slots, init, steps, examples):
        """A run's folder."""
        folder = self.path("run")
        config = self.path("run.yaml")
        rows = json.dumps(self.rows(base))
        length = f", length: {slots}" if slots else ""
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"base: {{path: {json.dumps(base.path)}}}\n"
                       f"run: {{dir: {json.dumps(folder)}, steps: {steps}, precision: f32, seed: 5, measure_base: false}}\n"
                       f"tasks:\n  - name: t\n    train: {rows}\n    eos: false\n"
                       f"    prefix: {{init: {init}{length}, window: slides}}\n"
                       f"    batch: {{examples: {examples}}}\n    optimizer: {{lr: 1.0e-2}}\n")
        self.run("train", config, "--overwrite")
        return folder


def make_adapter(base, kind, slots, folder):
    """An adapter that PEFT saves; the model with it."""
    common = {"task_type": "CAUSAL_LM", "num_virtual_tokens": slots}
    if kind == "CARTRIDGE":
        config = CartridgeConfig(num_frozen_tokens=1, **common)
    elif kind == "projection":
        config = PrefixTuningConfig(prefix_projection=True, encoder_hidden_size=48, **common)
    else:
        config = PrefixTuningConfig(**common)
    torch.manual_seed(slots)
    model = get_peft_model(base.model, config).eval()
    if base.text and kind != "projection":
        with torch.no_grad(), model.disable_adapter():
            cache = model(input_ids=torch.tensor([base.text[:slots]]), use_cache=True).past_key_values
        initialize_kv_prefix_from_past_key_values(model, past_key_values=cache)
    model.save_pretrained(folder)
    return model


def unload(base, model):
    """The base as it was."""
    del model
    for name in ("peft_config", "active_adapter"):
        if hasattr(base.model, name):
            try:
                delattr(base.model, name)
            except AttributeError:
                pass


def distance(one, other):
    """The largest difference of two lists of arrays."""
    return max(float(numpy.abs(a - b).max()) for a, b in zip(one, other))


class Verdicts:
    """Prints each comparison, and keeps the worst of those within the limit."""

    def __init__(self):
        self.worst, self.failed, self.n = 0.0, [], 0

    def compare(self, what, model, rows, ours, losses):
        """Logits of both sides; PEFT's."""
        theirs = logits_of(model, rows)
        losses = (loss_of(theirs, rows), losses)
        difference = distance(theirs, ours)
        note = ""
        good = difference <= LIMIT
        if not good:
            exact = exact_logits(model, rows)
            limits = distance(theirs, exact), distance(ours, exact)
            good = limits[0] > LIMIT / 2 and limits[1] <= 4 * limits[0]
            note = f"; from f64: PEFT {limits[0]:.2e}, Forerun {limits[1]:.2e}"
        else:
            self.worst = max(self.worst, difference)
        self.demand(what, good)
        largest = max(float(numpy.abs(a).max()) for a in theirs)
        print(f"{what:58} logits up to {largest:5.1f}, differ by {difference:.2e}; losses PEFT {losses[0]:.6f}, Forerun {losses[1]:.6f}"
              f"{note}", flush=True)
        self.demand(f"{what}: the losses agree", abs(losses[0] - losses[1]) <= LIMIT)
        return losses[0]

    def demand(self, what, holds):
        """Something that is true or not."""
        self.n += 1
        if not holds:
            self.failed.append(what)
            print(f"{what}: DIFFERENT")


def check_import(forerun, verdicts, base, kind, slots):
    """From PEFT to Forerun, and out again."""
    what = f"{base.name}, {kind}, {slots} slots"
    adapter, prefix, again = forerun.path("adapter"), forerun.path("imported.h5"), forerun.path("again")
    model = make_adapter(base, kind, slots, adapter)
    # as PEFT reads it back: of a projection the numbers alone are kept
    unload(base, model)
    model = PeftModel.from_pretrained(base.model, adapter).eval()
    forerun.run("import", "--from", "peft", adapter, "--model", base.path, "--output", prefix)
    loss = verdicts.compare("import: " + what, model, base.rows, forerun.logits(base, prefix), forerun.loss(base, prefix))
    unload(base, model)
    forerun.run("export", "--to", "peft", again, "--prefix", prefix, "--model", base.path)
    with open(os.path.join(adapter, "adapter_model.safetensors"), "rb") as one, \
            open(os.path.join(again, "adapter_model.safetensors"), "rb") as other:
        verdicts.demand(f"{what}: the same bits again", one.read() == other.read())
    for folder in (adapter, again):
        subprocess.run(["rm", "-rf", folder], check=True)
    return prefix, loss


def check_start(forerun, verdicts, base, prefix, loss):
    """A training that starts from an imported file."""
    folder = forerun.train(base, None, "{file: " + json.dumps(prefix) + "}", 1, len(base.rows))
    with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
        first = next(row["loss"] for row in map(json.loads, file) if row.get("step") == 1 and "loss" in row)
    print(f"{'training from it: ' + base.name:58} losses PEFT {loss:.6f}, Forerun in its first step {first:.6f}")
    verdicts.demand(f"{base.name}: training starts where PEFT is", abs(first - loss) <= 1e-4)


def check_export(forerun, verdicts, base, slots, imported):
    """From Forerun to PEFT; a training over SmolLM2 starts from the keys and values of a text, those of an imported file."""
    adapter = forerun.path("exported")
    init = "{file: " + json.dumps(imported) + "}" if base.text else "{random: 0.5}"
    prefix = os.path.join(forerun.train(base, slots, init, 3, 2), "prefix.h5")
    forerun.run("export", "--to", "peft", adapter, "--prefix", prefix, "--model", base.path)
    model = PeftModel.from_pretrained(base.model, adapter).eval()
    verdicts.compare(f"export: {base.name}, trained, {slots} slots", model, base.rows, forerun.logits(base, prefix),
                     forerun.loss(base, prefix))
    unload(base, model)
    subprocess.run(["rm", "-rf", adapter], check=True)


def check_base(forerun, verdicts, base, kinds):
    """Everything for one base."""
    for slots in SLOTS:
        for kind in kinds:
            prefix, loss = check_import(forerun, verdicts, base, kind, slots)
        check_start(forerun, verdicts, base, prefix, loss)
        check_export(forerun, verdicts, base, slots, prefix)


def save_plain(model, path):
    """A folder of weights that came from a GGUF file; transformers refuses to save what it has marked as quantised."""
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.tie_weights()
    plain.save_pretrained(path)


def bases(gguf, work, wanted):
    """Those whose names begin so, one after the other, with the kinds of adapters for each."""
    for name in ("tiny_llama", "tiny_gpt2"):
        if name.startswith(wanted):
            yield Base(name, os.path.join(HERE, name), load(os.path.join(HERE, name))), KINDS
    if gguf and "SmolLM2".startswith(wanted):
        with open(os.path.join(HERE, "smollm2.json"), encoding="utf-8") as file:
            texts = [case["ids"] for case in json.load(file)["cases"]]
        folder, name = os.path.split(os.path.abspath(gguf))
        model = load(folder, name)
        yield Base("SmolLM2 GGUF", gguf, model, texts), KINDS
        path = os.path.join(work, "smollm2")
        save_plain(model, path)
        yield Base("SmolLM2 folder", path, load(path), texts), KINDS
    families = os.path.join(HERE, "families")
    for name in sorted(os.listdir(families)):
        folder = os.path.join(families, name)
        if os.path.isdir(folder) and name not in LEFT_OUT and name.startswith(wanted):
            yield Base(name, folder, load(folder)), KINDS[:1]


def main():
    """Compare, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("tool")
    parser.add_argument("gguf", nargs="?")
    parser.add_argument("--base", action="append", help="only bases whose name begins so")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as work:
        forerun = Forerun(args.program, args.tool, work)
        for base, kinds in bases(args.gguf, work, tuple(args.base or [""])):
            check_base(forerun, verdicts, base, kinds)
    print(f"{verdicts.n} comparisons, the largest difference of a logit within the limit is {verdicts.worst:.2e}; failed: "
          f"{', '.join(verdicts.failed) or 'none'}")
    sys.exit(1 if verdicts.failed or not verdicts.n else 0)


main()
