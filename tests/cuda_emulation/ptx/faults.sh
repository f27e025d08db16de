#!/usr/bin/env bash
# faults.sh BUILD [NAME...]: the translated kernels are a witness. Faults (default: all) that a compiler could make are put one at a
# time into PTX that nvcc made, in a build folder with FORERUN_CUDA_PTX, and the test that a fault names must fail. The sources
# of the kernels are right all the while, so that their emulation sees none of these. At the end the tests must pass.
set -euo pipefail
cd "${1:?faults.sh BUILD [NAME...]}"
shift
ulimit -c 0

wanted=("$@")
silent=()
n_faults=0
changed= # the module that holds the fault so far
declare -A used=()
export LD_LIBRARY_PATH=$PWD/tests/emulated_driver${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
work=$(mktemp -d)
trap 'restore; rm -rf "$work"' EXIT

restore() {
    [ -z "$changed" ] || cp "$work/$changed.ptx" "tests/cuda_ptx/$changed.ptx"
    changed=
}

# fault NAME MODULE TEST REGEX REPLACEMENT [COUNT]: in the first COUNT places (default: all) of the module's PTX
fault() {
    local name=$1 module=$2 test=$3 began=$SECONDS shown
    if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then
        return
    fi
    n_faults=$((n_faults + 1))
    used[$test]=1
    restore
    cp "tests/cuda_ptx/$module.ptx" "$work/"
    changed=$module
    python3 -c '
import re, sys
path, regex, replacement, count = sys.argv[1:]
text = open(path, encoding="utf-8").read()
text, n = re.subn(regex, replacement, text, count=int(count))
open(path, "w", encoding="utf-8").write(text)
sys.exit(n == 0)' "tests/cuda_ptx/$module.ptx" "$4" "$5" "${6:-0}" || {
        echo "$name: nothing in $module.ptx is $4; change the fault with what nvcc makes of the kernels" >&2
        exit 1
    }
    cp "tests/cuda_ptx/$module.ptx" "$work/faulty"
    if ! cmake --build . -j2 --target "cuda_$test" >"$work/build" 2>&1; then
        grep -q 'unknown instruction' "$work/build" || {
            cat "$work/build" >&2
            exit 1
        }
        shown="is not translated"
    elif ! cmp -s "$work/faulty" "tests/cuda_ptx/$module.ptx"; then
        echo "$name: the build made $module.ptx anew, without the fault" >&2
        exit 1
    elif timeout -k 5 600 "tests/cuda_$test" >"$work/out" 2>&1 </dev/null; then
        shown="PASSES"
        silent+=("$name")
    elif grep -q '^emulation: ' "$work/out"; then
        shown="is stopped"
    else
        shown="fails"
    fi
    printf '%-24s %4d s  %s %s\n' "$name" $((SECONDS - began)) "$test" "$shown"
}

# other roundings than the source says
fault products-towards-zero kernels_rows rows_ptx 'fma\.rn\.f32' 'fma.rz.f32'
fault integers-cut kernels_loss loss_ptx 'cvt\.rni\.s64\.f64' 'cvt.rzi.s64.f64'
fault gradients-up kernels_loss loss_ptx 'cvt\.rn\.f32\.f64' 'cvt.rp.f32.f64'
# No input can tell these, in kernels_loss: rounding up where an integer becomes f64 or a whole number an integer, which is exact;
# setp.ge for setp.geu, since the highest logits that are compared are chosen by comparisons that a NaN fails; mul.wide.u32 for
# mul.wide.s32, since numbers of threads are not negative.
# bits that no standard says
fault small-numbers-flushed kernels_rows rows_ptx 'fma\.rn\.f32' 'fma.rn.ftz.f32'
fault product-may-fuse kernels_rows rows_ptx 'mul\.rn\.f32' 'mul.f32'
# where a NaN goes
fault nan-is-below kernels_attention attention_ptx 'setp\.geu\.f32' 'setp.ge.f32'
# between threads
fault barrier-gone kernels_loss loss_ptx 'bar\.sync\s+0;' '' 1
fault wrong-lane kernels_loss loss_ptx '(shfl\.sync\.bfly\.b32.*?), (%r\d+), (%r\d+), (%r\d+);' '\1, 1, \3, \4;' 8
fault half-a-warp kernels_loss loss_ptx '(shfl\.sync\.bfly\.b32.*?, %r\d+, %r\d+), (%r\d+);' '\1, 65535;' 1
# products of tensor cores
fault matrix-turned kernels_product_tensor product_tensor_ptx 'm8n8\.x4\.shared' 'm8n8.x4.trans.shared'
fault copy-not-awaited kernels_product_tensor product_tensor_ptx 'cp\.async\.wait_group \d+;' ''
fault operands-exchanged kernels_product_tensor product_tensor_ptx '(mma\.sync\S+ \{.*?\}, \{%r\d+), (%r\d+), (%r\d+),' '\1, \3, \2,' 1
# what the hardware does not take
fault misaligned kernels_rows rows_ptx '(ld\.global\.v4\.f32.*?)\[(%rd\d+)\]' '\1[\2+4]' 1

[ ${#wanted[@]} = 0 ] || [ $n_faults = ${#wanted[@]} ] || {
    echo "no such fault among: ${wanted[*]}" >&2
    exit 1
}
restore
for test in "${!used[@]}"; do
    cmake --build . -j2 --target "cuda_$test" >"$work/build" 2>&1
    "tests/cuda_$test" >"$work/out" 2>&1 </dev/null || {
        echo "$test without a fault fails: $(cat "$work/out")" >&2
        exit 1
    }
done
echo "no fault: ${#used[@]} tests pass"
echo "$n_faults faults, ${#silent[@]} are not seen; $SECONDS s"
[ ${#silent[@]} = 0 ] || {
    echo "these are not seen: ${silent[*]}" >&2
    exit 1
}
