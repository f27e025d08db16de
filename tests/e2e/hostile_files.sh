#!/usr/bin/env bash
# Prefix files and checkpoints that strangers made, each under a right seal: every command that reads one refuses it
# with a clear line and the right code, within little time and memory.
. "$(dirname "$0")/common.sh"

make_tiny 128 2
make_config 3 4 f32
train good 1 1 2>"$work/err" || fail "$(cat "$work/err")"
good=$work/good/checkpoint-3.h5
bad=$work/bad.h5
tamper() {
    python3 "$SOURCE/tests/support/tamper.py" "$good" "$bad" "$1"
}

# addresses that the program takes for a good file, in KiB
for ((base = 65536; base < 4194304; base += 65536)); do
    (ulimit -v $base && "$FORERUN" inspect "$good") >/dev/null 2>&1 && break
done
echo "inspect takes $base KiB of addresses"
# bounded CODE COMMAND...: like expect, within 20 s and 256 MiB above what the program takes for a good one and the file's size.
bounded() {
    local code=$1 file=$bad
    shift
    local limit=$((base + 262144 + $(stat -c %s "$file") / 1024))
    [ $base -lt 4194304 ] || limit=unlimited # a sanitizer takes terabytes of addresses
    expect "$code" bash -c 'ulimit -v "$0" && exec timeout 20 "$@"' $limit "$@"
}

# refused CODE TEXT CHANGE: by all commands that read such a file
refused() {
    local code=$1 text=$2 change=$3
    [ "$change" = file ] || tamper "$change"
    bounded "$code" "$FORERUN" inspect "$bad"
    says "$text"
    bounded "$code" "$FORERUN" compare "$good" "$bad"
    says "$text"
    expect "$code" timeout 60 "$FORERUN" eval --model "$model" --prefix "$bad" --data "$rows" --no-eos
    says "$text"
    expect "$code" timeout 60 "$FORERUN" generate --model "$model" --prefix "$bad" --input "$rows" --output "$work/o"
    says "$text"
    expect "$code" timeout 60 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/resumed" "--resume=$bad"
    says "$text"
    rm -rf "$work/init"
    sed "s|init: {random: 0.5}, length: 5|init: {file: '$bad'}|" "$work/c.yaml" >"$work/init.yaml"
    expect "$code" timeout 60 "${launch[@]}" "$FORERUN" train "$work/init.yaml" --set "run.dir=$work/init"
    says "$text"
}

# the tampering itself is harmless
tamper same
same "$good" "$bad"

t=/tasks/t
launch=(mpirun -n 2)
refused 6 "cursor of $t is 9223372036854775807, must be 0 to 9007199254740992" $t@cursor=9223372036854775807
launch=()
refused 6 "step of $t is 9223372036854775807" $t@step=9223372036854775807
refused 6 "best_step of $t is" $t@best_step=4611686018427387904
refused 6 "skipped of $t is" $t@skipped=9223372036854775807
refused 6 "best_loss of $t is nan" "$t@best_loss=\"nan\""
refused 4 "element 3 of $t/layers/0/k is nan" "$t/layers/0/k[3]=nan"
refused 4 "element 0 of $t/layers/1/s_v is -inf" "$t/layers/1/s_v[0]=-inf"
refused 6 "$t/layers/0/v has an offset outside the file's arrays" $t/layers/0/v:offset=9223372036854775804
refused 6 "$t/layers/0/v has an offset outside" $t/layers/0/v:offset=512
refused 6 "must be an f32 array of shape 5 2 8" $t/layers/0/v:bytes=8
refused 6 "overlap" $t/layers/0/v:offset="$(python3 -c '
import sys
index = open(sys.argv[1], "rb").read().split(b"layers/0/k")[1]
print(int(index.split(b"offset\":")[1].split(b",")[0]) + 4)' "$good")"
refused 6 "more than the file holds" $t@length=1048576
refused 6 "$t/layers/0/v is missing" line
refused 6 "is not a JSON object" deep
refused 6 "has no end, or is too long" long
tamper many
bounded 0 "$FORERUN" inspect "$bad"
: >"$bad"
refused 6 "is not a Forerun checkpoint" file
head -c 700 "$good" >"$bad"
refused 6 "SHA-256" file
head -c 300 "$good" >"$bad"
refused 6 "it ends after 300 bytes" file

# a stranger's file that names no base fits none
tamper /@base_shape=drop
expect 0 "$FORERUN" inspect "$bad"
expect 6 "$FORERUN" eval --model "$model" --prefix "$bad" --data "$rows" --no-eos
says "does not name its base"

# a damaged newest checkpoint is passed over on --resume, and one with numbers that are none ends it
cp -r "$work/good" "$work/fall"
tamper $t@cursor=9223372036854775807
cp "$bad" "$work/fall/checkpoint-9.h5"
echo checkpoint-9.h5 >"$work/fall/latest"
expect 0 train fall 1 1 --resume
says "trying the previous checkpoint"

# files of format 1 made to crash the HDF5 library: not read, and no harm where they are converted
for file in "$SOURCE"/tests/data/hostile_h5/*.h5; do
    expect 6 "$FORERUN" inspect "$file"
    says "forerun convert OLD NEW"
    expect 6 timeout 120 "$FORERUN" convert "$file" "$work/converted.h5"
    ! ls "$work"/converted.h5* >/dev/null 2>&1 || fail "$file left something behind"
done

# best.h5 of a run folder with other sizes than the run's: passed over, not read beyond its end
best=$work/best
sed -i 's|^    train:|    valid: "'"$rows"'"\n&|' "$work/c.yaml"
expect 75 train best 1 1 --set run.valid_every=1 --stop-after 2
python3 - "$best/best.h5" <<'PY'
import hashlib, json, struct, sys
# the same tasks with one key/value head of one number: every array is shorter
with open(sys.argv[1], "rb") as file:
    data = file.read()
header = dict(line.split(" ", 1) for line in data[:512].split(b"\0")[0].decode().split("\n")[1:] if line)
lines = [json.loads(line) for line in data[512:512 + int(header["index"])].decode().splitlines()]
block = int(header["block"])
for line in lines:
    if "array" in line:
        line["shape"], line["bytes"] = [line["shape"][0], 1, 1], 4 * line["shape"][0]
    elif line["group"] != "/":
        line["attributes"].update(n_kv_heads=1, head_dim=1)
index = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
body = index.ljust(block - 512, b"\0") + data[block:]
text = "Forerun checkpoint 2.0\nsha256 %s\nindex %d\nblock %d\n" % (hashlib.sha256(body).hexdigest(), len(index), block)
with open(sys.argv[1], "wb") as file:
    file.write(text.encode().ljust(512, b"\0") + body)
PY
expect 0 "$FORERUN" inspect "$best/best.h5"
expect 0 train best 1 1 --set run.valid_every=1 --resume
says "its best prefix so far is lost"

# a prefix as long as the base's context leaves room for nothing
cp -r "$model" "$work/short"
sed -i 's/"max_position_embeddings": 256/"max_position_embeddings": 5/' "$work/short/config.json"
expect 6 "$FORERUN" eval --model "$work/short" --prefix "$good" --data "$rows" --no-eos
says "leaves no room in the base's context of 5"
expect 6 "$FORERUN" generate --model "$work/short" --prefix "$good" --input "$rows" --output "$work/o"
says "leaves no room in the base's context of 5"
