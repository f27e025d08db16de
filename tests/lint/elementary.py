#!/usr/bin/env python3
"""No call of the C library's transcendental functions in src/: their last bits depend on the library and the processor.

sqrt, fma, fmod, remainder, rounding, frexp, ldexp and the like are exact or rounded correctly, and may be called."""

import re

import common

# Ours, where there is one.
OURS = {"exp": "fr_exp", "log": "fr_ln", "sin": "fr_sin", "cos": "fr_cos", "sincos": "fr_sin and fr_cos",
        "tanh": "fr_tanh", "pow": "fr_power_of or fr_power"}
OTHERS = ["exp2", "exp10", "expm1", "log2", "log10", "log1p", "pow10", "tan", "asin", "acos", "atan", "atan2",
          "sinh", "cosh", "asinh", "acosh", "atanh", "hypot", "cbrt", "erf", "erfc", "tgamma", "lgamma",
          "gamma", "lgamma_r", "j0", "j1", "jn", "y0", "y1", "yn"]

CALL = re.compile(r"(?<![\w.])(?<!->)(?:__builtin_)?(" + "|".join([*OURS, *OTHERS]) + r")[fl]?\s*\(")
NO_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def code_of(name):
    """The file without comments and literals, its lines where they were."""
    return NO_CODE.sub(lambda match: " " + "\n" * match.group(0).count("\n"),
                       "\n".join(common.read_lines(name)))


def check_file(name):
    """All problems of one file."""
    code = code_of(name)
    problems = []
    for match in CALL.finditer(code):
        function = match.group(1)
        ours = OURS.get(function, "a function")
        number = code.count("\n", 0, match.start()) + 1
        problems.append(f"{name}:{number}: {function} gives other bits on other machines; "
                        f"use {ours} of base/elementary.h")
    return problems


def main():
    """Check every C file of the program."""
    names = common.source_files(common.CODE, ("src/",))
    problems = [problem for name in names for problem in check_file(name)]
    common.finish("elementary", len(names), problems)


main()
