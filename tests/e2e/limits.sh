#!/usr/bin/env bash
# What bounds a run: OMP_NUM_THREADS, ulimit, a real control group where this machine lets one be made; sizes of plan and
# its exit codes; the digest of the weights, kept from start to start.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 2 4 f32
sed -i 's/, threads: 1//' "$work/c.yaml"

# fresh COMMAND...: train anew, must succeed; the log is in $work/err
fresh() {
    rm -rf "$work/run"
    expect 0 env FORERUN_LOG=debug "$@" train "$work/c.yaml"
}

# says_not TEXT: the last command's standard error does not hold it.
says_not() {
    ! grep -qF -- "$1" "$work/err" || fail "said: $1"
}

# ---- threads

fresh env OMP_NUM_THREADS=3,2 "$FORERUN"
says "layout 1x1, 3 threads a rank"
says "3, from OMP_NUM_THREADS"
cp "$work/run/prefix.h5" "$work/three.h5"
rm -rf "$work/run"
expect 0 env OMP_NUM_THREADS=3 "$FORERUN" train "$work/c.yaml" --set run.threads=2
says "layout 1x1, 2 threads a rank"
same "$work/run/prefix.h5" "$work/three.h5"
for bad in 0 x 4097 ,2 1.5; do
    rm -rf "$work/run"
    expect 2 env OMP_NUM_THREADS=$bad "$FORERUN" train "$work/c.yaml"
    says "OMP_NUM_THREADS is \"$bad\", but must be a whole number from 1 to 4096"
done
expect 0 env OMP_NUM_THREADS=5 "$FORERUN" preflight "$work/c.yaml"
awk 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "threads") c = i } NR == 2 { exit $c != 5 }' "$work/out" ||
    fail "preflight does not tell the threads: $(cat "$work/out")"
expect 0 "$FORERUN" eval --model "$model" --data "$rows" --threads 2
says "layout 1x1, 2 threads a rank"

# ---- sizes of plan

# memory_of SIZE: bytes of a rank as plan takes them
memory_of() {
    expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 1 --node-memory "$1" --json
    python3 -c 'import json, sys; print(json.load(sys.stdin)["rank_memory"])' <"$work/out"
}
[ "$(memory_of 80GB)" = 80000000000 ] || fail "80GB"
[ "$(memory_of 80GiB)" = $((80 << 30)) ] || fail "80GiB"
[ "$(memory_of 80G)" = $((80 << 30)) ] || fail "80G"
[ "$(memory_of 512MB)" = 512000000 ] || fail "512MB"
[ "$(memory_of 1.5TB)" = 1500000000000 ] || fail "1.5TB"
for option in node-memory disk disk-shared; do
    expect 2 "$FORERUN" plan "$work/c.yaml" --ranks 1 --$option 80Gb
    says "--$option is 80Gb, must be a number of bytes, or one with a unit"
done
expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 2 --node-memory 1GB --disk 1MB --disk-shared 500kB --json
python3 - "$work/out" "$model/model.safetensors" <<'PYTHON' || fail "loading: $(cat "$work/out")"
import json, os, sys
o = json.load(open(sys.argv[1]))
l = o["loading"]
size = os.path.getsize(sys.argv[2])
assert l["model_bytes"] == size and l["file_is_here"], l
assert l["nodes"] == 2 and l["disk"] == 1000000 and l["disk_shared"] == 500000, l
assert l["total_bytes"] <= 2 * size and l["node_bytes"] <= size, l
assert abs(l["read_seconds"] - l["total_bytes"] / 500000) < 1e-3, l
assert l["hash_seconds"] > 0 and o["needed"] is None
PYTHON

# ---- where nothing fits: no arrow, what would be needed, exit code 1

