#!/usr/bin/env python3
"""Nothing that pages and comments name has gone: links and their anchors, paths, files of C, and identifiers.

In every page (*.md): relative links and anchors; paths below a folder of the tree, in code spans and code blocks; names of files
such as rounds.c in code spans; fr_* and FR_* names. In comments of src/: the same paths, names of .c and .h files, and names.
A name exists if some code of src/, tests/ or the build uses it outside comments. A star stands for any characters."""

import fnmatch
import os
import re

import common

FOLDERS = ("src", "tests", "docs", "launch", "configs", "cmake", ".ci")

# What pages and comments may name although the tree does not hold it, with the reason.
EXCEPTIONS = {
    "launch/site.env": "a site makes it from launch/site.env.example",
    "hdf5.h": "header of the HDF5 library",
    "mpi.h": "header of MPI",
    "omp.h": "header of OpenMP",
    "math.h": "header of the C library",
}

LINK = re.compile(r"\[[^\]]*\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
FENCE = re.compile(r"^\s*(```|~~~)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
NAMED_ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")
PATH = re.compile(r"(?<![\w./$}-])(?:\./)?((?:%s)/[\w.*/-]*[\w*/])" % "|".join(map(re.escape, FOLDERS)))
FILE = re.compile(r"(?<![\w./*<-])((?:[\w*-]+/)*[\w*-]+\.(?:c|h))\b(?![\w/>(])")
SCRIPT = re.compile(r"(?<![\w./*<-])((?:[\w*-]+/)*[\w*-]+\.(?:c|h|sh|cmake))\b(?![\w/>(])")
NAME = re.compile(r"(?<![\w.#])((?:fr|FR)_\w+\*?)")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*")
C_TOKEN = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)
# Capitals that stand for a part of a path or name: rank-NNNN.slot, fuzz_NAME.c, X_impl.h, fr_cmd_NAME.
PLACEHOLDER = re.compile(r"[A-Z]{3,}|(?<![A-Za-z0-9])X(?![A-Za-z0-9])")


def slug(heading):
    """The anchor that a heading gets."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors_of(lines):
    """All anchors of a page."""
    anchors, fenced = set(), False
    for line in lines:
        if FENCE.match(line):
            fenced = not fenced
        match = None if fenced else HEADING.match(line)
        if match:
            base = name = slug(match.group(1))
            number = 0
            while name in anchors:
                number += 1
                name = f"{base}-{number}"
            anchors.add(name)
        anchors.update(NAMED_ANCHOR.findall(line))
    return anchors


def comments_of(text):
    """(line number, text) of each line of C comments."""
    for match in C_TOKEN.finditer(text):
        if match.group(0).startswith(("/*", "//")):
            first = text.count("\n", 0, match.start()) + 1
            for number, line in enumerate(match.group(0).split("\n"), first):
                yield number, line


class Tree:
    """What exists: files, folders, and names that code uses."""

    def __init__(self):
        self.files = set(common.source_files())
        self.folders = {"."}
        for name in self.files:
            while name := os.path.dirname(name):
                self.folders.add(name)
        self.basenames = {}
        for name in self.files:
            self.basenames.setdefault(os.path.basename(name), []).append(name)
        self.names = set()
        for name in self.files:
            text = None
            if name.endswith(common.CODE):
                text = C_TOKEN.sub(" ", "\n".join(common.read_lines(name)))
            elif name.endswith(".cmake") or name.endswith("CMakeLists.txt"):
                text = re.sub(r"#.*", "", "\n".join(common.read_lines(name)))
            if text is not None:
                self.names.update(re.findall(r"\b(?:fr|FR)_\w+", text))
        self.anchors = {}

    def has_path(self, path):
        """Whether a path from the root, perhaps with stars, is there."""
        path = path.rstrip("/")
        if path in self.files or path in self.folders or path in EXCEPTIONS:
            return True
        if "*" not in path:
            return False
        depth = path.count("/")
        return any(name.count("/") == depth and fnmatch.fnmatchcase(name, path)
                   for name in self.files | self.folders)

    def has_file(self, name):
        """Whether some file has this name, or a path that ends in it. Capitals stand for a part of a name."""
        if name in EXCEPTIONS or PLACEHOLDER.search(name.rpartition(".")[0]):
            return True
        if "*" in name:
            return any(fnmatch.fnmatchcase(path, "*" + name) for path in self.files)
        return any(path == name or path.endswith("/" + name)
                   for path in self.basenames.get(os.path.basename(name), []))

    def has_name(self, name):
        """Whether code uses a name; one that ends in a star or an underscore is the begin of some."""
        if name.startswith("fr_") and PLACEHOLDER.search(name):
            return True
        if name.endswith(("*", "_")):
            return any(other.startswith(name.rstrip("*")) for other in self.names)
        return name in self.names

    def anchors_in(self, page):
        """Anchors of a page, read once."""
        if page not in self.anchors:
            self.anchors[page] = anchors_of(common.read_lines(page))
        return self.anchors[page]


def check_link(tree, page, target):
    """What is wrong with a link, or None."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return None
    path, _, anchor = target.partition("#")
    where = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
    if where not in tree.files and where not in tree.folders:
        return f"dead link '{target}'"
    if anchor and where.endswith(".md") and anchor not in tree.anchors_in(where):
        return f"no heading of {where} has the anchor '#{anchor}'"
    return None


def check_text(tree, text, files):
    """Paths, files and names of a piece of text that is code or a comment."""
    paths = [path for path in PATH.findall(text) if not PLACEHOLDER.search(path.replace("README", ""))]
    problems = [f"no such path '{path}'" for path in paths if not tree.has_path(path)]
    problems += [f"no file '{name}'" for name in files.findall(text)
                 if not name.startswith(tuple(folder + "/" for folder in FOLDERS)) and not tree.has_file(name)]
    return problems + check_names(tree, text)


def check_names(tree, text):
    """Identifiers of a piece of text."""
    return [f"no code uses the name '{name}'" for name in NAME.findall(text) if not tree.has_name(name)]


def check_page(tree, page):
    """All problems of a page."""
    problems, fenced = [], False
    for number, line in enumerate(common.read_lines(page), 1):
        found = []
        if FENCE.match(line):
            fenced = not fenced
        elif fenced:
            found = [f"no such path '{path}'" for path in PATH.findall(line)
                     if not PLACEHOLDER.search(path.replace("README", "")) and not tree.has_path(path)]
            found += check_names(tree, line)
        else:
            for _, span in CODE_SPAN.findall(line):
                found += check_text(tree, span, SCRIPT)
            prose = CODE_SPAN.sub("``", line)
            found += [problem for target in LINK.findall(line)
                      if (problem := check_link(tree, page, target))]
            found += check_names(tree, prose)
        problems += [f"{page}:{number}: {problem}" for problem in found]
    return problems


def check_source(tree, name):
    """All problems of the comments of a C file."""
    text = "\n".join(common.read_lines(name))
    return [f"{name}:{number}: {problem}" for number, line in comments_of(text)
            for problem in check_text(tree, line, FILE)]


def main():
    """Check pages and sources."""
    tree = Tree()
    pages = common.source_files((".md",))
    sources = common.source_files(common.CODE, ("src/",))
    problems = [problem for page in pages for problem in check_page(tree, page)]
    problems += [problem for name in sources for problem in check_source(tree, name)]
    common.finish("links", len(pages) + len(sources), problems)


main()
