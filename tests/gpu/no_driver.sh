#!/usr/bin/env bash
# A program that is built with CUDA, on a machine without NVIDIA's driver: "auto" is the processor, with the processor's bits,
# and a GPU that is asked for by name is an error that says what is missing.
. "$(dirname "$0")/../e2e/common.sh"

if "$WITH_GPU" >"$work/found"; then
    echo "skipped: there is a GPU"
    exit 77
fi
if ! grep -q "libcuda.so.1" "$work/found"; then
    echo "skipped: there is a driver: $(<"$work/found")"
    exit 77
fi

make_tiny
python3 "$SOURCE/tests/support/make_gguf.py" "$model" "$work/tiny-f32.gguf"
model=$work/tiny-f32.gguf
make_config 3 4 f32
head -6 "$rows" >"$work/few.jsonl"
for device in auto cpu; do
    expect 0 train "$device" 1 1 --set "run.device=$device"
    ! grep -q warning "$work/err" || fail "$(cat "$work/err")"
    expect 0 "$FORERUN" eval --model "$model" --prefix "$work/$device/prefix.h5" --precision f32 --threads 1 \
        --data "$work/few.jsonl" --json --device "$device"
    grep -o '"loss":[^,]*' "$work/out" >"$work/loss-$device"
done
same "$work/auto/checkpoint-3.h5" "$work/cpu/checkpoint-3.h5"
# the loss that every build has, from the test that keeps it
kept=$(sed -n 's/.*\[tiny-f32\.gguf f32\]=\([0-9.]*\).*/\1/p' "$SOURCE/tests/e2e/one_arithmetic.sh")
[ -n "$kept" ] || fail "one_arithmetic.sh keeps no loss of tiny-f32.gguf in f32"
for device in auto cpu; do
    grep -qxF "\"loss\": $kept" "$work/loss-$device" || fail "$device: $(<"$work/loss-$device"), kept is $kept"
done
expect 0 "$FORERUN" inspect "$work/auto/prefix.h5"
grep -q "arithmetic cpu 1" "$work/out" || fail "$(cat "$work/out")"
echo "auto computes on the processor, with its bits"

# refused CODE COMMAND...: with the reason and the remedy
refused() {
    expect "$@"
    says "libcuda.so.1"
    says "driver"
}
refused 3 train nowhere 1 1 --set run.device=cuda
refused 3 train nowhere 2 1 --set run.device=cuda
expect 0 train nowhere 1 1 # what that left is in the way of nothing
refused 3 "$FORERUN" eval --model "$model" --data "$work/few.jsonl" --device cuda
refused 3 "$FORERUN" generate --model "$model" --input "$work/few.jsonl" --device cuda
echo "a GPU that is asked for by name is refused: $(sed -n 's/^error: //p' "$work/err")"
