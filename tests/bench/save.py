#!/usr/bin/env python3
"""What a checkpoint at every step costs: SmolLM2-135M, one task, runs with and without saves alternately.

usage: tests/bench/save.py [--data DIR] [--steps N] [--rounds N] [--length P] [--program FORERUN] [--dir DIR] [--ranks N]

DIR of --data holds train.jsonl with source and target; run folders are made under --dir, whose disk counts. Prints,
from metrics.jsonl: the share of wall time for which training stood still for files (the critical path; the wait for
the last checkpoint and for prefix.h5 apart), the writer's CPU and wall seconds a checkpoint, and the wall time a step
beside that of runs without saves, as minimum, median and maximum over the rounds, with the load around them.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))

CONFIG = """\
base: {path: "%s"}
run: {dir: "%s", steps: %d, precision: bf16, measure_base: false, save_every: %d}
tasks:
  - name: bench
    train: "%s"
    template: "{source}\\n{target}"
    prefix: {init: {random: 0.02}, length: %d}
    optimizer: {lr: 1.0e-2}
    batch: {examples: 8, microbatch_tokens: 1024}
"""


def train(options, work, save_every):
    """Lines of metrics.jsonl of one run."""
    folder = work + "/run"
    shutil.rmtree(folder, ignore_errors=True)
    with open(work + "/save.yaml", "w", encoding="utf-8") as file:
        file.write(CONFIG % (ROOT + "/models/smollm2-135m-instruct.gguf", folder, options.steps, save_every,
                             os.path.realpath(options.data) + "/train.jsonl", options.length))
    command = [options.program, "train", work + "/save.yaml"]
    if options.ranks > 1:
        command = ["mpirun", "-n", str(options.ranks)] + command + ["--set", "run.threads=1"]
    result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        sys.exit(result.stderr)
    with open(folder + "/metrics.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def step_seconds(lines):
    """Wall seconds of the steps but for the first, which fills caches."""
    return [line["seconds"] for line in lines if "lr" in line][1:]


def spread(values, scale, digits):
    return " / ".join("%.*f" % (digits, scale * f(values)) for f in (min, statistics.median, max))


def main():
    """Alternate, then print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", default=ROOT + "/data/debdesc")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--program", default=ROOT + "/build/release/forerun")
    parser.add_argument("--dir")
    options = parser.parse_args()
    saving, plain, shares, last, cpu, wall = [], [], [], [], [], []
    load = open("/proc/loadavg", encoding="ascii").read().split()[0]
    with tempfile.TemporaryDirectory(dir=options.dir) as work:
        for _ in range(options.rounds):
            plain.append(statistics.median(step_seconds(train(options, work, 1000000))))
            lines = train(options, work, 1)
            size = os.path.getsize("%s/run/checkpoint-%d.h5" % (work, options.steps))
            steps = step_seconds(lines)
            saves = [line for line in lines if "saved" in line]
            inner = [line["blocked_seconds"] for line in saves if line["step"] < options.steps]
            saving.append(statistics.median(steps))
            shares.append(sum(inner) / sum(steps))
            last.append(sum(line["blocked_seconds"] for line in saves) - sum(inner))
            cpu += [line["writer_cpu_seconds"] for line in saves if line["saved"] != "prefix.h5"]
            wall += [line["writer_seconds"] for line in saves if line["saved"] != "prefix.h5"]
    print("a checkpoint of %.1f MB at each of %d steps, prefix of %d, %d ranks; minimum / median / maximum of %d rounds; "
          "load %s before" % (size / 1e6, options.steps, options.length, options.ranks, options.rounds, load))
    print("critical path, share of wall time: %s %%" % spread(shares, 100, 3))
    print("wait for the last files:           %s ms" % spread(last, 1e3, 1))
    print("writer's CPU a checkpoint:         %s ms" % spread(cpu, 1e3, 1))
    print("writer's wall time a checkpoint:   %s ms" % spread(wall, 1e3, 1))
    print("wall time a step, with saves:      %s ms" % spread(saving, 1e3, 1))
    print("wall time a step, without:         %s ms" % spread(plain, 1e3, 1))
    print(json.dumps({"critical_share": shares, "writer_cpu_seconds": cpu, "writer_seconds": wall, "last_seconds": last,
                      "step_seconds": saving, "step_seconds_without": plain, "bytes": size}))


main()
