#!/usr/bin/env python3
"""Messages of the program say what a thing is not: "is not a ...", never "is no ...".

Looked at are the string literals under src/, those that stand one behind another as one."""

import re

import common

PART = r'"(?:\\.|[^"\\\n])*"'
# A comment or a character constant may hold a quote: it is matched so that it is passed over.
TOKEN = re.compile(r"/\*.*?\*/|//[^\n]*|'(?:\\.|[^'\\\n])*'|" + PART + r"(?:\s*" + PART + ")*", re.S)
REFUSED = re.compile(r"(?<!there )\b(?:is|are|was|were) no\b(?! longer\b)")


def literals(text):
    """(offset, text) of each string literal, joined with those that follow it."""
    for match in TOKEN.finditer(text):
        if match.group(0).startswith('"'):
            yield match.start(), "".join(part[1:-1] for part in re.findall(PART, match.group(0)))


def check_file(name):
    """All problems of one file."""
    text = "\n".join(common.read_lines(name))
    problems = []
    for offset, literal in literals(text):
        for match in REFUSED.finditer(literal):
            number = text.count("\n", 0, offset) + 1
            problems.append(f"{name}:{number}: '{match.group(0)}' in a message; say 'not a', or what must be")
    return problems


def main():
    """Check every C file of the program."""
    names = common.source_files(common.CODE, ("src/",))
    problems = [problem for name in names for problem in check_file(name)]
    common.finish("words", len(names), problems)


main()
