"""The same rows in the same order for both sides: Forerun's order of examples, its token ids as the peer's input."""
import json
import subprocess

MASK = 0xFFFFFFFF
SHUFFLE = 1 << 56  # FR_RNG_SHUFFLE, epoch 0
TEMPLATE = "{source}\n{target}"
END = "<|im_end|>"  # SmolLM2's end of sequence


def philox(seed, stream, counter):
    """The 64-bit word of src/base/rng.c."""
    c = [counter & MASK, counter >> 32, stream & MASK, stream >> 32]
    k0, k1 = seed & MASK, seed >> 32
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & MASK, (a >> 32) ^ c[3] ^ k1, a & MASK]
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return (c[1] << 32) | c[0]


def shuffled(n, seed=1):
    """Order of the n examples in a task's first epoch (src/train): runs compare tokens a step to be sure of it."""
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = philox(seed, SHUFFLE, i) * (i + 1) >> 64
        order[i], order[j] = order[j], order[i]
    return order


def read(path, count=None):
    """The first rows of a JSONL file."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line, _ in zip(file, range(count or 1 << 60))]


def write(path, rows):
    """Rows as JSONL."""
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def grouped(rows, count):
    """About `count` rows that are all rows of their sources, in file order."""
    by_source = {}
    for row in rows:
        by_source.setdefault(row["source"], []).append(row)
    chosen = []
    for part in by_source.values():
        if len(part) > 1 and len(chosen) < count:
            chosen += part
    return chosen[:count]


def ids_of(program, model, texts, special=False):
    """Token ids of each text."""
    command = [program, "tokenize", "--model", model, "--jsonl"] + ([] if special else ["--no-special"])
    text = "".join(json.dumps(text) + "\n" for text in texts)
    output = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def tokenised(program, model, rows):
    """Rows of ids, as the template and the end token make them: source and what follows it as one string. Rows of
    ids stay as they are."""
    if "source_ids" in rows[0]:
        return rows
    end = ids_of(program, model, [END], special=True)[0]
    sources = ids_of(program, model, [row["source"] + "\n" for row in rows])
    targets = ids_of(program, model, [row["target"] for row in rows])
    return [{"source_ids": s, "target_ids": t + end} for s, t in zip(sources, targets)]
