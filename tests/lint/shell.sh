#!/usr/bin/env bash
# Every shell script parses, and has no warning of shellcheck where that is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

mapfile -d '' scripts < <(find .ci launch tests configs -type f -print0 |
    xargs -0 grep -lZE '^#!.*\b(ba)?sh\b' --max-count=1 -- 2>/dev/null | sort -z)
if [ ${#scripts[@]} -eq 0 ]; then
    echo "no scripts found"
    exit 1
fi
failed=0
for script in "${scripts[@]}"; do
    bash -n "$script" || failed=1
done
if command -v shellcheck >/dev/null; then
    shellcheck --severity=warning --external-sources --source-path=SCRIPTDIR "${scripts[@]}" || failed=1
else
    echo "shellcheck is not installed: parsed only"
fi
echo "shell: ${#scripts[@]} scripts checked"
exit "$failed"
