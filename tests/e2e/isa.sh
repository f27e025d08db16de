#!/usr/bin/env bash
# FORERUN_ISA: every command that computes obeys it and says so, ranks may have unlike sets, and what a resume compares is
# the arithmetic. The verdict is the same on every processor. That the bits are the same: one_arithmetic.sh.
. "$(dirname "$0")/common.sh"
unset FORERUN_ISA

make_tiny
make_config 2 4 bf16
sets=(generic avx2 avx512 avx512_vnni)

# told: what the layout line of the last command says of the instruction set
told() {
    sed -n 's/^layout [^,]*, [^,]*, [a-z0-9]*, \(weights as in the file, \)\?//p' "$work/err"
}
# place SET: its number in the list
place() {
    local i
    for i in "${!sets[@]}"; do
        [ "${sets[i]}" != "$1" ] || echo "$i"
    done
}

expect 0 train best 1 1
best=$(told)
[ -n "$(place "$best")" ] || fail "the layout line names no set: $best"
rm -rf "$work/best"
# computes SET: what a process with FORERUN_ISA=SET says
computes() {
    if [ "$(place "$1")" -le "$(place "$best")" ]; then
        echo "$1 (FORERUN_ISA=$1)"
    else
        echo "$best (FORERUN_ISA=$1, which the processor lacks)"
    fi
}

# ---- each set, each command that computes ---------------------------------------------------------
for set in "${sets[@]}"; do
    export FORERUN_ISA=$set
    wanted=$(computes "$set")
    used=${wanted%% *}
    for weights in auto quantised; do
        expect 0 train "$set-$weights" 1 1 --set base.weights=$weights
        [ "$(told)" = "$wanted" ] || fail "train, $weights: $(told); wanted $wanted"
    done
    prefix=$work/$set-auto/prefix.h5
    expect 0 "$FORERUN" inspect "$prefix"
    grep -qx "computed with  $used, arithmetic cpu 1, layout 1x1, 1 thread a rank" "$work/out" || fail "$(cat "$work/out")"
    expect 0 "$FORERUN" eval --model "$model" --prefix "$prefix" --data "$rows" --threads 1
    [ "$(told)" = "$wanted" ] || fail "eval: $(told); wanted $wanted"
    head -2 "$rows" >"$work/in.jsonl"
    expect 0 "$FORERUN" generate --model "$model" --prefix "$prefix" --input "$work/in.jsonl" --threads 1 --max-new-tokens 2
    [ "$(told)" = "$wanted" ] || fail "generate: $(told); wanted $wanted"
    expect 0 "$FORERUN" preflight "$work/c.yaml"
    grep -qxF "instruction set: $wanted; arithmetic: cpu 1" "$work/out" || fail "preflight: $(cat "$work/out")"
    expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 1
    echo "$set: $wanted"
done

# ---- bad names ------------------------------------------------------------------------------------
words='but must be generic, avx2, avx512 or avx512_vnni'
for bad in avx avx512_bf16 AVX2 "avx2 "; do
    export FORERUN_ISA=$bad
    for command in "train $work/c.yaml --overwrite" "eval --model $model --data $rows" "generate --model $model --prompt a" \
        "plan $work/c.yaml --ranks 2" "preflight $work/c.yaml" "inspect $model" "compare $prefix $prefix"; do
        mapfile -t words_of < <(sed "s|$work|@|g; s| |\n|g" <<<"$command")
        expect 2 "$FORERUN" "${words_of[@]//@/$work}"
        says "FORERUN_ISA is \"$bad\", $words"
    done
    expect 0 "$FORERUN" train --help
done
export FORERUN_ISA=
expect 0 train empty 1 1
[ "$(told)" = "$best" ] || fail "an empty FORERUN_ISA: $(told)"
unset FORERUN_ISA

