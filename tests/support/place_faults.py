"""place_faults.py SOURCE TREE | SOURCE --compile BUILD < NAME FILE N OLD NEW [OLD NEW...] ..., each with a 0 behind it

Each fault replaces texts of src/FILE, N of them old and new by turns; each old one must be there once. The first form writes the
file into a tree. The second compiles it, without output, with the includes and definitions of the folder BUILD; kernels as the
emulation does."""

import concurrent.futures
import json
import os
import shlex
import shutil
import subprocess
import sys


def read_faults(words):
    while words:
        name, path, count = words[0], words[1], int(words[2])
        texts, words = words[3:3 + count], words[3 + count:]
        yield name, path, texts


def replace(source, name, path, texts):
    """The file with the fault, or None."""
    with open(f"{source}/src/{path}", encoding="utf-8") as file:
        text = file.read()
    for old, new in zip(texts[::2], texts[1::2]):
        if text.count(old) != 1:
            print(f"{name}: {text.count(old)} places in src/{path} hold, not one: {old}", file=sys.stderr)
            return None
        text = text.replace(old, new)
    return text


def settings_of(build, source):
    """What the sources are compiled with, all together: includes and definitions."""
    kept = {}
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    for entry in entries:
        words = shlex.split(entry["command"])
        if os.path.realpath(entry["file"]).startswith(os.path.realpath(source) + "/src/"):
            for at, word in enumerate(words):
                if word.startswith(("-I", "-D")):
                    kept[(word,)] = True
                elif word == "-isystem":
                    kept[(word, words[at + 1])] = True
    return [word for words in kept for word in words]


def compiler_of(path, source):
    if path.endswith((".cu", ".cuh")):
        return ["c++", "-x", "c++", "-std=c++17", f"-I{source}/tests/cuda_emulation"]
    return ["cc", "-x", "c", "-std=gnu11", "-fopenmp"]


def compiles(source, settings, name, path, text):
    command = compiler_of(path, source)
    if shutil.which(command[0]) is None:
        return True
    result = subprocess.run([*command, "-fsyntax-only", "-w", f"-I{source}/src", *settings, "-"], input=text,
                            capture_output=True, text=True, check=False)
    if result.returncode != 0:
        print(f"{name}: src/{path} does not compile with it:\n{result.stderr}", file=sys.stderr)
    return result.returncode == 0


def check(source, build, faults):
    settings = settings_of(build, source)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(
            lambda f: f[2] is not None and compiles(source, settings, *f), faults))
    if all(results):
        print(f"{len(results)} faults are where they say, and compile")
    return all(results)


def place(source, tree, faults):
    for _, path, text in faults:
        if text is None:
            return False
        with open(f"{tree}/src/{path}", "w", encoding="utf-8") as file:
            file.write(text)
    return True


def main():
    source, where = sys.argv[1:3]
    faults = [(name, path, replace(source, name, path, texts))
              for name, path, texts in read_faults(sys.stdin.read().split("\0")[:-1])]
    is_good = check(source, sys.argv[3], faults) if where == "--compile" else place(source, where, faults)
    sys.exit(not is_good)


main()
