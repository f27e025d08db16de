#!/usr/bin/env bash
# The best validation loss belongs to the rows that it was measured on: with other rows it is forgotten, wherever and
# however they changed; with the same ones it stays, under another name too.
. "$(dirname "$0")/common.sh"

make_tiny
head -n 8 "$rows" >"$work/easy.jsonl"
tail -n 8 "$rows" >"$work/hard.jsonl"
cat >"$work/c.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/run", steps: 4, precision: f32, threads: 1, valid_every: 2, save_every: 100}
tasks:
  - {name: t, train: "$rows", valid: "$work/easy.jsonl", eos: false, prefix: {init: {random: 0.5}, length: 4}}
YAML
"$FORERUN" train "$work/c.yaml" 2>"$work/err" || fail "$(cat "$work/err")"
cp -r "$work/run" "$work/first"

# resume NAME ARGUMENTS...: two more steps in a copy of the run.
resume() {
    rm -rf "${work:?}/$1"
    cp -r "$work/first" "$work/$1"
    local name=$1
    shift
    expect 0 "$FORERUN" train "$work/c.yaml" --resume --set run.steps=6 --set run.dir="$work/$name" "$@"
}
forgotten() { says "is forgotten"; }
kept() { ! grep -q "is forgotten\|do not count" "$work/err" || fail "forgotten: $(cat "$work/err")"; }
# best_of NAME: what the checkpoint says.
best_of() {
    "$FORERUN" inspect "$work/$1/checkpoint-6.h5" | sed -n 's/^  best *//p'
}

resume same
kept
! grep -q "base alone .*, on .* examples\$" <(grep -v "gained" "$work/err") || fail "the base is measured again"
says "with the base alone"
cp "$work/easy.jsonl" "$work/elsewhere.jsonl"
resume renamed --set tasks.t.valid="$work/elsewhere.jsonl"
kept
[ "$(best_of same)" = "$(best_of renamed)" ] || fail "the name of the file counts"

resume other --set tasks.t.valid="$work/hard.jsonl"
says "was measured on other rows than $work/hard.jsonl now gives: it is forgotten, and best.h5 is replaced at the next validation"
says "step 6: validation loss"
grep -q "step 6: validation loss.*(best)" "$work/err" || fail "not the best of the new rows"
[[ $(best_of other) = *"at step 6" ]] || fail "$(best_of other)"
cmp -s "$work/other/best.h5" "$work/first/best.h5" && fail "best.h5 is the one of the other rows"
[ "$(grep -c base_loss "$work/other/metrics.jsonl")" = 2 ] || fail "the base is not measured on the new rows"

resume fewer --set tasks.t.valid_rows=3
forgotten
resume tokens --set tasks.t.valid="$work/easy.jsonl" --set run.valid_every=3
kept
sed -i '1s/\[[0-9]*/[5/' "$work/elsewhere.jsonl"
resume changed --set tasks.t.valid="$work/elsewhere.jsonl"
forgotten

# patience starts anew with the rows; rows that are gone leave no best behind
resume patient --set tasks.t.valid="$work/hard.jsonl" --set tasks.t.patience=1
! grep -q "stays stopped" "$work/err" || fail "stopped by validations on other rows"
sed -i 's|valid: "[^"]*", ||' "$work/c.yaml"
resume gone
says "rows that the config no longer names: it is forgotten, and best.h5 stays as it is"
cmp "$work/gone/best.h5" "$work/first/best.h5" || fail "best.h5 changed"
[ -z "$(best_of gone)" ] || fail "a best loss without rows"
# ... and rows that come have no best before them
rm -rf "$work/first"
cp -r "$work/gone" "$work/first"
resume came --set run.steps=8 --set tasks.t.valid="$work/hard.jsonl"
kept
grep -q "step 8: validation loss.*(best)" "$work/err" || fail "$(cat "$work/err")"

# a checkpoint from before the digest: path and number of rows are compared
sed -i "s|train: \"[^\"]*\", |&valid: \"$work/easy.jsonl\", |" "$work/c.yaml"
rm -rf "$work/first" "$work/run"
"$FORERUN" train "$work/c.yaml" 2>"$work/err" || fail "$(cat "$work/err")"
cp -r "$work/run" "$work/first"
python3 - "$work/first/checkpoint-4.h5" <<'PY'
import hashlib, re, sys
data = open(sys.argv[1], "rb").read()
for name in b"valid_digest", b"base_loss", b"init_loss", b"base_norm_eps":
    assert data.count(b'"%s"' % name) == 1
    data = data.replace(b'"%s"' % name, b'"x%s"' % name[1:])
data = re.sub(rb'"schema_minor":\d', b'"schema_minor":0', data, count=1)
data = re.sub(rb"^Forerun checkpoint 2\.\d", b"Forerun checkpoint 2.0", data)
seal = hashlib.sha256(data[512:]).hexdigest().encode()
data = re.sub(rb"sha256 [0-9a-f]{64}", b"sha256 " + seal, data, count=1)
open(sys.argv[1], "wb").write(data)
PY
resume old
kept
resume old-other --set tasks.t.valid="$work/hard.jsonl"
forgotten
resume old-fewer --set tasks.t.valid_rows=3
forgotten

# a resume that is refused names how to use the weights all the same
expect 6 "$FORERUN" train "$work/c.yaml" --resume --set run.dir="$work/first" --set tasks.t.optimizer.lr=0.5
says "tasks.t.optimizer.lr was 0.005 in the run that is resumed and is 0.5 now; restore it or start another run.dir"
says "to go on from these weights with other settings, start another run with prefix: {init: {file: \"$work/first/best.h5\"}}"
expect 6 "$FORERUN" train "$work/c.yaml" --resume --set run.dir="$work/first" --set tasks.t.train="$work/hard.jsonl"
says "was trained on other data"
says "start another run with prefix: {init: {file: \"$work/first/best.h5\"}}"
rm "$work/first/best.h5"
expect 6 "$FORERUN" train "$work/c.yaml" --resume --set run.dir="$work/first" --set tasks.t.optimizer.lr=0.5
says "{init: {file: \"$work/first/checkpoint-4.h5\"}}"
# ... and it works as it is written
expect 0 "$FORERUN" train "$work/c.yaml" --set run.dir="$work/next" --set tasks.t.optimizer.lr=0.5 \
    --set "tasks.t.prefix.init.file=$work/first/checkpoint-4.h5"
