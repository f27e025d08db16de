#!/usr/bin/env python3
"""reasons.py REPORT.xml: after a run of ctest, one line for each test that did not run, with its reason."""

import sys
import xml.etree.ElementTree as tree


def reason_of(case):
    """What the test said last before it left; ctest's word where it said nothing."""
    lines = [line.strip() for line in case.findtext("system-out", "").splitlines() if line.strip()]
    said = [line for line in lines if "skipped" in line]
    word = (said or lines or [case.find("skipped").get("message", "no reason given")])[-1]
    return word.removeprefix("skipped: ")


def main():
    """Print what did not run; nothing where all did."""
    cases = [case for case in tree.parse(sys.argv[1]).iter("testcase") if case.find("skipped") is not None]
    if cases:
        print("\n%d tests did not run:" % len(cases))
    for case in sorted(cases, key=lambda case: case.get("name")):
        print("  %-32s %s" % (case.get("name"), reason_of(case)))


if __name__ == "__main__":
    main()
