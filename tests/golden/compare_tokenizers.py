#!/usr/bin/env python3
"""Compare `forerun tokenize` with the reference tokenizers on random odd texts.

usage: compare_tokenizers.py FORERUN FOLDER [--texts N] [--seed S] [NAME ...]

FOLDER is that of launch/fetch-vocabularies.sh. Each vocabulary is loaded into Hugging Face's tokenizers with the rule that the
model's own tokenizer.json has (or into sentencepiece, if it has scores), and both give ids to the same texts. Needs the packages
tokenizers, sentencepiece, protobuf and gguf.
"""

import argparse
import json
import os
import subprocess
import sys

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers
from tokenizers import pre_tokenizers as pre

import odd_texts

FORMS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"


def split(pattern):
    """A pattern whose matches are pieces, as are the texts between."""
    return pre.Split(Regex(pattern), "isolated")


def modern(numbers):
    """The shape that Llama 3 and Qwen 2 share."""
    return rf"{FORMS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{TAIL}"


MARKED = rf"{FORMS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{TAIL}"
CJK = "[一-龥ࠀ-一가-\ud7ff]+"
# what follows are ranges of code points: letters with case, as DeepSeek LLM lists them
LETTER_RANGES = """
41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A 38C 38E-3A1 3A3-3F5
3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D
1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB
1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F 2145-2149
214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06
FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943
"""
LETTERS = r"\s?[" + "".join("-".join(chr(int(c, 16)) for c in r.split("-")) for r in LETTER_RANGES.split()) + "]+"
BYTES = pre.ByteLevel(add_prefix_space=False, use_regex=False)
GPT2 = pre.ByteLevel(add_prefix_space=False, use_regex=True)
DIGITS = pre.Digits(individual_digits=True)
# name: normalizer, pre-tokenizers, whether a piece that is a token is taken whole
RULES = {
    "command-r": (normalizers.NFC(), [DIGITS, GPT2], False),
    "deepseek-coder": (
        None,
        [split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(CJK), DIGITS, BYTES],
        False,
    ),
    "deepseek-llm": (
        None,
        [
            split("[\r\n]"),
            split(LETTERS),
            split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"),
            split(r"\s+$"),
            split(CJK),
            DIGITS,
            BYTES,
        ],
        False,
    ),
    "falcon": (None, [pre.Punctuation("contiguous"), GPT2, pre.Digits(), split("[0-9][0-9][0-9]")], False),
    "gpt-2": (None, [GPT2], False),
    "gpt-neox": (normalizers.NFC(), [GPT2], False),
    "llama-bpe": (None, [split(modern(r"\p{N}{1,3}")), BYTES], True),
    "mpt": (normalizers.NFC(), [GPT2], False),
    "qwen2": (normalizers.NFC(), [split(modern(r"\p{N}")), BYTES], False),
    "qwen35": (None, [split(MARKED), BYTES], False),
    "refact": (None, [DIGITS, GPT2], False),
    "starcoder": (None, [DIGITS, GPT2], False),
}
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4
UNIGRAM, BPE = 1, 2


class Reader:
    """The tokenizer's keys of a GGUF file."""

    def __init__(self, path):
        self.fields = gguf.GGUFReader(path).fields

    def get(self, key, default=None):
        """A value; `default` if it is not there."""
        field = self.fields.get("tokenizer.ggml." + key)
        return default if field is None else field.contents()


def byte_level(reader, rule):
    """A function from a text to ids, by tokenizers."""
    normalizer, steps, whole = rule
    tokens = reader.get("tokens")
    types = reader.get("token_type")
    merges = [tuple(merge.split(" ")) for merge in reader.get("merges")]
    tokenizer = Tokenizer(models.BPE(dict(zip(tokens, range(len(tokens)))), merges, ignore_merges=whole))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre.Sequence(steps)
    lacking = set(pre.ByteLevel.alphabet()) - set(tokens)
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t, y in zip(tokens, types) if y == USER_DEFINED])

    def encode(text):
        """None for a text with a byte that has no token: the reference leaves it out without a word."""
        written = "".join(piece for piece, _ in BYTES.pre_tokenize_str(text))
        return None if lacking & set(written) else tokenizer.encode(text, add_special_tokens=False).ids

    return encode


def gemma4(reader):
    """The same for the merges over characters that Gemma 4 has."""
    tokens = reader.get("tokens")
    merges = [tuple(merge.split(" ")) for merge in reader.get("merges")]
    tokenizer = Tokenizer(
        models.BPE(
            dict(zip(tokens, range(len(tokens)))), merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"
        )
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    added = [AddedToken(t, normalized=False) for t, y in zip(tokens, reader.get("token_type")) if y == USER_DEFINED]
    tokenizer.add_tokens(added)
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def sentence_processor(reader, model_type):
    """A sentencepiece model from the file's tables."""
    model = model_pb2.ModelProto()
    unknown = False
    for text, score, kind in zip(reader.get("tokens"), reader.get("scores"), reader.get("token_type")):
        if kind == UNKNOWN:
            kind = CONTROL if unknown else UNKNOWN  # sentencepiece takes one
            unknown = True
        model.pieces.add(piece=text, score=score, type=kind)
    model.trainer_spec.model_type = model_type
    model.trainer_spec.byte_fallback = model_type == BPE
    spec = model.normalizer_spec
    spec.add_dummy_prefix = bool(reader.get("add_space_prefix", True))
    spec.remove_extra_whitespaces = bool(reader.get("remove_extra_whitespaces", False))
    spec.precompiled_charsmap = bytes(item & 255 for item in reader.get("precompiled_charsmap", []))
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model.SerializeToString())
    return processor


def scored(reader):
    """The same by sentencepiece."""
    return sentence_processor(reader, BPE).encode


def unigram(reader):
    """The same by tokenizers, whose sums of scores have 64 bits, of what sentencepiece makes of the characters."""
    rows = zip(reader.get("tokens"), reader.get("scores"), reader.get("token_type"))
    vocabulary = [(text if kind == NORMAL else f"\U0010fffd{i}", score) for i, (text, score, kind) in enumerate(rows)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, reader.get("unknown_token_id")))
    processor = sentence_processor(reader, UNIGRAM)
    return lambda text: tokenizer.encode(processor.normalize(text), add_special_tokens=False).ids


def ours(forerun, path, texts):
    """The ids of all texts, by `forerun tokenize`."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    command = [forerun, "tokenize", "--jsonl", "--no-special", "--model", path]
    done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


OTHERS = {"baichuan": scored, "gemma-4": gemma4, "llama-spm": scored, "nomic-bert-moe": unigram, "phi-3": scored}


def main():
    """Compare all vocabularies, or the named ones; the status is 1 if any text differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forerun")
    parser.add_argument("folder")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    texts = odd_texts.texts(options.texts, options.seed)
    failed = 0
    for name in options.names or sorted(list(RULES) + list(OTHERS)):
        path = os.path.join(options.folder, f"ggml-vocab-{name}.gguf")
        reader = Reader(path)
        reference = byte_level(reader, RULES[name]) if name in RULES else OTHERS[name](reader)
        wanted = [(text, ids) for text, ids in ((text, reference(text)) for text in texts) if ids is not None]
        same = 0
        for (text, ids), got in zip(wanted, ours(options.forerun, path, [text for text, _ in wanted])):
            same += ids == got
            if ids != got:
                failed += 1
                print(f"{name}: {json.dumps(text)}: {got}, wanted {ids}")
        print(f"{name}: {same} of {len(wanted)}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
