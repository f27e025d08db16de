#!/usr/bin/env bash
# A reparametrised prefix: step 0 is its start, the loss falls, every layout and every resume gives the same bits.
. "$(dirname "$0")/common.sh"

make_tiny
steps=6
make_config $steps 7 f32
# a key/value gradient that the clip touches, a frozen slot, decay: all that the update has
mlp=(--set tasks.t.prefix.mlp.hidden=24 --set tasks.t.prefix.mlp.width=10 --set tasks.t.optimizer.lr=5.0e-3
    --set tasks.t.optimizer.clip=0.1 --set tasks.t.optimizer.weight_decay=0.01 --set tasks.t.prefix.freeze_first=true)

train whole 1 1 "${mlp[@]}" 2>"$work/err" || fail "$(cat "$work/err")"
whole=$work/whole/checkpoint-$steps.h5
for layout in "2 1" "1 2" "3 1" "2 2" "4 1" "1 3"; do
    read -r stages replicas <<<"$layout"
    for threads in 1 2; do
        name=${stages}x$replicas-$threads
        train "$name" "$stages" "$replicas" "${mlp[@]}" --set "run.threads=$threads" 2>"$work/err" || fail "$(cat "$work/err")"
        same "$whole" "$work/$name/checkpoint-$steps.h5"
        same "$work/whole/prefix.h5" "$work/$name/prefix.h5"
        echo "$name: identical"
    done
done
train threads 1 1 "${mlp[@]}" --set run.threads=2 2>"$work/err" || fail "$(cat "$work/err")"
same "$whole" "$work/threads/checkpoint-$steps.h5"
train quarter 2 1 "${mlp[@]}" --set tasks.t.batch.microbatch_tokens=16 2>"$work/err" || fail "$(cat "$work/err")"
same "$whole" "$work/quarter/checkpoint-$steps.h5"

layouts=("1 1" "2 1" "1 2" "3 1" "2 2" "4 1")
for ((stop = 1; stop < steps; stop++)); do
    read -r s1 r1 <<<"${layouts[stop % 6]}"
    read -r s2 r2 <<<"${layouts[(stop + 2) % 6]}"
    expect 75 train "part-$stop" "$s1" "$r1" "${mlp[@]}" --stop-after $stop
    train "part-$stop" "$s2" "$r2" "${mlp[@]}" --resume 2>"$work/err" || fail "$(cat "$work/err")"
    same "$whole" "$work/part-$stop/checkpoint-$steps.h5"
    echo "stopped after $stop on ${s1}x$r1, finished on ${s2}x$r2: identical"
done

# the comparison sees the network: at rate 0 another beta1 changes first moments alone
train still 1 1 "${mlp[@]}" --set tasks.t.optimizer.lr=0 2>"$work/err" || fail "$(cat "$work/err")"
train still-2 1 1 "${mlp[@]}" --set tasks.t.optimizer.lr=0 --set tasks.t.optimizer.beta1=0.5 2>"$work/err" || fail "$(cat "$work/err")"
expect 1 "$FORERUN" compare "$work/still/checkpoint-$steps.h5" "$work/still-2/checkpoint-$steps.h5"
grep -qE "task t (layer [0-3]|shared) m_(w2|b2|e|w1|b1) element" "$work/out" || fail "$(cat "$work/out")"
same "$work/still/prefix.h5" "$work/still-2/prefix.h5"
# with rate 0 the prefix stays what an ordinary run starts from, and so does the loss of its first step
train direct 1 1 --set tasks.t.optimizer.lr=0 2>"$work/err" || fail "$(cat "$work/err")"
same "$work/direct/prefix.h5" "$work/still/prefix.h5"
python3 - "$work/whole/metrics.jsonl" "$work/direct/metrics.jsonl" <<'PY' || fail "the first loss is not that of the start"
import json, sys
first = [next(step["loss"] for step in map(json.loads, open(path)) if "lr" in step) for path in sys.argv[1:]]
sys.exit(first[0] != first[1])
PY

