"""A byte-level tokenizer beside the model of make_tiny.py: the id of a byte is the byte, special tokens <s0>, <s1>, ...
follow from 256 on. The model has 128 rows, so every byte past ASCII and every special token lies outside it.

usage: make_tokenizer.py FOLDER [SPECIALS [TOKENIZER_CONFIG_JSON]]
"""
import json
import os
import sys

PRINTABLE = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
shifted = [byte for byte in range(256) if byte not in PRINTABLE]
text = {byte: chr(byte) for byte in PRINTABLE}
text.update({byte: chr(256 + i) for i, byte in enumerate(shifted)})
specials = int(sys.argv[2]) if len(sys.argv) > 2 else 4
tokenizer = {
    "normalizer": None,
    "post_processor": None,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
    "added_tokens": [{"id": 256 + i, "content": "<s%d>" % i} for i in range(specials)],
    "model": {"type": "BPE", "vocab": {text[byte]: byte for byte in range(256)}, "merges": []},
}
with open(os.path.join(sys.argv[1], "tokenizer.json"), "w", encoding="utf-8") as file:
    json.dump(tokenizer, file)
with open(os.path.join(sys.argv[1], "tokenizer_config.json"), "w", encoding="utf-8") as file:
    file.write(sys.argv[3] if len(sys.argv) > 3 else "{}")
