#!/usr/bin/env python3
"""Compare `forerun tokenize --chat FILE --mask` with transformers' apply_chat_template on random dialogues.

usage: compare_dialogues.py FORERUN [--seed S] [--dialogues N]

A byte-level BPE is learned from docs/*.md. Each template is given to Forerun with its generation blocks and without them; transformers
needs them for return_assistant_tokens_mask. Ids and masks must be the same, of all answers; where a template opens an answer with a
space, an id that would reach into the answer is cut instead, and the texts must be the same. Needs
transformers. Exit code 1 if something differs.
"""

import argparse
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

BEGIN, END = "{% generation %}", "{% endgeneration %}"
OPENS = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
ANSWER = "{% if m.role == 'assistant' %}"
TEMPLATES = {
    "ChatML": "{% for m in messages %}<|im_start|>{{ m.role }}\n" + ANSWER + BEGIN + "{{ m.content }}<|im_end|>" + END +
              "{{ '\n' }}{% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}" + OPENS,
    "Llama 2": "{{ bos_token }}{% for m in messages %}" + ANSWER + BEGIN + "{{ ' ' + m.content + eos_token }}" + END +
               "{% elif m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}<<SYS>>{{ m.content }}<</SYS>>{% endif %}"
               "{% endfor %}",
    "a space in front": "{% for m in messages %}<|im_start|>{{ m.role }}: " + ANSWER + BEGIN + "{{ m.content | trim }}<|im_end|>" + END +
                        "{% else %}{{ m.content | trim }}<|im_end|>{% endif %}\n{% endfor %}"
                        "{% if add_generation_prompt %}<|im_start|>assistant: {% endif %}",
    "headings": "{% for m in messages %}" + ANSWER + "### Answer:\n" + BEGIN + "{{ m.content }}</s>" + END + "{{ '\n\n' }}{% else %}"
                "### {{ m.role }}:\n{{ m.content }}\n\n{% endif %}{% endfor %}"
                "{% if add_generation_prompt %}### Answer:\n{% endif %}"}
WORDS = ("the prefix trains a model with layers, and what follows: 12 34 é 你好 \n\n tab\t {x} 'quoted' user assistant system [INST] ### "
         "Answer: \U0001F600 end.").split(" ")


def learn_tokenizer():
    """A small byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    docs = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "*.md")
    tokenizer.train(sorted(glob.glob(docs)), trainers.BpeTrainer(
        vocab_size=3000, special_tokens=["<s>", "</s>", "<|im_start|>", "<|im_end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def make_dialogue(chance):
    """Messages."""
    def text():
        return " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, 12)))
    messages = [{"role": "system", "content": text()}] if chance.random() < 0.3 else []
    for _ in range(chance.randint(1, 4)):
        messages += [{"role": "user", "content": text()}, {"role": "assistant", "content": text()}]
    return messages


def verdict(reference, messages, row):
    """Whether the ids and the mask of a row are what the reference says: same, cut or DIFFERENT."""
    wanted = reference.apply_chat_template(messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    ids, mask = wanted["input_ids"], wanted["assistant_masks"]
    end = len(mask)
    while not mask[end - 1]:
        end -= 1
    if row["ids"] == ids[:end] and row["mask"] == mask[:end]:
        return "same"
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    same_text = reference.decode(row["ids"]) == reference.decode(ids[:end])
    learned = [text.replace("<|im_end|>", "").replace("</s>", "").strip() for text in row["learned"]]
    opened = reference.decode([i for i, m in zip(row["ids"], row["mask"]) if not m])
    return "cut" if same_text and opened.endswith(" ") and learned == [text.strip() for text in answers] else "DIFFERENT"


def main():
    """Compare, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("forerun")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dialogues", type=int, default=150)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    tokenizer = learn_tokenizer()
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tokenizer.json")
        rows = os.path.join(folder, "rows.jsonl")
        tokenizer.save(path)
        reference = PreTrainedTokenizerFast(tokenizer_file=path, bos_token="<s>", eos_token="</s>")
        for name, template in TEMPLATES.items():
            reference.chat_template = template
            for marked in (True, False):
                ours = template if marked else template.replace(BEGIN, "").replace(END, "")
                with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
                    json.dump({"bos_token": "<s>", "eos_token": "</s>", "chat_template": ours}, file)
                dialogues = [make_dialogue(chance) for _ in range(args.dialogues)]
                with open(rows, "w", encoding="utf-8") as file:
                    file.writelines(json.dumps({"messages": messages}) + "\n" for messages in dialogues)
                done = subprocess.run([args.forerun, "tokenize", "--model", folder, "--chat", rows, "--mask"], check=True,
                                      stdout=subprocess.PIPE, text=True)
                got = [json.loads(line) for line in done.stdout.splitlines()]
                found = [verdict(reference, *pair) for pair in zip(dialogues, got)]
                counts = {what: found.count(what) for what in ("same", "cut", "DIFFERENT")}
                different += counts["DIFFERENT"] + abs(len(got) - len(dialogues))
                print(f"{name}, {'marked' if marked else 'not marked'}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    sys.exit(1 if different else 0)


main()
