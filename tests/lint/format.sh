#!/usr/bin/env bash
# Sources are as clang-format 14 leaves them; skipped where that version is absent, since others differ.
set -euo pipefail
cd "$(dirname "$0")/../.."

formatter=
for candidate in clang-format-14 clang-format; do
    if command -v "$candidate" >/dev/null &&
        "$candidate" --version | grep -q 'version 14\.'; then
        formatter=$candidate
        break
    fi
done
if [ -z "$formatter" ]; then
    echo "skipped: clang-format 14 is not installed (launch/install-deps.sh test)"
    exit 77
fi

list() {
    find src tests \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' ! -name 'LICENSE*' \) -print0
}
list | xargs -0 "$formatter" --dry-run -Werror
echo "format: $(list | tr -cd '\0' | wc -c) files checked"
