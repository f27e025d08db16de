"""A server under test, for serve.py, whose arguments it reads."""
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

FORERUN, MODEL, FOLDER = sys.argv[1:4]
SHELF = FOLDER + "/shelf"
BASE = "tiny"
TYPE = {"Content-Type": "application/json"}


class Server:
    """A server that runs while its block does."""

    def __init__(self, *options, ranks=1, environment=None, code=0):
        self.code = code
        self.ranks = ranks
        self.is_ending = False
        self.log = open(FOLDER + "/server.log", "w+b")
        launcher = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
        self.process = subprocess.Popen(
            launcher + [FORERUN, "serve", "--model", MODEL, "--listen", "127.0.0.1:0", "--threads", "1", "--precision", "f32",
                        "--context", "20000", *options],
            stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
        line = self.process.stdout.readline().decode()
        assert line.startswith("http://127.0.0.1:"), (line, self.told())
        self.port = int(line.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
            print(self.told(), file=sys.stderr)
        elif not self.is_ending:
            self.end()
        code = self.process.wait(60)
        assert kind is not None or code == self.code, (code, self.told())
        self.process.stdout.close()
        self.log.close()

    def end(self):
        """A second signal would end it at once. mpirun passes SIGUSR1 on, and answers SIGTERM by killing its ranks."""
        self.is_ending = True
        self.process.send_signal(signal.SIGUSR1 if self.ranks > 1 else signal.SIGTERM)

    def told(self):
        self.log.flush()
        with open(self.log.name, encoding="utf-8") as file:
            return file.read()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(self, method, path, body=None, headers=None):
        """Code, headers, bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        connection.request(method, path, data, {**(TYPE if data is not None else {}), **(headers or {})})
        answer = connection.getresponse()
        out = answer.status, answer.headers, answer.read()
        connection.close()
        return out

    def post(self, path, **body):
        code, _, data = self.ask("POST", path, body)
        return code, json.loads(data)

    def complete(self, prompt, model=BASE, **rest):
        code, data = self.post("/v1/completions", model=model, prompt=prompt, **rest)
        assert code == 200, data
        return [choice["text"] for choice in data["choices"]]

    def chat(self, messages, model=BASE, **rest):
        code, data = self.post("/v1/chat/completions", model=model, messages=messages, **rest)
        assert code == 200, data
        return [choice["message"]["content"] for choice in data["choices"]]

    def metric(self, name):
        for line in self.ask("GET", "/metrics")[2].decode().splitlines():
            if line.split(" ")[0] == "forerun_" + name:
                return float(line.split(" ")[1])
        raise AssertionError(name)

    def until(self, name, value):
        for _ in range(600):
            if self.metric(name) == value:
                return
            time.sleep(0.05)
        raise AssertionError((name, self.metric(name), value))
