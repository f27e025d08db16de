#!/usr/bin/env python3
"""Write tokenizers.json anew: small tokenizers in the forms of well-known models, and what Hugging Face's tokenizers makes of
odd texts with them. Needs tokenizers 0.23, sentencepiece and protobuf."""

import io
import json
import os
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizers.json")
MARK = "\u2581"

TEXTS = [
    "", " ", "  ", "\n", "a", "Hello world", " Hello  world ", "Hello\r\nworld\r\n\r\n", "\t\tif (x):\n\n\n    y += 1  \n",
    "I'M sure they'll've said: it's 'S", "12345 1234567890 3.14", "\u0661\u0662\u0663\u0664 \u0967\u0968 \u00b2\u00bd",
    "e\u0301\u0323 E\u0323\u0301 \u1e69\u0323 a\u0328\u0301", "\u039f\u0394\u039f\u03a3 \u03a3\u03a3 \u0130I\u0131",
    "a\u180eb \u180e c", "a\u00a0b\u00a0 \u3000c\u2003 d", "\u200b\u200d\ufeffx", "\U0001f468\u200d\U0001f469\u200d\U0001f467 ok",
    "\ufb01ne \u2460 \uff28\uff45\uff4c\uff4c\uff4f \u212b \uac00\u1100\u1161", "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u30ab\u30bf",
    "snake_case __init__ CamelCaseWord ABCdef x\u0301Y", "!!! ... --> (a|b) $5 <= `q` ~^", "<a> x <b> y <c>", "x<a>y  <b>  z \n<c>\n w",
    "word sword word_ word-word", "              deep", "\u2581x \u2581 y", "end ", "a,b;c", "\u00c5ngstr\u00f6m na\u00efve \u1e9e\u00df",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "http://x.org/a/b?c=1&d=%20", "\x01\x02\x7f\x9f.", "\u017f \u212a's '\u017f", "r\u031b\u0d3b \u32ff \u0323\u1dfa",
]

CORPUS = [text for text in TEXTS for _ in range(3)] + [
    "the quick brown fox jumps over the lazy dog", "hello world, hello words", "it's 12 and 123 and 1234",
    "The models are trained with the words of the world\n\n"]

ENGLISH = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
MODERN = ENGLISH + r"|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UP, LOW = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = (rf"[^\r\n\p{{L}}\p{{N}}]?{UP}*{LOW}+{ENGLISH}?|[^\r\n\p{{L}}\p{{N}}]?{UP}+{LOW}*{ENGLISH}?|\p{{N}}{{1,3}}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
MARKS = ENGLISH + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
POSSESSIVE = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+")
SIGNS = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"


def split(pattern, behavior="isolated", invert=False):
    """A Split with a regular expression."""
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def bytes_only(**how):
    """ByteLevel without its own expression."""
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False, **how)


def in_order(*steps):
    """A Sequence of pre-tokenizers."""
    return pre_tokenizers.Sequence(list(steps))


def trained(model, trainer, normalizer=None, pre=None, decoder=None, post=None, added=()):
    """A tokenizer trained with the corpus."""
    made = Tokenizer(model)
    if normalizer is not None:
        made.normalizer = normalizer
    if pre is not None:
        made.pre_tokenizer = pre
    if decoder is not None:
        made.decoder = decoder
    made.train_from_iterator(CORPUS, trainer)
    if post is not None:
        made.post_processor = post
    made.add_tokens([token for token in added if not token.special])
    made.add_special_tokens([token for token in added if token.special])
    return made


SPECIALS = ["<s>", "</s>"]


