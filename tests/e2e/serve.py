"""What serve.sh asks of a server. usage: serve.py FORERUN MODEL FOLDER [CASE...]

FOLDER/shelf holds two.h5 (tasks a and b, of rows of ids) and talk.h5 (one task, of dialogues).
"""
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

from serve_process import BASE, FOLDER, FORERUN, MODEL, SHELF, Server

SECRET = "mellon-speak-friend"


def generate(rows, *options):
    """Texts that `generate` gives for rows."""
    path = FOLDER + "/in.jsonl"
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    out = subprocess.run([FORERUN, "generate", "--model", MODEL, "--input", path, "--threads", "1", "--precision", "f32", *options],
                         check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
    return [json.loads(line)["generated"] for line in out.splitlines()]


def events(data):
    """The events of a whole stream."""
    lines = [line for line in data.decode().split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines), lines
    assert lines[-1] == "data: [DONE]", lines[-1]
    return [json.loads(line[6:]) for line in lines[:-1]]


ROWS = [("the red ball", BASE), ("the", "two:a"), ("round ball", "two:b"), ("the 0", "talk"), ("caf\u00e9", BASE)]
FILES = {BASE: None, "two:a": SHELF + "/two.h5:a", "two:b": SHELF + "/two.h5:b", "talk": SHELF + "/talk.h5"}


def row_of(text, name):
    return {"source": text, **({"prefix": FILES[name]} if FILES[name] else {})}


def check_answers(server):
    """The same as generate's, one after another and at the same time."""
    wanted = generate([row_of(*row) for row in ROWS], "--max-new-tokens", "20")
    assert [server.complete(text, name, max_tokens=20, temperature=0)[0] for text, name in ROWS] == wanted
    lines = []
    for text, name in ROWS:
        line = server.connect()
        body = json.dumps({"model": name, "prompt": text, "max_tokens": 20, "temperature": 0}).encode()
        line.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
                     b"Content-Length: %d\r\n\r\n" % len(body) + body)
        lines.append(line)
    for line, text in zip(lines, wanted):
        data = b"".join(iter(lambda one=line: one.recv(65536), b""))
        line.close()
        assert json.loads(data.split(b"\r\n\r\n", 1)[1])["choices"][0]["text"] == text, data
    said = [{"role": "system", "content": "s"}, {"role": "user", "content": "the ball"}]
    for name in (BASE, "talk"):
        row = {"messages": said, **({"prefix": FILES[name]} if FILES[name] else {})}
        assert server.chat(said, name, max_tokens=12, temperature=0) == generate([row], "--max-new-tokens", "12")
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert server.chat(said, tools=tools, max_tokens=12, temperature=0) == generate(
        [{"messages": said, "tools": tools}], "--max-new-tokens", "12")
    parts = [said[0], {"role": "user", "content": [{"type": "text", "text": "the ball"}]}]
    assert server.chat(parts, max_tokens=12, temperature=0) == server.chat(said, max_tokens=12, temperature=0)


def check_seeds(server):
    rule = {"max_tokens": 12, "temperature": 0.9, "top_p": 0.9, "seed": 5}
    options = ["--max-new-tokens", "12", "--temperature", "0.9", "--top-p", "0.9", "--seed", "5"]
    alone = server.complete("the", **rule)
    assert alone == generate([{"source": "the"}], *options)
    three = server.complete("the", n=3, **rule)
    assert three == generate([{"source": "the"}] * 3, *options) and three[0] == alone[0] and len(set(three)) > 1
    assert server.complete(["the", "the"], **rule) == three[:2]
    assert server.complete("the", **{**rule, "seed": 6}) != alone
    bare = {"max_tokens": 30, "temperature": 2}
    assert server.complete("the", **bare) != server.complete("the", **bare), "without a seed"


