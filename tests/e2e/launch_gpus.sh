#!/usr/bin/env bash
# --gpus-per-node of launch/run and launch/preflight: how many ranks, where they are placed, and which processors a rank is
# bound to. A program of this test stands for nvidia-smi, a folder for the kernel's /sys.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 2 4 f32
: >"$work/site.env"
unset CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER FORERUN_EXPORT FORERUN_LOG SLURM_JOB_ID SLURM_NTASKS
launch=$SOURCE/launch
printf -v shown '%q' "$launch" # as commands are printed
printf -v program '%q' "$FORERUN"

# ---- ranks and their places
# dry WORD...: the command of launch/run in $work/out.
dry() {
    expect 0 env "${set[@]}" "$launch/run" --forerun "$FORERUN" --site "$work/site.env" --dry-run "$@" "$work/c.yaml"
}
# prints TEXT: it is in that command.
prints() {
    grep -qF -- "$1" "$work/out" || fail "no $1 in: $(cat "$work/out")"
}
# refuses TEXT WORD...: launch/run and launch/preflight end with 2 and this message.
refuses() {
    local text=$1 script
    shift
    for script in run preflight; do
        expect 2 env "${set[@]}" "$launch/$script" --forerun "$FORERUN" --site "$work/site.env" --dry-run "$@" "$work/c.yaml"
        says "$text"
    done
}
set=()

dry
prints "mpirun -n $(nproc) "
! grep -qE 'near-gpu|map-by' "$work/out" || fail "placed by GPUs that nobody asked for: $(cat "$work/out")"
dry --gpus-per-node 4
prints 'mpirun -n 4 '
prints "--map-by ppr:4:node:oversubscribe $shown/near-gpu 4 $shown/rank "
[ ! -s "$work/err" ] || fail "said: $(cat "$work/err")"
dry --gpus-per-node 4 -n 6
prints 'mpirun -n 6 '
prints 'ppr:6:node'
says "6 ranks on a host with 4 GPUs: ranks share them"
dry --gpus-per-node 4 -n 3
says "3 ranks on a host with 4 GPUs: some have nothing to do"
expect 0 "$launch/preflight" --forerun "$FORERUN" --site "$work/site.env" --dry-run --gpus-per-node 4 "$work/c.yaml"
prints "mpirun -n 4 "
prints "$shown/near-gpu 4 $program preflight"
for bad in 0 x -1 1.5 1001 9999999999999999999 "a[\$(touch '$work/evil')]"; do
    refuses "--gpus-per-node '$bad' is not a whole number from 1 to 1000" --gpus-per-node "$bad"
done
[ ! -e "$work/evil" ] || fail "a number is evaluated"
expect 2 "$launch/run" "$work/c.yaml" --gpus-per-node
says "--gpus-per-node needs a value"

# placement and binding of one's own win
set=(FORERUN_MPIRUN_ARGS="--map-by ppr:1:socket --bind-to socket")
dry --gpus-per-node 4
! grep -qE 'near-gpu|ppr:4' "$work/out" || fail "$(cat "$work/out")"
set=(OMPI_MCA_hwloc_base_binding_policy=core)
dry --gpus-per-node 4
! grep -q near-gpu "$work/out" || fail "$(cat "$work/out")"

# ---- a host file
set=()
printf 'one\ntwo # without a number\n' >"$work/hosts"
dry --gpus-per-node 4 --hostfile "$work/hosts"
prints '-n 8 --host one:4\,two:4 '
prints 'ppr:4:node'
refuses "16 ranks, but the host file" --gpus-per-node 4 --hostfile "$work/hosts" -n 16
printf 'one slots=4\ntwo slots=3\n' >"$work/few"
refuses "two has slots=3 in the host file" --gpus-per-node 4 --hostfile "$work/few" -n 7
refuses "8 ranks, but the host file" --gpus-per-node 4 --hostfile "$work/few"
printf 'one slots=8\ntwo slots=8\n' >"$work/many"
dry --gpus-per-node 4 --hostfile "$work/many"
prints '-n 8 --host one:8\,two:8 '
prints 'ppr:4:node'
dry --gpus-per-node 4 --hostfile "$work/many" -n 15
prints 'ppr:8:node'
says "8 ranks on a host with 4 GPUs: ranks share them"
printf 'one slots=12\ntwo slots=4\n' >"$work/uneven"
refuses "two has slots=4 in the host file $work/uneven, but 4 GPUs and 8 ranks are wanted on each host" \
    --gpus-per-node 4 --hostfile "$work/uneven" -n 16

