#!/usr/bin/env bash
# run.sh [CTEST ARGUMENTS]: install what is missing, build the release preset, run the tests.
#
#   FORERUN_BUILD=DIR  build there (default build/release, or a temporary folder when the tree is read-only)
#   FORERUN_FETCH=0    do not fetch the small real model and llama.cpp's vocabularies; tests that need them are skipped then
#   FORERUN_JOBS=N     tests at once (default: the processors)
#   TIDY=1             clang-tidy as well; takes minutes
#
# The last lines are ctest's summary and, for each test that did not run, the reason; the exit status is ctest's.
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=${FORERUN_JOBS:-$(nproc)}
build=${FORERUN_BUILD:-}
if [ -z "$build" ] && mkdir -p build/release 2>/dev/null && [ -w build/release ]; then
    build=build/release
elif [ -z "$build" ]; then
    build=$(mktemp -d "${TMPDIR:-/tmp}/forerun.XXXXXX")
    trap 'rm -rf "$build"' EXIT
fi

# What only some tests need may be missing: they are skipped, and the others run.
bash launch/install-deps.sh build
for set in test model; do
    bash launch/install-deps.sh "$set" || echo "run.sh: going on without what the set '$set' lacks" >&2
done

# A cache that was made for another place of the source tree is of no use.
fresh=()
if [ -f "$build/CMakeCache.txt" ] &&
    ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$(pwd -P)" "$build/CMakeCache.txt" &&
    ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$build/CMakeCache.txt"; then
    fresh=(--fresh)
fi
cmake --preset release -B "$build" -DBUILD_TESTING=ON "${fresh[@]}"
cmake --build "$build"

models=${FORERUN_MODELS:-$PWD/models}
if ! { mkdir -p "$models" && [ -w "$models" ]; } 2>/dev/null; then
    models=$(cd "$build" && pwd)/models
fi
export FORERUN_MODEL=${FORERUN_MODEL:-$models/smollm2-135m-instruct.gguf}
if [ "${FORERUN_FETCH:-1}" = 1 ] && [ ! -f "$FORERUN_MODEL" ]; then
    bash launch/fetch-model.sh "$models" ||
        echo "run.sh: no model; the tests that need it are skipped" >&2
fi
export FORERUN_VOCABULARIES=${FORERUN_VOCABULARIES:-$models/vocabularies}
if [ "${FORERUN_FETCH:-1}" = 1 ] && [ ! -d "$FORERUN_VOCABULARIES" ]; then
    bash launch/fetch-vocabularies.sh "$FORERUN_VOCABULARIES" ||
        echo "run.sh: no vocabularies; the tests that need them are skipped" >&2
fi

configuration=()
if [ "${TIDY:-0}" = 1 ]; then
    configuration=(-C tidy)
fi
report=$build/Testing/report.xml
status=0
ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$jobs" \
    --output-junit Testing/report.xml "${configuration[@]}" "$@" || status=$?
[ ! -f "$report" ] || python3 tests/reasons.py "$report"
exit "$status"
