#!/usr/bin/env bash
# A training reads a file, and keeps its tokens, in less memory than either takes: the limit is on what the program writes
# to, pages of files aside. With the cache there, a second run needs no more. One rank of all makes the cache.
. "$(dirname "$0")/common.sh"

make_tiny 128 1
make_config 1 4 f32
cd "$work"
# 16 MB of ids as text, each of which takes 8 bytes while the table grows, and 5 in the block: 92 MB
python3 - <<'PY'
row = '{"source_ids": [%s], "target_ids": [7]}\n' % ",".join("%d" % (i % 10) for i in range(99))
with open("large.jsonl", "w") as out:
    for i in range(72000):
        out.write(row.replace("0", str(i % 100), 1))
PY
limited() (
    ulimit -d "$1"
    exec "${@:2}"
)
export OMP_NUM_THREADS=1
expect 0 limited 65536 "$FORERUN" train c.yaml --set tasks.t.train=large.jsonl
says '72000 examples'
[ "$(stat -c %s run/tokens-*.cache)" -gt 40000000 ] || fail "a small cache: $(ls -l run)"
! ls run | grep -q tmp || fail "something is left: $(ls run)"
cp run/metrics.jsonl wanted
expect 0 limited 65536 "$FORERUN" train c.yaml --set tasks.t.train=large.jsonl --set run.dir=again
diff <(grep -o '"loss": *[^,}]*' wanted) <(grep -o '"loss": *[^,}]*' again/metrics.jsonl) || fail "another loss"
cmp run/tokens-*.cache again/tokens-*.cache || fail "another cache"
echo "large data: $(stat -c %s run/tokens-*.cache) bytes of tokens under a limit of 64 MiB"
