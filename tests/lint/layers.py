#!/usr/bin/env python3
"""The house: a room uses itself and the rooms that its line in USES names, all of them below it.

Looked at are includes and names of functions, so that a declaration written by hand is no way round. A file X_impl.h is
private to X.c and X_*.c. A module is a header with all files named after it (X.h, X.c, X_*.c, X_*.h); modules do not use each
other in a circle. Foreign headers are named in few files. The tags of messages between ranks stand in one header."""

import re

import common

# From the ground up: each room with the rooms that it may use. A room may only use rooms above its own line.
USES = {
    "base": "",
    "device": "base",
    "comm": "base device",
    "model": "base device",
    "model/files": "base device model",
    "model/jinja": "base",
    "model/text": "base model/files model/jinja",
    "model/families": "base device model model/files",
    "model/weights": "base comm device model model/families model/files model/text",
    "model/network": "base comm device model model/text model/weights",
    "train/config": "base model",
    "train/checkpoint": "base model",
    "train/exchange": "base device model model/families model/files model/text train/checkpoint",
    "train/data": "base model/files model/network model/text train/checkpoint train/config",
    "train/step": "base comm device model model/network model/text train/checkpoint train/config train/data",
    "train/forecast": "base comm model model/network train/checkpoint train/config train/data train/step",
    "train/session": "base comm device model/files model/network model/text model/weights train/config train/forecast train/step",
    "train/inference": "base comm model/network model/text model/weights train/checkpoint train/data train/forecast train/session",
    "train/run": "base comm device model model/network model/text model/weights train/checkpoint train/config train/data"
                 " train/forecast train/session train/step",
    "train/preflight": "base comm device model/files model/weights train/config train/forecast train/session",
    "train/scores": "base",
    "serve": "base comm device model model/network model/text train/checkpoint train/data train/inference",
    "cli": "base comm device model model/families model/files model/network model/text model/weights serve train/checkpoint train/config"
           " train/data train/exchange train/forecast train/inference train/preflight train/run train/scores train/session train/step",
}

