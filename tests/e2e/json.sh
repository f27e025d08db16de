#!/usr/bin/env bash
# JSON is always JSON: a perplexity beyond every number, a name that is cut in the middle of a character.
. "$(dirname "$0")/common.sh"

make_tiny
# strict LINES: every line of a file is one JSON value without NaN and Infinity, which Python would let pass
strict() {
    python3 - "$1" <<'PY' || fail "$1 is not JSON: $(head -c 300 "$1")"
import json, sys
def refuse(word):
    raise ValueError(word)
lines = open(sys.argv[1], encoding="utf-8").read().splitlines()
assert lines
for line in lines:
    json.loads(line, parse_constant=refuse)
PY
}

# logits so large that the loss is beyond 709 nats, whose exponential no number holds
python3 - "$model/model.safetensors" <<'PY'
import json, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
n = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + n])
for name, dtype, scale in (("lm_head.weight", "F32", 3e3),):
    assert header[name]["dtype"] == dtype, header[name]
    begin, end = (8 + n + x for x in header[name]["data_offsets"])
    values = struct.unpack("<%df" % ((end - begin) // 4), data[begin:end])
    data[begin:end] = struct.pack("<%df" % len(values), *(scale * x for x in values))
open(sys.argv[1], "wb").write(data)
PY
expect 0 "$FORERUN" eval --model "$model" --data "$rows" --no-eos --json --precision f32 --rows-out "$work/nats.jsonl"
strict "$work/out"
grep -q '"perplexity": null' "$work/out" || fail "$(cat "$work/out")"
strict "$work/nats.jsonl"
make_config 3 5 f32 true
expect 0 "$FORERUN" train "$work/c.yaml" --set "tasks.t.valid=$rows"
strict "$work/run/metrics.jsonl"
"$FORERUN" compare --json "$work/run/prefix.h5" "$work/run/best.h5" >"$work/out" || true
strict "$work/out"

# names of 150 bytes and more, of characters of two bytes, are cut for people
long=$work/$(printf 'ä%.0s' $(seq 100)).jsonl
cp "$rows" "$long"
for odd in "" x; do
    cp "$rows" "$work/$odd$(basename "$long")"
    expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 2 --json --set "tasks.t.train=$work/$odd$(basename "$long")"
    strict "$work/out"
done
