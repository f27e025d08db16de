#!/usr/bin/env bash
# Whole runs whose products an emulated cuBLASLt computes: one set of bits on one rank, two stages and two replicas, which its name
# in the arithmetic stands for; without it, or with run.products: own, the bits are those of the own kernels; a run goes on from
# one to the other with a warning; ranks with unlike libraries are refused; a library whose rows depend on each other is not
# used, on no rank if on one. Forecasts count what it and NCCL take. FR_CUBLASLT is the folder of the library.
. "$(dirname "$0")/common.sh"

export FORERUN_TIMEOUT=60
steps=2
last=checkpoint-$steps.h5
make_tiny
make_config $steps 4 bf16
sed -i 's/, schedule: cosine//' "$work/c.yaml"
gpu="cuda sm_90, 132 processors, 4"

LIBRARIES=$FR_CUBLASLT:$FR_DRIVER # of `with`
# arithmetic_of RUN: as the run's file says it
arithmetic_of() {
    "$FORERUN" inspect "$work/$1/prefix.h5" | sed -n 's/^computed with .*, arithmetic \(.*\), layout .*/\1/p'
}
# apart A B: two checkpoints with other bits
apart() {
    ! "$FORERUN" compare "$1" "$2" >"$work/out" 2>&1 || fail "$1 and $2 have the same bits"
}

# ---- with and without -------------------------------------------------------------------------------
expect 0 with FORERUN_LOG=debug FR_EMULATED_LT_COUNT="$work/count" FR_EMULATED_LT_TRAFFIC="$work/traffic" -- train one 1 1
warnings 0
forecast_holds "with cuBLASLt"
says "products are computed by cuBLASLt 13.1.0"
[ "$(bytes "are reserved, by forecast")" -ge $((64 << 20)) ] || fail "the forecast leaves cuBLASLt out: $(cat "$work/err")"
grep -q '^algorithm 1: ' "$work/count" || fail "no products: $(cat "$work/count")"
[ "$(grep -c '^algorithm' "$work/count")" = 1 ] || fail "more than one algorithm: $(cat "$work/count")"
grep -qx 'left: handles 0, objects 0' "$work/count" || fail "something is left: $(cat "$work/count")"
[ "$(awk '/^lt_/ {n += $2} END {print n}' "$work/traffic")" = "$(sed -n 's/^algorithm 1: \(.*\) products$/\1/p' "$work/count")" ] ||
    fail "other products than $(cat "$work/count"): $(cat "$work/traffic")"
name=$(arithmetic_of one)
[[ $name =~ ^"$gpu, cublaslt 13.1.0, algorithms "[0-9a-f]{8}$ ]] || fail "the arithmetic is $name"
expect 0 train without 1 1
warnings 0
says "products are computed by Forerun's own kernels, since cuBLASLt is not used: it cannot be opened ("
[ "$(arithmetic_of without)" = "$gpu" ] || fail "without: $(arithmetic_of without)"
apart "$work/one/$last" "$work/without/$last"
expect 0 with -- train own 1 1 --set run.products=own
warnings 0
! grep -q cuBLASLt "$work/err" || fail "$(cat "$work/err")"
same "$work/without/$last" "$work/own/$last"
[ "$(arithmetic_of own)" = "$gpu" ] || fail "own: $(arithmetic_of own)"
echo "with cuBLASLt other bits than without, and another name"

# forecast_of MIB ARGUMENTS...: what a forecast has for products and for sums of two replicas
forecast_of() {
    expect 0 with -- "$FORERUN" plan "$work/c.yaml" --ranks 2 --set run.replicas=2 --json "${@:3}"
    tail -n 1 "$work/out" | python3 -c '
import json, sys
parts = [stage["memory"] for stage in json.load(sys.stdin)["stage"]]
sys.exit(any([m["products"] >> 20, m["sums"] >> 20] != [int(n) for n in sys.argv[1:]] for m in parts))' "$1" "$2" ||
        fail "not $1 and $2 MiB for products and sums ${*:3}: $(cat "$work/out")"
}
forecast_of 64 640
forecast_of 64 640 --device-memory 80GB
forecast_of 64 0 --ranks-per-gpu 2
forecast_of 0 640 --set run.products=own
forecast_of 64 0 --set run.sums=staged
LIBRARIES=$FR_DRIVER forecast_of 0 640
echo "forecasts count what libraries take"

