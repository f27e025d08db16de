#!/usr/bin/env python3
"""Models that the hub's own library has fetched, and GGUF models that gguf's own writer has split, against Forerun.

usage: compare_hub.py FORERUN SUPPORT: run by a Python that has huggingface_hub and gguf; SUPPORT is tests/support.

A small server on this machine stands for the hub. The command that Forerun's message gives is run as it stands; after it, Forerun must
find what `snapshot_download(local_files_only=True)` finds, for each way to say where the cache is. Names are accepted or refused as
by the library's validate_repo_id."""

import hashlib
import http.server
import json
import os
import pathlib
import random
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import urllib.parse

import gguf
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

FORERUN, SUPPORT = sys.argv[1], pathlib.Path(sys.argv[2])
COMMITS = {"main": "a1" * 20, "v1": "a1b2" * 10}
FIND = ("import sys; from huggingface_hub import snapshot_download;"
        "print(snapshot_download(sys.argv[1], revision=sys.argv[2], local_files_only=True))")
CACHE = ["HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"]
checked = 0


def check(holds, *what):
    """End at what does not hold."""
    global checked
    checked += 1
    if not holds:
        sys.exit("compare_hub: " + " ".join(map(str, what)))


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers what huggingface_hub asks for a download: a revision, its files, a file."""
    repositories = {}  # name: folder
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, body, headers=()):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self):
        parts = urllib.parse.unquote(urllib.parse.urlparse(self.path).path).strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        parts = parts[2:] if is_api else parts
        folder = self.repositories.get("/".join(parts[:2]))
        revision = parts[3] if len(parts) > 3 else "main"
        commit = COMMITS.get(revision, revision)
        if folder is None or commit not in COMMITS.values():
            code = "RepoNotFound" if folder is None else "RevisionNotFound"
            self.answer(404, b"", [("X-Error-Code", code)])
            return
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        if not is_api:
            data = (folder / "/".join(parts[4:])).read_bytes()
            self.answer(200, data, [("ETag", '"%s"' % hashlib.sha1(data).hexdigest()), ("X-Repo-Commit", commit)])
        elif parts[2:3] == ["tree"]:
            tree = [{"type": "file", "path": name, "size": (folder / name).stat().st_size,
                     "oid": hashlib.sha1((folder / name).read_bytes()).hexdigest()} for name in files]
            self.answer(200, json.dumps(tree).encode(), [("Content-Type", "application/json")])
        else:
            about = {"id": "/".join(parts[:2]), "sha": commit, "siblings": [{"rfilename": name} for name in files]}
            self.answer(200, json.dumps(about).encode(), [("Content-Type", "application/json")])

    do_HEAD = do_GET


def run(command, env, code=0):
    """The command's output and messages; its exit code must be the given one."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    check(done.returncode == code, command, "ended with", done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def message_command(text):
    """The command of a message."""
    found = re.search(r"fetch it with '(hf download [^']*)'", text)
    check(found, "no command in", text)
    return shlex.split(found[1])


def fetch(name, env):
    """Run the command that Forerun says for a name that is not there."""
    _, said = run([FORERUN, "inspect", name], env, 3)
    command = message_command(said)
    run([str(pathlib.Path(sys.executable).parent / command[0])] + command[1:], env)
    return command


def found_path(name, env):
    """What Forerun says that the name is."""
    _, said = run([FORERUN, "inspect", name], env)
    return re.search("^model %s is (.*)$" % re.escape(name), said, re.M)[1]


def compare_caches(work, base):
    """Each variable alone, written in each way."""
    ways = {"HF_HOME": ["{0}/h", "~/h", "$WHERE/h", "${{WHERE}}/h", "{0}/h"], "HF_HUB_CACHE": ["{0}/c", "~/c", "$WHERE/c"],
            "HUGGINGFACE_HUB_CACHE": ["{0}/o"], "XDG_CACHE_HOME": ["{0}/x", "$WHERE/x"], "HOME": ["{0}"]}
    for n, (variable, values) in enumerate((v, value) for v, values in ways.items() for value in [values[:1], *([x] for x in values[1:])]):
        home = work / f"home {n}"
        home.mkdir()
        env = {**base, "HOME": str(home), "WHERE": str(home), variable: values[0].format(home)}
        fetch("org/tiny", env)
        fetch("org/tiny@v1", env)
        for revision, commit in COMMITS.items():
            wanted = run([sys.executable, "-c", FIND, "org/tiny", revision], env)[0].strip()
            check(wanted.endswith(commit), wanted)
            for name in {"org/tiny@" + revision, "org/tiny@" + commit, "org/tiny" if revision == "main" else "org/tiny@v1"}:
                check(found_path(name, env) == wanted, variable, values, name, found_path(name, env), "wanted", wanted)
        check(not (home / ".cache/forerun/hub").exists(), "a download")


