#!/usr/bin/env python3
"""Translates the PTX of kernels into C++ that runs on the fibers of the emulation, in the place of the kernels' sources.

    translate.py [--out FILE] FILE.ptx

Each kernel becomes a function of one thread, statement by statement: registers are local numbers that hold rubbish at first,
basic blocks are labels, a guarded instruction is an `if`. What an instruction computes is said by the tables of words.py
and tensor_words.py; what it does to memory, control or other threads, by the functions here. What is not
known ends the translation with the file, the line and the instruction.
"""

import argparse
import re
import sys

import read
from read import NAME, Refusal
from tensor_words import TENSOR
from words import WORDS

RUBBISH = 0xA7A7A7A7A7A7A7A7
SPECIAL = {"%tid.x": "tid_x()", "%ntid.x": "ntid_x()", "%ctaid.x": "ctaid_x()", "%ctaid.y": "ctaid_y()",
           "%nctaid.x": "nctaid_x()", "%nctaid.y": "nctaid_y()", "%laneid": "laneid()",
           # blocks have one row of threads, grids two directions
           "%tid.y": "0U", "%tid.z": "0U", "%ntid.y": "1U", "%ntid.z": "1U", "%ctaid.z": "0U", "%nctaid.z": "1U"}
# what an access says about caches and about the order that others see it in: one thread of the host runs them all
NO_MATTER = {"nc", "ca", "cg", "cs", "lu", "cv", "wb", "wt", "L1::no_allocate", "L1::evict_first", "L1::evict_last",
             "L2::64B", "L2::128B", "L2::256B", "volatile", "relaxed", "acquire", "release", "acq_rel", "cta", "gpu",
             "sys", "cluster"}
SHUFFLES = {"up": "BY_UP", "down": "BY_DOWN", "bfly": "BY_XOR", "idx": "BY_INDEX"}
CHANGES = {"add": "before + {b}", "exch": "{b}", "min": "before < {b} ? before : {b}", "max": "before > {b} ? before : {b}",
           "and": "before & {b}", "or": "before | {b}", "xor": "before ^ {b}", "cas": "before == {b} ? {c} : before",
           "inc": "before >= {b} ? 0 : before + 1", "dec": "before == 0 || before > {b} ? {b} : before - 1"}


def width_of(kind):
    """Bits of a type; 1 for a predicate."""
    return 1 if kind == "pred" else int(kind[1:])