# ---- ranks with unlike sets -----------------------------------------------------------------------
# mixed FIRST SECOND ARGUMENTS...: two ranks of one run
mixed() {
    local first=$1 second=$2
    shift 2
    mpirun -n 2 "$SOURCE/tests/support/unlike_ranks.sh" "$first" "$second" "$FORERUN" train "$work/c.yaml" "$@"
}
# with_counts SET: as a rank of unlike ones says
with_counts() {
    local wanted
    wanted=$(computes "$1")
    echo "${wanted%% *} on 1 rank ${wanted#* }"
}
for pair in "generic avx2" "avx2 avx512" "avx512 avx512_vnni"; do
    read -r first second <<<"$pair"
    for layout in "2 1" "1 2"; do
        read -r stages replicas <<<"$layout"
        run=$work/$first-$second-$stages
        expect 0 mixed "$first" "$second" --set "run.dir=$run" --set run.stages=$stages --set run.replicas=$replicas
        [ "$(told)" = "$(with_counts "$first"), $(with_counts "$second")" ] || fail "ranks with $pair: $(told)"
    done
    names=$(computes "$first")
    other=$(computes "$second")
    names=${names%% *} other=${other%% *}
    [ "$names" = "$other" ] || names="$names, $other"
    expect 0 "$FORERUN" inspect "$run/prefix.h5"
    grep -q "^computed with  $names, arithmetic cpu 1, layout 1x2" "$work/out" || fail "$(cat "$work/out")"
    echo "$pair: ranks of one run"
done
expect 2 mixed generic sse --set "run.dir=$work/bad" --set run.stages=2
says "rank 1 on $(hostname): FORERUN_ISA is \"sse\", $words"

# hosts get it from the launcher
FORERUN_ISA=avx2 expect 0 "$SOURCE/launch/run" -n 2 --forerun "$FORERUN" --dry-run "$work/c.yaml"
grep -q -- "-x FORERUN_ISA " "$work/out" || fail "launch/run hands it to no other host: $(cat "$work/out")"

# ---- resume ---------------------------------------------------------------------------------------
last=checkpoint-2.h5
# resumes FROM SET RANKS: goes on for a step; $warned: how many lines say that bits will differ
resumes() {
    rm -rf "$work/on"
    expect 0 env "FORERUN_ISA=$2" mpirun -n "$3" "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/on" --resume="$1" \
        --set run.steps=3 --set "run.stages=$3"
    warned=$(grep -c "the last bits will differ from an uninterrupted run" "$work/err" || true)
}
change() {
    python3 "$SOURCE/tests/support/tamper.py" "$1" "$2" "$3"
}
sed -i 's/, schedule: cosine//' "$work/c.yaml"
expect 0 train start 1 1
for set in "${sets[@]}"; do
    resumes "$work/start/$last" "$set" 1
    [ "$warned" = 0 ] || fail "another set is no other arithmetic: $(cat "$work/err")"
done
for old in generic avx2 avx512 avx512_vnni avx512_bf16; do
    change "$work/start/$last" "$work/unnamed.h5" "/@arithmetic=drop"
    change "$work/unnamed.h5" "$work/old.h5" "/@isa=\"$old\""
    expect 0 "$FORERUN" inspect "$work/old.h5"
    grep -q "^computed with  $old, arithmetic without a name," "$work/out" || fail "$(cat "$work/out")"
    resumes "$work/old.h5" "$best" $((1 + $(place "${old/bf16/vnni}") % 2))
    [ "$warned" = 1 ] || fail "a file of $old: $warned warnings: $(cat "$work/err")"
    says "warning: $work/old.h5 was computed with the arithmetic $old, this program computes with cpu 1"
    expect 0 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/on" --resume --set run.steps=4
    ! grep -q "the last bits" "$work/err" || fail "warned again: $(cat "$work/err")"
done
change "$work/start/$last" "$work/cuda.h5" '/@arithmetic="cuda 3"'
resumes "$work/cuda.h5" "$best" 2
[ "$warned" = 1 ] || fail "cuda 3: $warned warnings"
says "was computed with the arithmetic cuda 3, this program computes with cpu 1"
change "$work/unnamed.h5" "$work/neither.h5" "/@isa=drop"
resumes "$work/neither.h5" "$best" 1
[ "$warned" = 0 ] || fail "a file that says nothing: $(cat "$work/err")"

