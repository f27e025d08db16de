"""Instructions of tensor cores and copies that run on: TENSOR[opcode] = the function that writes their C++ (tensor_core.h).

Such a function gets the body that is translated and the statement. Rows of words.py that only these kernels use are here too.
"""

import re

import read
from words import word

TENSOR = {}

word("cvt.rn.bf16.f32", "b16 f32", "bf16_of({a})")
word("cvt.rn.bf16x2.f32", "b32 f32 f32", "u32(bf16_of({a})) << 16 | bf16_of({b})")
# rounded once, where a GPU may be wrong by some last bits
word("ex2.approx.ftz.f32", "f32 f32", "power_of_two({a})")


def expect(body, statement, least, most):
    """Refuse another number of operands."""
    if not least <= len(statement.operands) <= most:
        body.refuse(f"{len(statement.operands)} operands, not {least}" + (f" to {most}" if most > least else ""))


def registers(body, text, n):
    """The names in {a, b, c}."""
    names = read.operands(text[1:-1]) if text.startswith("{") else [text]
    if len(names) != n:
        body.refuse(f"{text} has {len(names)} registers, not {n}")
    return names


def product(body, statement):
    """mma of bf16 with depth 16"""
    expect(body, statement, 4, 4)
    lists = []
    for name, text, n in zip("abc", statement.operands[1:], (4, 2, 4)):
        values = ", ".join(body.bits(o, 32) for o in registers(body, text, n))
        lists.append(f"const u32 {name}[] = {{{values}}};")
    do = [body.assign(name, "f32", f"all.d[0][{i}]") for i, name in enumerate(registers(body, statement.operands[0], 4))]
    return f"{{ {' '.join(lists)} const product all(a, b, c, {body.line}); {' '.join(do)} }}"


def matrices(n, transposed):
    """ldmatrix of n matrices."""
    def write(body, statement):
        expect(body, statement, 2, 2)
        address = body.address(statement.operands[1], "shared", 16)
        do = [body.assign(name, "u32", f"all.of[{i}]")
              for i, name in enumerate(registers(body, statement.operands[0], n))]
        return f"{{ const matrices<{n}, {transposed}> all({address}, {body.line}); {' '.join(do)} }}"
    return write


def copy(sizes):
    """cp.async of so many bytes."""
    def write(body, statement):
        expect(body, statement, 3, 4)
        to, of, size = statement.operands[:3]
        if size not in sizes:
            body.refuse(f"{size} bytes are copied, not {' or '.join(sizes)}")
        filled = body.bits(statement.operands[3], 32) if len(statement.operands) == 4 else size
        body.copies = True
        return f"running.begin({body.place(to, 'shared', int(size))}, {body.place(of, 'global', int(size))}, {size}, {filled});"
    return write


def close(body, statement):
    """cp.async.commit_group"""
    expect(body, statement, 0, 0)
    body.copies = True
    return "running.close();"


def wait(body, statement):
    """cp.async.wait_group N"""
    expect(body, statement, 1, 1)
    if not re.fullmatch(r"\d+", statement.operands[0]):
        body.refuse("the number of groups must be written there")
    body.copies = True
    return f"running.wait({statement.operands[0]});"


def wait_all(body, statement):
    """cp.async.wait_all"""
    expect(body, statement, 0, 0)
    body.copies = True
    return "running.wait_all();"


TENSOR["mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"] = product
for count in (1, 2, 4):
    for spelled, turned in (("", "false"), (".trans", "true")):
        for shared in ("shared", "shared::cta"):
            TENSOR[f"ldmatrix.sync.aligned.m8n8.x{count}{spelled}.{shared}.b16"] = matrices(count, turned)
for hint in ("", ".L2::64B", ".L2::128B", ".L2::256B"):
    for shared in ("shared", "shared::cta"):
        TENSOR[f"cp.async.ca.{shared}.global{hint}"] = copy(("4", "8", "16"))
        TENSOR[f"cp.async.cg.{shared}.global{hint}"] = copy(("16",))
TENSOR["cp.async.commit_group"] = close
TENSOR["cp.async.wait_group"] = wait
TENSOR["cp.async.wait_all"] = wait_all