# ---- layouts ------------------------------------------------------------------------------------------
expect 0 with -- train stages 2 1
same "$work/one/$last" "$work/stages/$last"
expect 0 with FR_EMULATED_SEED=5 -- train replicas 1 2
same "$work/one/$last" "$work/replicas/$last"
expect 0 with -- train stored 1 1 --set base.weights=quantised --set base.offload=2
same "$work/one/$last" "$work/stored/$last"
for run in stages replicas stored; do
    [ "$(arithmetic_of $run)" = "$name" ] || fail "$run: $(arithmetic_of $run)"
done
echo "one rank, two stages, two replicas, weights in their file and on the host: the same bits"

# ---- from one to the other ------------------------------------------------------------------------------
expect 75 with -- train on 1 1 --stop-after 1
expect 0 train on 1 1 --resume
warnings 1
says "checkpoint-1.h5 was computed with the arithmetic $name, this program computes with $gpu: the last bits will differ"
expect 0 with -- train on 1 1 --resume --set run.steps=$((steps + 1))
says "$last was computed with the arithmetic $gpu, this program computes with $name: the last bits will differ"
echo "a run goes on with other products, and says so"

# ---- libraries that differ or break the rules ---------------------------------------------------------
other=$(with FR_EMULATED_LT=other -- train other 1 1 >/dev/null 2>&1 && arithmetic_of other)
[ "$other" != "$name" ] || fail "another algorithm has the same name"
expect 3 with -- mpirun -n 2 "$SOURCE/tests/support/on_rank.sh" 1 FR_EMULATED_LT=other -- "$FORERUN" train "$work/c.yaml" \
    --set "run.dir=$work/unlike" --set run.stages=2
says "the arithmetic is \"$other\" here and \"$name\" on rank 0"
expect 0 with FR_EMULATED_LT=rows -- train rows 1 1
says "warning: cuBLASLt gives a row other bits among fewer rows (1 of 4096 rows with a matrix of "
same "$work/without/$last" "$work/rows/$last"
refused=$(arithmetic_of rows)
[[ $refused =~ ^"$name, own "[0-9a-f]{8}$ ]] || fail "with own products for all shapes the arithmetic is $refused"
expect 0 with FR_EMULATED_LT_ERROR=cublasLtCreate:1:1 -- train broken 1 1
warnings 1
says "warning: cuBLASLt 13.1.0 is not used: cublasLtCreate gives CUBLAS_STATUS_NOT_INITIALIZED (1)"
same "$work/without/$last" "$work/broken/$last"
expect 1 with FR_EMULATED_LT_ERROR=cublasLtMatmulAlgoGetHeuristic:2:14 -- train refused 1 1
says "cublasLtMatmulAlgoGetHeuristic gave CUBLAS_STATUS_INTERNAL_ERROR (14)"
says "run.products: own does without cuBLASLt"
echo "unlike libraries are refused, faulty ones not used"

# ---- a rank whose library alone breaks the rules ------------------------------------------------------
# on_one RANK RUN STAGES: rows depend on each other on that rank of two
on_one() {
    expect 0 with -- mpirun -n 2 "$SOURCE/tests/support/on_rank.sh" "$1" FR_EMULATED_LT=rows -- "$FORERUN" train "$work/c.yaml" \
        --set "run.dir=$work/$2" --set "run.stages=$3"
    grep -q "rank $1. warning: cuBLASLt gives a row other bits\|^warning: cuBLASLt gives a row other bits" "$work/err" ||
        fail "rank $1 does not say why: $(cat "$work/err")"
    says "products with a matrix of "
    says "are computed by Forerun's own kernels, since cuBLASLt cannot be used for them on another rank"
}
on_one 1 last_stage 2
same "$work/without/$last" "$work/last_stage/$last"
on_one 0 replica 1
same "$work/without/$last" "$work/replica/$last"
for run in last_stage replica; do
    [ "$(arithmetic_of $run)" = "$refused" ] || fail "$run: $(arithmetic_of $run)"
done
# the first stage has all shapes but the head's
on_one 0 first_stage 2
apart "$work/without/$last" "$work/first_stage/$last"
apart "$work/one/$last" "$work/first_stage/$last"
layers=$(arithmetic_of first_stage)
[[ $layers =~ ^"$name, own "[0-9a-f]{8}$ ]] && [ "$layers" != "$refused" ] || fail "the arithmetic is $layers"
expect 0 with -- train first_stage 1 1 --resume --set run.steps=$((steps + 1))
says "$last was computed with the arithmetic $layers, this program computes with $name: the last bits will differ"
echo "a shape that one rank is refused is computed by the own kernels on all, and the name says so"

# ---- other commands -----------------------------------------------------------------------------------
expect 0 with -- "$FORERUN" eval --model "$model" --data "$rows" --products own
expect 2 with -- "$FORERUN" eval --model "$model" --data "$rows" --products cublas
says "--products is cublas; it must be auto or own"
