#!/usr/bin/env bash
# Hosts with two GPUs each, by a host file: one rank a GPU, ranks of a host in a row, an odd number of ranks spread evenly,
# a host that has fewer GPUs is named. A script stands for nvidia-smi. FORERUN_CUDA: the program with the emulated GPU;
# LD_LIBRARY_PATH finds its driver.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/hosts.sh"
need_hosts "$@"

FORERUN=$FORERUN_CUDA
make_tiny
make_config 4 8 f32
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"
hosts_up 3
printf 'FORERUN_EXPORT=FR_EMULATED_GPUS\nFORERUN_LOG=debug\nFR_EMULATED_GPUS=2\n' >>"$HOSTS_FOLDER/site.env"
cat >"$HOSTS_FOLDER/nvidia-smi" <<'SH'
#!/bin/sh
echo '0, GPU-a, 00000000:01:00.0'
[ "$(uname -n)" = h2 ] || echo '1, GPU-b, 00000000:02:00.0'
SH
chmod +x "$HOSTS_FOLDER/nvidia-smi"

# run CODE FOLDER [OPTION...]: on the hosts of the file, from h0, whose shell has CUDA_VISIBLE_DEVICES set.
run() {
    local code=$1 folder=$2
    shift 2
    expect "$code" on h0 env CUDA_VISIBLE_DEVICES=1 bash "$SOURCE/launch/run" --forerun "$FORERUN" --hostfile "$work/hosts" \
        --site "$HOSTS_FOLDER/site.env" --gpus-per-node 2 "$@" "$work/c.yaml" -- --set "run.dir=$work/$folder"
}
# has FOLDER RANK HOST GPU: that rank ran there.
has() {
    local log=$work/$1/log/rank-000$2.log
    grep -q "rank=$2 host=$3 " "$log" && grep -q "computes on GPU $4 (" "$log" || fail "rank $2 is not on GPU $4 of $3: $(cat "$log")"
}

printf 'h0\nh1\n' >"$work/hosts"
run 0 four
for i in 0 1 2 3; do
    has four "$i" "h$((i / 2))" "$((i % 2))"
done
[ ! -e "$work/four/log/rank-0004.log" ] || fail "more than four ranks"
says "CUDA_VISIBLE_DEVICES=1 is left out"
same "$work/whole/checkpoint-4.h5" "$work/four/checkpoint-4.h5"

# three ranks a host share its GPUs; of five one host has two
printf 'h0 slots=3\nh1 slots=3\n' >"$work/hosts"
run 0 five -n 5
says "3 ranks on a host with 2 GPUs: ranks share them"
has five 2 h0 0
has five 3 h1 0
has five 4 h1 1
same "$work/whole/checkpoint-4.h5" "$work/five/checkpoint-4.h5"

printf 'h0\nh2\n' >"$work/hosts"
run 2 fewer
says "--gpus-per-node 2, but h2 has 1 for this job (nvidia-smi)"
for i in 0 1 2; do
    [ -z "$(left_on "h$i")" ] || fail "left on h$i: $(left_on "h$i")"
done
echo "two hosts with two GPUs each: one rank on each, the same bits as one process; a host with one is named"
