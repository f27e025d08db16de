"""Speed and memory of Forerun, and of its peer on the same rows in the same run. See run.sh --help."""
import argparse
import datetime
import json
import os
import subprocess
import sys
import time
import traceback

import case_bubble
import case_loss
import case_memory
import case_programs
import case_sets
import case_train
import machine
import ours
import report
import rounds
import rows
import theirs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# name -> (function, seconds it may take, more or less: whole rounds are finished)
CASES = {"start": (case_memory.start, 60), "train": (case_train.train, 540), "ranks": (case_train.ranks, 150),
         "shared": (case_train.shared, 420), "loss": (case_loss.loss, 420), "memory": (case_memory.memory, 180),
         "generate": (case_programs.generate, 120), "save": (case_programs.save, 180),
         "sets": (case_sets.sets, 300), "products": (case_sets.products, 60),
         "bubble": (case_bubble.bubble, 90)}
QUIET = 0.5  # load average of a machine that may be measured


class Bench:
    """What the cases share."""

    def __init__(self, options):
        self.root, self.work, self.data = ROOT, os.path.abspath(options.work), os.path.abspath(options.data)
        os.makedirs(self.work, exist_ok=True)
        self.quick, self.target, self.patience = options.quick, options.target, options.patience
        self.steps, self.rounds = options.steps, options.rounds
        tests = os.path.join(os.path.dirname(os.path.realpath(options.program)), "tests")
        self.gemm, self.bubble = os.path.join(tests, "bench_gemm"), os.path.join(tests, "bench_bubble")
        self.ours = ours.Forerun(options.program, options.model, self.work)
        self.real_model = os.path.basename(options.model).startswith("smollm2-135m")
        self.peer = theirs.Peer(options.peer, options.model, self.work) if options.peer else None
        self.text = "source" in self.head(1)[0]
        self.fastest = options.peer_kind
        self.layout = ours.REPLICAS  # of single tasks the fastest; case train finds out
        self.unshared = {"share_sources": False} if self.ours.allows("share_sources") else {}

    def head(self, count):
        """The first rows of the training data."""
        found = rows.read(self.data + "/train.jsonl", count)
        if len(found) < count:
            raise RuntimeError(f"{self.data}/train.jsonl has {len(found)} rows, {count} are needed")
        return found

    def log(self, text):
        """Progress, on standard error."""
        print(text, file=sys.stderr, flush=True)

    def remember_fastest(self, name):
        """The peer's fastest kind, by its name in tables."""
        self.fastest = next((kind for kind in theirs.KINDS if theirs.name_of(kind) == name), self.fastest)

    def fastest_kind(self):
        """The same, measured now if no case did."""
        if self.fastest is None:
            runners = case_train.peer_runners(self, self.head(8 * self.steps))
            samples, _ = rounds.alternate(runners, 1, 150.0, self.log)
            self.remember_fastest(case_train.best_of(samples, runners))
        if self.fastest is None:
            raise RuntimeError("no kind of the peer did two steps in time")
        return self.fastest


def parse():
    """The options, with defaults that depend on each other."""
    models = os.environ.get("FORERUN_MODELS", ROOT + "/models")
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__, epilog="cases: " + ", ".join(CASES))
    parser.add_argument("--case", default=",".join(CASES), help="names with commas between (default: all)")
    parser.add_argument("--data", help="folder of train.jsonl and dev.jsonl, rows of a source and a target (default: "
                        "the Debian task)")
    parser.add_argument("--model", help="GGUF file or folder (default: SmolLM2-135M)")
    parser.add_argument("--program", help="forerun of a built tree (default: the release preset, built now)")
    parser.add_argument("--peer", help="Python that has torch, transformers, peft, gguf and llama-cpp-python")
    parser.add_argument("--peer-kind", metavar="KIND", type=lambda text: tuple(text.split(",")), choices=theirs.KINDS,
                        help="its fastest kind, e.g. f32,eager, for cases that run one alone (default: measured)")
    parser.add_argument("--install-peer", action="store_true",
                        help="make that Python in build/peer, or where --peer says (6 GB: PyPI's torch)")
    parser.add_argument("--work", default=ROOT + "/build/bench", help="folder to work in (default: build/bench)")
    parser.add_argument("--output", help="the results as JSON; written after every case")
    parser.add_argument("--resume", action="store_true", help="leave out cases that --output has already")
    parser.add_argument("--steps", type=int, default=6, help="steps of a run; the first is not counted")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of Forerun and peer alternately")
    parser.add_argument("--target", type=float, help="case loss: validation loss to reach (default: the peer's)")
    parser.add_argument("--patience", type=float, default=1.0, help="times each case's time limits, for slow machines")
    parser.add_argument("--quick", action="store_true", help="2 steps, 1 round: does it run?")
    options = parser.parse_args()
    unknown = [name for name in options.case.split(",") if name not in CASES]
    if unknown:
        parser.error(f"unknown case {unknown[0]}; there are {', '.join(CASES)}")
    if options.resume and not options.output:
        parser.error("--resume needs --output")
    if options.quick:
        options.steps, options.rounds = 2, 1
    options.fetch_model, options.build_data = options.model is None, options.data is None
    options.model = options.model or models + "/smollm2-135m-instruct.gguf"
    options.data = options.data or ROOT + "/data/debdesc"
    return options


