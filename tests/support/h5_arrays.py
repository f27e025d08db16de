"""Digests of what a prefix file or checkpoint holds, read by h5py: one line an array, and one an attribute.

usage: h5_arrays.py FILE.h5 [--arrays]

A line is PATH SHAPE SHA-256 for an array (of its bytes as little-endian f32), and PATH@NAME VALUE for an attribute.
With --arrays the attributes are left out: what is left depends on the training alone.
"""
import hashlib
import sys

import h5py


def show(value):
    if isinstance(value, bytes):
        return value.hex()
    return value.tobytes().hex() if hasattr(value, "tobytes") else repr(value)


def main():
    lines = []

    def visit(name, item):
        path = "/" + name
        if isinstance(item, h5py.Dataset):
            data = item[()].astype("<f4").tobytes()
            lines.append("%s %s %s" % (path, "x".join(map(str, item.shape)), hashlib.sha256(data).hexdigest()))
        if "--arrays" not in sys.argv:
            for key in item.attrs:
                lines.append("%s@%s %s" % (path, key, show(item.attrs[key])))

    with h5py.File(sys.argv[1], "r") as file:
        visit("", file["/"])
        file.visititems(visit)
    print("\n".join(sorted(lines)))


main()
