#!/usr/bin/env bash
# The ranks of a node hold one copy of the frozen matrices, whatever the layout: their shares of it (PSS) add up to it.
. "$(dirname "$0")/common.sh"

layers=240
make_tiny 128 $layers
make_config 1000000 4 f32
# make_tiny.py: width 32, 32 + 2 x 16 + 32 rows of attention, 3 x 48 of the feed-forward half; embedding and vocabulary
weights=$((4 * 32 * (layers * (32 + 32 + 32 + 3 * 48) + 2 * 128)))

# add_up RUN: bytes that its ranks map of the shared memory, their shares of it, and of all memory.
add_up() {
    local slot
    for slot in "$1"/log/rank-*.slot; do
        cat "/proc/$(grep -o 'pid=[0-9]*' "$slot" | cut -d = -f 2)/smaps"
    done | awk '
        $1 ~ /^[0-9a-f]+-[0-9a-f]+$/ { shared = /memfd:forerun-weights/ }
        $1 == "Size:" && shared { mapped += 1024 * $2 }
        $1 == "Pss:" { total += 1024 * $2; own += shared ? 1024 * $2 : 0 }
        END { print mapped + 0, own + 0, total + 0 }'
}

for layout in "1 2" "2 1" "1 3"; do
    read -r stages replicas <<<"$layout"
    name=${stages}x$replicas ranks=$((stages * replicas))
    train "$name" "$stages" "$replicas" 2>"$work/err" &
    pid=$!
    wait_for_steps "$work/$name" # every rank has touched its pages
    read -r mapped own total <<<"$(add_up "$work/$name")"
    touch "$work/$name/STOP"
    code=0
    wait $pid || code=$?
    [ $code = 75 ] || fail "STOP gave exit code $code: $(cat "$work/err")"
    echo "$name: weights $weights bytes, mapped $mapped by $ranks ranks, shares of them $own; all memory $total"
    [ "$mapped" -ge $((ranks * weights)) ] || fail "some rank does not map the shared weights"
    [ "$own" -ge $((weights * 98 / 100)) ] || fail "the shares are less than the weights"
    [ "$own" -le $((weights * 102 / 100)) ] || fail "the shares are more than one copy of the weights"
done
grep -q "cannot share" "$work/err" && fail "$(cat "$work/err")"
exit 0