def check_forms(server):
    wanted = server.complete("the", max_tokens=8, temperature=0)
    assert server.complete([ord(c) for c in "the"], max_tokens=8, temperature=0) == wanted
    assert server.complete([[ord(c) for c in "the"], "the"], max_tokens=8, temperature=0) == wanted * 2
    assert server.complete("the", max_tokens=8, temperature=0, echo=True) == ["the" + wanted[0]]
    code, data = server.post("/v1/completions", model=BASE, prompt="the", max_tokens=8, temperature=0, logprobs=2, seed=1)
    found = data["choices"][0]
    assert code == 200 and found["text"] == wanted[0] and found["finish_reason"] == "length", data
    assert {len(found["logprobs"][key]) for key in found["logprobs"]} == {8}, found
    assert all(len(top) == 2 and max(top.values()) >= value for top, value in
               zip(found["logprobs"]["top_logprobs"], found["logprobs"]["token_logprobs"])), found
    assert data["usage"] == {"prompt_tokens": 3, "completion_tokens": 8, "total_tokens": 11}
    code, data = server.post("/v1/chat/completions", model=BASE, messages=[{"role": "user", "content": "a"}], max_tokens=3,
                             logprobs=True, top_logprobs=1)
    found = data["choices"][0]["logprobs"]["content"]
    assert code == 200 and len(found) == 3 and len(found[0]["top_logprobs"]) == 1, data
    stop = next(c for c in wanted[0] if ord(c) < 128)
    code, data = server.post("/v1/completions", model=BASE, prompt="the", max_tokens=8, temperature=0, stop=[stop])
    assert data["choices"][0]["text"] == wanted[0].split(stop)[0] and data["choices"][0]["finish_reason"] == "stop", data


def check_streams(server):
    body = {"model": "two:a", "prompt": "the", "max_tokens": 9, "temperature": 0, "stream": True, "n": 2}
    code, headers, data = server.ask("POST", "/v1/completions", body)
    assert code == 200 and headers["Content-Type"].startswith("text/event-stream"), headers
    pieces = events(data)
    for index in (0, 1):
        text = "".join(c["text"] for p in pieces for c in p["choices"] if c["index"] == index)
        assert [text] == server.complete("the", "two:a", max_tokens=9, temperature=0)
        assert [c["finish_reason"] for p in pieces for c in p["choices"] if c["index"] == index][-1] == "length"
    said = [{"role": "user", "content": "the"}]
    body = {"model": "talk", "messages": said, "max_tokens": 9, "temperature": 0, "stream": True, "logprobs": True,
            "stream_options": {"include_usage": True}}
    pieces = events(server.ask("POST", "/v1/chat/completions", body)[2])
    assert pieces[0]["choices"][0]["delta"]["role"] == "assistant" and pieces[-1]["choices"] == [], pieces
    assert pieces[-1]["usage"]["completion_tokens"] == 9 and pieces[0]["usage"] is None
    assert "".join(p["choices"][0]["delta"].get("content", "") for p in pieces[:-1]) == server.chat(
        said, "talk", max_tokens=9, temperature=0)[0]
    assert sum(len(p["choices"][0]["logprobs"]["content"]) for p in pieces[:-1] if p["choices"][0]["logprobs"]) == 9


def refused(answer, code, param, word):
    assert answer[0] == code, answer
    error = (json.loads(answer[-1]) if isinstance(answer[-1], bytes) else answer[-1])["error"]
    assert error["param"] == param and error["code"] == word and error["message"] and error["type"], error


