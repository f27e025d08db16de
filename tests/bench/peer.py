"""The peer's program: Hugging Face PEFT prefix tuning, 2 threads, rows of token ids padded on the right.

Runs in a Python with torch, transformers, peft and gguf.

usage: peer.py convert MODEL.gguf FOLDER f32|bf16
       peer.py train ORDER      (a JSON object: see theirs.py)

train writes a line of JSON a step: step, tokens, seconds, loss; with valid rows also valid_loss at the end and the
seconds that took. With init_ids the prefix starts as the keys and values of that text, which PEFT itself cannot.
"""
import json
import os
import sys
import time

import torch
from peft import PrefixTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM

THREADS = 2
TYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def convert(gguf, folder, precision):
    """Write the weights of a GGUF file as safetensors: through a new model, since one that came from GGUF, though
    widened, counts as quantised and refuses."""
    source, name = os.path.split(os.path.abspath(gguf))
    read = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=TYPES[precision])
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=TYPES[precision])
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)


def read_rows(path):
    """(source ids, target ids) of each row."""
    with open(path, encoding="utf-8") as file:
        return [(row["source_ids"], row["target_ids"]) for row in map(json.loads, file)]


def batches(rows, size):
    """Batches of the rows in order: ids, mask, labels, useful tokens."""
    for first in range(0, len(rows), size):
        part = rows[first:first + size]
        width = max(len(s) + len(t) for s, t in part)
        ids = torch.zeros(len(part), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, -100)
        for i, (s, t) in enumerate(part):
            n = len(s) + len(t)
            ids[i, :n] = torch.tensor(s + t)
            mask[i, :n] = 1
            labels[i, len(s):n] = torch.tensor(t)
        yield ids, mask, labels, sum(len(s) + len(t) for s, t in part)


def start_from_text(model, ids):
    """Make the prefix the keys and values of a text: row t of the encoder is (layer, k or v, head, element)."""
    with torch.no_grad():
        cache = model.get_base_model()(input_ids=torch.tensor([ids]), use_cache=True).past_key_values
        layers = [part for layer in cache.layers for part in (layer.keys[0], layer.values[0])]
        table = torch.stack([part.transpose(0, 1) for part in layers], dim=1).reshape(len(ids), -1)
        model.prompt_encoder["default"].embedding.weight.copy_(table)


def evaluate(model, rows, size):
    """Mean nats per target token."""
    model.eval()
    nats = count = 0.0
    with torch.no_grad():
        for ids, mask, labels, _ in batches(rows, size):
            n = int((labels[:, 1:] != -100).sum())
            nats += float(model(input_ids=ids, attention_mask=mask, labels=labels).loss) * n
            count += n
    return nats / count


def train(order):
    """Train as ordered."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    rows = read_rows(order["rows"])[:order["batch"] * order["steps"]]
    model = AutoModelForCausalLM.from_pretrained(order["model"], dtype=TYPES[order["precision"]],
                                                 attn_implementation=order["attention"])
    model = get_peft_model(model, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=order["length"]))
    if order["init_ids"]:
        start_from_text(model, order["init_ids"])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0)
    model.train()
    with open(order["output"], "a", encoding="utf-8") as output:
        for step, (ids, mask, labels, tokens) in enumerate(batches(rows, order["batch"]), 1):
            began = time.monotonic()
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            line = {"step": step, "tokens": tokens, "seconds": time.monotonic() - began, "loss": loss.item()}
            print(json.dumps(line), file=output, flush=True)
        if order["valid"]:
            began = time.monotonic()
            loss = evaluate(model, read_rows(order["valid"]), order["batch"])
            print(json.dumps({"valid_loss": loss, "seconds": time.monotonic() - began}), file=output, flush=True)


if sys.argv[1] == "convert":
    convert(*sys.argv[2:])
else:
    train(json.loads(sys.argv[2]))
