#!/usr/bin/env bash
# Training over kernels as nvcc has read them ends with the bits of training over their sources: in f32 and bf16, on one rank and
# on two stages. SOURCES: the program with the sources' kernels; FORERUN: with the translated ones.
. "$(dirname "$0")/common.sh"

make_tiny
steps=3
translated=$FORERUN
for precision in f32 bf16; do
    make_config $steps 5 $precision
    FORERUN=$SOURCES train $precision-sources 1 1 2>"$work/err" || fail "$(cat "$work/err")"
    says "computes on GPU 0 (Emulated GPU"
    for stages in 1 2; do
        FORERUN=$translated train "$precision-$stages" $stages 1 2>"$work/err" || fail "$(cat "$work/err")"
        says "(Emulated GPU"
        same "$work/$precision-sources/checkpoint-$steps.h5" "$work/$precision-$stages/checkpoint-$steps.h5"
    done
    echo "$precision: identical"
done
# the comparison itself can tell a difference
train other 1 1 --set run.seed=4 2>"$work/err" || fail "$(cat "$work/err")"
expect 1 "$FORERUN" compare "$work/bf16-1/checkpoint-$steps.h5" "$work/other/checkpoint-$steps.h5"
