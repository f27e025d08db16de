#!/usr/bin/env python3
"""Compare greedy tokens of `forerun generate` and of llama.cpp that starts from `forerun export --to llama.cpp`.

usage: compare_llama_cpp.py FORERUN MODEL.gguf [--server LLAMA_SERVER] [--completion LLAMA_COMPLETION]

Prefixes of 8 and 32 slots are trained over the model, whose weights are widened to F32 first: then both programs compute with the
same numbers. Each is loaded into llama.cpp with both types of cache, with and without flash attention, for three prompts. With a
cache in f32 all tokens must be the same; with one in f16, and of the tiny models, a token may differ where llama.cpp's own logits of the
two differ by less than NEAR. The same is shown for the class Llama, for the tiny models of each family (tests/golden/families), and, where
these are given, for slots of llama-server and for --prompt-cache. Needs llama-cpp-python and gguf. Exit code 1 if something differs.
"""

import argparse
import contextlib
import ctypes
import glob
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import gguf
import llama_cpp
import numpy

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NEW = 24
NEAR, NEAR_TINY = 0.05, 5e-3  # logits of SmolLM2, and of the tiny models
CHOICES = {"cache-type": ("f16", "f32"), "flash-attention": ("on", "off")}
# llama.cpp leaves out Phi 3's window, and takes the long factors wherever its context is longer than the original one
CHANGES = {"phi3": {"phi3.attention.sliding_window": None},
           "phi3_longrope": {"phi3.rope.scaling.original_context_length": 1024, "phi3.context_length": 4096}}
TALES = [("keeper", "lighthouse", "bottle"), ("sailor", "harbour", "letter"), ("baker", "bridge", "map"), ("miller", "garden", "key")]
PROMPTS = ["The keeper of the lighthouse found a bottle and", "A painter of the market found a lamp and", "Long ago, by the sea,"]


class Checks:
    """Counts what was compared."""

    def __init__(self):
        self.failed = 0

    def report(self, what, same, near=0, different=0):
        """One line for one comparison."""
        self.failed += different
        print(f"{what}: {same} as it should be, {near} with a near tie, {different} WRONG", flush=True)


