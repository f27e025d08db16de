"""The peer on the same rows: Hugging Face PEFT prefix tuning of the same GGUF file, batch 8, prefix of 32, 2 threads.

Needs torch, transformers and peft in the Python that runs it. Rows are token ids (tokenised by forerun), padded on the
right. Prints one JSON object: tokens/s as minimum, median and maximum over the steps, peak MiB.

usage: peer.py MODEL.gguf ROWS.jsonl (source_ids, target_ids) f32|bf16 sdpa|eager STEPS
"""
import json
import os
import resource
import statistics
import sys
import time

import torch
from peft import PrefixTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM

BATCH, LENGTH, THREADS = 8, 32, 2


def batches(path, steps):
    rows = [json.loads(line) for _, line in zip(range(BATCH * steps), open(path, encoding="utf-8"))]
    for first in range(0, len(rows), BATCH):
        part = [(r["source_ids"], r["target_ids"]) for r in rows[first:first + BATCH]]
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


def main():
    path, rows, precision, attention, steps = sys.argv[1:6]
    torch.set_num_threads(THREADS)
    folder, name = os.path.split(os.path.abspath(path))
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=dtype, attn_implementation=attention)
    model = get_peft_model(model, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=LENGTH))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model.train()
    rates = []
    for ids, mask, labels, tokens in batches(rows, int(steps)):
        began = time.monotonic()
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        rates.append(tokens / (time.monotonic() - began))
    rates = rates[1:]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"tokens_per_second": [min(rates), statistics.median(rates), max(rates)], "peak_mib": peak}))


main()
