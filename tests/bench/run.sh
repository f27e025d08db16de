#!/usr/bin/env bash
# Training and generation measured on this machine, which is named first: speed, memory, and what is demanded of them;
# with --peer or --install-peer beside Hugging Face PEFT and llama.cpp on the same rows, alternately. --help lists
# options and cases; `--case sets,products` compares this processor's instruction sets in one run. All cases take 25 to
# 30 minutes on two quiet cores.
set -euo pipefail

here=$(dirname "$0")
. "$here/../../launch/mpi-env.sh"
exec python3 -B "$here/bench.py" "$@"