def prepare(options):
    """Model, data, program and peer, as far as they were not given."""
    def run(*command):
        subprocess.run(command, check=True, stdout=sys.stderr)

    if options.fetch_model:
        run("bash", ROOT + "/launch/fetch-model.sh")
    if options.build_data:
        run("bash", ROOT + "/launch/build-debdesc.sh")
    if options.program is None:
        build = ROOT + "/build/release"
        run("cmake", "--preset", "release", "-S", ROOT, "-B", build)
        run("cmake", "--build", build, "--target", "forerun", "bench_gemm", "bench_bubble")
        options.program = build + "/forerun"
    if options.install_peer:
        options.peer = options.peer or ROOT + "/build/peer/bin/python"
        run("bash", ROOT + "/tests/bench/install-peer.sh", os.path.dirname(os.path.dirname(options.peer)))


def commit():
    """Of the source tree; None where it is no checkout, or git is not installed."""
    try:
        git = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return git.stdout.strip() or None


def versions(bench):
    """Both sides'."""
    return {"forerun": bench.ours.ask("--version").strip(), "commit": commit(),
            "peer": bench.peer.versions() if bench.peer else None}


def run_case(bench, name, results):
    """One case; its failure is its result."""
    function, budget = CASES[name]
    budget *= bench.patience
    bench.log(f"case {name}, about {budget:.0f} s at most")
    began, before = time.monotonic(), machine.load()
    try:
        found, bars = function(bench, budget)
    except Exception as error:  # the other cases are worth having
        traceback.print_exc(limit=3)
        found, bars = {"error": str(error)}, []
    for problem in ("error", "skipped"):
        if problem in found:
            print(f"\n{name}: {problem}: {found[problem]}")
    results["cases"][name] = {**found, "bars": bars, "seconds": round(time.monotonic() - began, 1),
                              "load_before": before, "fastest_peer": bench.fastest}


def save(results, path):
    """Write the results so that a reader sees the old ones or the new ones."""
    if path:
        with open(path + ".tmp", "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
        os.replace(path + ".tmp", path)


def main():
    """Prepare, run the cases, print."""
    options = parse()
    before = machine.load()
    prepare(options)
    bench = Bench(options)
    told = {**machine.describe(), "computes": bench.ours.computes(bench.head(1))}
    results = {"cases": {}}
    if options.resume and os.path.exists(options.output):
        with open(options.output, encoding="utf-8") as file:
            results["cases"] = {name: case for name, case in json.load(file)["cases"].items() if "error" not in case}
        kinds = [case["fastest_peer"] for case in results["cases"].values() if case.get("fastest_peer")]
        bench.fastest = bench.fastest or (tuple(kinds[0]) if kinds else None)
    results.update({"date": datetime.date.today().isoformat(), "machine": told, "versions": versions(bench),
                    "data": os.path.basename(bench.data), "steps": bench.steps, "load_before": before})
    machine.show(told)
    print(f"load before the start: {' / '.join(map(str, before))} (1, 5 and 15 minutes)")
    if before[0] > QUIET:
        print(f"WARNING: load {before[0]}: other work runs here, so times mean little")
    for name in options.case.split(","):
        if name not in results["cases"]:
            run_case(bench, name, results)
            results["load_after"] = machine.load()
            save(results, options.output)
    report.show_bars([b for case in results["cases"].values() for b in case["bars"]])
    results.setdefault("load_after", machine.load())
    save(results, options.output)
    print(json.dumps(results))
    sys.exit(1 if any("error" in case for case in results["cases"].values()) else 0)


main()