def check_errors(server):
    post = server.post
    refused(post("/v1/completions", model="nobody", prompt="a"), 404, "model", "model_not_found")
    refused(post("/v1/completions", model="../shelf/two.h5", prompt="a"), 404, "model", "model_not_found")
    refused(post("/v1/completions", model=FILES["talk"], prompt="a"), 404, "model", "model_not_found")
    refused(post("/v1/completions", model=BASE, prompt=[5000]), 400, "prompt", "invalid_prompt")
    refused(post("/v1/completions", model=BASE, prompt=""), 400, "prompt", "invalid_prompt")
    refused(post("/v1/completions", model=BASE, prompt="a" * 30000), 400, "prompt", "invalid_prompt")
    refused(post("/v1/completions", model=BASE, prompt="a", best_of=2), 400, "best_of", "unsupported_parameter")
    refused(post("/v1/chat/completions", model=BASE, messages=[{"role": "who", "content": "a"}]), 400, "messages", "invalid_prompt")
    refused(server.ask("POST", "/v1/completions", b'{"model": "tiny", "prompt": "a", "' + b"k" * 3000000 + b'": 1}'), 400, "k" * 40,
            "unknown_parameter")
    refused(post("/v1/completions", model=BASE, prompt="a", n=16, max_tokens=19000, logprobs=5), 400, "logprobs", "invalid_value")
    refused(post("/v1/chat/completions", model="two:a", messages=[{"role": "system", "content": "a"}, {"role": "user", "content": "a"}]),
            400, "messages", "invalid_prompt")
    assert server.chat([{"role": "user", "content": "the"}], "two:a", max_tokens=5, temperature=0) == server.complete(
        "the", "two:a", max_tokens=5, temperature=0)
    refused(server.ask("POST", "/v1/completions", b"{"), 400, None, "invalid_json")
    refused(server.ask("POST", "/v1/completions", b"[" * 100000), 400, None, "invalid_json")
    refused(server.ask("POST", "/v1/completions", b"{}", {"Content-Type": "text/plain"}), 415, None, "unsupported_media_type")
    refused(server.ask("GET", "/v1/completions"), 405, None, "method_not_allowed")
    refused(server.ask("POST", "/health", b"{}"), 405, None, "method_not_allowed")
    for path in ("/", "/etc/passwd", "/../../etc/passwd", "/v1/models/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1"):
        assert server.ask("GET", path)[0] == 404, path
    refused(server.ask("GET", "/v1/models/nobody"), 404, "model", "model_not_found")
    assert json.loads(server.ask("GET", "/v1/models/two:a")[2])["id"] == "two:a"
    names = [model["id"] for model in json.loads(server.ask("GET", "/v1/models")[2])["data"]]
    assert names == [BASE, "talk", "two:a", "two:b"], names
    assert server.ask("GET", "/health")[0] == 200 and server.ask("HEAD", "/health")[2] == b""
    assert server.metric("choices_total{end=\"failed\"}") == 0


