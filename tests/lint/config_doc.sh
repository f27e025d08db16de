#!/usr/bin/env bash
# configs/README.md is the output of `forerun --help-config`.
set -euo pipefail

if ! diff -u "$SOURCE/configs/README.md" <("$FORERUN" --help-config); then
    echo "configs/README.md differs: forerun --help-config > configs/README.md"
    exit 1
fi
