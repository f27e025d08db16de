#!/usr/bin/env bash
# Make a virtual environment with the peer, from PyPI: PEFT with what it needs, and llama.cpp (built here: minutes).
# usage: tests/bench/install-peer.sh FOLDER
#
# PyPI's torch brings CUDA libraries, 3 GB to fetch and 5 GB on disk. With PIP_EXTRA_INDEX_URL set to PyTorch's own
# index of CPU wheels it is 200 MB. The versions are ones that were seen to work together with this GGUF file.
set -euo pipefail

folder=$1
packages=('torch==2.15.0' 'transformers==5.24.0' 'peft==0.21.2' 'gguf==0.19.0' 'numpy==2.4.6' 'accelerate==1.15.0')
llama='llama-cpp-python==0.3.36'

if ! python3 -m venv "$folder"; then
    echo "error: python3 cannot make a virtual environment at $folder; on Debian: apt-get install python3-venv" >&2
    exit 3
fi
pip() {
    "$folder/bin/python" -m pip --disable-pip-version-check --quiet "$@" >&2
}
echo "peer: installing ${packages[*]} into $folder (PyPI's torch: 3 GB)" >&2
pip install "${packages[@]}"
echo "peer: building $llama (minutes; needs a C++ compiler)" >&2
pip install "$llama" || echo "peer: going on without llama.cpp; generation is then measured alone" >&2
