#!/usr/bin/env bash
# The kernels as nvcc compiles them, for each architecture: warnings are errors, no kernel keeps registers in memory, no float
# atomics, no local memory; registers and shared memory of each are those of registers.txt, where nvcc has that table's
# version. Words for tensor cores, copies and numbers (words/kernels_words.cu) are the instructions that they must be.
#
#   nvcc.sh [--update]     --update: write the table anew
#
# Exit code: 0; 1; 77 where nvcc 12.8 or newer is not found.
set -euo pipefail
cd "$(dirname "$0")/../.."

table=tests/cuda_emulation/registers.txt
nvcc=${NVCC:-nvcc}
oldest=12.8

command -v "$nvcc" >/dev/null || {
    echo "skipped: nvcc is not found"
    exit 77
}
version=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
if [ "$(printf '%s\n' "$oldest" "$version" | sort -V | head -1)" != "$oldest" ]; then
    echo "skipped: nvcc $version is older than $oldest"
    exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One source for one architecture: its PTX, and what ptxas says of each kernel.
compile() {
    local source=$1 sm=$2 out
    out=$work/$(basename "$source" .cu).$sm
    "$NVCC" -std=c++17 -fmad=false --ftz=false -prec-div=true -prec-sqrt=true -Werror all-warnings \
        -Isrc -Isrc/device/cuda/hardware -arch="compute_$sm" -ptx -o "$out.ptx" "$source"
    "${PTXAS:-ptxas}" -v -warn-spills -arch="sm_$sm" -o "$out.cubin" "$out.ptx" 2>"$out.log" || {
        cat "$out.log"
        return 1
    }
}
export -f compile
export work NVCC="$nvcc"
PATH=$PATH:$(dirname "$(readlink -f "$(command -v "$nvcc")")")
printf '%s\n' src/device/cuda/*.cu tests/cuda_emulation/words/*.cu | while read -r source; do
    for sm in 80 90 100; do
        printf '%s\0%s\0' "$source" "$sm"
    done
done | xargs -0 -n 2 -P "$(nproc)" bash -ec 'compile "$@"' _

python3 -B - "$work" "$table" "$version" "${1:-}" <<'PYTHON'
import glob
import os
import re
import sys

work, table, version, mode = sys.argv[1:]
problems = []

four = r"\{%\w+, %\w+, %\w+, %\w+\}"
multiply = rf"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 ({four}), {four}, \{{%\w+, %\w+\}}, \1;"
ahead = r"cp.async.cg.shared.global \[%r\d+\], \[%rd\d+\], 16, %r\d+;"
close = "cp.async.commit_group;"
words = {
    "word_multiply": [multiply] * 2,
    "word_matrices": [rf"ldmatrix.sync.aligned.m8n8.x4.shared.b16 {four}, \[%r\d+\];"],
    "word_matrices_transposed": [rf"ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {four}, \[%r\d+\];"],
    "word_numbers": [r"ex2.approx.ftz.f32 %f\d+, %f\d+;", r"cvt.rn.bf16x2.f32 %r\d+, %f\d+, %f\d+;"],
    "word_copy": [ahead, close, ahead, "cp.async.wait_group 0;", close, "cp.async.wait_group 1;", "cp.async.wait_group 0;"]}


def check_words(path):
    said = {}
    for line in open(path):
        entry = re.search(r"\.entry (\w+)", line)
        if entry:
            said[name := entry.group(1)] = []
        elif re.match(r"\s*(mma|ldmatrix|cp\.async|ex2|cvt\.rn)\b", line):
            said[name].append(line.strip())
    for name, patterns in words.items():
        lines = said.get(name, [])
        if len(lines) != len(patterns) or not all(map(re.fullmatch, patterns, lines)):
            problems.append(f"{os.path.basename(path)}: {name} is not what it must be: {lines}")


for path in sorted(glob.glob(work + "/kernels_words.*.ptx")):
    check_words(path)
kernels = {}
for path in sorted(glob.glob(work + "/*.log")):
    sm = path.split(".")[-2]
    text = open(path).read()
    for name, info in re.findall(r"Compiling entry function '(\w+)'(.*?)(?=Compiling entry|\Z)", text, re.S):
        spills = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", info)
        if not spills or any(int(n) for n in spills.groups()):
            problems.append(f"{name} on sm_{sm} keeps {spills.group(0) if spills else 'an unknown amount'}")
        registers = re.search(r"Used (\d+) registers", info).group(1)
        shared = re.search(r"(\d+) bytes smem", info)
        if name in words:
            continue
        kernels.setdefault(name, {})[sm] = registers + (f"+{shared.group(1)}" if shared else "")
for path in glob.glob(work + "/*.ptx"):
    for number, line in enumerate(open(path), 1):
        if re.search(r"\b(atom|red)\.\S*\.(b?f16|f32|f64)", line) or re.search(r"\.local\b", line):
            problems.append(f"{os.path.basename(path)}:{number}: {line.strip()}")
lines = [f"nvcc {version}: registers of a thread (+ bytes of static shared memory) on sm_80, sm_90, sm_100\n"]
lines += ["%-32s %6s %6s %6s\n" % (name, *(kernels[name].get(sm, "-") for sm in ("80", "90", "100")))
          for name in sorted(kernels)]
if mode == "--update":
    open(table, "w").writelines(lines)
else:
    held = open(table).readlines()
    if held[0].split(":")[0] != f"nvcc {version}":
        print(f"{held[0].split(':')[0]} made {table}; with nvcc {version} registers are not compared")
    elif held != lines:
        problems += [f"other registers than {table}: {line.strip()}" for line in lines if line not in held]
        problems += [f"{table} has more: {line.strip()}" for line in held if line not in lines]
print("\n".join(problems))
print(f"nvcc {version}: {len(kernels)} kernels for 3 architectures, {len(words)} of words, {len(problems)} problems")
sys.exit(1 if problems or not kernels else 0)
PYTHON
