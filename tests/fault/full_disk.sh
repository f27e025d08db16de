#!/usr/bin/env bash
# A full disk: a save fails on all ranks with the cause and exit code 1, what was saved stays, and with space again a
# resume ends with the uninterrupted run's bits. Skipped where a small file system cannot be mounted.
. "$(dirname "$0")/../e2e/common.sh"

disk=$work/disk
mkdir "$disk"
if ! mount -t tmpfs -o size=1m none "$disk" 2>/dev/null; then
    echo "skipped: mounting a small tmpfs is not allowed here"
    exit 77
fi
trap 'umount "$disk" || true; rm -rf "$work"' EXIT

make_tiny
make_config 8 7 f32 true
sed -i "s|save_every: 1000|save_every: 1, keep: 100|; s|length: 5|length: 32|" "$work/c.yaml"
train whole 1 1 2>"$work/err" || fail "$(cat "$work/err")"

# Each rank notes its exit code and leaves with 0, so that mpirun ends none for another.
# shellcheck disable=SC2016 # for the ranks' shell
ranks='code=0; "$@" || code=$?; echo $code >"$CODES.$OMPI_COMM_WORLD_RANK"'
for free in 96 160 256 320 400; do
    run=$disk/run-$free
    rm -f "$disk"/fill "$work"/code.*
    dd if=/dev/zero of="$disk/fill" bs=1k count=$((1024 - free)) 2>/dev/null
    CODES=$work/code mpirun -n 2 bash -c "$ranks" - "$FORERUN" train "$work/c.yaml" --set "run.dir=$run" \
        2>"$work/err" </dev/null || fail "$(cat "$work/err")"
    [ "$(cat "$work"/code.0 "$work"/code.1 | tr '\n' ' ')" = "1 1 " ] || fail "exit codes $(cat "$work"/code.*)"
    grep -q "error: rank 0 on .*$run/.*: No space left on device" "$work/err" || fail "$(cat "$work/err")"
    expect 1 train "disk/run-$free" 2 1 --resume
    ! ls "$run"/*.tmp.* >/dev/null 2>&1 || fail "a temporary file was left: $(ls "$run")"
    saved=$(cat "$run/latest" 2>/dev/null || echo none)
    [ "$saved" = none ] || expect 0 "$FORERUN" inspect "$run/$saved"
    rm "$disk/fill"
    expect 0 train "disk/run-$free" 1 2 --resume
    [ "$saved" = none ] || says "resuming from $run/$saved"
    same "$work/whole/checkpoint-8.h5" "$run/checkpoint-8.h5"
    same "$work/whole/prefix.h5" "$run/prefix.h5"
    rm -r "$run"
    echo "full disk with $free KiB free: failed after $saved, went on to the same bits"
done