# Which files may name a library: everything else goes through their headers.
FOREIGN = {
    "mpi.h": ["src/comm/group_mpi", "tests/support/suite_mpi.c", "tests/mpi/", "tests/cuda_emulation/cuda_aware_mpi.c",
              "tests/cuda_emulation/nccl.c", "tests/e2e/node_shim.c"],
    "hdf5.h": ["src/base/h5", "tests/unit/", "tests/fuzz/"],
    "histedit.h": ["src/cli/talk_input.c"],
    "omp.h": ["src/device/cpu/", "tests/"],
    "yaml.h": ["src/train/config"],
    "csv.h": ["src/train/data/row_table"],
    "jansson.h": ["src/base/json_o", "src/model/", "src/train/", "src/serve/", "src/cli/", "tests/"],
    "pcre2.h": ["src/model/text/"],
    "utf8proc.h": ["src/model/text/"],
    "openssl/": ["src/base/digest.c"],
    "microhttpd.h": ["src/serve/http"],
    "CUnit/": ["tests/"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)
DEFINITION = re.compile(r"^[a-z][^;={}#]*?\b(fr_\w+)\([^;{}]*\)\s*\{", re.M)
NAME = re.compile(r"\bfr_\w+(?=\()")

# Where the tags of messages stand, what a tag is called, and the calls whose third argument is one.
TAGS = "src/comm/tags.h"
ENUM = re.compile(r"\benum\b[^{};()]*\{([^{}]*)\}")
TAG_CONSTANT = re.compile(r"(?:^|,)\s*((?:FR_)?TAG(?:_\w+)?)\b")
TAG_DEFINE = re.compile(r"^\s*#\s*define\s+((?:FR_)?TAG(?:_\w+)?)\b", re.M)
MESSAGE = re.compile(r"\bfr_(?:group|link)_(?:send|receive)(?:_begin)?\(")


def room_of(name):
    """The room of a path under src/, None for others."""
    if not name.startswith("src/"):
        return None
    folder = name[len("src/"):].rpartition("/")[0]
    while folder and folder not in USES:
        folder = folder.rpartition("/")[0]
    return folder or None


def stem_of(name):
    """A file's name without folder and ending."""
    return name.rpartition("/")[2].rpartition(".")[0]


def may_use(room, target):
    """Whether files of a room may use those of another."""
    return room == target or target in USES[room].split()


def check_table():
    """A room below that uses one above would close a circle of rooms."""
    problems = []
    below = []
    for room, uses in USES.items():
        problems += [f"{room} uses {other}, which does not lie below it: a circle of rooms"
                     for other in uses.split() if other not in below]
        below.append(room)
    return problems


def check_include(place, name, target):
    """Rules for a quoted include inside src/."""
    room = room_of(name)
    target_room = room_of("src/" + target)
    if target_room is None:
        return f"{place}: include '{target}' by its path under src/ (ROOM/FILE.h)"
    if not may_use(room, target_room):
        return f"{place}: room {room} must not use {target_room} ({target})"
    owner = stem_of(target).removesuffix("_impl")
    if target.endswith("_impl.h") and not (
            target_room == room and (stem_of(name) + "_").startswith(owner + "_")):
        return f"{place}: {target} is private to {owner}.c and {owner}_*.c"
    return None


def check_foreign(place, name, target):
    """Rules for a library's header."""
    for header, allowed in FOREIGN.items():
        if target.startswith(header) and not name.startswith(tuple(allowed)):
            return f"{place}: {target} belongs in {', '.join(allowed)}"
    return None


def check_includes(name, text):
    """All problems of one file's includes."""
    problems = []
    if name.startswith("src/") and room_of(name) is None:
        problems.append(f"{name}: not in one of the rooms {', '.join(USES)}")
    for number, line in enumerate(text.split("\n"), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        place = f"{name}:{number}"
        quote, target = match.groups()
        problem = check_foreign(place, name, target)
        if problem is None and quote == '"' and room_of(name) is not None:
            problem = check_include(place, name, target)
        if problem is None and target.startswith(".."):
            problem = f"{place}: include from the room's root, not by '..'"
        if problem is not None:
            problems.append(problem)
    return problems


def module_of(name, headers):
    """The shortest header's name that a file's name begins with, in its folder: config_check.c belongs to config.h."""
    folder, _, file = name.rpartition("/")
    words = file.rpartition(".")[0].split("_")
    starts = [f"{folder}/{'_'.join(words[:n])}" for n in range(1, len(words) + 1)]
    return next((start for start in starts if start + ".h" in headers), starts[-1])


def find_calls(texts):
    """(caller, callee, function) for each name of a function that another file of src/ defines."""
    home = {}
    for name, text in texts.items():
        for function in DEFINITION.findall(text):
            home.setdefault(function, name)
    return sorted({(name, home[function], function) for name, text in texts.items()
                   for function in NAME.findall(text)
                   if function in home and home[function] != name and name.endswith(".c")})


def check_calls(calls):
    """Calls that run back up, whatever declares their function."""
    return [f"{caller}: calls {function} of {callee}: room {room_of(caller)} must not use {room_of(callee)}"
            for caller, callee, function in calls
            if room_of(caller) and room_of(callee) and not may_use(room_of(caller), room_of(callee))]


def find_circle(uses):
    """A list of modules that use each other in a circle, or None."""
    done = set()

    def visit(module, path):
        if module in path:
            return path[path.index(module):] + [module]
        if module in done:
            return None
        for other in sorted(uses.get(module, ())):
            circle = visit(other, path + [module])
            if circle:
                return circle
        done.add(module)
        return None

    for module in sorted(uses):
        circle = visit(module, [])
        if circle:
            return circle
    return None


def check_circles(names, calls):
    """Each circle of modules once: the link that closes it is left out to find the next."""
    headers = set(name for name in names if name.endswith(".h"))
    uses, ties = {}, {}
    for caller, callee, function in calls:
        one, other = module_of(caller, headers), module_of(callee, headers)
        if one != other:
            uses.setdefault(one, set()).add(other)
            ties.setdefault((one, other), []).append(function)
    problems = []
    while circle := find_circle(uses):
        links = [f"{one} calls {', '.join(ties[one, other][:3])} of {other}"
                 for one, other in zip(circle, circle[1:])]
        problems.append("a circle of modules: " + "; ".join(links))
        uses[circle[-2]].discard(circle[-1])
    return problems


def find_arguments(text, begin):
    """The arguments of a call, whose first one begins at `begin`."""
    arguments, depth = [""], 0
    for sign in text[begin:]:
        depth += (sign in "([{") - (sign in ")]}")
        if depth < 0:
            break
        if sign == "," and depth == 0:
            arguments.append("")
        else:
            arguments[-1] += sign
    return [argument.strip() for argument in arguments]


def check_tags(name, text):
    """Tags outside the one header, as a constant or as a number in a call."""
    if name == TAGS:
        return []
    constants = TAG_DEFINE.findall(text)
    constants += [constant for body in ENUM.findall(text) for constant in TAG_CONSTANT.findall(body)]
    problems = [f"{name}: the tag {constant} belongs in {TAGS}" for constant in constants]
    for call in MESSAGE.finditer(text):
        arguments = find_arguments(text, call.end())
        if len(arguments) > 2 and re.search(r"\b\d", arguments[2]):
            problems.append(f"{name}: the tag {arguments[2]} is a number; give it a name in {TAGS}")
    return problems


def main():
    """Check every C file."""
    names = common.source_files((".c", ".h"), ("src/", "tests/"))
    problems = check_table()
    texts = {}
    for name in names:
        text = "\n".join(common.read_lines(name))
        problems += check_includes(name, text)
        if name.startswith("src/"):
            texts[name] = NOISE.sub("", text)
            problems += check_tags(name, texts[name])
    calls = find_calls(texts)
    problems += check_calls(calls)
    problems += check_circles(names, calls)
    common.finish("layers", len(names), problems)


main()
