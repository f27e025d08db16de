#!/usr/bin/env python3
"""Train the small models of sentencepiece/ and write what sentencepiece makes of odd texts. Needs sentencepiece.

usage: make_sentencepiece.py [--compare FORERUN N]: with --compare, nothing is written; N texts are compared instead.
"""

import io
import json
import os
import random
import subprocess
import sys

import sentencepiece

import odd_texts

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sentencepiece")
RULES = "FF21\t41\n41 30A\tC5\n3000\t20\nFB01\t66 69\n9\t20\n200B\t\n"  # a full-width A, a ring, spaces, a ligature
FORMS = {
    "bpe": {"model_type": "bpe", "byte_fallback": True, "remove_extra_whitespaces": False},
    "bpe_unknown": {"model_type": "bpe", "user_defined_symbols": ["▁▁", "<|x|>", "ab"], "add_dummy_prefix": False},
    "unigram": {"model_type": "unigram", "user_defined_symbols": ["<|x|>"]},
    "unigram_bytes": {"model_type": "unigram", "byte_fallback": True, "remove_extra_whitespaces": False},
    "unigram_rules": {"model_type": "unigram", "normalization_rule_name": "user_defined"},
}


def sentences(seed):
    """What the models are trained on: few characters, so that texts have some that are unknown."""
    source = random.Random(seed)
    words = [part for part in odd_texts.PARTS if part.strip() and "!" <= max(part) < "\u0500" and "\x00" not in part]
    for _ in range(2000):
        yield "".join(source.choice(words) + source.choice(["", " ", " ", "  "]) for _ in range(9))


def train(name, settings):
    """The bytes of a model."""
    model = io.BytesIO()
    settings = {"normalization_rule_name": "identity"} | settings
    rules = os.path.join(FOLDER, "rules.tsv")
    if settings["normalization_rule_name"] == "user_defined":
        del settings["normalization_rule_name"]
        with open(rules, "w", encoding="utf-8") as file:
            file.write(RULES)
        settings["normalization_rule_tsv"] = rules
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sentences(name),
        model_writer=model,
        vocab_size=560 if settings.get("byte_fallback") else 300,
        character_coverage=0.99,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **settings,
    )
    if os.path.exists(rules):
        os.remove(rules)
    return model.getvalue()


def compare(forerun, n):
    """1 if any of n texts has other ids; prints which."""
    texts = odd_texts.texts(n, 7)
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    failed = 0
    for name in FORMS:
        folder = os.path.join(FOLDER, name)
        processor = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model"))
        command = [forerun, "tokenize", "--jsonl", "--no-special", "--model", folder]
        done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, text=True, check=True)
        for text, line in zip(texts, done.stdout.splitlines()):
            wanted = processor.encode(text)
            if json.loads(line) != wanted:
                failed += 1
                print(f"{name}: {json.dumps(text)}: {line}, wanted {wanted}")
        print(f"{name}: {len(texts)} compared, {failed} differ so far")
    return failed > 0


def main():
    """Write the models and ids.json."""
    if len(sys.argv) == 4 and sys.argv[1] == "--compare":
        return compare(sys.argv[2], int(sys.argv[3]))
    texts = odd_texts.texts(60, 3) + ["", " ", "  ", "a", " a", "a ", "\n", "▁", "<|x|>a<|x|> b", "aab  ab", "ＡÅ\u3000ﬁA\u030a"]
    out = {"texts": texts, "models": {}}
    for name, settings in FORMS.items():
        folder = os.path.join(FOLDER, name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "tokenizer.model"), "wb") as file:
            file.write(train(name, settings))
        processor = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model"))
        ids = [processor.encode(text) for text in texts]
        out["models"][name] = {"ids": ids, "texts": [processor.decode(row) for row in ids]}
    with open(os.path.join(FOLDER, "ids.json"), "w", encoding="ascii") as file:
        json.dump(out, file, separators=(",", ":"))
        file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