# ---- CUDA_VISIBLE_DEVICES: of this host alone, unless it is named
set=("CUDA_VISIBLE_DEVICES=1,2")
dry --gpus-per-node 2
prints ' CUDA_VISIBLE_DEVICES=1\,2 '
[ ! -s "$work/err" ] || fail "said: $(cat "$work/err")"
dry --gpus-per-node 2 --hostfile "$work/hosts"
! grep -q CUDA_VISIBLE "$work/out" || fail "$(cat "$work/out")"
says "CUDA_VISIBLE_DEVICES=1,2 is left out: it is of this host"
set+=(FORERUN_EXPORT=CUDA_VISIBLE_DEVICES)
dry --gpus-per-node 2 --hostfile "$work/hosts"
prints '-x CUDA_VISIBLE_DEVICES '
[ ! -s "$work/err" ] || fail "said: $(cat "$work/err")"

# ---- within a job of Slurm
set+=(SLURM_JOB_ID=7)
refuses "FORERUN_EXPORT names CUDA_VISIBLE_DEVICES, which Slurm sets on each node"
set=(SLURM_JOB_ID=7 SLURM_JOB_NUM_NODES=2 SLURM_GPUS_ON_NODE=4)
dry
prints 'mpirun -n 8 '
prints "ppr:4:node:oversubscribe $shown/near-gpu 4 "
set+=(SLURM_NTASKS=6)
dry
prints 'mpirun -n 6 '
prints 'ppr:3:node'
dry --gpus-per-node 2
prints 'mpirun -n 4 '
prints 'ppr:2:node'
refuses "--gpus-per-node 5, but Slurm gave this job 4 on a node; submit it with as many" --gpus-per-node 5
set=(SLURM_JOB_ID=7 SLURM_JOB_NUM_NODES=2 SLURM_NTASKS=6 SLURM_GPUS_PER_NODE=a100:3)
dry
prints "$shown/near-gpu 3 "
for odd in 0 a100:1,t4:2 "a[\$(touch '$work/evil')]"; do
    set=(SLURM_JOB_ID=7 SLURM_NTASKS=6 SLURM_GPUS_ON_NODE="$odd")
    dry
    ! grep -q near-gpu "$work/out" || fail "$(cat "$work/out")"
done
[ ! -e "$work/evil" ] || fail "a number of Slurm is evaluated"

# ---- the processors near a GPU: two nodes of eight cores with two threads each, two GPUs near each
mkdir "$work/bin"
cat >"$work/bin/nvidia-smi" <<'SH'
#!/bin/sh
[ ! -e "$0.fails" ] || exit 9
cat <<'LIST'
0, GPU-aaaa, 00000000:1B:00.0
1, GPU-bbbb, 00000000:43:00.0
2, GPU-cccc, 00000000:9C:00.0
3, GPU-dddd, 00000001:DF:00.0
LIST
SH
chmod +x "$work/bin/nvidia-smi"
export FORERUN_SYSFS=$work/sys
# gpu ADDRESS LIST: the kernel says that these processors are near it.
gpu() {
    mkdir -p "$work/sys/bus/pci/devices/$1"
    echo "$2" >"$work/sys/bus/pci/devices/$1/local_cpulist"
}
for address in 0000:1b:00.0 0000:43:00.0; do gpu $address 0-7,16-23; done
for address in 0000:9c:00.0 0001:df:00.0; do gpu $address 8-15,24-31; done
for i in {0..31}; do
    mkdir -p "$work/sys/devices/system/cpu/cpu$i/topology"
    echo "$((i % 16)),$((i % 16 + 16))" >"$work/sys/devices/system/cpu/cpu$i/topology/thread_siblings_list"
done

# share RANK RANKS WANTED [NAME=VALUE...]: these processors, with the environment given.
share() {
    local rank=$1 ranks=$2 wanted=$3
    shift 3
    expect 0 env PATH="$work/bin:$PATH" FORERUN_PROCESSORS=0-31 OMPI_COMM_WORLD_LOCAL_RANK="$rank" \
        OMPI_COMM_WORLD_LOCAL_SIZE="$ranks" "$@" "$launch/near-gpu" 1
    [ "$(cat "$work/out")" = "$wanted" ] || fail "rank $rank of $ranks ($*): $(cat "$work/out"), wanted $wanted"
}
share 0 4 0,16,1,17,2,18,3,19
share 1 4 4,20,5,21,6,22,7,23
share 2 4 8,24,9,25,10,26,11,27
share 3 4 12,28,13,29,14,30,15,31
share 0 1 0,16,1,17,2,18,3,19,4,20,5,21,6,22,7,23
# ranks that share GPUs; a job that may use some processors only; hyperthreads off
share 4 6 4,20,5,21
share 1 4 2,3,4 FORERUN_PROCESSORS=0-4
share 1 2 5,6,7 FORERUN_PROCESSORS=2-7
# the GPUs that are named, by number or UUID, in that order
share 0 2 8,24,9,25,10,26,11,27,12,28,13,29,14,30,15,31 CUDA_VISIBLE_DEVICES=GPU-cccc,1
share 1 2 0,16,1,17,2,18,3,19,4,20,5,21,6,22,7,23 CUDA_VISIBLE_DEVICES=GPU-cccc,1
share 1 2 8,24,9,25,10,26,11,27,12,28,13,29,14,30,15,31 CUDA_VISIBLE_DEVICES=0,3,-1,2