# its files: a checkpoint can be resumed, a prefix holds keys and values alone and serves as one
"$FORERUN" inspect "$whole" >"$work/out"
grep -qF "24 hidden units over embeddings of 10" "$work/out" || fail "$(cat "$work/out")"
grep -qF "can be resumed" "$work/out" || fail "$(cat "$work/out")"
"$FORERUN" inspect "$work/whole/prefix.h5" >"$work/out"
grep -qF "for inference" "$work/out" || fail "$(cat "$work/out")"
same "$whole" "$work/whole/prefix.h5"
expect 0 "$FORERUN" eval --model "$model" --prefix "$work/whole/prefix.h5" --data "$rows" --json
expect 6 train whole 1 1 "${mlp[@]}" "--resume=$work/whole/prefix.h5"
says "no optimizer state"
expect 6 train whole 1 1 "${mlp[@]}" --resume --set tasks.t.prefix.mlp.hidden=25
says "tasks.t.prefix.mlp.hidden was 24"
expect 6 train whole 1 1 "${mlp[@]}" --resume --set tasks.t.prefix.mlp.hidden=0 --set tasks.t.prefix.mlp.width=auto
says "mlp.hidden was 24"

# training lowers the loss, at the rate that auto stands for
make_config 150 8 f32
train learns 1 1 --set tasks.t.prefix.mlp.hidden=64 --set tasks.t.optimizer.lr=auto --set tasks.t.optimizer.warmup=0 \
    --set tasks.t.optimizer.schedule=constant 2>"$work/err" || fail "$(cat "$work/err")"
python3 - "$work/learns/metrics.jsonl" <<'PY' || fail "the loss did not fall"
import json, sys
losses = [line["loss"] for line in map(json.loads, open(sys.argv[1])) if "loss" in line]
first, last = sum(losses[:15]) / 15, sum(losses[-15:]) / 15
print("loss %.4f -> %.4f" % (first, last))
sys.exit(not last < first - 0.02)
PY

# embeddings and first layer come from the task's own seed: other ones for each seed of a sweep, the same ones as alone
cat >"$work/seeds.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/seeds", seed: 3, steps: 1, precision: f32, threads: 1}
sweep: {seed: [5, 6]}
tasks:
  - {name: s, train: "$rows", eos: false, prefix: {init: {random: 0.5}, length: 5, mlp: {hidden: 24, width: 10}},
     optimizer: {lr: 0}, batch: {examples: 7}}
YAML
"$FORERUN" train "$work/seeds.yaml" >/dev/null 2>"$work/err" || fail "$(cat "$work/err")"
train alone 1 1 "${mlp[@]}" --set tasks.t.optimizer.lr=0 --set tasks.t.seed=6 --set run.steps=1 2>"$work/err" || fail "$(cat "$work/err")"
python3 - "$work/seeds/checkpoint-1.h5" "$work/alone/checkpoint-1.h5" <<'PY' || fail "seeds"
import json, sys
def arrays(path):
    data = open(path, "rb").read()
    header = dict(line.split(b" ", 1) for line in data[:512].split(b"\0")[0].split(b"\n")[1:] if line)
    lines = [json.loads(line) for line in data[512:512 + int(header[b"index"])].splitlines()]
    return {a["array"]: data[a["offset"]:a["offset"] + a["bytes"]] for a in lines if "array" in a}
sweep, alone = (arrays(path) for path in sys.argv[1:])
tasks = sorted({name.split("/")[2] for name in sweep})
for part in "e", "w1":
    first, second = (sweep["/tasks/%s/shared/%s" % (task, part)] for task in tasks)
    assert first != second, "two seeds start with the same " + part
    assert second == alone["/tasks/t/shared/" + part], "another %s in a sweep than alone" % part
PY
