#!/usr/bin/env bash
# Data files that hold no rows are named with the way out, by every command that reads rows; what docs/data.md tells to
# type makes rows of them.
. "$(dirname "$0")/common.sh"

make_tiny
python3 "$SOURCE/tests/support/make_tokenizer.py" "$work/tiny"
cd "$work"

# bad FILE TEXT: eval and train refuse the file, named as it was given
bad() {
    expect 3 "$FORERUN" eval --model "$model" --data "$1" --template '{source}{target}' --threads 1
    says "$1: is $2"
    rm -rf run
    expect 3 "$FORERUN" train "$work/c.yaml" --set "tasks.t.train=$1"
    says "$1: is $2"
    expect 3 "$FORERUN" plan "$work/c.yaml" --ranks 1 --set "tasks.t.train=$1"
    says "$1: is $2"
    cp "$1" other.jsonl
    expect 3 "$FORERUN" inspect other.jsonl
    says "other.jsonl: is $2"
}
make_config 1 1 f32
printf '{"source": "a", "target": "b"}\n' >rows.jsonl
sed -i 's|^    eos: false|&\n    template: "{source}{target}"|' c.yaml

gzip -k rows.jsonl
bad rows.jsonl.gz 'packed by gzip; unpack it with gunzip'
printf '{\n "source": "a",\n "target": "b"\n}\n' >one.json
bad one.json 'one JSON object over several lines; write one object a line'
iconv -f UTF-8 -t UTF-16 rows.jsonl >wide.jsonl
bad wide.jsonl 'text in UTF-16; write it as UTF-8'
iconv -f UTF-8 -t UTF-16LE rows.jsonl >wide.jsonl
bad wide.jsonl 'text in UTF-16; write it as UTF-8'
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' >lfs.jsonl
bad lfs.jsonl "a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'"
bad "$work/tiny/model.safetensors" 'a safetensors file; give rows as JSON'

# the programs of docs/data.md
if ! command -v jq >/dev/null; then
    echo "row files: named; jq is not there: its programs were not tried"
    exit 0
fi
cat >try.py <<'PY'
import json, re, subprocess, sys
document, forerun, model = sys.argv[1:]
lines = open(document, encoding="utf-8").read().split("\n")
sample, tried = None, 0
for line in lines:
    found = re.search(r"`(\{\".*\})`$", line)
    if found:
        sample = found.group(1)
    if not line.startswith("    ") or "python3" in line:
        continue
    out = subprocess.run(["jq", "-c", line.strip()], input=sample, capture_output=True, text=True)
    assert out.returncode == 0, (line, out.stderr)
    rows = [json.loads(row) for row in out.stdout.splitlines()]
    assert len(rows) == 1, (line, out.stdout)
    for key, value in rows[0].items():
        kinds = (str, list) if key in ("target", "source_ids", "target_ids", "messages") else str
        assert key in ("source", "target", "source_ids", "target_ids", "messages"), (line, rows)
        assert isinstance(value, kinds) and (value or key == "source_ids"), (line, rows)
    if "messages" in rows[0]:
        assert all(m["role"] in ("user", "assistant") and m["content"] for m in rows[0]["messages"]), rows
    else:
        open("form.jsonl", "w").write(out.stdout * 2)
        template = "{source}{target}" if "source" in rows[0] else "x{target}"
        done = subprocess.run([forerun, "eval", "--model", model, "--data", "form.jsonl", "--template", template, "--threads", "1"],
                              capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stderr)
    sample, tried = None, tried + 1
assert tried > 20, tried
print("row files: named; %d programs of docs/data.md make rows" % tried)
PY
python3 try.py "$SOURCE/docs/data.md" "$FORERUN" "$model"
