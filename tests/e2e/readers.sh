#!/usr/bin/env bash
# Outside text costs what its length allows, and nothing of it is lost: special tokens, chat templates, configs, JSON,
# bytes that are no UTF-8, tensors without a dimension. Old code needed minutes or gigabytes for each of these.
. "$(dirname "$0")/common.sh"

make_tiny
python3 "$SOURCE/tests/support/make_tokenizer.py" "$work/tiny" 3
cat >"$work/readers.py" <<'PY'
import json, os, resource, shutil, struct, subprocess, sys

work, forerun, source = sys.argv[1:]
SECONDS, MIB = 20, 256


def run(arguments, code, says="", text=b"", size=0):
    """The program must end so, in time and within 256 MiB above `size` bytes of input."""
    try:
        ended = subprocess.run([forerun] + arguments, input=text, capture_output=True, timeout=SECONDS, cwd=work)
    except subprocess.TimeoutExpired:
        sys.exit("FAILED: more than %d s: %s" % (SECONDS, arguments))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    errors = ended.stderr.decode(errors="replace")
    if ended.returncode != code or says not in errors:
        sys.exit("FAILED: %s: code %d, wanted %d and '%s':\n%s" % (arguments, ended.returncode, code, says, errors[-800:]))
    if peak > MIB + (size >> 20) + 1:
        sys.exit("FAILED: %s: %d MiB for %d bytes" % (arguments, peak, size))
    return ended.stdout


def write(name, text):
    path = os.path.join(work, name)
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return len(text)


# ---- every byte is tokenised, to the end
for text in (b"one\xfftwo", b"\xff", b"a\0b", b"no line end", b"a\xff\n\xffb\n", bytes(range(256)) * 3):
    ids = [int(word) for word in run(["tokenize", "--model", "tiny"], 0, text=text).split()]
    assert ids == list(text), (text, ids)
assert run(["tokenize", "--model", "tiny"], 0, text=b"") == b""
assert run(["tokenize", "--model", "tiny", "--jsonl"], 0, text=b'"a"\n\n"b\\u0000"') == b"[97]\n[98, 0]\n"
run(["tokenize", "--model", "tiny", "--jsonl"], 3, "standard input:2: ", b'"a"\n"b\xff"\n"c"\n')
run(["generate", "--model", "tiny", "--prompt", b"a\xffb"], 2, "--prompt must be UTF-8 text")
write("rows.jsonl", b'{"source": "a"}\n{"source": "a\xff"}\n')
run(["generate", "--model", "tiny", "--input", "rows.jsonl"], 3, "rows.jsonl:2: ")

# ---- JSON whose parts take far more than its text
with open(os.path.join(work, "tiny/tokenizer.json")) as file:
    tokenizer = json.load(file)
bomb = "{\"a\": [" + "{}," * 3000000 + "{}]}"
cost = "its JSON values would take more than 192 MiB"
for name in ("tokenizer.json", "config.json", "generation_config.json"):
    shutil.rmtree(os.path.join(work, "bomb"), ignore_errors=True)
    shutil.copytree(os.path.join(work, "tiny"), os.path.join(work, "bomb"))
    size = write("bomb/" + name, bomb)
    run(["generate", "--model", "bomb", "--prompt", "a"], 3, name + ": " + cost, size=size)
shutil.copyfile(os.path.join(work, "tiny/config.json"), os.path.join(work, "bomb/config.json"))
shutil.copyfile(os.path.join(work, "tiny/tokenizer.json"), os.path.join(work, "bomb/tokenizer.json"))
os.remove(os.path.join(work, "bomb/generation_config.json"))
size = write("bomb/model.safetensors", struct.pack("<Q", len(bomb)) + bomb.encode())
run(["generate", "--model", "bomb", "--prompt", "a"], 3, cost, size=size)
os.remove(os.path.join(work, "bomb/model.safetensors"))
size = write("bomb/model.safetensors.index.json", bomb)
run(["generate", "--model", "bomb", "--prompt", "a"], 3, "index.json: " + cost, size=size)
size = write("rows.jsonl", '{"source": "a"}\n' + bomb)
run(["generate", "--model", "tiny", "--input", "rows.jsonl"], 3, "rows.jsonl:2: " + cost, size=size)
run(["eval", "--model", "tiny", "--data", "rows.jsonl"], 3, "rows.jsonl:", size=size)
run(["tokenize", "--model", "tiny", "--jsonl"], 3, "standard input:1: " + cost, bomb.encode(), size=size)