def byte_level(normalizer=None, pre=None, post=None, added=(), **model):
    """Byte-level BPE."""
    trainer = trainers.BpeTrainer(vocab_size=360, show_progress=False, special_tokens=SPECIALS,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    made = trained(models.BPE(), trainer, normalizer, pre, decoders.ByteLevel(), post, added)
    if model:
        root = json.loads(made.to_str())
        root["model"].update(model)
        made = Tokenizer.from_str(json.dumps(root))
    return made


def characters(normalizer=None, pre=None, decoder=None, added=()):
    """BPE over characters, with the bytes as tokens."""
    special = ["<unk>"] + SPECIALS + [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=460, show_progress=False, special_tokens=special, limit_alphabet=60)
    model = models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    root = json.loads(trained(model, trainer, normalizer, pre, decoder, None, added).to_str())
    root["added_tokens"] = [token for token in root["added_tokens"] if not token["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(root))


def unigram(normalizer, added=()):
    """Scores, as T5."""
    trainer = trainers.UnigramTrainer(vocab_size=200, show_progress=False, special_tokens=["<pad>", "</s>", "<unk>"],
                                      unk_token="<unk>")
    return trained(models.Unigram(), trainer, normalizer, pre_tokenizers.Metaspace(), decoders.Metaspace(),
                   processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)]), added)


def bos(front="<s>", number=0):
    """A template with a token in front."""
    return processors.TemplateProcessing(single=f"{front} $A", special_tokens=[(front, number)])


def token(text, **how):
    """An added token."""
    return AddedToken(text, **how)


PLAIN = [token("<a>", normalized=False), token("<b>", normalized=False, special=True), token("<c>", normalized=True)]
TOUCHING = [token("<a>", lstrip=True, normalized=False), token("<b>", rstrip=True, normalized=False, special=True),
            token("<c>", lstrip=True, rstrip=True, normalized=False), token("word", single_word=True, normalized=False)]
SPACES = [token(" " * n, normalized=True) for n in range(2, 15)]
LLAMA = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
GEMMA = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()])
MISTRAL = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])



def table():
    """A small precompiled_charsmap: rules as lines of code points, what is replaced and by what."""
    rules = ["FB01\t66 69", "E9\t65", "65 301\tE9", "61\t62", "61 328\t105", "1F468 200D\t4D", "3000\t20", "200B\t", "41\t61 61 61"]
    made = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.write("\n".join(rules) + "\n")
        file.flush()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS[3:] * 9), model_writer=made, vocab_size=200, minloglevel=2,
                                                 hard_vocab_limit=False, normalization_rule_tsv=file.name)
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(made.getvalue())
    return model.normalizer_spec.precompiled_charsmap


FORMS = {
    "llama-3": lambda: byte_level(pre=in_order(split(MODERN % r"\p{N}{1,3}"), bytes_only()), added=PLAIN, ignore_merges=True,
                                  post=processors.Sequence([processors.ByteLevel(trim_offsets=False), bos()])),
    "qwen-2": lambda: byte_level(normalizers.NFC(), in_order(split(MODERN % r"\p{N}"), bytes_only()), added=PLAIN,
                                 post=processors.ByteLevel(trim_offsets=False)),
    "gpt-neox": lambda: byte_level(normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False), added=SPACES + PLAIN,
                                   post=processors.TemplateProcessing(single="$A")),
    "granite": lambda: byte_level(pre=in_order(pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)), added=TOUCHING),
    "phi-4": lambda: byte_level(pre=in_order(split(CASED, "removed", True), bytes_only()), added=TOUCHING),
    "bloom": lambda: byte_level(pre=in_order(split(BLOOM), bytes_only()), added=TOUCHING),
    "opt": lambda: byte_level(pre=pre_tokenizers.ByteLevel(add_prefix_space=True), added=PLAIN,
                              post=processors.RobertaProcessing(("</s>", 1), ("<s>", 0))),
    "falcon": lambda: byte_level(pre=in_order(
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Digits(individual_digits=False), split("[0-9][0-9][0-9]")), added=PLAIN),
    "llama-2": lambda: characters(normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)]), None, LLAMA,
                                  added=TOUCHING),
    "mistral": lambda: characters(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), MISTRAL, PLAIN),
    "gemma": lambda: characters(normalizers.Replace(" ", MARK), pre_tokenizers.Split(" ", "merged_with_previous"), GEMMA,
                                [token("\n" * n, normalized=False) for n in range(1, 5)] + PLAIN),
    "t5": lambda: unigram(normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]),
                          added=PLAIN),
}

