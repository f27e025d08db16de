#!/usr/bin/env python3
"""Generation: decode and prompt speed of one row, by weights and precision; 16 rows with 16 prefixes against 16 with one;
with --peer (a Python that has llama_cpp) llama.cpp on the same file, all alternately on two threads.

usage: generate.py --forerun PROGRAM --model MODEL.gguf [--peer PYTHON] [--rounds N] [--quick]

Rates are minimum, median and maximum over the rounds. The last line is a JSON object, whose rates and ratios are those of
the file's blocks in f32."""
import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile

PROMPT, NEW, ROWS, LENGTH = 512, 64, 16, 32
ALONE = {"OMP_WAIT_POLICY": "active", "OMP_PROC_BIND": "true"}
QUOTED = ("quantised", "f32")  # llama.cpp's own terms: the file's blocks, no rounding of what they stand for
KINDS = [QUOTED, ("auto", "bf16"), ("quantised", "bf16"), ("auto", "f32")]
TEXT = "The keeper of the lighthouse found a message in a bottle. "
CONFIG = """base: {path: %s}
run: {dir: %s, steps: 1, threads: 2}
tasks:
"""
TASK = """  - {name: p%d, seed: %d, train: %s, template: "{source}{target}", prefix: {init: {random: 0.02}, length: %d},
     optimizer: {kind: sgd, lr: 0.0}, batch: {examples: 1}}
"""


def write_rows(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


class Forerun:
    def __init__(self, program, model, work):
        self.program, self.model, self.work = program, model, work

    def run(self, *arguments, given=None):
        return subprocess.run([self.program, *arguments], input=given, capture_output=True, text=True, check=True,
                              env=dict(os.environ, **ALONE))

    def ids(self, count):
        line = self.run("tokenize", "--model", self.model, "--jsonl", "--no-special", given=json.dumps(TEXT) + "\n").stdout
        ids = json.loads(line)
        return (ids * (count // len(ids) + 1))[:count]

    def prefixes(self):
        """FILE:TASK of each of the prefixes, all in one checkpoint."""
        config, rows, folder = (self.work + name for name in ("/c.yaml", "/train.jsonl", "/run"))
        write_rows(rows, [{"source": TEXT, "target": TEXT}])
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIG % (json.dumps(self.model), json.dumps(folder)))
            file.writelines(TASK % (i, i, json.dumps(rows), LENGTH) for i in range(ROWS))
        self.run("train", config)
        return [folder + "/checkpoint-1.h5:p%d" % i for i in range(ROWS)]

    def rates(self, rows, weights, precision):
        """Tokens/s of (prompt, decode)."""
        path = self.work + "/rows.jsonl"
        write_rows(path, rows)
        said = self.run("generate", "--model", self.model, "--input", path, "--output", os.devnull, "--threads", "2", "--batch",
                        str(ROWS), "--max-new-tokens", str(NEW), "--weights", weights, "--precision", precision).stderr
        return [float(rate) for rate in re.search(r"prompts: .*, (\S+) tokens/s; decoded: .*, (\S+) tokens/s", said).groups()]


def peer_rates(python, model):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer_llama.py")
    said = subprocess.run([python, script, model, str(PROMPT), str(NEW)], capture_output=True, text=True, check=True,
                          env=dict(os.environ, **ALONE)).stdout  # its threads lose by sleeping, too
    found = json.loads(said.strip().splitlines()[-1])
    return [found["prompt"], found["decode"]]


def show(name, measured):
    cells = ["%7.1f %7.1f %7.1f" % (min(m), statistics.median(m), max(m)) for m in zip(*measured)]
    print("%-44s %s" % (name, "   ".join(cells)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forerun", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--peer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    kinds, rounds = (KINDS[:2], 1) if options.quick else (KINDS, options.rounds)
    measured = {}
    with tempfile.TemporaryDirectory() as work:
        forerun = Forerun(os.path.abspath(options.forerun), os.path.abspath(options.model), work)
        ids, names = forerun.ids(PROMPT), forerun.prefixes()
        many = {"own": [{"source_ids": ids[:32], "prefix": name} for name in names],
                "one": [{"source_ids": ids[:32], "prefix": names[0]} for _ in names]}
        for turn in range(rounds):
            for weights, precision in kinds:
                measured.setdefault((weights, precision), []).append(forerun.rates([{"source_ids": ids}], weights, precision))
            if options.peer:
                measured.setdefault("peer", []).append(peer_rates(options.peer, forerun.model))
            for kind in ("own", "one") if turn % 2 == 0 else ("one", "own"):
                measured.setdefault(kind, []).append(forerun.rates(many[kind], "auto", "bf16"))
    print("%-44s %-26s %s" % ("tokens/s on 2 threads: min, median, max", "prompt", "decode"))
    for weights, precision in kinds:
        show("1 row, weights %s, %s" % (weights, precision), measured[weights, precision])
    show("%d rows, one prefix" % ROWS, measured["one"])
    show("%d rows, %d prefixes" % (ROWS, ROWS), measured["own"])
    medians = {key: [statistics.median(m) for m in zip(*value)] for key, value in measured.items()}
    quoted = medians[QUOTED]
    found = {"kind": list(QUOTED), "prompt": quoted[0], "decode": quoted[1],
             "own_prefixes_over_one": statistics.median(own[1] / one[1] for own, one in zip(measured["own"], measured["one"]))}
    if options.peer:
        show("llama.cpp", measured["peer"])
        found.update(llama_prompt=medians["peer"][0], llama_decode=medians["peer"][1],
                     prompt_over_llama=quoted[0] / medians["peer"][0], decode_over_llama=quoted[1] / medians["peer"][1])
    print(json.dumps(found))


main()
