#!/usr/bin/env bash
# forerun preflight on GPUs: which rank has which, what is free and needed there, who shares one, which libraries a run would use,
# and what is odd about them. FR_CUBLASLT and FR_NCCL are the folders of the libraries.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 2 6 bf16

# preflight CODE RANKS GPUS [NAME=VALUE...]
preflight() {
    expect "$1" env FR_EMULATED_GPUS="$3" "${@:4}" mpirun -n "$2" "$FORERUN" preflight "$work/c.yaml"
}

# tells PATTERN: a line of the report is so.
tells() {
    grep -q -- "$1" "$work/out" || fail "no line is '$1': $(cat "$work/out")"
}

# ---- a GPU for each rank, and ranks that share one

one='(Emulated GPU)'
preflight 0 2 2
tells "^GPU-[0-9a-f]\{8\} on .* $one: rank 0; 8184.0 of 8192.0 MiB are free; a rank needs at least [0-9.]* and up to [0-9.]*$"
tells "^GPU-[0-9a-f]\{8\} on .* $one: rank 1; 8184.0 of"
[ "$(grep '^GPU-' "$work/out" | cut -d ' ' -f 1 | sort -u | wc -l)" = 2 ] || fail "two GPUs have one name"
tells "^preflight: 1 nodes, 0 odd$"
preflight 0 3 2
tells "$one: ranks 0, 2 share it; 8184.0 of 8192.0 MiB are free, 4092.0 for each; a rank needs"
tells "$one: rank 1; 8184.0 of 8192.0 MiB are free; a rank needs"
tells "^memory of a rank's device on .*: 4092.0 MiB are free"
[ "$(grep -c '^GPU-' "$work/out")" = 2 ] || fail "a GPU is told twice"
preflight 0 3 1
tells "$one: ranks 0, 1, 2 share it; 8184.0 of 8192.0 MiB are free, 2728.0 for each"

# ---- libraries: those that a run would use, and why not

own="Forerun's own kernels"
tells "^products are computed by $own, since cuBLASLt is not used: it cannot be opened (.*libcublasLt.so"
tells "^sums of gradients go over the host's memory: ranks share a GPU, and NCCL takes one rank a GPU"
preflight 0 2 2
tells "^sums of gradients go over the host's memory: NCCL cannot be opened (.*libnccl.so.2"
export LIBRARIES=$FR_CUBLASLT:$FR_NCCL:$FR_DRIVER
# looks [ARGUMENTS...]: preflight of two ranks with a GPU each, and libraries
looks() {
    expect 0 with FR_EMULATED_GPUS=2 -- mpirun -n 2 "$FORERUN" preflight "$work/c.yaml" "$@"
}
looks
tells "^products are computed by cuBLASLt 13.1.0$"
tells "^sums of gradients go over NCCL [0-9.]*$"
looks --set run.products=own --set run.sums=staged
tells "^products are computed by $own, as run.products says$"
tells "^sums of gradients go over the host's memory, as run.sums says$"
looks --set run.stages=2
tells "^sums of gradients go over nothing, since there is one replica$"
expect 1 with FR_EMULATED_GPUS=2 -- mpirun -n 2 "$SOURCE/tests/support/on_rank.sh" 1 FR_EMULATED_LT_ERROR=cublasLtCreate:1:1 -- \
    "$FORERUN" preflight "$work/c.yaml"
tells "^rank 0 on .*: products are computed by cuBLASLt 13.1.0$"
tells "^rank 1 on .*: products are computed by $own, since cuBLASLt 13.1.0 is not used: cublasLtCreate gives CUBLAS_STATUS_NOT_INITIALIZED (1)$"
expect 0 "$FORERUN_CUDA_OR_CPU" preflight "$work/c.yaml" --set run.device=cpu
if grep -q "^products\|^sums" "$work/out"; then
    fail "a processor has libraries: $(cat "$work/out")"
fi

# ---- too little memory: of a GPU, and of a rank's part of one

expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 1 --json
bytes=$(python3 -c '
import json, sys
memory = json.load(sys.stdin)["stage"][0]["memory"]
print((memory["weights"] + memory["images"]) * 3 // 2)' <"$work/out")
preflight 0 1 1 FR_EMULATED_MEMORY="$bytes"
preflight 1 3 1 FR_EMULATED_MEMORY="$bytes"
tells "^ODD .*too little memory of its device"
tells "preflight: 1 nodes, 1 odd"

# ---- different GPUs

expect 1 mpirun -n 1 -x FR_EMULATED_MEMORY=$((1 << 30)) "$FORERUN" preflight "$work/c.yaml" : \
    -n 1 -x FR_EMULATED_MEMORY=$((2 << 30)) "$FORERUN" preflight "$work/c.yaml"
tells "^ODD .*the device of rank 1 is Emulated GPU with 2048.0 MiB, that of rank 0 is Emulated GPU with 1024.0; "
echo "preflight tells GPUs apart"
