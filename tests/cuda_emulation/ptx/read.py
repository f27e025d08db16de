"""Reads PTX: the tables and the kernels of a module, statement by statement, with the line of each.

Only the grammar is known here: what a directive or an instruction means, and which there are, is said
by translate.py and by the tables of words.
"""

import re
from dataclasses import dataclass, field

NAME = r"[A-Za-z_$%][\w$]*"
LABEL = re.compile(rf"\s*({NAME})\s*:(?!:)")
# directives that end with their line; what they say is nothing that a result depends on
LINE_DIRECTIVES = re.compile(r"\s*\.(version|target|address_size|file|loc)\b")
HEADS = re.compile(r"((\.visible|\.weak|\.extern)\s+)*\.(entry|func)\b")


class Refusal(Exception):
    """What cannot be translated, with its line."""

    def __init__(self, line, what):
        super().__init__(what)
        self.line = line


@dataclass
class Statement:
    """`opcode` is "{" or "}" for a scope, ":" for a label (the one operand), ".reg" for a declaration."""

    line: int
    opcode: str
    operands: list
    guard: str = ""  # a predicate, with "!" before it where it must be false


@dataclass
class Kernel:
    line: int
    name: str
    parameter: str
    argument_bytes: int
    threads: int
    body: list = field(default_factory=list)


@dataclass
class Table:
    """Constants of the module: `values` as they are written, of a type, padded with zeros to `count`."""

    line: int
    name: str
    type: str
    align: int
    count: int
    values: list


@dataclass
class Module:
    target: str = ""
    shared: list = field(default_factory=list)  # names of what the host gives at the start
    tables: list = field(default_factory=list)
    kernels: list = field(default_factory=list)


def without_comments(text):
    """The same lines without comments."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return re.sub(r"//[^\n]*", "", text)


def pieces(text):
    """(line, piece): a statement without its ";", a head of a kernel, a label with ":", "{" or "}"."""
    line, held, began, depth = 1, "", 1, 0
    for part in re.split(r"(\n|[{};])", without_comments(text)):
        if part == "\n":
            line += 1
            if LINE_DIRECTIVES.match(held):
                yield began, held.strip()
                held = ""
            else:
                held += " "
        elif part == "{" and held.strip() and not HEADS.match(held.strip()):
            depth += 1
            held += part
        elif part == "}" and depth > 0:
            depth -= 1
            held += part
        elif part and part in "{};":
            if held.strip():
                yield began, held.strip()
            elif part == ";":
                raise Refusal(line, "a statement is empty")
            held = ""
            if part != ";":
                yield line, part
        elif part:
            if not held.strip():
                held, began = "", line
                label = LABEL.match(part)
                if label:
                    yield line, label.group(1) + ":"
                    part = part[label.end():]
            held += part
    if held.strip():
        raise Refusal(began, f"a statement does not end: {held.strip()}")


def operands(text):
    """Between commas that stand in no brackets."""
    out, depth = [""], 0
    for c in text:
        depth += (c in "{[(") - (c in "}])")
        if c == "," and depth == 0:
            out.append("")
        else:
            out[-1] += c
    out = [re.sub(r"\s+", "", o) for o in out]
    return [] if out == [""] else out


def statement(line, text):
    """One instruction or declaration of a body."""
    match = re.fullmatch(rf"(?:@(!?)\s*({NAME})\s+)?(\.?[a-z][\w.:]*)\s*(.*)", text, re.S)
    if not match:
        raise Refusal(line, f"unknown statement: {text}")
    guard = (match.group(1) or "") + (match.group(2) or "")
    if match.group(3) == ".reg":
        return Statement(line, ".reg", match.group(4).split(None, 1))
    return Statement(line, match.group(3), operands(match.group(4)), guard)


def kernel(line, text):
    """The head of a kernel: one parameter, a structure."""
    match = re.fullmatch(rf"(?:\.visible\s+)?\.entry\s+({NAME})\s*\((.*?)\)\s*(.*)", text, re.S)
    if not match:
        raise Refusal(line, f"no kernel begins like this: {text}")
    parameters = operands(match.group(2))
    one = re.fullmatch(rf"\.param\.align\d+\.b8({NAME})\[(\d+)\]", parameters[0]) if len(parameters) == 1 else None
    if not one:
        raise Refusal(line, f"{match.group(1)} must have one parameter, a structure")
    threads = re.search(r"\.maxntid\s+(\d+)(?:\s*,\s*1\s*,\s*1)?(?!\s*,|\d)", match.group(3))
    if not threads:
        raise Refusal(line, f"{match.group(1)} does not say how many threads a block has (.maxntid N, 1, 1)")
    return Kernel(line, match.group(1), one.group(1), int(one.group(2)), int(threads.group(1)))


def table(line, text):
    """A table of constants: .const or .global, with its numbers."""
    match = re.fullmatch(rf"(?:\.visible\s+)?\.(?:const|global)\s+(?:\.align\s+(\d+)\s+)?\.([bsuf]\d+)\s+({NAME})"
                         r"\s*\[(\d+)\]\s*=\s*\{(.*)\}", text, re.S)
    if not match:
        raise Refusal(line, f"unknown declaration: {text}")
    values = operands(match.group(5))
    if len(values) > int(match.group(4)):
        raise Refusal(line, f"{match.group(3)} has more numbers than places")
    return Table(line, match.group(3), match.group(2), int(match.group(1) or 1), int(match.group(4)), values)


def read(text):
    """The module, or a Refusal."""
    module, current, depth = Module(), None, 0
    for line, piece in pieces(text):
        if current is not None and depth > 0:
            depth += (piece == "{") - (piece == "}")
            if depth == 0:
                module.kernels.append(current)
                current = None
            elif piece in ("{", "}"):
                current.body.append(Statement(line, piece, []))
            elif piece.endswith(":"):
                current.body.append(Statement(line, ":", [piece[:-1]]))
            elif not re.match(r"\.(pragma|loc)\b", piece):
                current.body.append(statement(line, piece))
        elif piece == "{" and current is not None:
            depth = 1
        elif HEADS.match(piece):
            current = kernel(line, piece)
        elif piece.startswith(".target"):
            module.target = piece.split()[1]
        elif re.match(r"\.extern\s+\.shared\b", piece):
            module.shared.append(re.search(rf"({NAME})\s*\[\s*\]$", piece).group(1))
        elif not LINE_DIRECTIVES.match(piece):
            module.tables.append(table(line, piece))
    if current is not None:
        raise Refusal(current.line, f"{current.name} does not end")
    return module
