"""Cases generate and save: programs of their own beside this one, which print a JSON object as their last line.

generate.py --forerun PROGRAM --model MODEL [--peer PYTHON] [--quick]: decode_over_llama, prompt_over_llama (with a
peer) and own_prefixes_over_one are compared with what is demanded; without that file the generate command is timed."""
import json
import os
import statistics
import subprocess
import sys
import time

import ours
import report
import rows

HERE = os.path.dirname(os.path.abspath(__file__))
STORY = "Write a long story about a lighthouse keeper who finds a message in a bottle."
BARS = [("decode_over_llama", "decode, greedy, 1 row, over llama.cpp's", 1.0),
        ("prompt_over_llama", "prompt processing, over llama.cpp's", 2.5),
        ("own_prefixes_over_one", "16 rows with 16 prefixes over 16 with one", 0.95)]
FEW, MANY, LONG = 16, 144, 480  # tokens generated, tokens of the long prompt


def last_object(command, budget, **environment):
    """What the program's last line says; what it prints before is shown."""
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=budget, check=True,
                         env=dict(os.environ, **environment))
    *shown, last = run.stdout.strip().splitlines()
    print("".join("\n  " + line for line in shown))
    return json.loads(last)


def bars_of(found):
    """The demands on generation; what was not measured counts as such."""
    return [report.bar(figure, demanded, found.get(key)) for key, figure, demanded in BARS]


def seconds_of(bench, prompt, tokens):
    """(seconds, tokens generated) of the generate command, start-up included."""
    command = [bench.ours.program, "generate", "--model", bench.ours.model, "--threads", "2", "--prompt", prompt,
               "--template", rows.TEMPLATE, "--max-new-tokens", str(tokens)]
    began = time.monotonic()
    run = subprocess.run(command, capture_output=True, text=True, check=True,
                         env=dict(os.environ, **ours.ALONE))
    seconds = time.monotonic() - began
    return seconds, len(rows.ids_of(bench.ours.program, bench.ours.model, [run.stdout])[0])


def our_rates(bench):
    """Tokens a second of (decode, prompt): differences of two runs, so that start-up drops out."""
    few, n_few = seconds_of(bench, STORY, FEW)
    many, n_many = seconds_of(bench, STORY, MANY)
    words = STORY * (LONG // len(rows.ids_of(bench.ours.program, bench.ours.model, [STORY])[0]))
    n_long = len(rows.ids_of(bench.ours.program, bench.ours.model, [words])[0])
    n_one = len(rows.ids_of(bench.ours.program, bench.ours.model, ["A"])[0])
    long, one = seconds_of(bench, words, 1)[0], seconds_of(bench, "A", 1)[0]
    return (n_many - n_few) / max(1e-3, many - few), (n_long - n_one) / max(1e-3, long - one)


def generate(bench, budget):
    """Decode and prompt speed of one row against llama.cpp, alternately."""
    script = HERE + "/generate.py"
    if os.path.exists(script):
        command = [sys.executable, script, "--forerun", bench.ours.program, "--model", bench.ours.model]
        command += (["--peer", bench.peer.python] if bench.peer else []) + (["--quick"] if bench.quick else [])
        found = last_object(command, budget)
        return found, bars_of(found)
    mine, theirs, began = [], [], time.monotonic()
    while not mine or (len(mine) < bench.rounds and time.monotonic() - began < budget):
        mine.append(our_rates(bench))
        if bench.peer:
            theirs.append(last_object([bench.peer.python, HERE + "/peer_llama.py", bench.ours.model, str(LONG),
                                       str(MANY)], budget))
    found = {"decode": report.spread(m[0] for m in mine), "prompt": report.spread(m[1] for m in mine)}
    lines = [["Forerun", found["decode"], found["prompt"]]]
    if theirs:
        for i, what in enumerate(("decode", "prompt")):
            found["llama_" + what] = report.spread(t[what] for t in theirs)
            found[what + "_over_llama"] = report.ratios([m[i] for m in mine], [t[what] for t in theirs])[1]
        lines.append(["llama.cpp", found["llama_decode"], found["llama_prompt"]])
    report.show("generate: tokens/s, one row, greedy", ["", "decode", "prompt"], lines)
    return found, bars_of(found)


def save(bench, budget):
    """A checkpoint at every step against none, prefix of 128."""
    script = HERE + "/save.py"
    if not (os.path.exists(script) and bench.text):
        return {"skipped": "needs tests/bench/save.py and rows of text"}, []
    command = [sys.executable, script, "--program", bench.ours.program, "--data", bench.data, "--dir", bench.work,
               "--steps", "2" if bench.quick else "12", "--rounds", str(bench.rounds)]
    found = last_object(command, budget, **ours.ALONE)
    share = statistics.median(found["critical_share"])
    return found, [report.bar("checkpoint at every step, share of wall time", 0.01, share, at_most=True)]
