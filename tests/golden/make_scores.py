#!/usr/bin/env python3
"""Write scores.json anew: odd answers and references, and what sacrebleu 2.6.0 and rouge-score 0.1.2 make of them.

    pip install sacrebleu==2.6.0 rouge-score==0.1.2; python3 make_scores.py"""

import json
import os
import random
import sys

import odd_texts
import score_libraries as libraries

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scores.json")

# Texts that show a rule each; every one is an answer to itself and to its neighbours.
TEXTS = [
    "", " ", "\n", "a", "A", "The cat sat on the mat.", "the cat sat on the mat", "The cat sat  on\tthe mat .\n",
    "find . -type f -name \"*.c\"", "find . -name '*.c' -type f", "ls -la | grep foo > out.txt", "a.b,c", "1.5,2", "1,000.5", ".5", "5.",
    "a.,.b", "..", "...", "1..2", "1-2", "1--2", "a-b", "-1", "x-\ny", "x\ny", "R&D", "&amp;lt;", "&quot;x&quot; &lt;b&gt;", "&amp;amp;quot;",
    "<skipped>a<skipped>", "<skip<skipped>ped>", "it's", "{x}~|`^_[y]\\", "(a)*+,-/:;<=>?@", "$5 %6 #7 !8 \"9\"",
    "\u0130stanbul K", "i stanbul 3k", "\u0130stanbul 3\u212a", "\u212aelvin 3\u212a", "na\u00efve caf\u00e9", "nai\u0308ve cafe\u0301", "\u4e2d\u6587\uff0c\u6d4b\u8bd5\u3002",
    "\u65e5\u672c\u8a9e.\u30c6\u30b9\u30c8,1", "\ud83d\ude00 ok \ud83d\udc4d\ud83c\udffd".encode("utf-16", "surrogatepass").decode("utf-16"),
    "a\u00a0b\u2003c\u3000d\u2028e\u0085f\u001cg\u200bh\u180ei", "\u00a0x\u00a0", "\u0661\u0662.\u0663", "\u00bd.5", "\u00e9.\u00e9,\u00e9",
    "x" * 40, "ab " * 30, "a a a a a b a a a a a", "the the the the the the the", "one two three four", "one two three", "four three two one",
    "\x00 zero\x00", "\ufffd", "tab\tand\x0bmore\x0c\r\nend", "Hello, World! 3.14 is pi; e is 2.71828...", "Hello World 3.14 is pi e is 2,71828",
]


def some_words(source, n):
    """Words of few kinds, so that texts share some."""
    words = ["the", "a", "cat", "dog", "sat", "on", "mat", "1.5", "x-y", "Cat", "\u00e9t\u00e9", "\u732b", ",", ".", "end."]
    return " ".join(source.choice(words) for _ in range(n))


def make_rows():
    """(answer, references): pairs, and rows of several references."""
    source = random.Random(20)
    rows = [(text, [text]) for text in TEXTS]
    rows += [(TEXTS[i], [TEXTS[i + 1]]) for i in range(len(TEXTS) - 1)]
    rows += [(some_words(source, source.randint(0, 30)), [some_words(source, source.randint(1, 30)) for _ in range(source.randint(1, 4))])
             for _ in range(50)]
    odd = odd_texts.texts(150, 7)
    rows += [(odd[3 * i], odd[3 * i + 1:3 * i + 3]) for i in range(25)]
    rows += [(odd[75 + i] + " " + odd[76 + i], [odd[76 + i] + odd[75 + i]]) for i in range(25)]
    rows += [(some_words(source, 300), [some_words(source, 400), some_words(source, 200)])]
    return rows


def main():
    """Writes the file; lines are sorted, so that a new version shows what changed."""
    rows = make_rows()
    out = {"libraries": libraries.versions(), "rows": [], "corpora": []}
    for answer, references in rows:
        row = libraries.row_scores(answer, references)
        row.update({"answer": answer, "references": references, "tokens_13a": libraries.tokens(answer),
                    "bleu": libraries.corpus_scores([(answer, references)])["bleu"]})
        out["rows"].append(row)
    for first, end in ((0, len(rows)), (0, 62), (62, 123), (123, 173), (173, len(rows))):
        out["corpora"].append({"first": first, "end": end, **libraries.corpus_scores(rows[first:end])})
    with open(PATH, "w", encoding="utf-8") as file:
        lines = ",\n".join(json.dumps(row) for row in out["rows"])
        corpora = ",\n".join(json.dumps(row) for row in out["corpora"])
        file.write('{"libraries": %s,\n"rows": [\n%s],\n"corpora": [\n%s]}\n' % (json.dumps(out["libraries"]), lines, corpora))
    print(f"{len(rows)} rows", file=sys.stderr)


if __name__ == "__main__":
    main()
