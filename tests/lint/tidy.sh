#!/usr/bin/env bash
# tidy.sh BUILD [FILE...]: clang-tidy over the compiled sources (or the files named) with .clang-tidy's
# checks as errors. Takes minutes.
set -euo pipefail

if ! command -v clang-tidy >/dev/null; then
    echo "skipped: clang-tidy is not installed (launch/install-deps.sh test)"
    exit 77
fi
build=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/../.."

if [ $# -eq 0 ]; then
    mapfile -t files < <(python3 - "$build" "$PWD" <<'PYTHON'
import json, os, sys
build, root = sys.argv[1], os.path.realpath(sys.argv[2])
with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
    names = {os.path.realpath(entry["file"]) for entry in json.load(file)}
print("\n".join(sorted(name for name in names if name.startswith(root + os.sep))))
PYTHON
    )
else
    files=("$@")
fi
# one file a process: the analyzer carries state over otherwise
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" clang-tidy --quiet \
    -p "$build" --extra-arg=-Wno-unknown-warning-option
echo "tidy: ${#files[@]} files checked"
