# Shared by the end-to-end tests: FORERUN (program) and SOURCE (tree) come from ctest.
set -euo pipefail

work=$(mktemp -d "${TMPDIR:-/tmp}/forerun test.XXXXXX")
trap 'rm -rf "$work"' EXIT
. "$SOURCE/launch/mpi-env.sh"

# own_temporary_files: in $work, mpirun's too; one that ends may remove the folder that another, of another test, has just made.
own_temporary_files() {
    mkdir -p "$work/tmp"
    export TMPDIR=$work/tmp
}
own_temporary_files

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# expect CODE COMMAND...: run with output in $work/out and $work/err; the exit code must be CODE.
expect() {
    local wanted=$1 code=0
    shift
    "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
    if [ "$code" != "$wanted" ]; then
        cat "$work/out" "$work/err" >&2
        fail "exit code $code, wanted $wanted: $*"
    fi
}

# says TEXT: the last command's standard error holds the text, on one line.
says() {
    grep -qF -- "$1" "$work/err" || {
        cat "$work/err" >&2
        fail "no line says: $1"
    }
}

# side_by_side FUNCTION ARGUMENT...: the function runs once for each argument, all at the same time, for runs that leave processors
# idle. Each has a folder $work of its own, with a copy of what $work holds now.
side_by_side() {
    local function=$1 shared=$work argument n=0 failed=0 pid pids=()
    shift
    for argument in "$@"; do
        n=$((n + 1))
        (
            mkdir "$shared/side-$n"
            work=$shared/side-$n
            own_temporary_files
            find "$shared" -mindepth 1 -maxdepth 1 ! -name 'side-*' -exec cp -r -t "$work" {} +
            "$function" "$argument"
        ) &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=1
    done
    rm -rf "$shared"/side-*
    [ $failed = 0 ] || fail "one of $function ${*@Q}"
}

