"""A GGUF file as several parts, as llama.cpp's tool splits one: tensors in their order, metadata in the first part.

usage: split_gguf.py FILE.gguf STEM COUNT: writes STEM-00001-of-COUNT.gguf and so on. The order of tensors is that of their data.
"""
import struct
import sys

U16, I32, STRING, ARRAY = 2, 5, 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
ALIGNMENT = 32


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def skip_text(self):
        size = self.take("Q")
        self.at += size

    def skip(self, kind, count=1):
        if kind != STRING:
            self.at += SIZES[kind] * count
            return
        for _ in range(count):
            self.skip_text()

    def pair(self):
        """The bytes of a key with its value."""
        begin = self.at
        self.skip_text()
        kind = self.take("I")
        if kind == ARRAY:
            kind, count = self.take("IQ")
            self.skip(kind, count)
        else:
            self.skip(kind)
        return self.data[begin:self.at]

    def tensor(self):
        """The bytes of an entry of the directory without its offset, and the offset."""
        begin = self.at
        self.skip_text()
        n_dims = self.take("I")
        self.at += 8 * n_dims + 4
        return self.data[begin:self.at], self.take("Q")


def pair(key, kind, value):
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I" + {U16: "H", I32: "i"}[kind], kind, value)


def padded(data):
    return data + b"\0" * (-len(data) % ALIGNMENT)


def main():
    source, stem, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(source, "rb") as file:
        reader = Reader(file.read())
    assert reader.take("4s") == b"GGUF"
    version, n_tensors, n_pairs = reader.take("IQQ")
    pairs = [reader.pair() for _ in range(n_pairs)]
    tensors = [reader.tensor() for _ in range(n_tensors)]
    data = reader.data[-(-reader.at // ALIGNMENT) * ALIGNMENT:]
    tensors.sort(key=lambda tensor: tensor[1])
    ends = [offset for _, offset in tensors[1:]] + [len(data)]
    for number in range(count):
        own = pairs if number == 0 else []
        own = own + [pair("split.no", U16, number), pair("split.count", U16, count),
                     pair("split.tensors.count", I32, n_tensors)]
        directory, blocks = b"", b""
        first, last = number * n_tensors // count, (number + 1) * n_tensors // count
        for (entry, offset), end in list(zip(tensors, ends))[first:last]:
            directory += entry + struct.pack("<Q", len(blocks))
            blocks += padded(data[offset:end])
        head = b"GGUF" + struct.pack("<IQQ", version, last - first, len(own)) + b"".join(own) + directory
        with open("%s-%05d-of-%05d.gguf" % (stem, number + 1, count), "wb") as file:
            file.write(padded(head) + blocks)


main()
