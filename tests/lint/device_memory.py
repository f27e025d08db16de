#!/usr/bin/env python3
"""device_memory.py BUILD: no memcpy, memset, free, fwrite or message of the host on memory of a device, outside src/device and
the links. The compiler judges, since it knows the types: each source is compiled, without output, behind device_memory.h.

Only the device's room says `in_device`, and only where a device in the host's memory computes for the host may its numbers be
taken for a device's (device/host.h). Small programs that break a rule must be refused, else the lint itself has failed."""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

import common

HEADER = "tests/lint/device_memory.h"
# Where memory of a device may be followed, and who may lend the host's.
FREE = ("src/base/", "src/device/", "src/comm/")
LENDERS = ("src/device/", "src/train/step/reparam.c")

# What must not compile, with and without the header.
REFUSED = {
    "a dereference": ("float f(fr_f32 *q) { return *q; }", False),
    "arithmetic": ("float f(fr_f32 *q) { return q[1] * 2.0F; }", False),
    "a plain pointer": ("float *f(fr_f32 *q) { float *p = q; return p; }", False),
    "a copy": ("void f(fr_f32 *q, float *p) { memcpy(p, q, 4); }", True),
    "a copy to it": ("void f(struct s *s, float *p) { memcpy(s->k + 1, p, 4); }", True),
    "zeros": ("void f(fr_i64 *q) { memset(q, 0, 8); }", True),
    "a message": ("fr_status f(fr_group *g, const fr_byte *q) "
                  "{ return fr_group_send(g, 0, FR_TAG_POLL, q, 1); }", True),
}
ALLOWED = "void f(float *q, float *p) { memcpy(p, q, 4); }"


def commands(build):
    """Each source of src/ with the compiler's arguments, without its output."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    found = {}
    for entry in entries:
        name = os.path.relpath(entry["file"], common.ROOT)
        if name.startswith("src/"):
            words = shlex.split(entry["command"])
            at = words.index("-o")
            found[name] = [word for word in words[:at] + words[at + 2:] if word not in ("-c", entry["file"])]
    return found


def compile_text(arguments, text, header):
    """The compiler's first error for a text; empty: none. Its warnings are other tests' matter, in every build."""
    extra = ["-Wno-error", "-Werror=incompatible-pointer-types"]
    if header:
        extra += ["-include", os.path.join(common.ROOT, HEADER)]
    done = subprocess.run([*arguments, *extra, "-D_GNU_SOURCE", "-fsyntax-only", "-x", "c", "-"],
                          input=text, text=True, stderr=subprocess.PIPE, check=False)
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    return errors[0] if errors else ("it does not compile" if done.returncode else "")


def check_self(arguments):
    """Whether the compiler refuses what it must."""
    problems = []
    start = '#include "comm/group.h"\n#include "device/memory.h"\n#include <string.h>\nstruct s { fr_f32 *k; };\n'
    for what, (text, header) in REFUSED.items():
        if not compile_text(arguments, start + text + "\n", header):
            problems.append(f"{HEADER}: {what} is not refused: {text}")
    error = compile_text(arguments, start + ALLOWED + "\n", True)
    return problems + ([f"{HEADER}: {error}"] if error else [])


def check_file(name, arguments):
    """What the compiler says to one source behind the header."""
    with open(os.path.join(common.ROOT, name), encoding="utf-8") as file:
        text = f'#line 1 "{name}"\n' + file.read()
    error = compile_text(arguments, text, True)
    return [f"{error}; copy with device/memory.h, send with comm/link.h"] if error else []


def check_words(name):
    """Names that only few may say."""
    problems = []
    for number, line in enumerate(common.read_lines(name), 1):
        if "in_device" in line and not name.startswith("src/device/"):
            problems.append(f"{name}:{number}: in_device is the device's own")
        if re.search(r"\bfr_host_(f32|f64|i32|i64|bytes)\(", line) and not name.startswith(LENDERS):
            problems.append(f"{name}:{number}: memory of the host is not a device's; put it there (device/memory.h)")
    return problems


def main():
    found = commands(sys.argv[1])
    names = [name for name in found if not name.startswith(FREE)]
    any_arguments = found["src/model/network/stage.c"]
    problems = check_self(any_arguments)
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for result in pool.map(lambda name: check_file(name, found[name]), names):
            problems += result
    for name in common.source_files((".c", ".h"), ("src/",)):
        problems += check_words(name)
    common.finish("device_memory", len(names), problems)


if __name__ == "__main__":
    main()
