#!/usr/bin/env bash
# A prefix that starts from a text: step 0 is the model prompted with what of the text the prefix takes. A longer text is
# cut with a word on what is lost, a shorter one is repeated where the config asks for it, and files tell what was used.
. "$(dirname "$0")/common.sh"

model=$work/tiny
python3 "$SOURCE/tests/support/make_tiny.py" "$model" "$work/unused.jsonl" 128 4 288
python3 "$SOURCE/tests/support/make_tokenizer.py" "$model" 3 '{"bos_token": "<s1>", "eos_token": "<s2>", "add_bos_token": true}'
printf '{"source": "the cat sat", "target": " mat"}\n{"source": "a dog", "target": " ran off"}\n' >"$work/rows.jsonl"
cat >"$work/c.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/run", steps: 1, precision: f32, threads: 1}
tasks:
  - {name: t, train: "$work/rows.jsonl", valid: "$work/rows.jsonl", template: "{source}{target}",
     prefix: {init: {text: "say it"}}}
YAML

# start NAME ARGUMENTS...: one step.
start() {
    local name=$1
    shift
    expect 0 "$FORERUN" train "$work/c.yaml" --set run.dir="$work/$name" "$@"
}
# like NAME TEXT: the init of the run is worth what the base is worth when it is prompted with TEXT; so is the base itself.
like() {
    "$FORERUN" eval --model "$model" --data "$work/rows.jsonl" --precision f32 --json --template "$2{source}{target}" \
        >"$work/prompted" 2>/dev/null
    "$FORERUN" eval --model "$model" --data "$work/rows.jsonl" --precision f32 --json --template "{source}{target}" \
        >"$work/base" 2>/dev/null
    python3 - "$work/prompted" "$work/base" "$work/$1/metrics.jsonl" <<'PY' || fail "$1: step 0 is not the model prompted with '$2'"
import json, sys
prompted, base = (json.load(open(path))["loss"] for path in sys.argv[1:3])
line = next(json.loads(line) for line in open(sys.argv[3]) if "base_loss" in line)
print(line, prompted, base)
assert abs(line["init_loss"] - prompted) < 2e-5 and abs(line["base_loss"] - base) < 2e-5
assert abs(prompted - base) > 1e-3, "the text makes no difference"
PY
}
# init_of NAME: what inspect says.
init_of() { "$FORERUN" inspect "$work/$1/prefix.h5" | sed -n 's/^  init *//p'; }

# as long as the prefix: 6 bytes and the base's BOS
start whole
like whole "say it"
[ "$(init_of whole)" = "text: \"say it\"" ] || fail "$(init_of whole)"
says "prompted with the init text "
start exact --set tasks.t.prefix.length=7 --set tasks.t.prefix.repeat_text=true
same "$work/whole/prefix.h5" "$work/exact/prefix.h5"
! grep -q "warning\|repeated" "$work/err" || fail "$(cat "$work/err")"

# longer
start cut --set tasks.t.prefix.length=4
says "warning: tasks.t.prefix.length 4 takes the first 4 of the init text's 7 tokens; cut off: ' it'"
like cut "say"
[ "$(init_of cut)" = "text, the first 4 of 7 tokens: \"<s1>say\"" ] || fail "$(init_of cut)"
start control --set tasks.t.prefix.length=4 --set "tasks.t.prefix.init.text=$(printf 'say\e[2J\tit')"
says "cut off: '\\x1b[2J\\tit'"
expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 1 --set tasks.t.prefix.length=4
says "takes the first 4 of the init text's 7 tokens"

# shorter
expect 2 "$FORERUN" train "$work/c.yaml" --set tasks.t.prefix.length=9
says "its init text has 7 tokens; write a longer text, set a smaller length, or set prefix.repeat_text: true"
start repeated --set tasks.t.prefix.length=15 --set tasks.t.prefix.repeat_text=true
says "its init text's 6 tokens are repeated to fill 15 slots"
like repeated "say itsay itsa"
[ "$(init_of repeated)" = "text, its 6 tokens repeated to fill 15 slots: \"say it\"" ] || fail "$(init_of repeated)"
start written --set "tasks.t.prefix.init.text=say itsay itsa"
same "$work/written/prefix.h5" "$work/repeated/prefix.h5"
expect 6 "$FORERUN" train "$work/c.yaml" --resume --set run.dir="$work/repeated" --set tasks.t.prefix.length=15 --set run.steps=2
says "repeat_text was true in the run that is resumed"

# no token to repeat, another init, ids outside the model
expect 2 "$FORERUN" train "$work/c.yaml" --set 'tasks.t.prefix.init.text=""' --set tasks.t.prefix.length=4
expect 2 "$FORERUN" train "$work/c.yaml" --set tasks.t.prefix.init.random=0.5 --set tasks.t.prefix.length=4 --set tasks.t.prefix.repeat_text=true
says "applies to an init text only"
start special --set 'tasks.t.prefix.init.text=<s0>it'
like special "<s0>it"

# a sweep over lengths: each is fitted, kinds of init may be mixed
cat >>"$work/c.yaml" <<YAML
sweep:
  prefix.length: [3, 7, 12]
  prefix.init: [{text: "say it"}, {random: 0.5}]
YAML
start sweep --set tasks.t.prefix.repeat_text=true
[ "$(wc -l <"$work/sweep/sweep.jsonl")" = 6 ] || fail "not six tasks"
