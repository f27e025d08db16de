#!/usr/bin/env bash
# The Python module: it reads what forerun wrote, forerun reads what it wrote and generates the same, and what forerun refuses
# to read or to write it refuses too. PYTHON: the interpreter, which must have h5py and numpy.
. "$(dirname "$0")/common.sh"

for python in "${PYTHON:-python3}" /usr/bin/python3 none; do
    ! "$python" -c 'import h5py, numpy' 2>/dev/null || break
done
if [ "$python" = none ]; then
    echo "h5py is not there: launch/install-deps.sh test gets it"
    exit 77
fi
make_tiny 128 2
cd "$work"
train_two_tasks "valid: \"$rows\","
"$python" -B "$SOURCE/tests/e2e/python_module.py" "$SOURCE" || fail "the module, with $("$python" --version)"

ids() {
    "$FORERUN" generate --model "$model" --prefix "$1" --input "$rows" --max-new-tokens 6 --precision f32 2>/dev/null |
        python3 -c 'import json, sys; print([json.loads(line)["generated_ids"] for line in sys.stdin])'
}
wanted=$(ids run/best.h5:b)
[ -n "$wanted" ] && [ "$(ids again.h5:b)" = "$wanted" ] || fail "a prefix that Python wrote generates other ids"

# where cmake --install puts it
build=$(dirname "$FORERUN")
if [ -f "$build/cmake_install.cmake" ] && command -v cmake >/dev/null; then
    expect 0 cmake --install "$build" --prefix "$work/installed"
    PYTHONPATH=$work/installed/share/forerun/python "$python" -B -c '
import sys, forerun_prefix
assert forerun_prefix.__file__.startswith(sys.argv[1]), forerun_prefix.__file__
assert forerun_prefix.open("again.h5")["b"].length == 5' "$work/installed" || fail "the installed module does not work"
    [ -f "$work/installed/share/forerun/python/pyproject.toml" ] || fail "pip cannot install it from there"
fi
echo "python module: files agree both ways"
