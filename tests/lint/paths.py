#!/usr/bin/env python3
"""Nothing of one machine in the tree: no absolute paths of a developer, no private hosts, no leftovers."""

import re

import common

# The patterns are written so that this file does not match them itself.
PATTERNS = [
    (re.compile(r"(?<![\w.$}])/(?:wor[k]|roo[t]|hom[e]|User[s])(?:/|\b)"),
     "path of one machine"),
    (re.compile(r"/tm[p]/(?!\$|\{|\"|'|forerun)[\w.-]*[\w]"), "fixed path under the temporary folder"),
    (re.compile(r"\b[\w-]+\.(?:interna[l]|cor[p]|la[n]|intrane[t])\b"), "private host"),
    (re.compile(r"\b(?:pyp[i]\.org|pythonhoste[d]\.org|de[b]\.debian\.org)\b"), "registry host"),
    (re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b(?!XX)"), "leftover"),
    (re.compile(r"^(?:<{7}|={7}|>{7})(?: |$)"), "merge conflict"),
]


def check_file(name):
    """All problems of one file."""
    problems = []
    for number, line in enumerate(common.read_lines(name), 1):
        for pattern, what in PATTERNS:
            match = pattern.search(line)
            if match:
                problems.append(f"{name}:{number}: {what}: '{match.group(0)}'")
    return problems


def main():
    """Check every text file."""
    names = common.source_files()
    problems = [problem for name in names for problem in check_file(name)]
    common.finish("paths", len(names), problems)


main()
