"""Writes prefix files: HDF5 by h5py, then the index in front of it, then the seal."""
# SPDX-License-Identifier: Apache-2.0
import hashlib
import io
import json
import os
import re

import h5py
import numpy

from .content import (CHAT_FIELDS, CHAT_LIMITS, CONVENTIONS, FILE_FIELDS, HEADER_BYTES, INFINITE, MAJOR, MAX_INDEX, MAX_LINE,
                      MAX_TASKS, MLP_FIELDS, NAME_RULE, OFFSET_DIGITS, SLIDES, TASK_FIELDS, Collection, FormatError, Prefix, allowed, block_of,
                      header, is_name)


def write(path, collection):
    """Write a prefix file, or replace one, at once. What Forerun refuses to write is refused: FormatError."""
    path = os.fspath(path)
    if os.path.islink(path) or (os.path.exists(path) and not os.path.isfile(path)):
        raise FormatError("%s is not a regular file; name another one" % path)
    if isinstance(collection, Prefix):
        raise TypeError("a file holds prefixes by their names; write {\"name\": prefix}")
    collection = collection if isinstance(collection, Collection) else Collection(collection)
    if not collection:
        raise FormatError("a file must hold at least one prefix")
    objects = _objects(collection)
    index, blanks = _make_index(objects)
    minor = max((_minor(prefix) for prefix in collection.values()), default=2)
    _replace(path, _image(objects, index, blanks, minor))


def _minor(prefix):
    if any(prefix.attributes[name] is not None for name in CHAT_FIELDS):
        return 4
    return 3 if prefix.attributes["positions"] == SLIDES else 2


def _text(value):
    return value.encode("utf-8", "surrogateescape")


def _can_encode(value):
    return all(not 0xD800 <= ord(c) < 0xE000 or 0xDC80 <= ord(c) < 0xDD00 for c in value)


def _check(place, name, kind, value):
    """The value as the index and HDF5 hold it: (JSON value, bytes, int or float); FormatError."""
    if isinstance(kind, tuple) and isinstance(value, (int, numpy.integer)) and not isinstance(value, bool):
        value = int(value)
        if kind[0] <= value <= kind[1]:
            return value, numpy.uint64(value) if name == "seed" else numpy.int64(value)
    elif kind == "truth" and isinstance(value, (bool, numpy.bool_)):
        return int(value), numpy.int64(value)
    elif kind == "real" and isinstance(value, (int, float, numpy.floating)) and float(value) > -INFINITE:
        return "%.17g" % float(value), numpy.float64(value)
    elif kind == "digest" and isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value, re.ASCII):
        return value, numpy.frombuffer(bytes.fromhex(value), dtype=numpy.uint8)
    elif kind == "text" and isinstance(value, str) and "\0" not in value and _can_encode(value):
        if len(_text(value)) <= CHAT_LIMITS.get(name, MAX_INDEX):
            return _text(value).decode("latin-1"), _text(value)
        raise FormatError("%s cannot be stored: %s has %d bytes, must have at most %d"
                          % (place, name, len(_text(value)), CHAT_LIMITS[name]))
    raise FormatError("%s cannot be stored: %s is %s, must be %s" % (place, name, repr(value)[:60], allowed(kind)))


def _check_fields(place, fields, given):
    return {name: _check(place, name, kind, given[name]) for name, kind in fields.items()
            if given[name] is not None or kind != "text"}


def _objects(collection):
    """What the file will hold, in its order: [(path, attributes)] and [(path, array)]."""
    names = list(collection)
    for name in names:
        if not is_name(name):
            raise FormatError("task name %r cannot be stored; %s" % (str(name)[:80], NAME_RULE))
    if len(names) > MAX_TASKS:
        raise FormatError("%d tasks cannot be stored in a file, at most %d are allowed" % (len(names), MAX_TASKS))
    unknown = set(collection.attributes) - set(FILE_FIELDS)
    if unknown:
        raise FormatError("a file has no attribute %s" % ", ".join(sorted(unknown)))
    tasks = [_task_objects(name, collection[name]) for name in names]
    minor = max((_minor(prefix) for prefix in collection.values()), default=2)
    root = {"schema_version": (MAJOR, numpy.int64(MAJOR)), "schema_minor": (minor, numpy.int64(minor))}
    root.update(_check_fields("the file", FILE_FIELDS, {**Collection().attributes, **collection.attributes}))
    root["tasks"] = _check("the file", "tasks", "text", "\n".join(names))
    return [("/", root)] + [item for task in tasks for item in task]


