#!/usr/bin/env bash
# Training and generation measured on this machine: speed, memory, and what is demanded of them; with --peer or
# --install-peer beside Hugging Face PEFT and llama.cpp on the same rows, alternately. --help lists options and cases.
# All cases take 20 to 25 minutes on two quiet cores.
set -euo pipefail

here=$(dirname "$0")
. "$here/../../launch/mpi-env.sh"
exec python3 -B "$here/bench.py" "$@"
