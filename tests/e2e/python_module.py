"""What python/forerun_prefix must do, with the files that python_module.sh made in the current folder.

usage: python_module.py SOURCE
"""
import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time

import h5py
import numpy

SOURCE = sys.argv[1]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(SOURCE, "python"))
import forerun_prefix  # noqa: E402

FORERUN = os.environ["FORERUN"]
TAMPER = os.path.join(SOURCE, "tests", "support", "tamper.py")


def forerun(*arguments, code=0):
    done = subprocess.run([FORERUN, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code, (arguments, done.returncode, done.stderr)
    return done.stdout + done.stderr


def refused(part, action, *arguments):
    try:
        action(*arguments)
    except forerun_prefix.FormatError as error:
        assert part in str(error), (part, str(error))
        return
    raise AssertionError("not refused: " + part)


def refused_write(part, collection):
    refused(part, forerun_prefix.write, "never.h5", collection)
    assert not [name for name in os.listdir(".") if name.startswith("never.h5")], os.listdir(".")


def reads_what_forerun_wrote():
    prefix = forerun_prefix.open("run/best.h5")["a"]
    assert (prefix.length, prefix.layers) == (5, [0, 1]) and prefix.keys[1].shape == (5, 2, 8)
    assert prefix.keys[1].dtype == numpy.float32 and prefix.keys[1].flags.writeable
    for path in ("run/best.h5", "run/checkpoint-2.h5", "mlp/checkpoint-2.h5"):
        read = forerun_prefix.open(path)
        with h5py.File(path, "r") as file:
            for task in file["/tasks"]:
                for layer in (0, 1):
                    group = file["/tasks/%s/layers/%d" % (task, layer)]
                    assert (read[task].keys[layer] == group["k"][()]).all()
                    assert (read[task].values[layer] == group["v"][()]).all()
            assert read[task].attributes["best_loss"] == file["/tasks/" + task].attrs["best_loss"]
    attributes = prefix.attributes
    assert attributes["step"] == 2 and attributes["eos"] is False and 0 < attributes["best_loss"] < 10
    assert attributes["positions"] == "after_prefix" and attributes["moments"] is False
    assert len(attributes["data_digest"]) == 64 and attributes["template_text"] is None
    assert forerun_prefix.open("run/checkpoint-2.h5")["a"].attributes["moments"] is True
    assert forerun_prefix.open("mlp/checkpoint-2.h5")["a"].attributes["mlp_hidden"] == 6
    collection = forerun_prefix.open("run/best.h5")
    assert list(collection) == ["a", "b"] and collection.attributes["base_shape"].startswith("llama layers=2")


def writes_what_forerun_reads():
    for path in ("run/best.h5", "run/checkpoint-2.h5", "mlp/checkpoint-2.h5"):
        collection = forerun_prefix.open(path)
        forerun_prefix.write("again.h5", collection)
        assert forerun("compare", path, "again.h5") == "identical\n"
        subprocess.run([sys.executable, os.path.join(SOURCE, "tests/support/h5_tree.py"), "again.h5"], check=True,
                       stdout=subprocess.DEVNULL)
    forerun_prefix.write("again.h5", forerun_prefix.open("run/best.h5"))
    theirs = forerun("prefix", "info", "run/best.h5").splitlines()
    ours = forerun("prefix", "info", "again.h5").splitlines()
    assert [line for line in theirs if "bytes" not in line] == [line for line in ours if "bytes" not in line]
    first = open("again.h5", "rb").read()
    time.sleep(1.1)  # a time in the file would be another one now
    forerun_prefix.write("again.h5", forerun_prefix.open("run/best.h5"))
    assert open("again.h5", "rb").read() == first, "equal content, other bytes"
    forerun("prefix", "average", "again.h5", "a", "b", "--as", "mean")
    mean, a, b = (forerun_prefix.open("again.h5")[name] for name in ("mean", "a", "b"))
    wanted = ((a.keys[0].astype(float) + b.keys[0]) / 2).astype(numpy.float32)
    assert (mean.keys[0] == wanted).all() and mean.attributes["init"] == "average of 2 prefixes: a, b"


def prefix_from_arrays():
    generator = numpy.random.default_rng(3)
    arrays = generator.standard_normal((2, 3, 4, 2, 8)).astype(numpy.float32)
    odd = "{source}\n\"\\\u00e9\u4e2d\udcff\t{target}"
    upper = forerun_prefix.Prefix(arrays[0], arrays[1].astype(numpy.float64), first_layer=1, base_layers=6, seed=2 ** 64 - 1,
                                  template_text=odd, init="", best_loss=1.25, best_step=7, step=9,
                                  positions="after_prefix_within_window", base_norm_eps=1e-5)
    whole = forerun_prefix.Prefix({1: arrays[0][1], 0: arrays[0][0]}, {0: arrays[1][0], 1: arrays[1][1]}, chat=True,
                                  chat_template="{{ messages }}\n\u00e9", chat_arguments='{"a":1}', chat_clock="2026-01-31")
    config = "# " + 300000 * "x"  # beyond the 64 KiB of HDF5's old attributes
    collection = forerun_prefix.Collection({"upper": upper}, base_shape="by hand", base_digest="ab" * 32, config=config)
    collection["a.b-C_9"] = whole
    forerun_prefix.write("hand.h5", collection)
    text = forerun("inspect", "hand.h5")
    for line in ("Forerun prefix, format 2.4", "layers       1 to 3 of 0 to 5", "window       slides", "loss 1.250000 at step 7",
                 "seed 18446744073709551615", "weights sha256 " + "ab" * 32, "4 slots x 2 layers x 2 key/value heads x 8",
                 'arguments    {"a":1}', "clock        2026-01-31"):
        assert line in text, (line, text)
    read = forerun_prefix.open("hand.h5")
    assert list(read) == ["upper", "a.b-C_9"] and read.attributes == collection.attributes
    for name in read:
        told = {key: value for key, value in read[name].attributes.items() if key != "moments"}
        assert told == collection[name].attributes, (told, collection[name].attributes)
        for layer in read[name].layers:
            assert (read[name].keys[layer] == collection[name].keys[layer]).all()
    forerun("prefix", "rename", "hand.h5", "upper", "renamed")
    assert forerun_prefix.open("hand.h5")["renamed"].attributes["template_text"] == odd
    subprocess.run([sys.executable, os.path.join(SOURCE, "tests/support/h5_tree.py"), "hand.h5"], check=True,
                   stdout=subprocess.DEVNULL)


def refuses_to_write_what_forerun_refuses():
    good = numpy.ones((3, 2, 8), numpy.float32)
    make = forerun_prefix.Prefix
    bad = good.copy()
    bad[2, 1, 7] = numpy.inf
    for name in ("", "a/b", "..", "a b", "x" * 101, "\u00e9", "a\n"):
        refused_write("cannot be stored; use 1 to 100 letters", {name: make([good], [good])})
    refused_write("k of layer 0 has a number that is not finite", {"t": make([bad], [good])})
    refused_write("v of layer 1 has shape (2, 2, 8)", {"t": make([good, good], [good, good[:2]])})
    refused_write("of the same layers, one after another", {"t": make([good], [good, good])})
    refused_write("of the same layers, one after another", {"t": make({0: good, 2: good}, {0: good, 2: good})})
    refused_write("of the same layers, one after another", {"t": make([], [])})
    refused_write("three dimensions", {"t": make([good[0]], [good[0]])})
    refused_write("length is 0, must be a whole number from 1", {"t": make([good[:0]], [good[:0]])})
    refused_write("of a base of 1", {"t": make([good], [good], first_layer=1, base_layers=1)})
    for name, value, part in (("step", 10 ** 9 + 1, "whole number from 0 to 1000000000"), ("seed", 2 ** 64, "must be a whole"),
                              ("cursor", -1, "must be"), ("best_loss", float("nan"), "a number, or infinity"),
                              ("chat", 1, "0 or 1"), ("init", "a\0b", "without NUL"), ("data_digest", "xy", "64 hex"),
                              ("positions", "before_prefix", "must be after_prefix or"), ("key_rope", "pre", "must be post")):
        refused_write(part, {"t": make([good], [good], **{name: value})})
    refused_write("base_digest is 'ff', must be 64", forerun_prefix.Collection({"t": make([good], [good])}, base_digest="ff"))
    refused_write("65537 tasks cannot be stored", {"t%d" % i: make([good], [good]) for i in range(65537)})
    refused_write("at least one prefix", {})
    for name, most in (("chat_template", 65536), ("chat_arguments", 1 << 20), ("chat_clock", 64)):
        refused_write("must have at most %d" % most, {"t": make([good], [good], chat=True, **{name: "x" * (most + 1)})})
    refused_write("init is", {"t": make([good], [good], init="\ud800")})
    try:
        forerun_prefix.write("x.h5", make([good], [good]))
        raise AssertionError("a prefix without a name is taken")
    except TypeError as error:
        assert "by their names" in str(error)
    refused("is not a regular file; of a run folder give", forerun_prefix.open, "run")
    os.symlink("run/best.h5", "link.h5")
    refused("link.h5 is not a regular file", forerun_prefix.write, "link.h5", {"t": make([good], [good])})
    for wrong in (lambda: make([good], [good], stepp=1), lambda: forerun_prefix.Collection(base="x")):
        try:
            wrong()
            raise AssertionError("an unknown attribute is taken")
        except TypeError as error:
            assert "no attribute" in str(error)


def full_disk_loses_nothing():
    before = open("hand.h5", "rb").read()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        forerun_prefix.write("hand.h5", forerun_prefix.open("hand.h5"))
        raise AssertionError("written beyond the limit")
    except OSError as error:
        assert error.errno == errno.EFBIG, error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert open("hand.h5", "rb").read() == before
    assert not [name for name in os.listdir(".") if ".tmp." in name], os.listdir(".")


def seal(data, change=None):
    """The file with some of its bytes changed under a right seal."""
    body = bytearray(data[512:])
    if change is not None:
        change(body)
    header = data[:512].split(b"\n")
    header[1] = b"sha256 " + hashlib.sha256(body).hexdigest().encode()
    return b"\n".join(header) + bytes(body)


def refuses_damage_and_other_formats():
    data = open("run/checkpoint-2.h5", "rb").read()

    def reads(content):
        with open("bad.h5", "wb") as file:
            file.write(content)
        forerun_prefix.open("bad.h5")

    assert seal(data) == data
    reads(data)
    generator = numpy.random.default_rng(5)
    for place in generator.integers(0, len(data), 60):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(generator.integers(8))
        refused("", reads, bytes(flipped))
    for length in (0, 5, 300, 512, 700, len(data) - 1):
        refused("", reads, data[:length])
    refused("SHA-256", reads, data + b"\0")
    refused("has format 3.0, this module reads 2.x", reads, data.replace(b"checkpoint 2.2", b"checkpoint 3.0", 1))
    refused("has format 1, this module reads 2.x; convert it", forerun_prefix.open, os.path.join(SOURCE, "tests/data/format1/one.h5"))
    refused("is not a Forerun checkpoint", forerun_prefix.open, os.path.join(SOURCE, "README.md"))
    os.mkfifo("fifo.h5")
    refused("is not a regular file", forerun_prefix.open, "fifo.h5")
    newer = seal(data.replace(b"checkpoint 2.2", b"checkpoint 2.9", 1),
                 lambda body: body.__setitem__(slice(0, len(body)), body.replace(b'"schema_minor":2', b'"schema_minor":9')))
    reads(newer)  # another minor version of what this one knows


def refuses_sealed_hostile_files():
    """Each change is refused by forerun too."""
    task = "/tasks/a"
    changes = [task + "@cursor=9223372036854775807", task + "@step=1000000001", task + "@best_loss=\"nan\"", task + "@best_loss=1.5",
               task + "@best_loss=\"1.50\"", task + "@seed=-1", task + "@seed=18446744073709551616", task + "@chat=2",
               task + "@chat=true", task + "@init=7", task + "@init=\"\\u0000\"", task + "@init=\"\\u0100\"",
               task + "@data_digest=\"00\"", task + "@data_digest=drop", task + "@length=drop", task + "@length=0", task + "@length=4",
               task + "@length=1048576", task + "@n_layers=1048576", task + "@n_layers=1", task + "@first_layer=1",
               task + "@moments=0", task + "@mlp_hidden=3", task + "@positions=\"before_prefix\"", task + "@key_order=\"pairs\"",
               task + "@key_rope=drop", task + "/layers/0/k[3]=nan", task + "/layers/1/s_v[0]=-inf",
               task + "/layers/0/v:offset=512", task + "/layers/0/v:offset=9223372036854775804", task + "/layers/0/v:offset=-8",
               task + "/layers/0/v:bytes=8", task + "/layers/0/v:shape=[5,16]", task + "/layers/0/v:shape=[5,2,8.0]",
               "/@tasks=\"a\"", "/@tasks=\"a\\nb\\na\"", "/@tasks=\"a\\n../b\"", "/@schema_version=3", "/@tasks=drop", "line", "deep",
               "long"]
    with open("run/checkpoint-2.h5", "rb") as file:
        lines = file.read()[512:].split(b"\0")[0].decode().splitlines()
    offset = next(json.loads(line)["offset"] for line in lines if "layers/0/k" in line)
    changes.append("%s/layers/0/v:offset=%d" % (task, offset + 4))
    changes += [task + "@%s=\"%s\"" % (name, "x" * most)
                for name, most in (("chat_template", 65537), ("chat_clock", 65))]
    for change in changes:
        subprocess.run([sys.executable, TAMPER, "run/checkpoint-2.h5", "bad.h5", change], check=True)
        refused("bad.h5", forerun_prefix.open, "bad.h5")
        code = subprocess.run([FORERUN, "inspect", "bad.h5"], capture_output=True, check=False).returncode
        assert code in (4, 6), (change, code)
    subprocess.run([sys.executable, TAMPER, "run/checkpoint-2.h5", "bad.h5", task + "@unknown=[1,{\"x\":2}]"], check=True)
    assert "unknown" not in forerun_prefix.open("bad.h5")["a"].attributes


def main():
    for check in (reads_what_forerun_wrote, writes_what_forerun_reads, prefix_from_arrays, refuses_to_write_what_forerun_refuses,
                  full_disk_loses_nothing, refuses_damage_and_other_formats, refuses_sealed_hostile_files):
        check()
        print("  %s: ok" % check.__name__)


main()