NORMALIZERS = [
    normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD(), normalizers.Lowercase(), normalizers.StripAccents(),
    normalizers.Strip(), normalizers.Strip(left=False), normalizers.Nmt(), normalizers.Prepend(MARK), normalizers.Replace(" ", MARK),
    normalizers.Replace("l", ""), normalizers.Replace(Regex(r"\s+$"), "|"), normalizers.Replace(Regex(r"\d*"), "#"),
    normalizers.Precompiled(table()), normalizers.Sequence([]), normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]),
]

SPLITTERS = [
    pre_tokenizers.Whitespace(), pre_tokenizers.WhitespaceSplit(), pre_tokenizers.BertPreTokenizer(),
    pre_tokenizers.CharDelimiterSplit(","), pre_tokenizers.Digits(individual_digits=False),
    pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Metaspace(), pre_tokenizers.Metaspace(split=False),
    pre_tokenizers.Metaspace(prepend_scheme="never"), pre_tokenizers.Metaspace("_", prepend_scheme="first"), in_order(),
    *[pre_tokenizers.Punctuation(how) for how in
      ("isolated", "removed", "contiguous", "merged_with_previous", "merged_with_next")],
    *[split(r"\s", how, invert) for invert in (False, True) for how in
      ("isolated", "removed", "contiguous", "merged_with_previous", "merged_with_next")],
    pre_tokenizers.Split("ll", "isolated"), pre_tokenizers.Split(".", "removed"),
    *[split(pattern) for pattern in (
        MODERN % r"\p{N}{1,3}", CASED, MARKS, POSSESSIVE, SIGNS, BLOOM, r"\w+", r"\W+", r"\bw\w*\b", r"\Bo", r"\h{2}", r"^\s*|$",
        r"(?<name>l)(?=l)", r"\p{N}{1,2}+", r"a{,2}b{x", r"[\p{Lu}\p{Ll}&&[^\p{Latin}]]+", r"\p{^L}+", r"\P{L}+", r"\p{Han}+",
        r"(?m:.)+?\n", r"(?i)HELLO|É", r"(?=(\d{3})+(?!\d))", r"[^\S\n]+", r"[\s\d-]+", r"\u0301|\x{323}|\x41", r"(?>a|ab)c?",
        r"[[a-c][.,]]+", r"\s+$")],
    in_order(split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(SIGNS)),
    in_order(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), pre_tokenizers.Digits(individual_digits=True)),
]


def state(step):
    """The object that tokenizer.json has for a normalizer or a pre-tokenizer."""
    holder = Tokenizer(models.BPE())
    kind = "normalizer" if isinstance(step, normalizers.Normalizer) else "pre_tokenizer"
    setattr(holder, kind, step)
    return json.loads(holder.to_str())[kind]


def form(name, made):
    """A tokenizer with its ids and what they decode to."""
    root = json.loads(made.to_str())
    root["added_tokens"] = [{key: value for key, value in item.items() if value is not False or key in ("special", "normalized")}
                            for item in root["added_tokens"]]
    ids = [made.encode(text, add_special_tokens=False).ids for text in TEXTS]
    return {"name": name, "tokenizer": root, "config": {"eos_token": "</s>"}, "ids": ids,
            "decoded": [made.decode(row, skip_special_tokens=False) for row in ids],
            "front": made.encode("a").ids[:-len(made.encode("a", add_special_tokens=False).ids)][:1] if name != "t5" else []}


def main():
    """Write the file, one form to a line."""
    parts = {"texts": TEXTS,
             "normalizers": [{"step": state(step), "texts": [step.normalize_str(text) for text in TEXTS]} for step in NORMALIZERS],
             "splitters": [{"step": state(step), "pieces": [[piece for piece, _ in step.pre_tokenize_str(text) if piece] for text in TEXTS]}
                           for step in SPLITTERS],
             "forms": [form(name, make()) for name, make in FORMS.items()]}
    with open(PATH, "w", encoding="ascii") as file:
        file.write("{\n")
        for key, items in parts.items():
            lines = ",\n".join(json.dumps(item, separators=(",", ":")) for item in items)
            file.write(f'"{key}": [\n{lines}\n]{"," if key != "forms" else ""}\n')
        file.write("}\n")


if __name__ == "__main__":
    main()
