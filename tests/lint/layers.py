#!/usr/bin/env python3
"""A room includes only itself and the rooms above it; foreign headers only in named files."""

import re

import common

ROOMS = ["base", "device", "comm", "model", "train", "cli"]

# Which files may name a library: everything else goes through their headers.
FOREIGN = {
    "mpi.h": ["src/comm/group_mpi.c", "src/cli/main.c", "tests/support/suite_mpi.c",
              "tests/mpi/"],
    "hdf5.h": ["src/base/h5", "tests/unit/", "tests/fuzz/"],
    "omp.h": ["src/device/cpu/", "tests/"],
    "yaml.h": ["src/train/config"],
    "jansson.h": ["src/model/", "src/train/", "src/cli/", "tests/"],
    "pcre2.h": ["src/model/"],
    "openssl/": ["src/base/digest.c"],
    "CUnit/": ["tests/"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def room_of(name):
    """The room a path under src/ lies in, None for others."""
    parts = name.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def check_room(place, room, target):
    """Rules for a quoted include inside src/."""
    target_room = target.split("/")[0]
    if "/" not in target or target_room not in ROOMS:
        return f"{place}: include '{target}' by its path under src/ (ROOM/FILE.h)"
    if ROOMS.index(target_room) > ROOMS.index(room):
        return f"{place}: room {room} must not use {target_room} ({target})"
    if target.endswith("_impl.h") and target_room != room:
        return f"{place}: {target} is private to room {target_room}"
    return None


def check_foreign(place, name, target):
    """Rules for a library's header."""
    for header, allowed in FOREIGN.items():
        if target.startswith(header) and not name.startswith(tuple(allowed)):
            return f"{place}: {target} belongs in {', '.join(allowed)}"
    return None


def check_file(name):
    """All problems of one file."""
    problems = []
    room = room_of(name)
    if name.startswith("src/") and room not in ROOMS:
        problems.append(f"{name}: not in one of the rooms {', '.join(ROOMS)}")
    for number, line in enumerate(common.read_lines(name), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        place = f"{name}:{number}"
        quote, target = match.groups()
        problem = check_foreign(place, name, target)
        if problem is None and quote == '"' and room in ROOMS:
            problem = check_room(place, room, target)
        if problem is None and target.startswith(".."):
            problem = f"{place}: include from the room's root, not by '..'"
        if problem is not None:
            problems.append(problem)
    return problems


def main():
    """Check every C file."""
    names = common.source_files((".c", ".h"), ("src/", "tests/"))
    problems = [problem for name in names for problem in check_file(name)]
    common.finish("layers", len(names), problems)


main()
