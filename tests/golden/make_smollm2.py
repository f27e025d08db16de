#!/usr/bin/env python3
"""Reference values of SmolLM2-135M-Instruct, computed by transformers on the same GGUF file.

Needs torch, transformers, gguf and tokenizers (PyPI). Writes tests/golden/smollm2.json: for each text its
token ids (tokenised here with the model's own rule: every digit alone, then the byte-level pattern), the nats
of every token after the first, and a greedy continuation as ids. Run once; the numbers are kept.

usage: make_smollm2.py MODEL.gguf OUT.json
"""
import json
import os
import sys

import torch
from gguf import GGUFReader
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM

TEXTS = [
    "The capital of France is",
    "A package manager installs, upgrades and removes software. On Debian it is called",
    "In 1492, Columbus sailed 3 ships across",
    "<|im_start|>user\nName three colours.<|im_end|>\n<|im_start|>assistant\n",
]
NEW_TOKENS = 24


def field(reader, key):
    part = reader.fields[key]
    return [bytes(part.parts[i]).decode("utf-8") for i in part.data]


def load_tokenizer(path):
    reader = GGUFReader(path)
    tokens = field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(m.split(" ")) for m in field(reader, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = [int(reader.fields["tokenizer.ggml.token_type"].parts[i][0])
             for i in reader.fields["tokenizer.ggml.token_type"].data]
    tokenizer.add_special_tokens([t for t, kind in zip(tokens, types) if kind == 3])
    return tokenizer


def main():
    path, out = sys.argv[1:3]
    tokenizer = load_tokenizer(path)
    folder, name = os.path.split(os.path.abspath(path))
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32,
                                                 attn_implementation="eager").eval()
    cases = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        batch = torch.tensor([ids])
        with torch.no_grad():
            logits = model(batch).logits[0].double()
            nats = torch.nn.functional.cross_entropy(logits[:-1], batch[0, 1:], reduction="none")
            new = list(ids)
            for _ in range(NEW_TOKENS):
                new.append(int(model(torch.tensor([new])).logits[0, -1].argmax()))
        cases.append({"text": text, "ids": ids, "nats": [round(float(n), 7) for n in nats],
                      "greedy": new[len(ids):], "greedy_text": tokenizer.decode(new[len(ids):])})
    with open(out, "w", encoding="utf-8") as file:
        json.dump({"cases": cases}, file, indent=1, ensure_ascii=False)
        file.write("\n")


main()