def compare_files(work, base):
    """Repositories of GGUF files: whole, in parts, and several of them."""
    env = {**base, "HOME": str(work), "HF_HOME": str(work / "files")}
    check(fetch("org/parts", env) == ["hf", "download", "org/parts"], "the command")
    check(found_path("org/parts", env).endswith("m-00001-of-00003.gguf"), "the first part")
    command = fetch("org/several:sub dir/q.gguf", env)
    check(command == ["hf", "download", "org/several", "sub dir/q.gguf"], command)
    check(found_path("org/several:sub dir/q.gguf", env) == found_path("org/several", env), "the only one that was fetched")
    command = fetch("org/several:m.gguf", env)
    check(command == ["hf", "download", "org/several", "m.gguf"], command)
    _, said = run([FORERUN, "inspect", "org/several"], env, 3)
    check("several GGUF models: m.gguf, sub dir/q.gguf; give one as org/several:FILE" in said, said)
    # a part that was removed is fetched again by the command of the message
    lost = pathlib.Path(found_path("org/parts", env)).parent / "m-00002-of-00003.gguf"
    lost.unlink()
    check(fetch("org/parts", env)[-1] == lost.name, "the part alone")
    found_path("org/parts", env)


def compare_names(env):
    """Names of few characters, so that most rules are met."""
    rng = random.Random(1)
    n_valid = 0
    for _ in range(400):
        words = ["".join(rng.choice("ab1-._") for _ in range(rng.choice([1, 2, 3, 4, 6]))) for _ in range(rng.choice([2, 2, 2, 3]))]
        name = "/".join(words) + rng.choice(["", "", "", ".git"])
        try:
            validate_repo_id(name)
            valid = True
        except HFValidationError:
            valid = False
        if name.startswith("-"):
            continue  # an option
        _, said = run([FORERUN, "inspect", name], env, 3)
        check(("fetch it with 'hf download %s'" % name in said) == valid, name, valid, said)
        n_valid += valid
    check(n_valid > 30, "only", n_valid, "names are valid")


def split(source, stem):
    """The same model by gguf's own writer, in several files."""
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(stem, architecture, split_max_tensors=5)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind = field.types[0]
        writer.add_key_value(field.name, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def compare_split(work, env):
    """Parts by gguf's writer, which takes no empty list of merges, give the prefix of the whole file, bit for bit."""
    whole = work / "without tokenizer.gguf"
    keys = json.dumps({"tokenizer.ggml." + key: None for key in ("model", "pre", "tokens", "token_type", "merges")})
    run([sys.executable, "-B", str(SUPPORT / "make_gguf.py"), str(work / "tiny"), str(whole), keys, "Q8_0"], env)
    split(whole, work / "by_gguf.gguf")
    parts = sorted(work.glob("by_gguf-*.gguf"))
    check(len(parts) > 2, parts)
    config = work / "c.yaml"
    config.write_text(json.dumps({
        "base": {"path": str(whole)}, "run": {"dir": str(work / "run"), "steps": 3, "threads": 1, "precision": "f32"},
        "tasks": [{"name": "t", "train": str(work / "rows.jsonl"), "eos": False, "prefix": {"length": 3, "init": {"random": 0.5}},
                   "optimizer": {"lr": 0.01}, "batch": {"examples": 4}}]}))
    run([FORERUN, "train", str(config)], env)
    for n, part in enumerate(parts):
        run([FORERUN, "train", str(config), "--set", f"base.path={part}", "--set", f"run.dir={work}/part {n}"], env)
        run([FORERUN, "compare", str(work / "run/prefix.h5"), str(work / f"part {n}/prefix.h5")], env)
        texts = [run([FORERUN, "inspect", str(work / name / "prefix.h5")], env)[0] for name in ("run", f"part {n}")]
        digests = [re.search("^base .*([0-9a-f]{64})", text, re.M)[1] for text in texts]
        check(digests[0] == digests[1], digests)


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        tiny, parts, several = work / "tiny", work / "parts", work / "several"
        python = [sys.executable, "-B"]
        env = {name: value for name, value in os.environ.items() if name not in CACHE}
        run(python + [str(SUPPORT / "make_tiny.py"), str(tiny), str(work / "rows.jsonl"), "128", "2", "264"], env)
        run(python + [str(SUPPORT / "make_tokenizer.py"), str(tiny), "4"], env)
        run(python + [str(SUPPORT / "make_gguf.py"), str(tiny), str(work / "whole.gguf"), "{}", "Q8_0"], env)
        parts.mkdir()
        (several / "sub dir").mkdir(parents=True)
        run(python + [str(SUPPORT / "split_gguf.py"), str(work / "whole.gguf"), str(parts / "m"), "3"], env)
        for name in ("m.gguf", "sub dir/q.gguf"):
            (several / name).write_bytes((work / "whole.gguf").read_bytes() + b"\0" * len(name))
        (tiny / "README.md").write_text("tiny")
        Hub.repositories = {"org/tiny": tiny, "org/parts": parts, "org/several": several}
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        env = {**env, "HF_ENDPOINT": "http://127.0.0.1:%d" % server.server_port, "HF_HUB_DISABLE_TELEMETRY": "1",
               "NO_PROXY": "127.0.0.1", "FORERUN_CACHE": "0"}
        compare_caches(work, env)
        compare_files(work, env)
        compare_names({**env, "HOME": str(work), "HF_HOME": str(work / "none")})
        compare_split(work, env)
        server.shutdown()
    print("compare_hub:", checked, "checks")


main()