# with SETTING... -- COMMAND...: with these variables; LIBRARIES: the folders that the loader looks into
with() {
    local settings=()
    while [ "$1" != -- ]; do
        settings+=("$1")
        shift
    done
    shift
    (
        [ ${#settings[@]} = 0 ] || export "${settings[@]}"
        export LD_LIBRARY_PATH=$LIBRARIES
        "$@"
    )
}

# warnings N: so many lines of the last command
warnings() {
    [ "$(grep -c 'warning: ' "$work/err")" = "$1" ] || fail "not $1 warnings: $(cat "$work/err")"
}

# by_name LIBRARY: its name for LD_PRELOAD, whose value the loader splits at spaces; its folder is searched from here on.
by_name() {
    export LD_LIBRARY_PATH=${1%/*}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    preload=${1##*/}
}

# The real model's path in $model, or the test is skipped.
need_model() {
    model=${FORERUN_MODEL:-$SOURCE/models/smollm2-135m-instruct.gguf}
    if [ ! -f "$model" ]; then
        echo "SmolLM2 is not there: launch/fetch-model.sh gets it"
        exit 77
    fi
}

# A tiny random Llama at $model and 40 pre-tokenised rows at $rows. make_tiny [VOCABULARY [LAYERS [EMBEDDINGS [HEAD]]]]
make_tiny() {
    model=$work/tiny
    rows=$work/rows.jsonl
    python3 "$SOURCE/tests/support/make_tiny.py" "$model" "$rows" "${1:-128}" "${2:-4}" "${3:-128}" "${4:-8}"
}

# chat_tokenizer FOLDER TEMPLATE [ADD_BOS]: a tokenizer with that chat template, whose special tokens are <s0> (BOS) <s1> (end)
# <|im_start|> <|im_end|>; ADD_BOS: true or false
chat_tokenizer() {
    TEMPLATE=$2 BOS=${3:-false} python3 - "$SOURCE/tests/support/make_tokenizer.py" "$1" <<'PY'
import json, os, subprocess, sys
config = {"bos_token": "<s0>", "eos_token": "<s1>", "add_bos_token": os.environ["BOS"] == "true",
          "chat_template": os.environ["TEMPLATE"]}
subprocess.run([sys.executable, *sys.argv[1:], "6", json.dumps(config)], check=True)
PY
    sed -i 's/<s2>/<|im_start|>/; s/<s3>/<|im_end|>/' "$1/tokenizer.json"
}

# A config at $work/c.yaml; make_config STEPS EXAMPLES PRECISION [MEASURE], examples of a step. MEASURE: true where it matters that
# a run measures what the base alone is worth; it takes longer than a few steps, and no bit of a prefix depends on it.
make_config() {
    cat >"$work/c.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/run", seed: 3, steps: $1, precision: $3, save_every: 1000, threads: 1, measure_base: ${4:-false}}
tasks:
  - name: t
    train: "$rows"
    eos: false
    prefix: {init: {random: 0.5}, length: 5}
    optimizer: {lr: 1.0e-2, warmup: 2, schedule: cosine}
    batch: {examples: $2, microbatch_tokens: 64}
YAML
}

# Two steps of two tasks, a and b, over make_tiny's model and rows: into the folder run, and with an MLP into mlp, of the working folder.
# train_two_tasks [KEYS]: more keys of the tasks, each with a comma behind it.
train_two_tasks() {
    local rest="train: \"$rows\", ${1:-} eos: false, prefix: {init: {random: 0.5}, length: 5}, optimizer: {lr: 0.1},
     batch: {examples: 4, microbatch_tokens: 64}"
    cat >c.yaml <<YAML
base: {path: "$model"}
run: {dir: run, steps: 2, precision: f32, threads: 1, measure_base: false}
tasks:
  - {name: a, $rest}
  - {name: b, seed: 7, $rest}
YAML
    sed 's/random: 0.5}, length: 5/random: 0.5}, length: 5, mlp: {hidden: 6}/; s/dir: run/dir: mlp/' c.yaml >mlp.yaml
    expect 0 "$FORERUN" train c.yaml
    expect 0 "$FORERUN" train mlp.yaml
}

# train NAME STAGES REPLICAS [ARGUMENTS...]: into $work/NAME.
train() {
    local name=$1 stages=$2 replicas=$3
    shift 3
    mpirun -n $((stages * replicas)) "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/$name" \
        --set "run.stages=$stages" --set "run.replicas=$replicas" "$@"
}

# same A B: two checkpoints are bit-identical.
same() {
    "$FORERUN" compare "$1" "$2" >"$work/out" || fail "$(cat "$work/out") ($1 $2)"
}

# wait_for_file FILE: until it is there, half a minute at most.
wait_for_file() {
    for _ in $(seq 600); do
        [ ! -e "$1" ] || return 0
        sleep 0.05
    done
    fail "no file $1 after 30 s"
}

# wait_for_steps RUN: until three steps are done, half a minute at most.
wait_for_steps() {
    for _ in $(seq 600); do
        [ "$(cat "$1/metrics.jsonl" 2>/dev/null | grep -c '"lr"')" -ge 3 ] && return
        sleep 0.05
    done
    fail "no steps in $1"
}

# bytes WORDS: the size in the first line of $work/err that holds the words, in bytes
bytes() {
    python3 - "$1" "$work/err" <<'PYTHON'
import re, sys
units = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
for line in open(sys.argv[2]):
    if sys.argv[1] in line:
        number, unit = re.search(r"([0-9.]+) (B|KiB|MiB|GiB) (?:are|were)", line).groups()
        print(int(float(number) * units[unit]))
        break
PYTHON
}

# forecast_holds NAME: what the last command reserved of its device's memory is enough, and not much too large; with debug messages
forecast_holds() {
    local reserved used
    reserved=$(bytes "are reserved, by forecast")
    used=$(bytes "were used at most")
    echo "$1: $reserved bytes are reserved, $used used"
    [ "$used" -le "$reserved" ] || fail "$1: $used bytes were used, $reserved reserved"
    [ "$reserved" -le "$((2 * used))" ] || fail "$1: $reserved bytes were reserved, $used used"
}