def widen(source, target, with_tokens=True, changes=None):
    """Write a GGUF file with all tensors in F32, perhaps without a tokenizer, and with some settings changed (None: left out)."""
    changes = changes or {}
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        if field.name.startswith("tokenizer.") and not with_tokens:
            continue
        kind, value = field.types[0], changes.get(field.name, field.contents())
        if value is None:
            continue
        writer.add_key_value(field.name, value, kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    if not with_tokens:
        writer.add_tokenizer_model("no_vocab")
        if not any(name.endswith(".vocab_size") for name in reader.fields):
            writer.add_vocab_size(int(next(t for t in reader.tensors if t.name == "token_embd.weight").shape[1]))
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, numpy.asarray(values, dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def run(*arguments):
    """Standard output of a program; its message if it fails."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout


def write_rows(path, rows):
    """JSON lines."""
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


class Base:
    """A model with prefixes that were trained for it, in a folder of its own."""

    def __init__(self, forerun, model, folder):
        self.forerun, self.model, self.folder = forerun, model, folder

    def path(self, name):
        """A file of the folder."""
        return os.path.join(self.folder, name)

    def train(self, rows, lengths, steps, window="always", text=True):
        """Train a task pN for each length N."""
        write_rows(self.path("rows.jsonl"), rows)
        tasks = [{"name": f"p{n}", "train": self.path("rows.jsonl"), "eos": False,
                  **({"template": "{source}{target}"} if text else {}),
                  "prefix": {"init": {"random": 0.3 if text else 1.0}, "length": n, "window": window},
                  "optimizer": {"lr": 5e-3, "warmup": 2}, "batch": {"examples": 4}} for n in lengths]
        config = {"base": {"path": self.model}, "tasks": tasks,
                  "run": {"dir": self.path("run"), "steps": steps, "precision": "f32", "save_every": 1000, "threads": 1,
                          "measure_base": False}}
        with open(self.path("c.yaml"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        run(self.forerun, "train", self.path("c.yaml"))

    def prefix(self, length):
        """FILE:TASK."""
        return f"{self.path('run/prefix.h5')}:p{length}"

    def generate(self, length, prompts):
        """Our own ids behind the ids of each prompt."""
        write_rows(self.path("prompts.jsonl"), [{"source_ids": ids} for ids in prompts])
        lines = run(self.forerun, "generate", "--model", self.model, "--prefix", self.prefix(length), "--precision", "f32",
                    "--input", self.path("prompts.jsonl"), "--threads", "1", "--max-new-tokens", str(NEW))
        return [json.loads(line)["generated_ids"] for line in lines.splitlines()]

    def export(self, length, **options):
        """Path of a state file."""
        out = self.path("state.bin")
        listed = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        run(self.forerun, "export", out, "--to", "llama.cpp", "--prefix", self.prefix(length), "--model", self.model, *listed)
        return out

    def encode(self, text):
        """Ids of a text."""
        done = subprocess.run([self.forerun, "tokenize", "--model", self.model], input=text, capture_output=True, text=True, check=True)
        return [int(word) for word in done.stdout.split()]


class Peer:
    """llama.cpp by its C functions: one model, one context."""

    def __init__(self, model, cache_type, flash_attention, swa_full=True):
        self.model = llama_cpp.llama_model_load_from_file(model.encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            sys.exit(f"llama.cpp does not load {model}")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_threads, params.n_threads_batch = 512, 1, 1
        params.type_k = params.type_v = llama_cpp.GGML_TYPE_F16 if cache_type == "f16" else llama_cpp.GGML_TYPE_F32
        params.flash_attn_type = (llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash_attention == "on"
                                  else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED)
        params.swa_full = swa_full
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.batch = llama_cpp.llama_batch_init(512, 0, 1)
        self.position = 0

    def close(self):
        """Release everything."""
        llama_cpp.llama_batch_free(self.batch)
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)

    def load(self, state):
        """Start from a file; the ids that it names."""
        ids, count = (llama_cpp.llama_token * 512)(), ctypes.c_size_t()
        if llama_cpp.llama_state_seq_load_file(self.context, state.encode(), 0, ids, 512, ctypes.byref(count)) == 0:
            sys.exit(f"llama.cpp does not load {state}")
        self.position = count.value
        return list(ids[:count.value])

    def logits(self, ids):
        """Of the last of the ids, which are appended."""
        self.batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            self.batch.token[i], self.batch.pos[i] = token, self.position + i
            self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, 0
            self.batch.logits[i] = i == len(ids) - 1
        assert llama_cpp.llama_decode(self.context, self.batch) == 0
        self.position += len(ids)
        return numpy.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self.context, -1), (self.vocabulary,)).copy()

    def follow(self, state, prompt, ours):
        """The largest gap by which llama.cpp prefers another token to ours, along our tokens. `state` None: without a prefix."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        self.position = 0
        if state is not None:
            self.load(state)
        gap, ids = 0.0, prompt
        for token in ours:
            logits = self.logits(ids)
            gap, ids = max(gap, float(logits.max() - logits[token])), [token]
        return gap


@contextlib.contextmanager
def peer_of(*arguments, **named):
    """A Peer that is closed."""
    peer = Peer(*arguments, **named)
    try:
        yield peer
    finally:
        peer.close()


def judge(checks, what, gaps, near):
    """Rows by their gap: 0 is the same greedy tokens."""
    checks.report(f"{what} (largest gap {max(gaps):.2g})", sum(gap == 0 for gap in gaps), sum(0 < gap < near for gap in gaps),
                  sum(gap >= max(near, 1e-30) for gap in gaps))


def compare_functions(checks, base, prompts, lengths):
    """All kinds of cache, by the C functions."""
    for length in lengths:
        ours = base.generate(length, prompts)
        for cache_type in CHOICES["cache-type"]:
            for flash in CHOICES["flash-attention"]:
                state = base.export(length, **{"cache-type": cache_type, "flash-attention": flash})
                with peer_of(base.model, cache_type, flash) as peer:
                    gaps = [peer.follow(state, ids, new) for ids, new in zip(prompts, ours)]
                judge(checks, f"{length} slots, {cache_type}, flash attention {flash}, {sum(map(len, ours))} tokens", gaps,
                      NEAR if cache_type == "f16" else 0)
        with peer_of(base.model, "f32", "off") as peer:
            alone = [peer.follow(None, ids, new) for ids, new in zip(prompts, ours)]
        checks.report(f"{length} slots, without the state, where all must differ", sum(gap > NEAR for gap in alone), 0,
                      sum(gap <= NEAR for gap in alone))


def compare_class(checks, base, prompts, length):
    """The snippet of docs/exchange.md."""
    ours = base.generate(length, prompts)
    llm = llama_cpp.Llama(base.model, n_ctx=512, n_threads=1, flash_attn=True, verbose=False)
    slots, n = (llama_cpp.llama_token * llm.n_ctx())(), ctypes.c_size_t()
    state = base.export(length)
    assert llama_cpp.llama_state_seq_load_file(llm.ctx, state.encode(), 0, slots, len(slots), ctypes.byref(n))
    llm.n_tokens = n.value
    llm.input_ids[:n.value] = slots[:n.value]
    wanted = [llm.detokenize(ids).decode() for ids in ours]
    got = [llm(slots[:n.value] + ids, max_tokens=NEW, temperature=0)["choices"][0]["text"] for ids in prompts]
    same = sum(a.strip() == b.strip() for a, b in zip(got, wanted))
    checks.report(f"class Llama, {length} slots", same, 0, len(got) - same)
    llm.close()


def request(port, path, body=None):
    """The answer of a server."""
    data = None if body is None else json.dumps(body).encode()
    ask = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(ask, timeout=120) as answer:
        return json.loads(answer.read())


@contextlib.contextmanager
def server_of(program, *arguments):
    """The port of a llama-server that is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "-np", "2", "--kv-unified", "--cache-ram", "0", "-c", "2048", "-t", "1", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    request(port, "/health")
                    break
                time.sleep(0.2)
            yield port
        finally:
            process.terminate()


def compare_server(checks, base, program, prompts, length):
    """A restored slot answers prompts of ids, of text, and dialogues under a template that begins with the marker, whatever the other
    slot is asked in between."""
    ours = base.generate(length, prompts)
    state = os.path.basename(base.export(length))
    with peer_of(base.model, "f16", "on") as peer:
        slots = peer.load(base.path(state))
    marker = gguf.GGUFReader(base.model).fields["tokenizer.ggml.tokens"].contents()[slots[-1]]
    template = gguf.GGUFReader(base.model).fields["tokenizer.chat_template"].contents()
    with open(base.path("template.jinja"), "w", encoding="utf-8") as file:
        file.write(marker * length + template)
    with server_of(program, "-m", base.model, "--slot-save-path", base.folder, "--chat-template-file",
                   base.path("template.jinja")) as port:
        assert request(port, "/slots/0?action=restore", {"filename": state})["n_restored"] == length
        same = kept = 0
        texts = [marker * length + text for text in PROMPTS]
        for given in ([slots + ids for ids in prompts], texts):
            for prompt, new in zip(given, ours):
                request(port, "/completion", {"id_slot": 1, "prompt": PROMPTS[0] * 12, "n_predict": 1})
                answer = request(port, "/completion", {"id_slot": 0, "prompt": prompt, "n_predict": NEW, "temperature": 0,
                                                      "return_tokens": True})
                same += answer["tokens"][:len(new)] == new
                kept += answer["timings"]["cache_n"] >= length
        checks.report(f"llama-server, {length} slots, which {kept} requests found in place", same, 0, 2 * len(prompts) - min(same, kept))
        answer = request(port, "/v1/chat/completions", {"id_slot": 0, "messages": [{"role": "user", "content": PROMPTS[0]}],
                                                       "max_tokens": NEW, "temperature": 0})
    text = run(base.forerun, "generate", "--model", base.model, "--prefix", base.prefix(length), "--precision", "f32", "--chat",
               "--prompt", PROMPTS[0], "--threads", "1", "--max-new-tokens", str(NEW))
    same = answer["choices"][0]["message"]["content"].strip() == text.strip() and answer["timings"]["cache_n"] >= length
    checks.report("llama-server, a dialogue", int(same), 0, 1 - int(same))


def compare_completion(checks, base, program, prompts, length):
    """--prompt-cache of llama-completion, which needs the first id of the prompt."""
    ours = base.generate(length, prompts)
    with peer_of(base.model, "f16", "on") as peer:
        slots = peer.load(base.export(length))
    marker = gguf.GGUFReader(base.model).fields["tokenizer.ggml.tokens"].contents()[slots[-1]]
    llm = llama_cpp.Llama(base.model, vocab_only=True, verbose=False)
    same = 0
    for text, ids, new in zip(PROMPTS, prompts, ours):
        state = base.export(length, **{"state": "session", "first-token": ids[0]})
        got = run(program, "-m", base.model, "-c", "1024", "-t", "1", "-no-cnv", "--no-display-prompt", "--prompt-cache", state,
                  "--prompt-cache-ro", "--temp", "0", "-n", str(NEW), "-p", marker * length + text)
        same += got.strip().startswith(llm.detokenize(new).decode().strip())
    checks.report(f"--prompt-cache, {length} slots", same, 0, len(prompts) - same)


def compare_families(checks, forerun):
    """Tiny random models, one of each family that has a GGUF file."""
    chance = random.Random(5)
    rows = [{"source_ids": [chance.randrange(1, 96) for _ in range(20)], "target_ids": [chance.randrange(1, 96) for _ in range(8)]}
            for _ in range(8)]
    prompts = [[chance.randrange(1, 96) for _ in range(12)] for _ in range(4)]
    for path in sorted(glob.glob(os.path.join(SOURCE, "tests/golden/families/*/model.gguf"))):
        name = os.path.basename(os.path.dirname(path))
        with tempfile.TemporaryDirectory() as folder:
            base = Base(forerun, os.path.join(folder, "f32.gguf"), folder)
            widen(path, base.model, with_tokens=False, changes=CHANGES.get(name))
            base.train(rows, (5, 20), 2, window="slides", text=False)
            for length in (5, 20):
                ours = base.generate(length, prompts)
                gaps = []
                for flash, swa_full in (("on", True), ("on", False), ("off", True)):
                    state = base.export(length, **{"cache-type": "f32", "flash-attention": flash, "marker": 1})
                    with peer_of(base.model, "f32", flash, swa_full) as peer:
                        gaps += [peer.follow(state, ids, new) for ids, new in zip(prompts, ours)]
                judge(checks, f"{name}, {length} slots", gaps, NEAR_TINY)


def main():
    """Compare everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forerun")
    parser.add_argument("model")
    parser.add_argument("--server")
    parser.add_argument("--completion")
    arguments = parser.parse_args()
    llama_cpp.llama_backend_init()
    silence = llama_cpp.llama_log_callback(lambda level, text, user: None)
    llama_cpp.llama_log_set(silence, None)
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        base = Base(arguments.forerun, os.path.join(folder, "f32.gguf"), folder)
        widen(arguments.model, base.model)
        rows = [{"source": f"The {a} of the {b} found a {c} and", "target": f" the {c} told the {a} about the old {b}."}
                for a, b, c in TALES]
        base.train(rows, (8, 32), 20)
        prompts = [base.encode(text) for text in PROMPTS]
        compare_functions(checks, base, prompts, (8, 32))
        compare_class(checks, base, prompts, 8)
        if arguments.server:
            compare_server(checks, base, arguments.server, prompts, 8)
        if arguments.completion:
            compare_completion(checks, base, arguments.completion, prompts, 8)
    compare_families(checks, arguments.forerun)
    print("failed" if checks.failed else "the same")
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
