"""Change a prefix file or checkpoint and seal it again, as anybody can.

usage: tamper.py IN.h5 OUT.h5 CHANGE

CHANGE is one of
  OBJECT@NAME=JSON    an attribute, e.g. /tasks/t@cursor=9223372036854775807; `drop` instead of JSON leaves it out
  OBJECT:KEY=JSON     a key of an array's line, e.g. /tasks/t/layers/0/k:offset=0
  OBJECT[I]=NUMBER    element I of an array, e.g. /tasks/t/layers/0/k[3]=nan
  line                the first array's line twice
  deep                a value that is nested 100,000 deep
  long                an index of 120 MiB
  many                ten million attributes, in lines that are not too long
  same                nothing
"""
import hashlib
import json
import re
import struct
import sys


def split(data):
    header = dict(line.split(" ", 1) for line in data[:512].split(b"\0")[0].decode("ascii").split("\n")[1:] if line)
    index = data[512:512 + int(header["index"])].decode("ascii")
    return [json.loads(line) for line in index.splitlines()], data[int(header["block"]):]


def join(lines, hdf5, old_block):
    """Offsets move where the block grows; a line may be text already."""
    def text(line):
        return line if isinstance(line, str) else json.dumps(line, separators=(",", ":"))

    index = "".join(text(line) + "\n" for line in lines).encode("ascii")
    block = 512
    while block < 512 + len(index):
        block *= 2
    if block != old_block:
        for line in lines:
            if not isinstance(line, str) and "array" in line and isinstance(line["offset"], int):
                line["offset"] += block - old_block
        moved = "".join(text(line) + "\n" for line in lines).encode("ascii")
        index = moved if len(moved) <= block - 512 else index
    body = index.ljust(block - 512, b"\0") + hdf5
    header = "Forerun checkpoint 2.0\nsha256 %s\nindex %d\nblock %d\n" % (
        hashlib.sha256(body).hexdigest(), len(index), block)
    return header.encode("ascii").ljust(512, b"\0") + body


def main():
    source, target, change = sys.argv[1:]
    with open(source, "rb") as file:
        data = file.read()
    lines, hdf5 = split(data)
    block = len(data) - len(hdf5)
    objects = {line.get("group", line.get("array")): line for line in lines}
    attribute = re.match(r"([^@:\[]+)@(\w+)=(.*)$", change)
    key = re.match(r"([^@:\[]+):(\w+)=(.*)$", change)
    element = re.match(r"([^@:\[]+)\[(\d+)\]=(.*)$", change)
    if attribute and attribute.group(3) == "drop":
        del objects[attribute.group(1)]["attributes"][attribute.group(2)]
    elif attribute:
        objects[attribute.group(1)]["attributes"][attribute.group(2)] = json.loads(attribute.group(3))
    elif key:
        objects[key.group(1)][key.group(2)] = json.loads(key.group(3))
    elif element:
        at = objects[element.group(1)]["offset"] - block + 4 * int(element.group(2))
        hdf5 = hdf5[:at] + struct.pack("<f", float(element.group(3))) + hdf5[at + 4:]
    elif change == "line":
        first = next(i for i, line in enumerate(lines) if "array" in line)
        lines.insert(first, json.dumps(lines[first]))
    elif change == "deep":
        lines.insert(1, '{"x":' + 100000 * "[" + 100000 * "]" + "}")
    elif change == "long":
        lines.insert(1, '{"x":[' + (60 << 20) * "0," + "0]}")
    elif change == "many":
        for i in (1, 0):
            lines[i] = json.dumps(lines[i], separators=(",", ":"))[:-2] + (5 << 20) * ',"s":1' + "}}"
    elif change != "same":
        sys.exit("unknown change " + change)
    with open(target, "wb") as file:
        file.write(join(lines, hdf5, block))


main()
