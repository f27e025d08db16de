#!/usr/bin/env python3
"""Load on `forerun serve`: requests/s, tokens/s and time to the first token at some numbers of clients, with one prefix and with
16; with --peer (llama-server) llama.cpp on the same file without a prefix, alternately, both on two threads and with as many rows
at a time. With --many N, N more short requests, and the server's memory after the first tenth and at the end.

usage: serve.py --forerun PROGRAM --model MODEL.gguf [--peer LLAMA_SERVER] [--clients 1,8,64] [--requests N] [--rounds N] [--many N]

A request is streamed: some 60 tokens of prompt, which no two requests have alike, and 32 tokens of answer, greedily. Figures are
medians over the rounds; the time to the first token is the median and the 95th percentile over all requests. The last line is a
JSON object."""
import argparse
import contextlib
import http.client
import json
import os
import queue
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

import generate

NEW, WORDS, PLACES = 32, 50, 16
VOCABULARY = "keeper lighthouse message bottle harbour storm letter captain island window garden river paper winter".split()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def ask(port, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    return connection.getresponse()


@contextlib.contextmanager
def server(command, environment):
    """A server that is ready."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment) as process:
        lines = queue.Queue()
        threading.Thread(target=lambda: [lines.put(line) for line in process.stderr], daemon=True).start()
        port = int(command[command.index("--port") + 1] if "--port" in command else command[command.index("--listen") + 1].split(":")[-1])
        try:
            for _ in range(1200):
                if process.poll() is not None:
                    raise RuntimeError("the server ended: " + "".join(list(lines.queue)))
                with contextlib.suppress(OSError):
                    if ask(port, "/health").status == 200:
                        break
                time.sleep(0.1)
            yield port, process.pid
        finally:
            process.terminate()


def prompt_of(number):
    draw = random.Random(number)
    return " ".join(draw.choice(VOCABULARY) for _ in range(WORDS))


def one_request(port, model, number, new):
    """Seconds to the first piece of text, and tokens."""
    began = time.monotonic()
    body = {"prompt": prompt_of(number), "max_tokens": new, "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
    if model is not None:
        body["model"] = model
    answer = ask(port, "/v1/completions", body)
    if answer.status != 200:
        raise RuntimeError(answer.read().decode())
    first, tokens = None, 0
    for line in answer:
        if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
            continue
        event = json.loads(line[6:])
        if event.get("usage"):
            tokens = event["usage"]["completion_tokens"]
        if first is None and event.get("choices"):
            first = time.monotonic() - began
    return first, tokens


def load(port, models, clients, requests, new, start):
    """(requests/s, tokens/s, times to the first token)."""
    numbers, firsts, tokens, errors = queue.Queue(), [], [], []
    for i in range(requests):
        numbers.put(start + i)

    def client():
        with contextlib.suppress(queue.Empty):
            while True:
                number = numbers.get_nowait()
                try:
                    first, n = one_request(port, models[number % len(models)], number, new)
                    firsts.append(first)
                    tokens.append(n)
                except (OSError, RuntimeError, http.client.HTTPException) as error:
                    errors.append(str(error))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    if errors:
        raise RuntimeError(f"{len(errors)} requests failed: {errors[0]}")
    return requests / seconds, sum(tokens) / seconds, firsts


def memory_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


class Side:
    """A server with the models that its requests name."""

    def __init__(self, name, command, models):
        self.name, self.command, self.models = name, command, models


def sides_of(options, work):
    folder = os.path.join(work, "prefixes")
    os.mkdir(folder)
    file = generate.Forerun(options.forerun, options.model, work).prefixes()[0].rsplit(":", 1)[0]
    shutil.copy(file, os.path.join(folder, "many.h5"))

    def serve():
        return [options.forerun, "serve", "--model", options.model, "--prefixes", folder, "--listen", f"127.0.0.1:{free_port()}",
                "--batch", str(PLACES), "--context", "512", "--queue", "256", *options.option]
    command = serve()
    with server(command, environment_of(options)) as (port, _):
        names = [model["id"] for model in json.load(ask(port, "/v1/models"))["data"]]
    prefixes = [name for name in names if ":p" in name]
    sides = [Side("forerun, one prefix", command, prefixes[:1]), Side("forerun, 16 prefixes", command, prefixes)]
    if options.peer:
        sides.append(Side("llama-server, no prefix", [
            options.peer, "-m", options.model, "--port", str(free_port()), "-np", str(PLACES), "-c", str(512 * PLACES),
            "-t", "2", "-tb", "2", "--cache-ram", "0", "--no-cache-prompt"], [None]))
    return sides


def environment_of(options):
    environment = dict(os.environ, OMP_NUM_THREADS="2")
    if options.peer:
        environment["LD_LIBRARY_PATH"] = os.path.dirname(options.peer)
    return environment


def measure(options, work):
    results = {}
    sides = sides_of(options, work)
    for round_number in range(options.rounds):
        for clients in options.clients:
            for side in sides:
                with server(side.command, environment_of(options)) as (port, _):
                    load(port, side.models, min(clients, 4), 4, 4, 10**6)  # warm
                    got = load(port, side.models, clients, max(options.requests, clients), NEW, round_number * 10**4)
                results.setdefault((side.name, clients), []).append(got)
    summary = []
    print(f"{'':26}clients  requests/s  tokens/s  first token: median   95 %")
    for (name, clients), rounds in results.items():
        firsts = sorted(first for got in rounds for first in got[2])
        row = {"side": name, "clients": clients, "requests_per_s": statistics.median(got[0] for got in rounds),
               "tokens_per_s": statistics.median(got[1] for got in rounds), "first_median_s": statistics.median(firsts),
               "first_95_s": firsts[int(0.95 * (len(firsts) - 1))]}
        summary.append(row)
        print(f"{name:26}{clients:7}{row['requests_per_s']:12.2f}{row['tokens_per_s']:10.1f}{row['first_median_s']:17.2f} s"
              f"{row['first_95_s']:8.2f} s")
    return sides, summary


def measure_memory(options, side):
    with server(side.command, environment_of(options)) as (port, pid):
        tenth = max(1, options.many // 10)
        load(port, side.models, 16, tenth, 1, 0)
        before = memory_kib(pid)
        load(port, side.models, 16, options.many - tenth, 1, tenth)
        after = memory_kib(pid)
    print(f"memory: {before} KiB after {tenth} requests, {after} KiB after {options.many}")
    return {"requests": options.many, "kib_before": before, "kib_after": after}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forerun", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--peer")
    parser.add_argument("--clients", type=lambda text: [int(n) for n in text.split(",")], default=[1, 8, 64])
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=0)
    parser.add_argument("--option", action="append", default=[], help="one more word of forerun's command, such as --option=--quantised")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        sides, summary = measure(options, work)
        memory = measure_memory(options, sides[1]) if options.many else None
    print(json.dumps({"load": summary, "memory": memory}))


if __name__ == "__main__":
    main()
