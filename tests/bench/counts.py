#!/usr/bin/env python3
"""What the kernels of one layer ask of a GPU in a training step, counted on the emulated one, in the sizes of Llama 3.

usage: counts.py FOLDER [--update]     FOLDER: tests/ of a build with FORERUN_CUDA_RACES, which has cuda_layer_step and the libraries

Runs a forward and a backward pass of a layer over a few small microbatches (tests/cuda_emulation/layer_step.c), with products by cuBLASLt,
and compares the counts with counts.txt, or writes that file anew. The last microbatch checks the others: what follows from them for it
(roofline.py) must be what is counted, but for a hundredth. Shapes that the file lacks are not compared. Some ten minutes.
"""
import os
import subprocess
import sys
import tempfile

import roofline

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(HERE, "counts.txt")
PREFIX = 128
POINTS = [(1, 64), (1, 128), (1, 192), (2, 64), (2, 128)]  # rows, tokens of each
CHECK = (3, 64)
MOST_OFF = 0.01
SECTOR = 32
TILE = 4096  # operations of a tile


def numbers(path):
    """Lines of a name and numbers."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return {name: list(map(int, values)) for name, *values in map(str.split, file)}


def run(folder, work, model, point):
    """The counts of one microbatch. @return {kernel: [launches, tiles, fused, read, written, asked]}"""
    files = {f"FR_EMULATED_{name}": os.path.join(work, name) for name in ("TRAFFIC", "SECTORS", "LT_TRAFFIC", "COUNT")}
    libraries = [os.path.join(folder, name) for name in ("emulated_cublaslt", "emulated_driver")]
    environment = {**os.environ, **files, "FR_EMULATED_WALL": "0", "LD_LIBRARY_PATH": ":".join(libraries)}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    done = subprocess.run([os.path.join(folder, "cuda_layer_step"), model, *map(str, point), str(PREFIX)], env=environment,
                          check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0 or "warning" in done.stdout:
        sys.exit(f"cuda_layer_step, {point[0]} rows of {point[1]} tokens: {done.stdout}")
    asked = numbers(files["FR_EMULATED_SECTORS"])
    counts = {name: values + [asked[name][1]] for name, values in numbers(files["FR_EMULATED_TRAFFIC"]).items()}
    for name, (products, operations, read, written) in numbers(files["FR_EMULATED_LT_TRAFFIC"]).items():
        sectors = [read // SECTOR, written // SECTOR]
        counts[name] = [products, operations // TILE, 0, *sectors, sum(sectors)]
    with open(files["FR_EMULATED_COUNT"], encoding="utf-8") as file:
        copied = next(int(line.split()[2].rstrip(",")) for line in file if line.startswith("moved: copied "))
    if copied > 0:
        sys.exit(f"{copied} bytes are copied within the GPU's memory, which no kernel's count contains: count them, too")
    return counts


def count(folder, shapes):
    """Lines of the table, problems."""
    lines, problems = [], []
    for shape in shapes:
        with tempfile.TemporaryDirectory(prefix="forerun-counts.") as work:
            model = os.path.join(work, "model")
            subprocess.run([sys.executable, os.path.join(HERE, "..", "gpu", "make_model.py"), model, os.path.join(work, "rows"),
                            f"{shape}-zeros", "1", "8"], check=True)
            found = {point: run(folder, work, model, point) for point in POINTS + [CHECK]}
        lines += lines_of(shape, found)
        problems += check(shape, found)
    return lines, problems


def lines_of(shape, found):
    """As in the table."""
    return [" ".join(map(str, [shape, *point, name, *counts[name]])) + "\n" for point, counts in found.items() for name in sorted(counts)]


def check(shape, found):
    """Whether the counts of the last microbatch follow from those before."""
    problems = []
    fits = roofline.fit({point: found[point] for point in POINTS})
    for name, counts in found[CHECK].items():
        for what, counted, fitted in zip(roofline.WHAT, counts, fits[name]):
            follows = roofline.at(fitted, *CHECK)
            if abs(follows - counted) > MOST_OFF * counted:
                problems.append(f"{shape}, {name}: {counted} {what} in {CHECK[0]} rows of {CHECK[1]} tokens, not {follows:.0f}")
    return problems


def main():
    """Compare, or write."""
    folder, *mode = sys.argv[1:]
    version = subprocess.run([os.environ.get("CXX", "c++"), "-dumpfullversion"], check=True, stdout=subprocess.PIPE, text=True)
    head = (f"# gcc {version.stdout.strip()}: shape, rows, tokens of each, kernel or product, {', '.join(roofline.WHAT)} (prefix of "
            f"{PREFIX})\n")
    shapes = list(roofline.SHAPES) if mode == ["--update"] else list(roofline.read(TABLE))
    lines, problems = count(folder, shapes)
    lines.insert(0, head)
    if mode == ["--update"]:
        with open(TABLE, "w", encoding="utf-8") as file:
            file.writelines(lines)
    else:
        with open(TABLE, encoding="utf-8") as file:
            held = file.readlines()
        if held[0] != head:  # what warps ask for depends on the compiler
            print(f"{held[0].split(':')[0][2:]} made {TABLE}; sectors that are asked for are not compared")
            held, lines = ([line.rsplit(" ", 1)[0] + "\n" for line in some[1:]] for some in (held, lines))
        differ = sorted(set(held) ^ set(lines))
        problems += [f"{'counted' if line in lines else 'held   '}: {line.strip()}" for line in differ]
    print("\n".join(problems))
    print(f"{len(lines) - 1} counts, {len(problems)} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