# ---- configs
HEAD = "base: {path: tiny}\nrun: {dir: r, steps: 1}\n"
TASK = "prefix: {init: {zero: true}, length: 2}"


def config(text, says):
    size = write("c.yaml", text)
    run(["train", "c.yaml"], 2, says, size=size)


config("".join("k%d: &a%d 1\n" % (i, i) for i in range(200000)), "more than 256 anchors")
config("a:\n" + "".join("- &a%d [b]\n" % i for i in range(200000)), "more than 256 anchors")
config("".join("%%TAG !a%d! tag:x,\n" % i for i in range(200000)) + "---\na: 1\n", "lines begin with %")
config("a: [" + "b," * 4000000 + "]\n", "more than 500000 keys and values")
config("a: {" + "b: c, " * 2000000 + "}\n", "more than 500000 keys and values")
config("a: &a [b]\nc: [" + "*a, " * 3000000 + "]\n", "more than 500000 keys and values")
config(HEAD + "# " + "x" * (65 << 20) + "\n", "a config may have at most")
texts = HEAD + "tasks:\n  - {name: t, train: x, template: &t \"{source}{target}" + "x" * 1000000 + "\", " + TASK + "}\n"
config(texts + "".join("  - {name: t%d, train: x, template: *t, %s}\n" % (i, TASK) for i in range(4000)), "more than 32 MiB")
config(texts + "sweep: {optimizer.lr: [" + ", ".join("%d.0e-5" % i for i in range(1, 250)) + "]}\n", "more than 32 MiB")
bombs = "a: &a0 [x, x]\n" + "".join("b%d: &a%d [*a%d, *a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 60))
config(bombs, "unknown key a")
config(HEAD + "tasks: &t [*t, *t]\n", "tasks[0]")

# ---- special tokens: many, and such as share beginnings and ends (first those, for memory is measured over all runs)
def add_tokens(folder, texts):
    os.makedirs(os.path.join(work, folder), exist_ok=True)
    tokenizer["added_tokens"] = [{"id": 256 + i, "content": text} for i, text in enumerate(texts)]
    return write(folder + "/tokenizer.json", json.dumps(tokenizer))


nested = ["a" * k + "b" for k in range(1, 2000)] + ["c" + "a" * k for k in range(1, 2000)]
size = add_tokens("nested", nested)
text = b"a" * 300000 + b"b" + b"ca" * 100000 + b"c" + b"a" * 300000
ids = run(["tokenize", "--model", "nested"], 0, text=text, size=size + 40 * len(text)).split()
wanted = [97] * (300000 - 1999) + [256 + 1998] + [256 + 1999] * 100000 + [256 + 3997] + [97] * (300000 - 1999)
assert [int(word) for word in ids] == wanted, "other ids"
size = add_tokens("many", ["<s%d>" % i for i in range(200000)])
text = b"".join(b"x<s%d>y" % (i * 7919 % 200001) for i in range(80000))
ids = [int(word) for word in run(["tokenize", "--model", "many"], 0, text=text, size=1 << 40).split()]
wanted = []
for i in range(80000):
    n = i * 7919 % 200001
    wanted += [120] + ([256 + n] if n < 200000 else list(b"<s%d>" % n)) + [121]
assert ids == wanted, "other ids"

# ---- a chat template is parsed once, in linear time; each row costs what it renders
for text, byte in list(tokenizer["model"]["vocab"].items()):  # the markers take the places of two bytes, within the model
    tokenizer["model"]["vocab"][text] = byte + 255 if byte in (1, 2) else byte
tokenizer["added_tokens"] = [{"id": 1, "content": "<|im_start|>"}, {"id": 2, "content": "<|im_end|>"}]
shutil.copytree(os.path.join(work, "tiny"), os.path.join(work, "chat"))
write("chat/tokenizer.json", json.dumps(tokenizer))
write("chat.jsonl", '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n' * 2000)
turns = ("{% for m in messages %}{% if loop.first and m.role != 'system' %}SYSTEM{% endif %}"
         "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
         "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
system = "<|im_start|>system\n%s<|im_end|>{{ '\n' }}"
MANY, BYTES = (3, "writes nothing of the answers"), (3, "the template has")
for template, says in ((turns.replace("SYSTEM", system % ("a" * 100)), (0, "")),
                       (turns.replace("SYSTEM", system % ("a" * 70000)),
                        (3, "all 2000 examples are longer than 256 tokens")),
                       (turns.replace("SYSTEM", "{% if tools %}" + "a" * 900000 + "{% endif %}"), (0, "")),
                       ("<|im_start|>system\n" * 50000 + "<|im_end|>{{ x }}", MANY), ("<|im_start|>system\n" * 100000, BYTES),
                       ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", (3, "more than 16 MiB")),
                       ("{{" + "(" * 500000, (3, "nested too deep"))):
    write("chat/chat_template.jinja", template)
    run(["eval", "--model", "chat", "--data", "chat.jsonl", "--chat"], says[0], says[1], size=1 << 40)
    run(["tokenize", "--model", "chat"], 0, text=b"a", size=1 << 40)
write("chat/chat_template.jinja", b"<|im_start|>\0<|im_end|>")
run(["tokenize", "--model", "chat"], 3, "chat_template.jinja contains a NUL character", b"a", size=1 << 40)

# ---- a scalar where a vector of one is meant
def tiny_one(norm):
    tensors = {"model.embed_tokens.weight": [8, 1], "lm_head.weight": [8, 1], "model.norm.weight": norm}
    for name, shape in (("input_layernorm", [1]), ("post_attention_layernorm", [1]), ("self_attn.q_proj", [2, 1]),
                        ("self_attn.k_proj", [2, 1]), ("self_attn.v_proj", [2, 1]), ("self_attn.o_proj", [1, 2]),
                        ("mlp.gate_proj", [1, 1]), ("mlp.up_proj", [1, 1]), ("mlp.down_proj", [1, 1])):
        tensors["model.layers.0.%s.weight" % name] = shape
    header, at = {}, 0
    for name, shape in tensors.items():
        n = 1
        for size in shape:
            n *= size
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * n]}
        at += 4 * n
    text = json.dumps(header).encode()
    os.makedirs(os.path.join(work, "one"), exist_ok=True)
    write("one/model.safetensors", struct.pack("<Q", len(text)) + text + struct.pack("<f", 0.5) * (at // 4))
    settings = {"model_type": "llama", "hidden_act": "silu", "hidden_size": 1, "intermediate_size": 1, "num_hidden_layers": 1,
                "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 2, "vocab_size": 8,
                "max_position_embeddings": 16, "rms_norm_eps": 1e-5, "tie_word_embeddings": False}
    write("one/config.json", json.dumps(settings))
    write("one.jsonl", '{"source_ids": [1, 2]}\n')


one = ["generate", "--model", "one", "--input", "one.jsonl", "--max-new-tokens", "2", "--threads", "1"]
for shape in ([1], [1, 1], [1, 1, 1]):
    tiny_one(shape)
    run(one, 0, size=1 << 40)
tiny_one([])
run(one, 3, "tensor model.norm.weight has shape [], the model's settings ask for [1]", size=1 << 40)
PY
python3 "$work/readers.py" "$work" "$FORERUN" "$SOURCE" || fail "see above"
echo "readers cost what their input's length allows"
