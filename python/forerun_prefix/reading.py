"""Reads files by their index. No number in a file is trusted, as in Forerun's own reader."""
# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
import math
import os
import re
import stat

import numpy

from .content import (ADDED_FIELDS, CHAT_LIMITS, CONVENTIONS, FILE_FIELDS, HEADER_BYTES, INFINITE, MAJOR, MAX_INDEX, MAX_LINE,
                      MAX_TASKS, MINOR, MLP_FIELDS, SHAPE_FIELDS, TASK_FIELDS, TITLE, Collection, FormatError, Prefix, allowed,
                      block_of, header, is_name)


def read(path):
    """The prefixes of a prefix file or checkpoint. FormatError: not ours, damaged, another format, hostile; OSError."""
    path = os.fspath(path)
    return _Reader(path, _read_bytes(path)).collection


def _read_bytes(path):
    """All bytes of a regular file; nothing else is waited for or touched."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FormatError("%s is not a regular file; of a run folder give its best.h5 or prefix.h5" % path)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _unique(pairs):
    """A JSON object; a key that comes twice could mean either value."""
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key comes twice")
    return result


def _no_constant(text):
    raise ValueError("%s is not JSON" % text)


class _Reader:
    """Takes the lines of the index in their order and trusts no number of them."""

    def __init__(self, path, data):
        self.path = path
        self.data = data
        self.spans = []
        self.index_bytes = self._check_header()
        self.block = block_of(self.index_bytes)
        self.left = len(data) - self.block  # bytes that no array has claimed
        self.lines = self._lines()
        self.next = self._take_line()
        self.collection = self._collection()

    def fail(self, what):
        """What is wrong, and the remedy."""
        raise FormatError("%s: %s; restore the file or use another one" % (self.path, what))

    def _check_header(self):
        start = self.data[:HEADER_BYTES]
        if not start.startswith(TITLE.encode("ascii")):
            raise FormatError("%s is not a Forerun checkpoint or prefix" % self.path)
        if start.startswith(TITLE.encode("ascii") + b"\n"):
            raise FormatError("%s has format 1, this module reads %d.x; convert it with `forerun convert OLD NEW`"
                              % (self.path, MAJOR))
        version = re.match(rb" (\d{1,12})\.(\d{1,12})\n", start[len(TITLE):])
        if version is None:
            self.fail("its header is not that of a checkpoint")
        major, minor = int(version.group(1)), int(version.group(2))
        if major != MAJOR:
            raise FormatError("%s has format %d.%d, this module reads %d.x; use a newer version of it"
                              % (self.path, major, minor, MAJOR))
        sizes = re.search(rb"\nindex (\d{1,12})\nblock (\d{1,12})\n", start)
        if sizes is None or len(self.data) <= HEADER_BYTES:
            self.fail("its header is not that of a checkpoint, or nothing follows it")
        wanted = header(minor, hashlib.sha256(memoryview(self.data)[HEADER_BYTES:]).hexdigest(), int(sizes.group(1)))
        if minor <= MINOR:
            wanted = wanted.ljust(HEADER_BYTES, b"\0")
        if not start.startswith(wanted):
            self.fail("it is damaged: the SHA-256 of its content is not the one written in it")
        if int(sizes.group(1)) > MAX_INDEX or int(sizes.group(2)) >= len(self.data):
            self.fail("an index of %s bytes is impossible in a file of %d" % (sizes.group(1).decode(), len(self.data)))
        return int(sizes.group(1))

    def _lines(self):
        """(key, path, line) of each line that this version knows."""
        at, end = HEADER_BYTES, HEADER_BYTES + self.index_bytes
        number = 0
        while at < end:
            number += 1
            stop = self.data.find(b"\n", at, end)
            if stop < 0 or stop - at > MAX_LINE:
                self.fail("line %d of its index has no end, or is too long" % number)
            try:
                line = json.loads(self.data[at:stop].decode("ascii"), object_pairs_hook=_unique, parse_constant=_no_constant)
            except (ValueError, RecursionError) as error:
                self.fail("line %d of its index is not a JSON object that can be used (%s)" % (number, str(error)[:80]))
            at = stop + 1
            if not isinstance(line, dict) or not line:
                self.fail("line %d of its index is not a JSON object" % number)
            key = next(iter(line))
            if key in ("group", "array"):
                if not isinstance(line[key], str):
                    self.fail("line %d of its index does not begin with a path" % number)
                yield key, line[key], line

    def _take_line(self):
        return next(self.lines, (None, None, None))

    def _take(self, key, path):
        if self.next[:2] != (key, path):
            self.fail("%s is missing in its index, or not in its place" % path)
        line = self.next[2]
        self.next = self._take_line()
        return line

    def _attributes(self, path, fields, may_lack):
        line = self._take("group", path)
        given = line.get("attributes")
        if not isinstance(given, dict):
            self.fail("%s has no object of attributes" % path)
        result = {}
        for name, kind in fields.items():
            if name in given:
                result[name] = self._value(path, name, kind, given[name])
            elif kind != "text" and name not in may_lack:
                self.fail("attribute %s of %s is missing" % (name, path))
        return result

    def _value(self, path, name, kind, value):
        good, result = _parse(kind, value)
        if not good:
            self.fail("attribute %s of %s is %s, which is not %s" % (name, path, repr(value)[:60], allowed(kind)))
        return result

    def _collection(self):
        root = {"schema_version": (MAJOR, MAJOR), "schema_minor": (0, (1 << 31) - 1), "tasks": "text", **FILE_FIELDS}
        told = self._attributes("/", root, ("arithmetic",))
        if "tasks" not in told:
            self.fail("attribute tasks of / is missing")
        names = told["tasks"].split("\n") if told["tasks"] else []
        if len(names) > MAX_TASKS or len(set(names)) < len(names) or not all(map(is_name, names)):
            self.fail("attribute tasks of / holds invalid names, a name twice or too many")
        result = Collection(**{name: value for name, value in told.items() if name in FILE_FIELDS})
        tasks = [(name, *self._task(name)) for name in names]
        if self.next[0] is not None:
            self.fail("its index has %s, which no task has" % repr(self.next[1])[:120])
        self._check_overlap()
        for name, attributes, places in tasks:
            result[name] = self._prefix(attributes, places)
        return result

    def _task(self, name):
        path = "/tasks/" + name
        fields = {**TASK_FIELDS, "moments": "truth", **dict.fromkeys(CONVENTIONS, "text"), **MLP_FIELDS}
        told = self._attributes(path, fields, ADDED_FIELDS | set(MLP_FIELDS))
        for field, most in CHAT_LIMITS.items():
            if len(told.get(field, "").encode("utf-8", "surrogateescape")) > most:
                self.fail("attribute %s of %s has more than %d bytes" % (field, path, most))
        for convention, texts in CONVENTIONS.items():
            if told.get(convention) not in texts:
                self.fail("attribute %s of %s is %s, which this version does not know; it knows %s"
                          % (convention, path, repr(told.get(convention))[:60], " and ".join(texts)))
        if ("mlp_hidden" in told) != ("mlp_width" in told):
            self.fail("%s has one of mlp_hidden and mlp_width alone" % path)
        told["base_layers"] = told["base_layers"] or told["n_layers"]
        if told["first_layer"] > told["base_layers"] - told["n_layers"]:
            self.fail("%s claims %d layers from layer %d on, of a base of %d"
                      % (path, told["n_layers"], told["first_layer"], told["base_layers"]))
        return told, self._places(path, told)

    def _places(self, path, told):
        """Offsets of keys and values, [(layer, key offset, value offset)]; the other arrays are only checked."""
        shape = (told["length"], told["n_kv_heads"], told["head_dim"])
        names = ("k", "v") + (("m_k", "m_v", "s_k", "s_v") if told["moments"] else ())
        if told["n_layers"] * len(names) * 4 * math.prod(shape) > len(self.data):
            self.fail("%s claims %d layers x %d slots x %d heads x %d, more than the file holds"
                      % (path, told["n_layers"], *shape))
        places = []
        for layer in range(told["first_layer"], told["first_layer"] + told["n_layers"]):
            offsets = [self._array("%s/layers/%d/%s" % (path, layer, name), shape) for name in names]
            places.append((layer, *offsets[:2]))
        while "mlp_hidden" in told and self.next[0] == "array" and self.next[1].startswith(path + "/"):
            self._array(self.next[1], None)
        return places

    def _array(self, path, shape):
        line = self._take("array", path)
        sizes, offset, size = line.get("shape"), line.get("offset"), line.get("bytes")
        if shape is None and isinstance(sizes, list) and len(sizes) <= 3 and all(_is_whole(n, 1, 1 << 62) for n in sizes):
            shape = tuple(sizes)
        if shape is None or sizes != list(shape) or not all(type(n) is int for n in sizes) or size != 4 * math.prod(shape):
            self.fail("%s must be an f32 array of shape %s" % (path, shape))
        if not _is_whole(offset, self.block, len(self.data) - size) or offset % 4 != 0:
            self.fail("%s has an offset outside the file's arrays, or one that is not a multiple of 4" % path)
        self.spans.append((offset, size))
        self.left -= size  # arrays that do not overlap are together no longer than the file
        if self.left < 0:
            self.fail("its index has arrays that overlap")
        numbers = numpy.frombuffer(self.data, dtype="<f4", count=size // 4, offset=offset)
        if not numpy.isfinite(numbers).all():
            element = int(numpy.flatnonzero(~numpy.isfinite(numbers))[0])
            self.fail("element %d of %s is %f; only finite numbers can be used" % (element, path, numbers[element]))
        return offset

    def _check_overlap(self):
        self.spans.sort()
        for (offset, size), (after, _) in zip(self.spans, self.spans[1:]):
            if after < offset + size:
                self.fail("its index has arrays that overlap")

    def _prefix(self, told, places):
        shape = (told["length"], told["n_kv_heads"], told["head_dim"])

        def copy(offset):
            numbers = numpy.frombuffer(self.data, dtype="<f4", count=math.prod(shape), offset=offset)
            return numbers.reshape(shape).copy()

        attributes = {key: value for key, value in told.items() if key not in SHAPE_FIELDS}
        return Prefix({layer: copy(k) for layer, k, _ in places}, {layer: copy(v) for layer, _, v in places}, **attributes)


def _is_whole(value, lowest, highest):
    return type(value) is int and lowest <= value <= highest


def _parse(kind, value):
    """(whether the index may hold this value, what it means in Python)"""
    if isinstance(kind, tuple):
        return _is_whole(value, *kind), value
    if kind == "truth":
        return _is_whole(value, 0, 1), bool(value)
    if not isinstance(value, str):
        return False, None
    if kind == "text":
        good = re.search(r"[^\x01-\xff]", value) is None
        return good, value.encode("latin-1").decode("utf-8", "surrogateescape") if good else None
    if kind == "digest":
        return re.fullmatch("[0-9a-f]{64}", value, re.ASCII) is not None, value
    try:
        number = float(value)
    except ValueError:
        return False, None
    return number > -INFINITE and "%.17g" % number == value, number
