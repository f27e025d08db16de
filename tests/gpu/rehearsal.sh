#!/usr/bin/env bash
# e2e.gpu_rehearsal: each part of tests/gpu.sh over the emulated GPU, with one program of a kind; each leaves its lines. And the
# report tells of a GPU that fails, and of what there is no time for.
. "$(dirname "$0")/../e2e/common.sh"

export GPU_FEW=1 GPU_JOBS=2 OUT=$work/left
report=$OUT/report.txt

# rehearse CODE SETTING...
rehearse() {
    local code=$1
    shift
    rm -rf "$OUT"
    expect "$code" env "$@" "$SOURCE/tests/gpu.sh" run --rehearse
}

# tells PATTERN...: lines of the report
tells() {
    local pattern
    for pattern in "$@"; do
        grep -qE -- "$pattern" "$report" || fail "no line of the report says '$pattern': $(<"$report")"
    done
}

rehearse 0 GPU_BUDGET_S=1200
tells 'GPU: Emulated GPU' '^cuBLASLt: the emulated one' '^rows \(' '  order: passed' 'cuBLASLt, forward, .* the depth ascends by groups of 16' \
    'rows of 30 of 30 products have the same bits in any call' '0 of 6 repeats' '^conformance \(' '  norm_heads: passed' '^training \(' \
    '  golden_reparam: passed' '  layouts_tiny_auto: passed' '  layouts_tiny_own: passed' '^sanitizer \(' '  memcheck-product_tensor: passed' \
    '  racecheck-product_tensor: passed' '^rates \(' 'own kernels .*, cuBLASLt [0-9]' 'prefix of 8' 'PyTorch' '^stage \(' \
    'tokens/s' 'TFLOP/s by 4 FLOP' '  linear ' '^more \(' ', 0 failed, 0 stopped'
echo "all parts run and tell what they saw"

rehearse 1 GPU_PARTS=rates FR_EMULATED_ERROR=cuLaunchKernel:3:700
tells '  rates_products: failed' '    \| .*ends with exit code 1' '  rates_attentions: failed' ', 2 failed, '
rehearse 3 GPU_BUDGET_S=1
tells '  order: not begun, time is up' '  rates_products: not begun' '  bench_tiny: not begun' '^done: 0 passed, 0 failed'
echo "what fails, and what there is no time for, is told"
