#!/usr/bin/env bash
# abandon.sh PROGRAM [staged|direct]: a rank that fails alone in the middle ends, and with it, at once, those who wait for it.
. "$(dirname "$0")/../e2e/common.sh"

expect 42 timeout 20 mpirun -n 3 "$@"
says "rank 1 on $(hostname): no room, abandoned 1"
[ "$(grep -c "no room" "$work/err")" = 1 ] || fail "the message stands more than once"
