#!/usr/bin/env bash
# pack.sh BUILD PACK REHEARSE, for `gpu.sh pack`: the folder PACK and PACK.tar.xz. What is in it:
#
#   programs/        built here, without symbols, and Open MPI's mpirun and orted; bin/ starts them (start.sh)
#   lib/             the libraries that they need but the system's own (of glibc, of C++, of the driver)
#   lib/emulated/    for a rehearsal: the emulated driver and cuBLASLt, and the libraries of C++ that it needs
#   openmpi/         plugins and texts
#   tests/, launch/  scripts and data; the pack is a source tree to them
#   pack.txt         what it was made of
set -euo pipefail

build=$1 pack=$2 rehearse=$3
tree=$(cd "$(dirname "$0")/../.." && pwd)
most_mib=60
# from the system on which the pack runs
system='/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|resolv|util|cuda|stdc\+\+|gcc_s))\.so'
# of other networks than one node's, with large libraries of their own
networks='fabric|ibverbs|rdmacm|ucp|uct|psm'

fail() {
    echo "gpu.sh pack: $*" >&2
    exit 1
}

# needs FILE...: paths of the libraries that they are linked with
needs() {
    ldd "$@" 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | sort -u
}

[ -f "$build/build.ninja" ] || cmake -S "$tree" --preset release -B "$build" -DWITH_CUDA=ON
targets=(gpu_tests)
! "$rehearse" || targets+=(gpu_rehearsal)
cmake --build "$build" --target "${targets[@]}"

mpirun=$(command -v mpirun) || fail "mpirun is not found"
plugins=$(ompi_info --path pkglibdir --parsable 2>/dev/null | sed -n 's/^path:pkglibdir://p')
texts=$(ompi_info --path pkgdatadir --parsable 2>/dev/null | sed -n 's/^path:pkgdatadir://p')
[ -d "$plugins" ] || fail "ompi_info names no folder of plugins; packs are made with Open MPI 4"

rm -rf "$pack" "$pack.tar.xz"
mkdir -p "$pack"/{bin,programs,lib,openmpi/plugins,openmpi/help,tests,launch}
install -m 755 "$tree/tests/gpu/start.sh" "$pack/start.sh"

# put FILE [NAME]: a program
put() {
    install -m 755 "$1" "$pack/programs/${2:-$(basename "$1")}"
    strip "$pack/programs/${2:-$(basename "$1")}"
    ln -s ../start.sh "$pack/bin/${2:-$(basename "$1")}"
}
put "$build/forerun"
for program in "$build"/tests/with_gpu "$build"/tests/gpu_*; do
    [ ! -x "$program" ] || [ -d "$program" ] || put "$program"
done
if "$rehearse"; then
    put "$build/tests/forerun_cuda"
    put "$build/tests/cuda_with_gpu"
    for program in "$build"/tests/gpu_*; do
        [ ! -x "$program" ] || [ -d "$program" ] || {
            name=$(basename "$program" | sed 's/^gpu_golden_/golden_cuda_/; s/^gpu_/cuda_/')
            put "$build/tests/$name"
        }
    done
    mkdir "$pack/lib/emulated"
    cp -L "$build/tests/emulated_driver/libcuda.so.1" "$build/tests/emulated_cublaslt/libcublasLt.so.13" "$pack/lib/emulated/"
    needs "$build/tests/emulated_driver/libcuda.so.1" "$pack"/programs/cuda_* | grep -E '/lib(stdc\+\+|gcc_s)\.so' |
        xargs -I {} cp -L {} "$pack/lib/emulated/"
fi
put "$(readlink -f "$mpirun")" mpirun
put "$(readlink -f "$(command -v orted)")" orted

for plugin in "$plugins"/*.so; do
    needs "$plugin" | grep -qE "$networks" || cp -L "$plugin" "$pack/openmpi/plugins/"
done
cp "$texts"/*.txt "$pack/openmpi/help/"
needs "$pack"/programs/* "$pack"/openmpi/plugins/*.so | grep -vE "$system" | xargs -I {} cp -L {} "$pack/lib/"

cp "$tree/tests/gpu.sh" "$pack/tests/"
cp -r "$tree"/tests/{gpu,e2e,support,golden} "$pack/tests/"
cp "$tree/launch/mpi-env.sh" "$pack/launch/"
find "$pack/tests" -name __pycache__ -prune -exec rm -rf {} +
{
    echo "made of $(git -C "$tree" describe --always --dirty 2>/dev/null || echo 'a tree without git') on $(date -u +%F)," \
        "$(sed -n 's/^CMAKE_C_COMPILER:.*=//p' "$build/CMakeCache.txt"), sm_$(sed -n 's/^FORERUN_CUDA_ARCHITECTURES:.*=//p' "$build/CMakeCache.txt")"
    ls "$pack/programs"
} >"$pack/pack.txt"

# programs hold the same kernels: a dictionary in which several of them fit
tar --create --sort=name --owner=0 --group=0 --directory "$pack" . | xz -T1 --lzma2=preset=1,dict=64MiB >"$pack.tar.xz"
mib=$(($(stat -c %s "$pack.tar.xz") >> 20))
echo "$pack.tar.xz: $mib MiB ($(du -sm "$pack" | cut -f 1) MiB unpacked)"
[ "$mib" -lt "$most_mib" ] || fail "$pack.tar.xz has $mib MiB, more than the $most_mib that fit beside a source tree"
