#!/usr/bin/env python3
"""Limits: 500 lines a file, 250 a header, 60 a function body, 4 nested blocks in it.

A function body is what stands between a line "{" and the next line "}", and a nested block opens at the
end of a line: the format lint holds that only functions have their braces alone in the first column."""

import common

FILE_LINES = 500
HEADER_LINES = 250
FUNCTION_LINES = 60
NESTING = 4
SUFFIXES = common.CODE + (".py", ".sh", ".cmake", "CMakeLists.txt")


def deepest_block(body):
    """(depth, index of the line) of the most deeply nested block; initialisers are no blocks."""
    kinds = []
    deepest = (0, 0)
    for index, line in enumerate(body):
        code = line.strip()
        if code.startswith("}") and kinds:
            kinds.pop()
        if code.endswith("{"):
            kinds.append(not code.endswith(("= {", "({", "){", ", {")) and code != "{")
            deepest = max(deepest, (sum(kinds), -index))
    return deepest[0], -deepest[1]


def check_functions(name, lines):
    """Bodies that are too long or too deep, named by the line before them."""
    problems = []
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            length = number - start - 1
            if length > FUNCTION_LINES:
                problems.append(f"{name}:{start}: function body of {length} lines, "
                                f"limit {FUNCTION_LINES}")
            depth, index = deepest_block(lines[start:number - 1])
            if depth > NESTING:
                problems.append(f"{name}:{start + 1 + index}: {depth} nested blocks, "
                                f"limit {NESTING}")
            start = None
    if start is not None:
        problems.append(f"{name}:{start}: function body without an end")
    return problems


def check_file(name):
    """All problems of one file."""
    lines = common.read_lines(name)
    limit = HEADER_LINES if name.endswith((".h", ".cuh")) else FILE_LINES
    problems = []
    if len(lines) > limit:
        problems.append(f"{name}: {len(lines)} lines, limit {limit}")
    if name.endswith(".c"):
        problems += check_functions(name, lines)
    return problems


def main():
    """Check every source file."""
    names = common.source_files(SUFFIXES)
    problems = [problem for name in names for problem in check_file(name)]
    common.finish("sizes", len(names), problems)


main()