expect 1 "$FORERUN" plan "$work/c.yaml" --ranks 2 --ranks-per-node 2 --node-memory 10MB
grep -q 'no layout fits' "$work/out" || fail "does not say that nothing fits"
! grep -q -- '^->' "$work/out" || fail "recommends what does not fit"
grep -q "main memory, not of a GPU's: 9.54 MiB a node" "$work/out" || fail "does not say which memory"
grep -qE '[0-9.]+ MiB of memory a rank, [0-9.]+ MiB a node, instead of 4.77 MiB a rank' "$work/out" ||
    fail "does not say what is needed"
expect 1 "$FORERUN" plan "$work/c.yaml" --ranks 2 --node-memory 10MB --json
need=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["needed"]["node_bytes"])' <"$work/out")
expect 0 "$FORERUN" plan "$work/c.yaml" --ranks 2 --node-memory "$need"
grep -q -- '^->' "$work/out" || fail "what is said to be needed does not do"

# the longest row is named
line=$(python3 -c "
import json, sys
best = (0, 0)
for n, line in enumerate(open(sys.argv[1]), 1):
    row = json.loads(line)
    for t in row['target_ids']:
        best = max(best, (len(row['source_ids']) + len(t), -n))
print('%d tokens, at %s:%d' % (best[0], sys.argv[1], -best[1]))" "$rows")
grep -qF "the longest has $line" "$work/out" || fail "the longest row is not $line: $(cat "$work/out")"

# ---- the process's own limit

code=0
(ulimit -v 4000000 && exec "$FORERUN" plan "$work/c.yaml" --ranks 1) >"$work/out" 2>"$work/err" || code=$?
[ $code = 0 ] || fail "plan under ulimit -v: $code $(cat "$work/err")"
if (ulimit -v 900000 && exec "$FORERUN" inspect "$rows") >/dev/null 2>&1; then # libraries that fit into it
    (ulimit -v 900000 && exec "$FORERUN" preflight "$work/c.yaml") >"$work/out" 2>"$work/err" || true
    grep -q "ulimit" "$work/out" || fail "preflight does not name ulimit: $(cat "$work/out" "$work/err")"
fi

# ---- the digest of the weights

cached() {
    fresh env FORERUN_CACHE="$work/cache" "$FORERUN"
}
touch -d '1 hour' "$model/model.safetensors" # written to at a time that is still to come, like one that is this very moment
cached
[ ! -e "$work/cache" ] || fail "kept the digest of a file that has only just changed"
touch -d '1 hour ago' "$model/model.safetensors"
sleep 3 # its status has changed now, which nobody can set back
cached
says "kept in the cache"
says_not "read from the cache"
cp "$work/run/prefix.h5" "$work/hashed.h5"
cached
says "read from the cache"
same "$work/run/prefix.h5" "$work/hashed.h5"
digest_of() {
    "$FORERUN" inspect "$1" | sed -n 's|.*weights sha256 ||p'
}
[ "$(digest_of "$work/run/prefix.h5")" = "$(digest_of "$work/hashed.h5")" ] || fail "another digest from the cache"
[ -n "$(digest_of "$work/hashed.h5")" ] || fail "inspect tells no digest"
# ranks of one node that need the same layers use the same entry
rm -rf "$work/run"
expect 0 env FORERUN_CACHE="$work/cache" FORERUN_LOG=debug mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set run.stages=2
says "read from the cache"
[ "$(digest_of "$work/run/prefix.h5")" = "$(digest_of "$work/hashed.h5")" ] || fail "another digest on two ranks"
# off
fresh env FORERUN_CACHE=0 "$FORERUN"
says_not "cache"
fresh env -u FORERUN_CACHE XDG_CACHE_HOME="$work/xdg" "$FORERUN"
says "kept in the cache: $work/xdg/forerun/"
# what others could have written
entry=$(echo "$work"/cache/*.digests)
chmod go+w "$entry"
cached
says "is not used"
says "kept in the cache" # anew, by this user
cached
says "read from the cache"
chmod go+w "$work/cache"
cached
says "is not used"
says_not "in the cache"
chmod go-w "$work/cache"
# a wrong digest that is not whole
python3 - "$entry" <<'PYTHON'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[70] ^= 1
open(sys.argv[1], "wb").write(data)
PYTHON
cached
says_not "read from the cache"
# a changed file, of the same size and with its old time
cp "$model/model.safetensors" "$work/before"
python3 - "$model/model.safetensors" <<'PYTHON'
import os, sys
path = sys.argv[1]
info = os.stat(path)
with open(path, "r+b") as f:
    f.seek(-3, 2)
    byte = f.read(1)[0]
    f.seek(-3, 2)
    f.write(bytes([byte ^ 1]))
os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
PYTHON
cached
says_not "read from the cache"
[ "$(digest_of "$work/run/prefix.h5")" != "$(digest_of "$work/hashed.h5")" ] || fail "a changed base has the old digest"

# ---- a real control group of 60 MB, below that of this test

make_group() {
    local path
    path=$(sed -n 's/^[0-9]*:\([^:]*,\)\{0,1\}memory\(,[^:]*\)\{0,1\}://p' /proc/self/cgroup)
    if [ -n "$path" ]; then
        group=$(awk '$0 ~ / - cgroup [^ ]* [^ ]*memory/ { print $5; exit }' /proc/self/mountinfo)$path/forerun-test-$$
        limit=memory.limit_in_bytes
    else
        path=$(sed -n 's/^0:://p' /proc/self/cgroup)
        group=$(awk '$0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)${path%/}/forerun-test-$$
        limit=memory.max
    fi
    mkdir "$group" 2>/dev/null || return 1
    trap 'rmdir "$group"; rm -rf "$work"' EXIT
    # shellcheck disable=SC3037 # bash
    echo 62914560 2>/dev/null >"$group/$limit" && (echo "$BASHPID" >"$group/cgroup.procs") 2>/dev/null
}

if make_group; then
    # in_group COMMAND...
    in_group() {
        bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
    }
    expect 0 in_group "$FORERUN" plan "$work/c.yaml" --ranks 1
    grep -q "container's limit of 60.00 MiB" "$work/out" || fail "plan does not name the limit: $(cat "$work/out")"
    expect 0 in_group "$FORERUN" preflight "$work/c.yaml"
    grep -q "container's limit of 60.00 MiB; the machine has" "$work/out" || fail "preflight: $(cat "$work/out")"
    # two matrices of 49 MiB, all zeros: too little, and said before anything is lost
    python3 - "$model" 400000 <<'PYTHON'
import json, os, struct, sys
folder, words = sys.argv[1], int(sys.argv[2])
path = os.path.join(folder, "model.safetensors")
with open(path, "rb") as f:
    header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
end = 0
for name, tensor in header.items():
    if name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensor["shape"][0] = words
    size = 4 * tensor["shape"][0] * (tensor["shape"] + [1])[1]
    tensor["data_offsets"] = [end, end + size]
    end += size
text = json.dumps(header).encode()
with open(path, "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text)
    f.truncate(8 + len(text) + end)
config = json.load(open(os.path.join(folder, "config.json")))
config["vocab_size"] = words
json.dump(config, open(os.path.join(folder, "config.json"), "w"))
PYTHON
    expect 1 in_group "$FORERUN" preflight "$work/c.yaml"
    grep -q "too little memory" "$work/out" || fail "preflight calls it fine: $(cat "$work/out")"
    expect 1 in_group "$FORERUN" plan "$work/c.yaml" --ranks 1
    rm -rf "$work/run"
    in_group "$FORERUN" train "$work/c.yaml" >"$work/out" 2>"$work/err" || true
    says "warning: too little memory"
    says "container's limit of 60.00 MiB"
    echo "in a control group of 60 MiB everybody says so"
else
    echo "not tried: this machine lets no control group with a memory limit be made here"
fi
echo "limits count, sizes are read, digests are kept"
