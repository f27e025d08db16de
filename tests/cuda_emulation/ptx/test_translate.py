#!/usr/bin/env python3
"""The translation of PTX: instructions (cases.py) and kernels (kernels.py) written by hand, translated, compiled and run.

    test_translate.py CXX
"""

import os
import subprocess
import sys
import tempfile

import translate
from cases import ROWS
from kernels import KERNELS, REFUSED, STOPPED
from read import Refusal

HERE = os.path.dirname(os.path.abspath(__file__))
ROOM = os.path.dirname(HERE)
SOURCES = os.path.join(os.path.dirname(os.path.dirname(ROOM)), "src")
SEEDS = 4
SLOTS = 5  # 64-bit numbers of a row: its inputs, rest unused
MODULE = """.version 9.0
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 shared[];
.const .align 4 .u32 numbers[4] = {10, -20, 30};
.const .align 4 .f32 floats[2] = {0f3F800000, 0f40000000};
.global .align 1 .b8 bytes[3] = {5, 6, 7};
"""
HEAD = """.visible .entry %s(.param .align 8 .b8 all[16])
.maxntid 1024, 1, 1
{
    .reg .pred %%p<5>;
    .reg .b16 %%s<10>;
    .reg .b32 %%r<20>;
    .reg .b64 %%d<10>;
    .reg .f32 %%f<10>;
    mov.u32 %%r0, %%tid.x;
"""

# Reads and writes what Python has put into the table, and says what differs.
DRIVER = """
struct kernel_case {
    const char *name;
    const fr_emulated_kernel *kernel;
    int threads, n_in, n_out; /* numbers of 64 bits */
    const uint64_t *in, *wanted;
    bool rows;
};
static const kernel_case CASES[] = {
%s};

struct arguments {
    const uint64_t *in;
    uint64_t *out;
};

static int run(const kernel_case &c, uint64_t seed)
{
    std::vector<uint64_t> out(static_cast<size_t>(c.n_out) + 4, 0);
    const arguments a = {c.in, out.data()};
    const fr_emulated_launch launch = {c.kernel, 1, 1, c.threads, 4096, &a, seed};
    fr_emulated_run(&launch);
    int wrong = 0;
    for (int i = 0; i < c.n_out; i++) {
        if (out[static_cast<size_t>(i)] != c.wanted[i]) {
            printf("%%s, %%d: 0x%%llx, not 0x%%llx\\n", c.name, i, static_cast<unsigned long long>(out[static_cast<size_t>(i)]),
                   static_cast<unsigned long long>(c.wanted[i]));
            wrong = 1;
        }
    }
    return wrong;
}

int main(int argc, char **argv)
{
    int wrong = 0, n = 0;
    for (const kernel_case &c : CASES) {
        if (argc > 1 ? strcmp(argv[1], c.name) == 0 : c.n_out > 0) {
            for (uint64_t seed = 0; seed < %d; seed++) {
                wrong |= run(c, seed);
            }
            n++;
        }
    }
    printf("%%d kernels\\n", n);
    return wrong;
}
"""


def row_kernel(name, opcode, types):
    """A kernel that takes a row a thread, as many as there are: n is patched in by the address of the last."""
    types, written = [t for t in types.split() if t[0] in "bp"], [t for t in types.split() if t[0] not in "bp"]
    letters = {"b16": "%s", "b32": "%r", "b64": "%d", "pred": "%p"}
    lines = [HEAD % name, "    ld.param.u64 %d8, [all];", f"    mul.wide.u32 %d9, %r0, {8 * SLOTS};",
             "    add.s64 %d8, %d8, %d9;"]
    names = []
    for i, kind in enumerate(types[1:]):
        names.append(letters[kind] + str(i + 1))
        if kind == "pred":
            lines += [f"    ld.global.u32 %r{10 + i}, [%d8+{8 * i}];", f"    setp.ne.s32 %p{i + 1}, %r{10 + i}, 0;"]
        else:
            lines.append(f"    ld.global.{kind} {names[-1]}, [%d8+{8 * i}];")
    to = letters[types[0]] + ("0" if types[0] == "pred" else "9")
    lines.append(f"    {opcode} {', '.join([to] + names + written)};")
    keep = {"pred": "selp.b32 %r9, 1, 0, %p0; cvt.u64.u32 %d7, %r9;", "b16": "cvt.u64.u16 %d7, %s9;",
            "b32": "cvt.u64.u32 %d7, %r9;", "b64": "mov.u64 %d7, %d9;"}[types[0]]
    lines += ["    " + keep, "    ld.param.u64 %d8, [all+8];", "    mul.wide.u32 %d6, %r0, 8;", "    add.s64 %d8, %d8, %d6;",
              "    st.global.u64 [%d8], %d7;", "    ret;", "}"]
    return "\n".join(lines)


