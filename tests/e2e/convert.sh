#!/usr/bin/env bash
# Files of format 1: refused by name, converted with every bit, and a resume from there comes to the bits that are kept.
. "$(dirname "$0")/common.sh"

data=$SOURCE/tests/data/format1
cd "$work"
for name in one mlp two prefix; do
    expect 6 "$FORERUN" inspect "$data/$name.h5"
    says "has format 1"
    expect 0 "$FORERUN" convert "$data/$name.h5" $name.h5
    expect 0 "$FORERUN" inspect $name.h5
    expect 2 "$FORERUN" convert "$data/$name.h5" $name.h5
    says "exists already"
    expect 2 "$FORERUN" convert $name.h5 again.h5
    says "needs no conversion"
done
expect 6 "$FORERUN" convert "$work/none.h5" again.h5
says "No such file"
expect 6 "$FORERUN" convert "$SOURCE/README.md" again.h5
says "is not a Forerun checkpoint"
printf x | dd of=damaged.h5 bs=1 2>/dev/null
cp "$data/one.h5" damaged.h5
printf x | dd of=damaged.h5 bs=1 seek=4000 conv=notrunc 2>/dev/null
expect 6 "$FORERUN" convert damaged.h5 again.h5
says "SHA-256"
expect 1 "$FORERUN" convert "$data/one.h5" "$work/nowhere/one.h5"
[ ! -e again.h5 ] || fail "a failed conversion left a file"

# the page's own reader reads the new files
sed -n '/^```python$/,/^```$/p' "$SOURCE/docs/format-checkpoint.md" | sed '1d;$d' >read.py
python3 read.py two.h5 >arrays.txt
[ "$(grep -c '^/tasks/.*/layers/' arrays.txt)" = 18 ] || fail "the page's reader finds other arrays"

# the old values, and index and tree say the same
for python in python3 /usr/bin/python3 none; do
    ! "$python" -c 'import h5py, numpy' 2>/dev/null || break
done
if [ $python = none ]; then
    echo "h5py is not there: values are not compared with those of the old program"
else
    added='@(valid_digest|base_loss|init_loss|base_norm_eps) ' # since 2.0
    for name in one mlp two prefix; do
        $python "$SOURCE/tests/support/h5_arrays.py" $name.h5 | grep -v '^/@schema_' | grep -vE "$added" >now.txt
        grep -v '^/@schema_' "$data/$name.txt" | cmp - now.txt || fail "$name has other values than before"
        $python "$SOURCE/tests/support/h5_tree.py" $name.h5 || fail "index and tree of $name differ"
    done
    if command -v h5dump >/dev/null; then
        h5dump -d /tasks/t/layers/0/k one.h5 | grep -q 'DATASPACE  SIMPLE { ( 3, 2, 8 )' || fail "h5dump cannot read one.h5"
    fi
fi

# a resume from each: its last three steps are of today's arithmetic, whose bits are the same everywhere. Rows are given as
# today's make_tiny.py makes them.
python3 "$SOURCE/tests/support/make_tiny.py" tiny rows.jsonl 128 2
digest=$(sha256sum <rows.jsonl | cut -d ' ' -f 1)
for name in one mlp two; do
    cp "$data/$name.yaml" .
    for task in $(sed -n 's/^  - name: //p' $name.yaml); do
        python3 "$SOURCE/tests/support/tamper.py" $name.h5 given.h5 "/tasks/$task@data_digest=\"$digest\""
        mv given.h5 $name.h5
    done
    expect 0 "$FORERUN" train $name.yaml --set run.dir=part-$name --resume=$name.h5
    says "$name.h5 was computed with the arithmetic avx512_bf16"
    [ $python != none ] || continue
    $python "$SOURCE/tests/support/h5_arrays.py" part-$name/checkpoint-6.h5 --arrays >now.txt
    cmp "$data/$name-resumed.txt" now.txt || fail "$name: a resume comes to other values than are kept"
    echo "$name: resumed to the bits that are kept"
done
[ $python != none ] || exit 77