def check_wire(server):
    """Clients that break the rules, or test their limits; the server goes on."""
    good = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    for broken in (b"\0\1\2\3\r\n\r\n", b"GET\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
                   b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                   b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 200000 + b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
        with server.connect() as line:
            try:
                line.sendall(broken)
                line.shutdown(socket.SHUT_WR)
                while line.recv(65536):
                    pass
            except OSError:  # the server has closed it
                pass
    with server.connect() as line:  # pipelined
        line.sendall(good * 20)
        data = b""
        while data.count(b"HTTP/1.1 200") < 20:
            part = line.recv(65536)
            assert part, data
            data += part
    body = json.dumps({"model": BASE, "prompt": "the", "max_tokens": 4, "temperature": 0}).encode()
    with server.connect() as line:  # slow, but not too slow; in chunks
        line.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n")
        for byte in body:
            line.sendall(b"1\r\n%c\r\n" % byte)
        line.sendall(b"0\r\n\r\n")
        assert b" 200 " in line.recv(65536)
    with server.connect() as line:
        line.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n")
        assert b" 413 " in line.recv(65536)
    with server.connect() as line:  # too much in chunks
        try:
            line.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(100):
                line.sendall(b"10000\r\n" + b"a" * 65536 + b"\r\n")
            line.sendall(b"0\r\n\r\n")
            assert b" 413 " in (line.recv(65536) or b" 413 ")
        except ConnectionError:
            pass
    assert server.ask("GET", "/health")[0] == 200


def check_many(server):
    """A thousand connections, and requests among them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2048)), hard))
    lines = [server.connect() for _ in range(1000)]
    for line in lines[::100]:
        line.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in line.recv(65536)
    assert server.complete("the", max_tokens=2)
    assert server.metric("connections") >= 1000
    for line in lines:
        line.close()
    server.until("connections", 1)


LONG = {"model": BASE, "max_tokens": 19000, "temperature": 0}


def find_long(server):
    """A prompt whose answer does not end by itself."""
    if "prompt" in LONG:
        return
    for letter in "abcdefghijklmnopqrstuvwxyz":
        answer = server.post("/v1/completions", **{**LONG, "prompt": letter, "max_tokens": 3000})[1]
        if answer["choices"][0]["finish_reason"] == "length":
            LONG["prompt"] = letter
            return
    raise AssertionError("every answer ends")


def begin(server, stream, tokens=LONG["max_tokens"]):
    """A request that takes long, and its connection."""
    body = json.dumps({**LONG, "stream": stream, "max_tokens": tokens}).encode()
    line = server.connect()
    line.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                 + body)
    return line


def case_answers():
    with Server("--prefixes", SHELF) as server:
        check_answers(server)
        check_seeds(server)
        check_forms(server)
        check_streams(server)
        check_errors(server)
        told = server.told()
    for text in ("the red ball", "round ball", "caf", "nobody", "passwd", "mellon"):
        assert text not in told.replace(FOLDER, ""), text
    assert "POST /v1/completions model=two:a status=200 prompt_tokens=" in told, told


def case_wire():
    with Server("--read-timeout", "2") as server:
        check_wire(server)
        line = server.connect()  # a client that sends a byte now and then
        line.settimeout(0.25)
        line.sendall(b"POST /v1/completions HTTP/1.1\r\n")
        ended = False
        for _ in range(100):
            try:
                line.sendall(b"A")
                ended = line.recv(100) == b"" or ended
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
            if ended:
                break
        assert ended, "a slow client keeps its connection"
        line.close()
    with Server("--prefixes", SHELF) as server:
        check_many(server)


def case_bounds():
    """One place and a queue of one: the third request is refused; who goes away frees his place, in a stream and without one."""
    with Server("--batch", "1", "--queue", "1", "--max-choices", "1", "--drain-timeout", "1") as server:
        find_long(server)
        for stream in (True, False):
            first = begin(server, stream)
            server.until("choices_under_way", 1)
            second = begin(server, stream)
            server.until("queue_length", 1)
            code, headers, data = server.ask("POST", "/v1/completions", {**LONG, "max_tokens": 1})
            refused((code, data), 429, None, "queue_full")
            assert headers["Retry-After"], headers
            second.close()
            server.until("queue_length", 0)
            first.close()
            server.until("choices_under_way", 0)
        assert server.metric("choices_total{end=\"cancelled\"}") == 4
    with Server("--batch", "1", "--queue", "2", "--max-choices", "2", "--drain-timeout", "1") as server:
        first = begin(server, True)
        server.until("choices_under_way", 1)
        second = begin(server, True)
        server.until("queue_length", 1)
        # of two choices there is room for one, so neither is taken
        refused(server.post("/v1/completions", **{**LONG, "n": 2}), 429, None, "queue_full")
        server.until("queue_length", 1)
        first.close()
        second.close()
        server.until("choices_under_way", 0)
    with Server("--batch", "1", "--request-timeout", "1") as server:
        refused(server.post("/v1/completions", **{**LONG, "n": 8}), 503, None, "timeout")
        data = server.ask("POST", "/v1/completions", {**LONG, "n": 8, "stream": True})[2]
        assert json.loads(data.decode().split("\n\n")[-2][6:])["error"]["code"] == "timeout", data[-500:]


def case_slow():
    """A client that takes too long to read an answer is cut off, and its answer's memory goes."""
    with Server("--read-timeout", "3", "--drain-timeout", "1") as server:
        find_long(server)
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        line.connect(("127.0.0.1", server.port))
        line.settimeout(30)
        body = json.dumps({**LONG, "stream": True, "logprobs": 5}).encode()
        line.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                     % len(body) + body)
        # it reads often enough not to seem idle; what lies in the system's buffers comes in any case, so the end shows at the server
        while server.metric("connections") > 1:
            assert b"[DONE]" not in line.recv(16384), "it reads to the end"
            time.sleep(0.1)
        line.close()


def case_keys():
    with open(FOLDER + "/keys", "w", encoding="utf-8") as file:
        file.write("other\n" + SECRET + "\n")
    os.chmod(FOLDER + "/keys", 0o600)
    with Server("--key-file", FOLDER + "/keys") as server:
        for wrong in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer " + SECRET[:-1]}, {"Authorization": SECRET}):
            refused(server.ask("GET", "/v1/models", headers=wrong)[::2], 401, None, "invalid_api_key")
            refused(server.ask("POST", "/v1/completions", LONG, wrong)[::2], 401, None, "invalid_api_key")
        assert server.ask("GET", "/metrics")[0] == 401 and server.ask("GET", "/health")[0] == 200
        assert server.ask("GET", "/v1/models", headers={"Authorization": "Bearer " + SECRET})[0] == 200
        assert SECRET[:-1] not in server.told()


