"""Train by the configs of memory.sh and print the peak of each run.

usage: memory.py FORERUN WORK [table|row]
"""
import json
import os
import random
import shutil
import statistics
import subprocess
import sys

MICROBATCHES = (1024, 256, 128, 64)
MODES = ("none", "mlp", "layer")
LONG_ROW, ROW_LIMIT = 8000, 1.5e9


def train(program, work, name, **sets):
    """Steps of metrics.jsonl, peak resident bytes, CPU seconds."""
    shutil.rmtree(work + "/run", ignore_errors=True)
    command = [program, "train", "%s/%s.yaml" % (work, name)]
    for key, value in sets.items():
        command += ["--set", "%s=%s" % (key.replace("__", "."), value)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit("%s ended with status %d" % (" ".join(command), status))
    with open(work + "/run/metrics.jsonl") as file:
        steps = [line for line in map(json.loads, file) if "loss" in line]
    return steps, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime


def table(program, work):
    print("%-10s %-8s %10s %12s %14s" % ("microbatch", "again", "peak MiB", "tokens/s", "CPU s a run"))
    for tokens in MICROBATCHES:
        for mode in MODES:
            steps, peak, cpu = train(program, work, "table", run__recompute=mode,
                                     tasks__bench__batch__microbatch_tokens=tokens)
            rate = statistics.median(step["tokens_per_second"] for step in steps[1:])
            print("%-10d %-8s %10.0f %12.0f %14.1f" % (tokens, mode, peak / 2**20, rate, cpu), flush=True)


def row(program, work):
    ids = random.Random(1)
    with open(work + "/row.jsonl", "w") as file:
        source, target = ([ids.randrange(20, 49000) for _ in range(LONG_ROW // 2)] for _ in range(2))
        print(json.dumps({"source_ids": source, "target_ids": target}), file=file)
    steps, peak, cpu = train(program, work, "row", run__recompute="layer")
    print("a row of %d tokens, recompute: layer: peak %.3f GB, loss %.4f, CPU %.0f s" % (
        LONG_ROW, peak / 1e9, steps[0]["loss"], cpu))
    if peak > ROW_LIMIT:
        sys.exit("more than %.1f GB" % (ROW_LIMIT / 1e9))


program, work, wanted = os.path.realpath(sys.argv[1]), sys.argv[2], sys.argv[3:] or ["table", "row"]
for part in wanted:
    {"table": table, "row": row}[part](program, work)
