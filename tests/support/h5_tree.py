"""Compare the index of a prefix file or checkpoint with its HDF5 tree, both ways: the same objects, attributes, values.

usage: h5_tree.py FILE.h5          prints how many of each there are; needs h5py and numpy
"""
import hashlib
import json
import sys

import h5py
import numpy


def read_index(data):
    header = dict(line.split(" ", 1) for line in data[:512].split(b"\0")[0].decode("ascii").split("\n")[1:] if line)
    assert hashlib.sha256(data[512:]).hexdigest() == header["sha256"], "digest"
    block = int(header["block"])
    end = 512 + int(header["index"])
    assert not data[end:block].strip(b"\0"), "padding"
    assert data[block:block + 8] == b"\x89HDF\r\n\x1a\n", "HDF5 begins at the block's end"
    return [json.loads(line) for line in data[512:end].decode("ascii").splitlines()]


def same_attribute(told, stored):
    """What the index tells and what h5py reads of one attribute."""
    if isinstance(stored, bytes):
        return isinstance(told, str) and told.encode("latin-1") == stored.rstrip(b"\0")
    if isinstance(stored, numpy.ndarray):
        return stored.dtype == numpy.uint8 and stored.tobytes().hex() == told
    if isinstance(stored, numpy.float64):
        return isinstance(told, str) and numpy.float64(float(told)).tobytes() == stored.tobytes()
    return isinstance(stored, (numpy.int64, numpy.uint64)) and int(stored) == told


def main():
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    index = read_index(data)
    groups = {line["group"]: line["attributes"] for line in index if "group" in line}
    arrays = {line["array"]: line for line in index if "array" in line}
    assert len(groups) + len(arrays) == len(index), "an object twice"
    stored_arrays, stored_groups = {}, {}
    with h5py.File(sys.argv[1], "r") as file:
        def visit(name, item):
            path = "/" + name
            if isinstance(item, h5py.Dataset):
                assert item.id.get_offset() == arrays[path]["offset"], path
                assert item.chunks is None and item.dtype == "<f4" and len(item.attrs) == 0, path
                stored_arrays[path] = item[()]
            elif len(item.attrs) > 0:
                # the low level keeps bytes that are no UTF-8
                stored_groups[path] = {key: read_attribute(item, key) for key in item.attrs}
        visit("", file["/"])
        file.visititems(visit)
    assert stored_arrays.keys() == arrays.keys(), "arrays"
    for path, line in arrays.items():
        piece = data[line["offset"]:line["offset"] + line["bytes"]]
        assert list(stored_arrays[path].shape) == line["shape"], path
        assert stored_arrays[path].tobytes() == piece, path
    assert stored_groups.keys() == groups.keys(), "groups"
    n_attributes = 0
    for path, told in groups.items():
        assert stored_groups[path].keys() == told.keys(), path
        for key, value in told.items():
            assert same_attribute(value, stored_groups[path][key]), (path, key, value, stored_groups[path][key])
            n_attributes += 1
    print("%d arrays, %d groups, %d attributes agree" % (len(arrays), len(groups), n_attributes))


def read_attribute(item, key):
    attribute = h5py.h5a.open(item.id, key.encode())
    kind = attribute.get_type()
    if isinstance(kind, h5py.h5t.TypeStringID):
        value = numpy.empty((), dtype="S%d" % kind.get_size())
        attribute.read(value, mtype=kind)
        return value.tobytes()
    return item.attrs[key]


main()