# unshared WHY [NAME=VALUE...]: there is no share, for this reason, and PROGRAM starts all the same.
unshared() {
    local why=$1
    shift
    set=(PATH="$work/bin:$PATH" FORERUN_PROCESSORS=0-31 "$@")
    expect 1 env "${set[@]}" "$launch/near-gpu" 1
    says "not bound: $why"
    expect 0 env "${set[@]}" "$launch/near-gpu" 1 true
    [ ! -s "$work/err" ] || fail "said without being asked: $(cat "$work/err")"
    expect 0 env "${set[@]}" FORERUN_LOG=debug "$launch/near-gpu" 1 true
    says "not bound: $why"
}
unshared "CUDA_DEVICE_ORDER is FASTEST_FIRST" CUDA_DEVICE_ORDER=FASTEST_FIRST
unshared "the kernel does not say which processors are near GPU unknown" CUDA_VISIBLE_DEVICES=MIG-1/2/3
unshared "the kernel does not say" FORERUN_SYSFS="$work/none"
unshared "ranks with GPUs near processors 0-7,16-23: 1, cores that they may use there: 0" FORERUN_PROCESSORS=8-15
unshared "ranks with GPUs near processors 0-7,16-23: 2, cores that they may use there: 1" FORERUN_PROCESSORS=3,19 \
    OMPI_COMM_WORLD_LOCAL_SIZE=4
: >"$work/bin/nvidia-smi.fails"
unshared "nvidia-smi fails"
rm "$work/bin/nvidia-smi.fails"
mkdir "$work/without"
for tool in bash dirname uname sed true env; do ln -s "$(type -P "$tool")" "$work/without/$tool"; done
unshared "nvidia-smi is not found" PATH="$work/without"
expect 2 env PATH="$work/bin:$PATH" CUDA_VISIBLE_DEVICES=1,2 "$launch/near-gpu" 3 true
says "--gpus-per-node 3, but $(uname -n) has 2 for this job (nvidia-smi, CUDA_VISIBLE_DEVICES=1,2)"
expect 2 env PATH="$work/bin:$PATH" CUDA_VISIBLE_DEVICES= "$launch/near-gpu" 1 true
says "has 0 for this job"

# ---- a run: each rank on its own processors, its threads counted by them, and more GPUs than there are refused
mapfile -t may < <(taskset -pc $$ | sed 's/.*: //' | tr , '\n' |
    awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) { print i } }')
# needs two cores, or the ranks are not bound
if [ "${#may[@]}" -ge 2 ]; then
    rm -r "$work/sys/devices"
    gpu 0000:1b:00.0 "${may[0]}"
    gpu 0000:43:00.0 "${may[1]}"
    cat >"$work/program" <<SH
#!/usr/bin/env bash
case " \$* " in *" --print-dir "*) exec "$FORERUN" "\$@" ;; esac
sed -n 's/^Cpus_allowed_list:[[:space:]]*/bound to /p' /proc/self/status
exec "$FORERUN" "\$@"
SH
    chmod +x "$work/program"
    sed -i 's/, threads: 1//' "$work/c.yaml"
    expect 0 env -u OMP_NUM_THREADS PATH="$work/bin:$PATH" "$launch/run" --forerun "$work/program" --site "$work/site.env" \
        --gpus-per-node 2 "$work/c.yaml"
    for i in 0 1; do
        grep -hqx "bound to ${may[i]}" "$work/out" "$work/run/log/rank-000$i.log" ||
            fail "rank $i is not on ${may[i]}: $(cat "$work/out" "$work/run/log/rank-000$i.log")"
    done
    grep -q 'layout .* 1 thread a rank' "$work/err" || fail "$(cat "$work/err")"
    "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/whole" 2>"$work/err"
    same "$work/whole/checkpoint-2.h5" "$work/run/checkpoint-2.h5"
fi
expect 2 env PATH="$work/bin:$PATH" "$launch/run" --forerun "$FORERUN" --site "$work/site.env" --gpus-per-node 5 "$work/c.yaml"
says "--gpus-per-node 5, but $(uname -n) has 4 for this job (nvidia-smi)"
echo "GPUs of a node: ranks, places, processors near them; what cannot work is refused"
