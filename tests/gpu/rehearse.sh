#!/usr/bin/env bash
# For `gpu.sh rehearse`: a pack, and all parts of gpu.sh with it over the emulated GPU, in a bare Debian root with bash and python3
# alone. Passes if each part has left its lines and nothing failed. Needs root and debootstrap.
set -euo pipefail

source_tree=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=../bare/root.sh
. "$source_tree/tests/bare/root.sh"

if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
    echo "skipped: a bare root needs root and debootstrap"
    exit 77
fi
isolate "$@"
"$source_tree/tests/gpu.sh" pack --rehearse
root=$work/bookworm
make_root "$root" bookworm
mkdir -p "$root$tree/tests/gpu" "$root$tree/build"
cp "$source_tree/tests/gpu.sh" "$root$tree/tests/"
cp "$source_tree/build/gpu-pack.tar.xz" "$root$tree/build/"
enter "$root" root sh -c 'apt-get -q update && apt-get -q install -y --no-install-recommends python3' >&2
# a limit that is reached is no failure here
status=0
enter "$root" root env "GPU_BUDGET_S=${GPU_BUDGET_S:-1800}" "GPU_PARTS=${GPU_PARTS:-}" tests/gpu.sh run --rehearse || status=$?
cp "$root$tree/build/gpu-report.txt" "$source_tree/build/gpu-rehearsal.txt"
cp "$root$tree/build/gpu-logs.txt" "$source_tree/build/gpu-rehearsal-logs.txt"
echo "the report: build/gpu-rehearsal.txt"
[ "$status" = 3 ] || exit "$status"
