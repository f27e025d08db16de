"""Forerun's side: its layouts, a config, one measured run."""
import glob
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass

import process
import rows

# A process that has the machine to itself: threads stay on their cores and do not sleep between operators.
ALONE = {"OMP_WAIT_POLICY": "active", "OMP_PROC_BIND": "true"}
SHARED = {"OMP_WAIT_POLICY": "passive"}


@dataclass(frozen=True)
class Layout:
    """Two threads in all."""
    name: str
    stages: int = 1
    replicas: int = 1
    tasks: int = 1

    @property
    def ranks(self):
        """Processes."""
        return self.stages * self.replicas


ONE_RANK = Layout("1 rank of 2 threads")
REPLICAS = Layout("2 ranks of 1 thread, replicas", replicas=2)
STAGES = Layout("2 ranks of 1 thread, stages, 2 tasks", stages=2, tasks=2)


class Forerun:
    """The program with a model and a folder to work in."""

    def __init__(self, program, model, work):
        self.program, self.model, self.work = os.path.realpath(program), os.path.realpath(model), work
        self.reference = self.ask("--help-config")

    def ask(self, *arguments):
        """Standard output of a command of the program."""
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, check=True).stdout

    def computes(self, chosen, isa=None):
        """The instruction set that it computes with, asked for one or not; None if it fails or does not say. chosen: rows."""
        path = rows.write(self.work + "/computes.jsonl", chosen)
        text = ["--template", rows.TEMPLATE] if "source" in chosen[0] else ["--no-eos"]
        run = subprocess.run([self.program, "eval", "--model", self.model, "--data", path, *text], text=True, check=False,
                             capture_output=True, env=dict(os.environ, **({"FORERUN_ISA": isa} if isa else {})))
        found = re.search(r"^layout .*(?:bf16|f32)(?:, weights as in the file)?, (\w+)", run.stderr, re.MULTILINE)
        return found and found[1]

    def allows(self, key, value=""):
        """The config has this key, and its row in the reference names the value."""
        return any(value in line for line in re.findall(rf"^\| `{key}` \|.*$", self.reference, re.MULTILINE))

    def task(self, train, length=32, batch=None, **keys):
        """A task on these rows, batch 8, as the peer trains: AdamW without decay or clipping."""
        text = "source_ids" not in rows.read(train, 1)[0]
        task = {"train": train, "eos": text, "prefix": {"init": {"random": 0.02}, "length": length},
                "optimizer": {"lr": 0.01, "clip": 0.0}, "batch": {"examples": 8, **(batch or {})}, **keys}
        if text:
            task["template"] = rows.TEMPLATE
        return task

    def train(self, task, steps, layout=ONE_RANK, limit=600.0, keep_cache=False, weights=None,
              environment=None, **run):
        """One measured run; its folder stays until the next. Stopped at the limit it tells of the steps it did."""
        folder = os.path.join(self.work, "run")
        caches = glob.glob(folder + "/tokens-*.cache")
        for path in glob.glob(folder + "/*"):
            if not (keep_cache and path in caches):
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
        config = {"base": {"path": self.model, **({"weights": weights} if weights else {})},
                  "run": {"dir": folder, "steps": steps, "save_every": 1000000, "measure_base": False, "stages": layout.stages,
                          "replicas": layout.replicas, "threads": 2 // layout.ranks, **run},
                  "tasks": [{"name": f"t{i}", **task} for i in range(layout.tasks)]}
        path = os.path.join(self.work, "config.yaml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)  # JSON is YAML
        command = [self.program, "train", path] + (["--resume"] if keep_cache else [])
        if layout.ranks > 1:
            command = ["mpirun", "-n", str(layout.ranks)] + command
        log = os.path.join(self.work, "forerun.log")
        measured = process.measure(command, self.program, folder + "/metrics.jsonl", log,
                                   dict(os.environ, **(ALONE if layout.ranks == 1 else SHARED), **(environment or {})), limit)
        if measured.finished and measured.code != 0:
            raise RuntimeError(f"Forerun ended with {measured.code} ({layout.name}): {process.last_words(log)}")
        return measured