def _task_objects(name, prefix):
    place = "task " + name
    if not isinstance(prefix, Prefix):
        raise FormatError("%s is not a Prefix" % place)
    layers = prefix.layers
    if not layers or layers != sorted(prefix.values) or layers != list(range(layers[0], layers[0] + len(layers))):
        raise FormatError("%s must have keys and values of the same layers, one after another" % place)
    shape = numpy.shape(prefix.keys[layers[0]])
    given = {**prefix.attributes, "n_layers": len(layers), "first_layer": layers[0]}
    unknown = set(given) - set(TASK_FIELDS) - set(CONVENTIONS) - set(MLP_FIELDS) - {"moments"}
    if len(shape) != 3 or unknown:
        raise FormatError("%s must have arrays of three dimensions, found shape %s" % (place, shape) if not unknown
                          else "%s has unknown attributes: %s" % (place, ", ".join(sorted(unknown))))
    given.update(zip(("length", "n_kv_heads", "head_dim"), shape))
    attributes = _check_fields(place, TASK_FIELDS, given)
    if layers[0] > (given["base_layers"] or len(layers)) - len(layers):
        raise FormatError("%s has %d layers from layer %d on, of a base of %d"
                          % (place, len(layers), layers[0], given["base_layers"]))
    attributes["moments"] = (0, numpy.int64(0))
    for convention, texts in CONVENTIONS.items():
        if given[convention] not in texts:
            raise FormatError("%s cannot be stored: %s is %r, must be %s"
                              % (place, convention, given[convention], " or ".join(texts)))
        attributes[convention] = _check(place, convention, "text", given[convention])
    path = "/tasks/" + name
    objects = [(path, attributes)]
    for layer in layers:
        for kind, arrays in (("k", prefix.keys), ("v", prefix.values)):
            objects.append(("%s/layers/%d/%s" % (path, layer, kind), _checked_array(place, layer, kind, arrays[layer], shape)))
    return objects


def _checked_array(place, layer, kind, array, shape):
    array = numpy.ascontiguousarray(array, dtype="<f4")
    if array.shape != shape:
        raise FormatError("%s: %s of layer %d has shape %s, others %s" % (place, kind, layer, array.shape, shape))
    if not numpy.isfinite(array).all():
        raise FormatError("%s: %s of layer %d has a number that is not finite" % (place, kind, layer))
    return array


def _make_index(objects):
    """The text of the index, and the position of the blank for each array's offset."""
    lines, blanks, size = [], [], 0
    for path, content in objects:
        if isinstance(content, dict):
            line = json.dumps({"group": path, "attributes": {name: value[0] for name, value in content.items()}},
                              separators=(",", ":"))
        else:
            line = '{"array":"%s","shape":[%s],"offset":' % (path, ",".join(map(str, content.shape)))
            blanks.append(HEADER_BYTES + size + len(line))
            line += " " * OFFSET_DIGITS + ',"bytes":%d}' % content.nbytes
        size += len(line) + 1
        if len(line) >= MAX_LINE or size > MAX_INDEX:
            raise FormatError("%s does not fit into a file: its index may have %d bytes for one object and %d in all; "
                              "shorten the config or store fewer tasks" % (path, MAX_LINE, MAX_INDEX))
        lines.append(line + "\n")
    return "".join(lines).encode("ascii"), blanks


def _image(objects, index, blanks, minor):
    """All bytes of the file: HDF5 first, whose library knows where the arrays lie; then index, and the seal last."""
    image, offsets = _make_hdf5(objects, block_of(len(index)))
    image[HEADER_BYTES:HEADER_BYTES + len(index)] = index
    for blank, offset in zip(blanks, offsets):
        image[blank:blank + OFFSET_DIGITS] = b"%*d" % (OFFSET_DIGITS, offset)
    start = header(minor, hashlib.sha256(memoryview(image)[HEADER_BYTES:]).hexdigest(), len(index))
    image[:len(start)] = start
    return image


def _replace(path, image):
    """Under a temporary name first, so that whatever happens the old file stays until the new one is whole."""
    temporary = "%s.tmp.%d" % (path, os.getpid())
    if os.path.lexists(temporary):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(image)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _make_hdf5(objects, block):
    """A file with an empty user block, and the offset of each array in it. HDF5 1.10 and later read it; no time is kept.

    It is made in memory: after a failed write to a disk the library holds a file that it can neither write nor close, and
    crashes later."""
    image = io.BytesIO()
    groups = set()
    timeless = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    timeless.set_obj_track_times(False)
    offsets = []
    with _create_hdf5(image, block) as file:
        def group(name):
            if name not in groups and name != "/":
                group(name.rpartition("/")[0] or "/")
                h5py.h5g.create(file.id, name.encode("ascii"), gcpl=timeless)
                groups.add(name)
        group("/tasks")
        for name, content in objects:
            if isinstance(content, dict):
                group(name)
                target = h5py.h5o.open(file.id, name.encode("ascii"))
                for key, (_, value) in content.items():
                    _write_attribute(target, key, value)
            else:
                group(name.rpartition("/")[0])
                dataset = file.create_dataset(name, data=content, track_times=False)
                offsets.append(dataset.id.get_offset())
    return bytearray(image.getbuffer()), offsets


def _create_hdf5(image, block):
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_userblock(block)
    creation.set_obj_track_times(False)
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V18, h5py.h5f.LIBVER_V110)
    access.set_alignment(1, 8)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, image)
    return h5py.File(h5py.h5f.create(b"in memory", h5py.h5f.ACC_TRUNC, creation, access))


def _write_attribute(target, key, value):
    if isinstance(value, bytes):
        value = numpy.array(value or b"\0", dtype=h5py.string_dtype("utf-8", max(len(value), 1)))
    else:
        value = numpy.asarray(value)
    space = h5py.h5s.create_simple(value.shape) if value.shape else h5py.h5s.create(h5py.h5s.SCALAR)
    h5py.h5a.create(target, key.encode("ascii"), h5py.h5t.py_create(value.dtype, logical=True), space).write(value)