# a file of format 1, converted; its rows are given as today's make_tiny.py makes them
mkdir "$work/format1"
cd "$work/format1"
expect 0 "$FORERUN" convert "$SOURCE/tests/data/format1/one.h5" old.h5
python3 "$SOURCE/tests/support/make_tiny.py" tiny rows.jsonl 128 2
change old.h5 one.h5 "/tasks/t@data_digest=\"$(sha256sum <rows.jsonl | cut -d ' ' -f 1)\""
cp "$SOURCE/tests/data/format1/one.yaml" .
expect 0 "$FORERUN" train one.yaml --set run.dir=part-one --resume=one.h5
[ "$(grep -c "the last bits will differ" "$work/err")" = 1 ] || fail "$(cat "$work/err")"
says "one.h5 was computed with the arithmetic avx512_bf16"
echo "resume: warned of arithmetics, once, and of no set"

# ---- a generation that goes on -----------------------------------------------------------------------
for _ in $(seq 50); do cat "$rows"; done >"$work/in.jsonl"
out=$work/out.jsonl
generate=("$FORERUN" generate --model "$model" --input "$work/in.jsonl" --output "$out" --threads 1 --max-new-tokens 40)
FORERUN_ISA=generic "${generate[@]}" >"$work/log" 2>&1 </dev/null &
pid=$!
wait_for_file "$out.part"
while [ "$(wc -l <"$out.part")" -lt 10 ]; do
    kill -0 $pid 2>/dev/null || fail "ended too early: $(cat "$work/log")"
    sleep 0.01
done
kill -TERM $pid
wait $pid && fail "came to its end: $(cat "$work/log")"
grep -qx "the arithmetic: cpu 1" "$out.part.info" || fail "$(cat "$out.part.info")"
! grep -q generic "$out.part.info" || fail "the record names a set: $(cat "$out.part.info")"
cp "$out.part" "$work/part"
cp "$out.part.info" "$work/info"
# goes_on SED WARNINGS: with a record that was changed so
goes_on() {
    cp "$work/part" "$out.part"
    sed "$1" "$work/info" >"$out.part.info"
    rm -f "$out"
    expect 0 "${generate[@]}" --resume
    [ "$(grep -c "the last bits" "$work/err" || true)" = "$2" ] || fail "$1: $(cat "$work/err")"
}
goes_on "" 0
goes_on "s/^the arithmetic: .*/the instruction set: avx512_bf16/" 1
says "were computed with the instruction set: avx512_bf16, which is now the arithmetic: cpu 1"
goes_on "s/^the arithmetic: .*/the arithmetic: cuda 3/" 1
says "were computed with the arithmetic: cuda 3, which is now cpu 1"
echo "generate --resume: likewise"

# a kind of device that is not built in is refused by name, before anything is made
unset FORERUN_ISA
not_here="which this program is built without; set it to auto or "
expect 2 "$FORERUN" generate --model "$model" --input "$rows" --device gpu
says "--device is gpu, $not_here"
if [[ $(<"$work/err") == *"or cuda"* ]]; then
    echo "this program is built with CUDA: what it says without is not tested"
    exit 0
fi
expect 2 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/nowhere" --set run.device=cuda
says "run.device is cuda, $not_here"
[ ! -e "$work/nowhere" ] || fail "a refused device left a run folder"
expect 1 "$FORERUN" preflight "$work/c.yaml" --set "run.dir=$work/nowhere" --set run.device=cuda
grep -qF "run.device is cuda, $not_here" "$work/out" || fail "$(cat "$work/out")"
expect 2 "$FORERUN" eval --model "$model" --data "$rows" --device cuda
says "--device is cuda, $not_here"
echo "devices that are not built in are refused by name"