def case_drain():
    """SIGTERM: what is under way ends, what is new is refused; what takes too long ends with an error."""
    with Server("--drain-timeout", "300") as server:
        find_long(server)
        line = begin(server, True, 8000)
        server.until("choices_under_way", 1)
        server.end()
        for _ in range(100):
            if server.ask("GET", "/health")[0] == 503:
                break
            time.sleep(0.05)
        refused(server.ask("POST", "/v1/completions", LONG)[::2], 503, None, "shutting_down")
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            part = line.recv(65536)
            assert part, data[-300:]
            data += part
        assert b"data: [DONE]" in data and b'"finish_reason":"length"' in data, data[-500:]
    with Server("--drain-timeout", "1") as server:
        line = begin(server, True)
        server.until("choices_under_way", 1)
        server.end()
        data = b"".join(iter(lambda: line.recv(65536), b""))
        assert b'"code":"shutting_down"' in data and b"[DONE]" not in data, data[-500:]


def case_folder():
    """Prefixes come, go, and are replaced by what is none."""
    folder = FOLDER + "/changing"
    os.mkdir(folder)

    def names(server):
        return [model["id"] for model in json.loads(server.ask("GET", "/v1/models")[2])["data"]][1:]

    def until_names(server, wanted):
        for _ in range(200):
            if names(server) == wanted:
                return
            time.sleep(0.05)
        raise AssertionError((names(server), wanted))

    with Server("--prefixes", folder) as server:
        assert names(server) == []
        shutil.copy(SHELF + "/talk.h5", folder + "/one.h5")
        until_names(server, ["one"])
        before = server.complete("the", "one", max_tokens=9, temperature=0)
        assert before == generate([{"source": "the", "prefix": FILES["talk"]}], "--max-new-tokens", "9")
        with open(folder + "/one.h5", "r+b") as file:
            file.write(b"\x89HDF\r\n\x1a\n" + b"\xff" * 300)
        for _ in range(100):
            if server.metric("prefix_files_refused_total") > 0:
                break
            time.sleep(0.05)
        assert server.complete("the", "one", max_tokens=9, temperature=0) == before
        os.remove(folder + "/one.h5")
        until_names(server, [])
        refused(server.post("/v1/completions", model="one", prompt="a"), 404, "model", "model_not_found")


def case_ranks():
    """Two stages: the same bytes; a rank that stops ends all, and the stream is told."""
    asked = {"prompt": ["the", "ball"], "max_tokens": 12, "seed": 3, "model": "two:b"}
    with Server("--prefixes", SHELF) as server:
        wanted = server.post("/v1/completions", **asked)[1]["choices"]
        find_long(server)
    with Server("--prefixes", SHELF, ranks=2) as server:
        assert server.post("/v1/completions", **asked)[1]["choices"] == wanted
        time.sleep(2.5)  # ranks rest
        assert server.post("/v1/completions", **asked)[1]["choices"] == wanted
    with Server(ranks=2, environment={"FORERUN_TIMEOUT": "2"}, code=5) as server:
        line = begin(server, True)
        server.until("choices_under_way", 1)
        server.is_ending = True
        ranks = subprocess.run(["pgrep", "-P", str(server.process.pid)], check=True, stdout=subprocess.PIPE).stdout.split()
        os.kill(int(ranks[1]), signal.SIGSTOP)
        data = b"".join(iter(lambda: line.recv(65536), b""))
        assert b'"code":"server_lost"' in data and b"[DONE]" not in data, data[-500:]
        server.process.wait(60)
    with Server(ranks=2, code=137) as server:  # mpirun's code of a rank that is killed
        line = begin(server, True)
        server.until("choices_under_way", 1)
        server.is_ending = True
        ranks = subprocess.run(["pgrep", "-P", str(server.process.pid)], check=True, stdout=subprocess.PIPE).stdout.split()
        os.kill(int(ranks[1]), signal.SIGKILL)
        data = b"".join(iter(lambda: line.recv(65536), b""))
        assert b'"code":"server_lost"' in data and b"[DONE]" not in data, data[-500:]


CASES = {name[5:]: value for name, value in list(globals().items()) if name.startswith("case_")}
for chosen in sys.argv[4:] or CASES:
    began = time.monotonic()
    CASES[chosen]()
    print("%s: %.1f s" % (chosen, time.monotonic() - began), flush=True)
