"""The peer's side: Hugging Face PEFT in a Python of its own, one measured run."""
import json
import os
import subprocess

import process

# (precision, attention); bf16 without bf16 instructions may take minutes a step, hence the limits.
KINDS = [("f32", "sdpa"), ("f32", "eager"), ("bf16", "eager")]
PACKAGES = ["torch", "transformers", "peft", "gguf", "llama-cpp-python"]
HERE = os.path.dirname(os.path.abspath(__file__))


def name_of(kind):
    """How a kind is called in tables."""
    return "PEFT, {}, {}".format(*kind)


class Peer:
    """A Python that has torch, transformers and peft, with its own copy of the model."""

    def __init__(self, python, model, work):
        self.python, self.gguf, self.work = python, os.path.realpath(model), work

    def versions(self):
        """Of the packages that matter."""
        code = ("import importlib.metadata as m, json, sys\nfound = {}\nfor name in sys.argv[1:]:\n"
                "    try:\n        found[name] = m.version(name)\n"
                "    except m.PackageNotFoundError:\n        pass\nprint(json.dumps(found))")
        output = subprocess.run([self.python, "-c", code, *PACKAGES], capture_output=True, text=True, check=True)
        return json.loads(output.stdout)

    def folder(self, precision):
        """The model as safetensors, the peer's own format, which loads fastest; converted once, not timed."""
        folder = os.path.join(self.work, "peer-model-" + precision)
        if not os.path.exists(folder + "/config.json"):
            log = folder + ".log"
            with open(log, "w", encoding="utf-8") as output:
                command = [self.python, HERE + "/peer.py", "convert", self.gguf, folder + ".tmp", precision]
                code = subprocess.call(command, stdout=output, stderr=output)
            if code != 0:
                raise RuntimeError(f"the peer could not read the model: {process.last_words(log)}")
            os.rename(folder + ".tmp", folder)
        return folder

    def train(self, kind, rows, steps, length=32, limit=600.0, valid=None, init=None, batch=8):
        """One measured run over rows of ids. Stopped at the limit it still tells of the steps that it did."""
        order = {"model": self.folder(kind[0]), "precision": kind[0], "attention": kind[1], "rows": rows,
                 "steps": steps, "batch": batch, "length": length, "valid": valid, "init_ids": init,
                 "output": os.path.join(self.work, "peer.jsonl")}
        open(order["output"], "w", encoding="utf-8").close()
        log = os.path.join(self.work, "peer.log")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
        measured = process.measure([self.python, HERE + "/peer.py", "train", json.dumps(order)], self.python,
                                   order["output"], log, dict(environment, TRANSFORMERS_OFFLINE="1"), limit)
        if measured.finished and measured.code != 0:
            raise RuntimeError(f"{name_of(kind)} ended with {measured.code}: {process.last_words(log)}")
        return measured
