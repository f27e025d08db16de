#!/usr/bin/env bash
# run.sh [CTEST ARGUMENTS]: install what is missing, build the release preset, run the tests.
#
#   FORERUN_BUILD=DIR  build there (default build/release, or a temporary folder when the tree is read-only)
#   FORERUN_FETCH=1    fetch the small real model first, so that the tests that need it run
#   FORERUN_JOBS=N     tests at once (default: the processors)
#   TIDY=1             clang-tidy as well; takes minutes
#
# The last lines are ctest's summary; the exit status is ctest's.
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=${FORERUN_JOBS:-$(nproc)}
build=${FORERUN_BUILD:-}
if [ -z "$build" ] && mkdir -p build 2>/dev/null && [ -w build ]; then
    build=build/release
elif [ -z "$build" ]; then
    build=$(mktemp -d "${TMPDIR:-/tmp}/forerun.XXXXXX")
    trap 'rm -rf "$build"' EXIT
fi

sets=(build test)
if [ "${FORERUN_FETCH:-0}" = 1 ]; then
    sets+=(model)
fi
bash launch/install-deps.sh "${sets[@]}" ||
    echo "run.sh: going on; cmake names what is missing" >&2

# A cache that was made for another place of the source tree is of no use.
fresh=()
if [ -f "$build/CMakeCache.txt" ] &&
    ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$(pwd -P)" "$build/CMakeCache.txt" &&
    ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$build/CMakeCache.txt"; then
    fresh=(--fresh)
fi
cmake --preset release -B "$build" "${fresh[@]}"
cmake --build "$build"

if [ "${FORERUN_FETCH:-0}" = 1 ] && [ -f launch/fetch-model.sh ]; then
    bash launch/fetch-model.sh ||
        echo "run.sh: no model; the tests that need it are shown as skipped" >&2
fi

configuration=()
if [ "${TIDY:-0}" = 1 ]; then
    configuration=(-C tidy)
fi
status=0
ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$jobs" \
    "${configuration[@]}" "$@" || status=$?
exit "$status"