class Body:
    """One kernel on its way to C++."""

    def __init__(self, module, kernel):
        self.module, self.kernel = module, kernel
        self.scopes = [{}]  # name of a register, or of a range before its number -> (type, suffix)
        self.n_scopes = 0
        self.used = {}  # C++ name of a register -> its width
        self.targets = {}  # label -> the line that jumps there
        self.copies = False  # it begins copies that run on
        self.line = kernel.line
        self.out = []

    def refuse(self, what):
        """End the translation here."""
        raise Refusal(self.line, what)

    # ---- operands ----------------------------------------------------------------------------------------------

    def declare(self, statement):
        """Registers of the scope: names, or a range %r<8>."""
        kind = statement.operands[0].lstrip(".")
        if not re.fullmatch(r"pred|[bsu](16|32|64)|f(32|64)", kind):
            self.refuse(f"registers of an unknown type: {kind}")
        suffix = f"_{self.n_scopes}" if len(self.scopes) > 1 else ""
        for name in read.operands(statement.operands[1]):
            ranged = re.fullmatch(rf"({NAME})<(\d+)>", name)
            if ranged:
                self.scopes[-1][ranged.group(1)] = (kind, suffix, int(ranged.group(2)))
            else:
                self.scopes[-1][name] = (kind, suffix, 0)

    def register(self, name):
        """(C++ name, width), or None."""
        ranged = re.fullmatch(r"(.*?\D)(\d+)", name)
        for scope in reversed(self.scopes):
            found = scope.get(name)
            if (found is None or found[2] > 0) and ranged:
                found = scope.get(ranged.group(1))
                if found is not None and not int(ranged.group(2)) < found[2]:
                    found = None
            if found is not None:
                spelled = "v_" + re.sub(r"\W", "", name) + found[1]
                self.used[spelled] = width_of(found[0])
                return spelled, self.used[spelled]
        return None

    def target(self, name, width, wider=False):
        """The C++ name and the width of a register that is written."""
        found = self.register(name)
        if not found:
            self.refuse(f"{name} is no register")
        if found[1] != width and not (wider and found[1] > width):
            self.refuse(f"{name} has {found[1]} bits, not {width}")
        return found

    def bits(self, text, width, wider=False):
        """An operand's bits as an unsigned C++ expression."""
        found = self.register(text)
        if found:
            if found[1] == width:
                return found[0]
            if wider and found[1] > width > 1:
                return f"u{width}({found[0]})"
            self.refuse(f"{text} has {found[1]} bits, not {width}")
        if re.fullmatch(r"-?(0[xX][0-9a-fA-F]+|\d+)U?", text):
            number = int(text.rstrip("U"), 8 if re.fullmatch(r"-?0[0-7]+U?", text) else 0)
            if width == 1:
                return "true" if number else "false"
            return f"u{width}(0x{number % 2 ** width:x}{'ULL' if width == 64 else 'U'})"
        literal = re.fullmatch(r"0([fFdD])([0-9a-fA-F]+)", text)
        if literal and width == (32 if literal.group(1) in "fF" else 64) and len(literal.group(2)) == width // 4:
            return f"u{width}(0x{literal.group(2)}{'ULL' if width == 64 else 'U'})"
        if text in SPECIAL and width == 32:
            return SPECIAL[text]
        return self.symbol(text, width)

    def symbol(self, text, width):
        """The address of something that has a name."""
        match = re.fullmatch(rf"({NAME})(?:\+(\d+))?", text)
        name, offset = (match.group(1), match.group(2) or "0") if match else ("", "0")
        if name in self.module.shared and width > 1:
            return f"u{width}(SHARED_BASE + {offset})"
        if name == self.kernel.parameter and width == 64:
            return f"(u64(arguments) + {offset})"
        if any(t.name == name for t in self.module.tables) and width == 64:
            return f"(u64(t_{clean(name)}) + {offset})"
        self.refuse(f"unknown operand of {width} bits: {text}")

    def number(self, text, kind, wider=False):
        """An operand as a C++ expression of a type of PTX."""
        negated = kind == "pred" and text.startswith("!")
        width = width_of(kind)
        found = self.bits(text[1:] if negated else text, width, wider)
        if kind == "pred":
            return "!" + found if negated else found
        if kind[0] == "f":
            return f"same_bits<{kind}>({found})"
        return f"s{width}({found})" if kind[0] == "s" else found

    def assign(self, name, kind, expression, wider=False):
        """Keep a result of a type, extended by its sign where the register is wider."""
        if name == "_":
            return f"(void)({expression});"
        width = width_of(kind)
        spelled, whole = self.target(name, width, wider)
        if kind == "pred":
            return f"{spelled} = {expression};"
        if kind[0] == "f":
            return f"{spelled} = same_bits<u{width}>({kind}({expression}));"
        return f"{spelled} = u{whole}({'s' if kind[0] == 's' else 'u'}{width}({expression}));"

    def address(self, text, space, size):
        """[address] in memory, for an access of so many bytes, as a number."""
        match = re.fullmatch(r"\[(.+?)(?:\+(-?\d+))?\]", text)
        if not match:
            self.refuse(f"{text} is no address")
        base, offset = match.group(1), int(match.group(2) or 0)
        if base == self.kernel.parameter and not 0 <= offset <= self.kernel.argument_bytes - size:
            self.refuse(f"{text} lies beyond the parameter")
        narrow = space == "shared" and (base in self.module.shared or self.register(base) and self.register(base)[1] == 32)
        width = 32 if narrow else 64
        return f"u{width}({self.bits(base, width)} + u{width}({offset}))"

    def place(self, text, space, size):
        """The same as a pointer."""
        return f"at_{space}({self.address(text, space, size)}, {size}, {self.line})"

    # ---- instructions --------------------------------------------------------------------------------------------

    def computed(self, statement):
        """An instruction of the tables."""
        types, expression = WORDS[statement.opcode]
        if len(statement.operands) != len(types):
            self.refuse(f"{len(statement.operands)} operands, not {len(types)}")
        wider = statement.opcode.startswith("cvt.")
        values = {letter: self.number(text, kind, wider)
                  for letter, text, kind in zip("abcd", statement.operands[1:], types[1:])}
        return self.assign(statement.operands[0], types[0], expression.format(line=self.line, **values), wider)

    def moved_parts(self, statement):
        """mov between a register and a list of narrower ones, the lowest bits first."""
        to, of = statement.operands
        whole = width_of(statement.opcode.split(".")[1])
        names = read.operands((to if to[0] == "{" else of)[1:-1])
        width = whole // len(names)
        if to[0] == "{":
            value = f"const u{whole} whole = {self.bits(of, whole)};"
            parts = [self.assign(n, f"u{width}", f"whole >> {i * width}") for i, n in enumerate(names) if n != "_"]
            return f"{{ {value} {' '.join(parts)} }}"
        parts = [f"u{whole}({self.bits(n, width)}) << {i * width}" for i, n in enumerate(names)]
        return self.assign(to, f"u{whole}", " | ".join(parts))

    def access(self, statement):
        """ld and st, of one number or of a vector."""
        what, *words = statement.opcode.split(".")
        words = [w for w in words if w not in NO_MATTER]
        space = words.pop(0) if words and words[0] in ("global", "shared", "param", "const") else "global"
        n = int(words.pop(0)[1:]) if words and words[0] in ("v2", "v4") else 1
        if len(words) != 1 or not re.fullmatch(r"[bsu](8|16|32|64)|f(32|64)", words[0]) or len(statement.operands) != 2:
            self.refuse("unknown instruction")
        width = width_of(words[0])
        listed, address = statement.operands if what == "ld" else statement.operands[::-1]
        names = read.operands(listed[1:-1]) if listed[0] == "{" else [listed]
        if len(names) != n:
            self.refuse(f"{len(names)} operands, not {n}")
        kind = ("s" if words[0][0] == "s" else "u") + str(width)
        at = f"char *const at = {self.place(address, space, n * width // 8)};"
        if what == "ld":
            # all of it is read before a register changes: one of them may hold the address
            do = [self.assign(name, kind, f"load<{kind}>(at + {i * width // 8})", True)
                  for i, name in enumerate(names) if name != "_"]
        else:
            do = [f"store<u{width}>(at + {i * width // 8}, {self.bits(name, width, True)});"
                  for i, name in enumerate(names)]
        return f"{{ {at} {' '.join(do)} }}"

    def changed(self, statement):
        """atom and red, of integers."""
        what, *words = statement.opcode.split(".")
        words = [w for w in words if w not in NO_MATTER]
        space = words.pop(0) if words and words[0] in ("global", "shared") else "global"
        if len(words) != 2 or words[0] not in CHANGES or not re.fullmatch(r"[bsu](32|64)", words[1]):
            self.refuse("unknown instruction")
        kind = words[1].replace("b", "u")
        inputs = list(statement.operands)
        to = inputs.pop(0) if what == "atom" else "_"
        expected = 3 if words[0] == "cas" else 2
        if len(inputs) != expected:
            self.refuse(f"{len(inputs)} operands behind the result, not {expected}")
        values = {letter: self.number(text, kind) for letter, text in zip("bc", inputs[1:])}
        if words[0] == "add":
            kind = kind.replace("s", "u")  # the same bits
            values = {"b": self.bits(inputs[1], width_of(kind))}
        at = self.place(inputs[0], space, width_of(kind) // 8)
        change = f"[&]({kind} before) {{ (void)before; return {CHANGES[words[0]].format(**values)}; }}"
        return self.assign(to, kind, f"changed<{kind}>({at}, {change})")

    def shuffled(self, statement):
        """shfl.sync, with or without the predicate."""
        match = re.fullmatch(r"shfl\.sync\.(up|down|bfly|idx)\.b32", statement.opcode)
        if not match or len(statement.operands) != 5:
            self.refuse("unknown instruction")
        to, _, inside = statement.operands[0].partition("|")
        values = ", ".join(self.bits(o, 32) for o in statement.operands[1:])
        do = self.assign(to, "u32", "all.value")
        if inside:
            do += " " + self.assign(inside, "pred", "all.inside")
        return f"{{ const shuffled all = shuffle({SHUFFLES[match.group(1)]}, {values}, {self.line}); {do} }}"

    def jumped(self, statement):
        """bra to a label of the kernel."""
        self.targets.setdefault(statement.operands[0], self.line)
        return f"goto {clean(statement.operands[0])};"

    def action(self, statement):
        """The C++ of one instruction without its guard."""
        opcode, operands = statement.opcode, statement.operands
        first = opcode.split(".")[0]
        if opcode in ("bra", "bra.uni") and len(operands) == 1:
            return self.jumped(statement)
        if opcode in ("ret", "ret.uni", "exit") and not operands:
            return "return;"
        if opcode == "trap" and not operands:
            return f'stop("it traps", {self.line});'
        if opcode in ("bar.sync", "barrier.sync.aligned") and operands == ["0"]:
            return f"sync_block({self.line});"
        if opcode == "bar.warp.sync" and len(operands) == 1:
            return f"sync_warp({self.bits(operands[0], 32)}, {self.line});"
        if first in ("prefetch", "membar", "fence"):
            return ";"
        if first == "mov" and len(operands) == 2 and "{" in operands[0][:1] + operands[1][:1]:
            return self.moved_parts(statement)
        special = {"ld": self.access, "st": self.access, "atom": self.changed, "red": self.changed,
                   "shfl": self.shuffled}.get(first)
        if special:
            return special(statement)
        if opcode in TENSOR:
            return TENSOR[opcode](self, statement)
        if opcode not in WORDS:
            self.refuse("unknown instruction")
        return self.computed(statement)

    def translate(self):
        """The function's lines."""
        for statement in self.kernel.body:
            self.line = statement.line
            if statement.opcode == "{":
                self.n_scopes += 1
                self.scopes.append({})
            elif statement.opcode == "}":
                self.scopes.pop()
            elif statement.opcode == ".reg":
                self.declare(statement)
            elif statement.opcode == ":":
                self.out.append((statement.operands[0], ""))
            else:
                try:
                    text = self.action(statement)
                    guard = self.number(statement.guard, "pred") if statement.guard else ""
                except Refusal as refusal:
                    written = f"{statement.opcode} {', '.join(statement.operands)}".strip()
                    raise Refusal(self.line, f"{written}: {refusal}") from None
                self.out.append(("", f"if ({guard}) {{ {text} }}" if guard else text))
        return self.lines()

    def lines(self):
        """Registers first, then statements; labels that nothing jumps to are left out."""
        labels = {label for label, _ in self.out if label}
        for label, line in self.targets.items():
            if label not in labels:
                raise Refusal(line, f"no label {label}")
        yield f"static void {self.kernel.name}_entry(const void *arguments)"
        yield "{"
        yield "    (void)arguments;"
        if self.copies:
            yield "    copies running;"
        for width in (1, 16, 32, 64):
            kind, value = ("bool", "true") if width == 1 else (f"u{width}", f"0x{RUBBISH % 2 ** width:x}U")
            names = [f"{name} = {value}" for name, own in self.used.items() if own == width]
            for i in range(0, len(names), 8):
                yield f"    {kind} {', '.join(names[i:i + 8])};"
        for label, text in self.out:
            if not label:
                yield f"    {text}"
            elif label in self.targets:
                yield f"{clean(label)}:;"
        yield "}"


def clean(name):
    """A name of PTX as one of C++."""
    return "l_" + re.sub(r"\W", "_", name)


def table_lines(table):
    """Constants as an array."""
    width = width_of(table.type)
    values = []
    for text in table.values:
        literal = re.fullmatch(r"0[fFdD]([0-9a-fA-F]+)", text)
        if not literal and not re.fullmatch(r"-?\d+", text):
            raise Refusal(table.line, f"{table.name} holds what is no number: {text}")
        number = int(literal.group(1), 16) if literal else int(text)
        values.append(f"0x{number % 2 ** width:x}U")
    yield (f"alignas({max(table.align, width // 8)}) static const u{width} t_{clean(table.name)}[{table.count}] = "
           f"{{{', '.join(values)}}};")


def program(text, source):
    """The C++ of a module."""
    module = read.read(text)
    yield f"/* translate.py made this of {source}, for {module.target} */"
    # the instructions of tensor_core.h are in kernels of their own: others are compiled without its containers
    uses_tensor = any(s.opcode in TENSOR or "bf16" in s.opcode or s.opcode.startswith("ex2.") for k in module.kernels for s in k.body)
    yield f'#include "ptx/{"tensor_core" if uses_tensor else "machine"}.h"'
    yield ""
    yield "using namespace ptx;"
    for table in module.tables:
        yield from table_lines(table)
    for kernel in module.kernels:
        yield ""
        yield from Body(module, kernel).translate()
        yield 'extern "C" {'
        yield f"extern const fr_emulated_kernel fr_emulated_{kernel.name};"
        yield (f'const fr_emulated_kernel fr_emulated_{kernel.name} = {{"{kernel.name}", {kernel.name}_entry, '
               f"{kernel.argument_bytes}, {kernel.threads}}};")
        yield "}"


def main():
    """The command."""
    parser = argparse.ArgumentParser(description="PTX of kernels to C++ for the emulation")
    parser.add_argument("source")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    with open(options.source, encoding="utf-8") as file:
        text = file.read()
    try:
        lines = list(program(text, options.source.rsplit("/", 1)[-1]))
    except Refusal as refusal:
        sys.exit(f"{options.source}:{refusal.line}: {refusal}")
    with open(options.out, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
