#!/usr/bin/env bash
# quick.sh [CTEST ARGUMENTS]: build the release preset incrementally and run the unit tests alone, for the minutes between
# two edits. Says how long each part took. Nothing is installed; tests/run.sh does that, and runs everything.
#
#   FORERUN_JOBS=N  compilers and tests at once (default: the processors)
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=${FORERUN_JOBS:-$(nproc)}
build=build/release

if [ ! -f "$build/build.ninja" ]; then
    cmake --preset release >/dev/null
fi
began=$SECONDS
# The program, and each unit test's binary.
targets=(forerun)
for source in tests/unit/test_*.c; do
    name=${source##*/test_}
    targets+=("unit_${name%.c}")
done
cmake --build "$build" -j "$jobs" --target "${targets[@]}" | tail -n 1
built=$SECONDS
status=0
ctest --test-dir "$build" -L '^unit$' -j "$jobs" --output-on-failure --no-tests=error "$@" >"$build/quick.log" || status=$?
if [ "$status" != 0 ]; then
    cat "$build/quick.log"
else
    grep 'tests passed' "$build/quick.log"
fi
echo "quick: built in $((built - began)) s, unit tests in $((SECONDS - built)) s"
exit "$status"
