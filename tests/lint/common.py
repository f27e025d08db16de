"""What the lints share: the list of the source tree's own files, and one way to report."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IGNORED_FOLDERS = {".git", "build", "models", "data", "runs", "__pycache__"}


def from_git():
    """Tracked files and new ones that are not ignored; None outside a git checkout."""
    if not os.path.exists(os.path.join(ROOT, ".git")):
        return None
    command = ["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-z", "-co",
               "--exclude-standard"]
    try:
        listing = subprocess.run(command, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return [name for name in listing.decode().split("\0") if name]


def from_folders():
    """The same for a source tree without git."""
    names = []
    for folder, subfolders, files in os.walk(ROOT):
        top = os.path.relpath(folder, ROOT)
        if top == ".":
            subfolders[:] = [s for s in subfolders if s not in IGNORED_FOLDERS]
        subfolders[:] = [s for s in subfolders if s != "__pycache__"]
        names += [os.path.normpath(os.path.join(top, name)) for name in files]
    return names


# C and CUDA C
CODE = (".c", ".h", ".cu", ".cuh", ".cpp")


def source_files(suffixes=(), under=("",)):
    """Sorted paths, relative to the root, of existing files with one of the suffixes."""
    names = from_git()
    if names is None:
        names = from_folders()
    return sorted(name for name in set(names)
                  if (not suffixes or name.endswith(tuple(suffixes)))
                  and name.startswith(tuple(under))
                  and os.path.isfile(os.path.join(ROOT, name)))


def read_lines(name):
    """Lines of a text file; none for a binary one."""
    with open(os.path.join(ROOT, name), "rb") as file:
        content = file.read()
    if b"\0" in content:
        return []
    return content.decode("utf-8", "replace").splitlines()


def finish(what, n_checked, problems):
    """Print the problems; leave with 1 if there are any or if nothing was checked."""
    for problem in problems:
        print(problem)
    print(f"{what}: {n_checked} checked, {len(problems)} problems")
    sys.exit(1 if problems or n_checked == 0 else 0)