def hand_kernel(name, body):
    """A kernel of kernels.py."""
    return (HEAD % name + "    ld.param.u64 %d0, [all+8]; mov.u32 %r1, %ntid.x; mul.wide.u32 %d1, %r1, 4; add.s64 %d1, %d0, %d1;\n"
            "    mul.wide.u32 %d2, %r0, 4; add.s64 %d0, %d0, %d2;\n" + body + "\n    ret;\n}")


def array(name, numbers):
    """A C++ array."""
    return f"static const uint64_t {name}[] = {{{', '.join(f'0x{n:x}ULL' for n in numbers)}}};\n"


def program():
    """(PTX of all kernels, the driver's C++)."""
    ptx, arrays, cases = [MODULE], [], []
    for i, (opcode, types, rows) in enumerate(ROWS):
        ptx.append(row_kernel(f"row_{i}", opcode, types))
        rows = (rows * 32)[:32]  # a warp
        arrays.append(array(f"in_{i}", [n for row in rows for n in (list(row[:-1]) + [0] * SLOTS)[:SLOTS]]))
        arrays.append(array(f"wanted_{i}", [row[-1] for row in rows]))
        cases.append(f'    {{"{opcode}", &fr_emulated_row_{i}, 32, {32 * SLOTS}, 32, in_{i}, wanted_{i}, true}},\n')
    for name, body, threads, wanted in KERNELS:
        ptx.append(hand_kernel(name, body))
        numbers = [wanted(t) % 2**32 for t in range(threads)]
        pairs = [low | high << 32 for low, high in zip(numbers[::2], numbers[1::2])]
        arrays.append(array(f"wanted_{name}", pairs))
        cases.append(f'    {{"{name}", &fr_emulated_{name}, {threads}, 0, {threads // 2}, nullptr, wanted_{name}, false}},\n')
    for name, body, _ in STOPPED:
        ptx.append(hand_kernel(name, body))
        cases.append(f'    {{"{name}", &fr_emulated_{name}, 64, 0, 0, nullptr, nullptr, false}},\n')
    return "\n".join(ptx), "".join(arrays) + DRIVER % ("".join(cases), SEEDS)


def build(compiler, folder):
    """The program that runs them."""
    ptx, driver = program()
    source = os.path.join(folder, "all.cpp")
    with open(source, "w", encoding="utf-8") as file:
        file.write("#include <stdio.h>\n#include <string.h>\n")
        file.write("\n".join(translate.program(ptx, "all.ptx")) + "\n" + driver)
    out = os.path.join(folder, "all")
    subprocess.run([compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-Wno-unused-but-set-variable", "-O1", "-ffp-contract=off", f"-I{ROOM}",
                    f"-I{SOURCES}", "-o", out, source, *(os.path.join(ROOM, name) for name in ("block.cpp", "fiber.cpp", "tensor.cpp"))], check=True)
    return out


def check_stopped(out):
    """Each ends with its message."""
    wrong = 0
    for name, _, message in STOPPED:
        done = subprocess.run([out, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode >= 0 or message not in done.stderr:
            print(f"{name} ends with {done.returncode}, not with \"{message}\": {done.stderr}")
            wrong += 1
    return wrong


def check_refused():
    """Each is refused, with its message and its line."""
    wrong = 0
    for text, message in REFUSED:
        alone = text.startswith((".visible", ".shared", ".const"))
        module = MODULE + text if alone else MODULE + hand_kernel("refused", text)
        line = 1 + module[:module.index(text)].count("\n")
        try:
            list(translate.program(module, "refused.ptx"))
            print(f"{text} is translated")
            wrong += 1
        except Refusal as refusal:
            if message not in str(refusal) or refusal.line != line:
                print(f"{text} in line {line}: {refusal.line}: {refusal}")
                wrong += 1
    return wrong


def main():
    """All of it."""
    wrong = check_refused()
    with tempfile.TemporaryDirectory() as folder:
        out = build(sys.argv[1], folder)
        wrong += subprocess.run([out], check=False).returncode != 0
        wrong += check_stopped(out)
    print(f"{len(ROWS)} instructions, {len(KERNELS)} kernels, {len(STOPPED)} stopped, {len(REFUSED)} refused, {wrong} problems")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
