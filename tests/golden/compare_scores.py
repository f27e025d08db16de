#!/usr/bin/env python3
"""Scores of `forerun eval --generate` on a real model against sacrebleu and rouge-score on the file that it wrote.

    compare_scores.py FORERUN MODEL

First the model answers questions; then the answers, changed in many ways, become the targets, one or several of a row. All scores must
agree: of each row to nine digits, which the file has, and of all rows."""

import json
import os
import random
import subprocess
import sys
import tempfile

import odd_texts
import score_libraries as libraries

ROWS = 30
QUESTIONS = ["Write a sentence about the number {}.", "What is {} + 2.5?", "List {} kinds of fruit.", "Write {} words of French with accents.",
             "Write an e-mail with {} quotation marks & signs.", "Write a shell command with {} options."]


def forerun(program, *arguments):
    """Runs a command; what it prints."""
    return subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()


def write(path, rows):
    """A file of rows."""
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


def read(path):
    """Rows of a file; a text may hold what ends a line elsewhere."""
    with open(path, encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def change(source, text, odd):
    """Another text that shares much with this one."""
    words = text.split(" ")
    for _ in range(source.randint(0, 4)):
        kind = source.random()
        at = source.randrange(len(words))
        if kind < 0.4:
            words[at] = source.choice(odd)
        elif kind < 0.6:
            words.insert(at, source.choice(["1.5", "x-\ny", "&amp;", "...", "\u2028", "\u0130", "<skipped>"]))
        elif kind < 0.8:
            words[at] = words[at].upper()
        elif len(words) > 1:
            del words[at]
    return " ".join(words) or "x"


def differs(name, got, wanted):
    """Says and tells whether two numbers differ."""
    if abs(got - wanted) <= 2e-9 * max(1.0, abs(wanted)):
        return False
    print(f"{name}: {got}, not {wanted}")
    return True


def check_file(path, result):
    """How many numbers of a file of scored rows, and of what was printed, differ."""
    rows = read(path)
    wrong = 0
    for number, row in enumerate(rows):
        wanted = libraries.row_scores(row["generated"], row["references"])
        wrong += sum(differs(f"row {number}, {key}", row["scores"][key], value) for key, value in wanted.items())
    wanted = libraries.corpus_scores([(row["generated"], row["references"]) for row in rows])
    wrong += sum(differs(f"all rows, {key}", result["scores"][key], value) for key, value in wanted.items())
    print(f"{len(rows)} rows: {wanted}")
    return wrong


def main():
    """Both runs, and the comparison."""
    program, model = sys.argv[1:]
    source = random.Random(3)
    odd = [text.replace("\x00", "") for text in odd_texts.texts(200, 5)]
    with tempfile.TemporaryDirectory() as work:
        first, targets, scored = (os.path.join(work, name) for name in ("first.jsonl", "targets.jsonl", "scored.jsonl"))
        rows = [{"source": QUESTIONS[i % len(QUESTIONS)].format(i)} for i in range(ROWS)]
        write(first, rows)
        options = ["--model", model, "--chat", "--max-new-tokens", "40"]
        answers = [json.loads(line) for line in forerun(program, "generate", *options, "--input", first).split("\n") if line]
        for row, answer in zip(rows, answers):
            many = [change(source, answer["generated"], odd) for _ in range(source.randint(1, 4))]
            row["target"] = many if len(many) > 1 else many[0]
        write(targets, rows)
        result = json.loads(forerun(program, "eval", "--generate", *options, "--data", targets, "--output", scored, "--json"))
        wrong = check_file(scored, result)
    if wrong > 0:
        sys.exit(f"{wrong} scores differ")
    print("all scores agree")


if __name__ == "__main__":
    main()
