#!/usr/bin/env bash
# How much memory the warps of each kernel touch (sectors.h), in calls of the sizes that models have (sectors_calls.c): the counts are
# those of coalescing.txt, where it was made by this version of gcc, and no kernel touches much more than it needs.
#
#   coalescing.sh PROGRAM [--update]     PROGRAM: cuda_sectors of a build with FORERUN_CUDA_RACES; --update: write the table anew
#
# Exit code: 0 or 1.
set -euo pipefail
program=$1
cd "$(dirname "$0")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
FR_EMULATED_SECTORS=$work/counts "$program"

python3 -B - "$work/counts" coalescing.txt "$("${CXX:-c++}" -dumpfullversion)" "${2:-}" "$program" <<'PYTHON'
import re
import sys

counts, table, version, mode = sys.argv[1:5]
MOST = 1.5  # sectors of those that an access needs

# Kernels that touch more: (name, most, reason)
EXCEPTIONS = [
    (r"fr_few_[48]", 2.1, "a lane's 8 floats of x are two reads of 16 bytes: the second one finds its sectors in the cache of level 1"),
    (r"tensor_\w+_0[01]", 1.7, "the same of 8 floats of the left operand, which are rounded together"),
    (r"fr_widen_0", 2.1, "8 floats that are written likewise: the cache of level 2 joins them"),
]

problems = []
lines = [f"gcc {version}: accesses of warps, sectors of 32 bytes that they touch, sectors that they need, ratio\n"]
with open(counts, encoding="utf-8") as file:
    kernels = [line.split() for line in file]
for name, *numbers in kernels:
    accesses, sectors, needed = map(int, numbers)
    ratio = sectors / needed
    most = next((most for pattern, most, _ in EXCEPTIONS if re.fullmatch(pattern, name)), MOST)
    if ratio > most:
        problems.append(f"{name} touches {ratio:.2f} times the sectors that it needs, and may touch {most}")
    lines.append("%-28s %8d %9d %9d %6.2f\n" % (name, accesses, sectors, needed, ratio))
if mode == "--update":
    with open(table, "w", encoding="utf-8") as file:
        file.writelines(lines)
else:
    with open(table, encoding="utf-8") as file:
        held = file.readlines()
    if held[0] != lines[0]:
        print(f"{held[0].split(':')[0]} made {table}; with gcc {version} counts are not compared")
    elif held != lines:
        problems += [f"other counts than {table}: {line.strip()}" for line in lines if line not in held]
        problems += [f"{table} has: {line.strip()}" for line in held if line not in lines]
    if problems:
        problems.append(f"where a kernel was changed on purpose: coalescing.sh {sys.argv[5]} --update")
print("\n".join(problems))
print(f"gcc {version}: {len(kernels)} kernels, {len(problems)} problems")
sys.exit(1 if problems or not kernels else 0)
PYTHON
