"""What a file of prefixes holds: the classes, the attributes with their limits, and the header."""
# SPDX-License-Identifier: Apache-2.0
import math
import re

import numpy

MAJOR, MINOR = 2, 4
TITLE = "Forerun checkpoint"
HEADER_BYTES = 512
MAX_TASKS = 1 << 16
MAX_LINE = 64 << 20
MAX_INDEX = 128 << 20
MAX_SIZE = 1 << 20
MAX_COUNT = 10 ** 9
MAX_CURSOR = 1 << 53
OFFSET_DIGITS = 16
NAME = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")
NAME_RULE = "use 1 to 100 letters, digits, '.', '_' and '-', and not dots alone"
SLIDES = "after_prefix_within_window"
CONVENTIONS = {"key_order": ("halves",), "key_rope": ("post",), "positions": ("after_prefix", SLIDES)}
INFINITE = math.inf

# Kinds of attributes: (what Python holds, lowest, highest). Only whole numbers have limits.
FILE_FIELDS = {"config": "text", "base_shape": "text", "base_path": "text", "base_digest": "digest", "isa": "text",
               "version": "text", "layout": "text", "arithmetic": "text"}
TASK_FIELDS = {
    "length": (1, MAX_SIZE), "n_layers": (1, MAX_SIZE), "first_layer": (0, MAX_SIZE), "base_layers": (0, MAX_SIZE),
    "n_kv_heads": (1, MAX_SIZE), "head_dim": (1, MAX_SIZE), "seed": (0, (1 << 64) - 1), "step": (0, MAX_COUNT),
    "cursor": (0, MAX_CURSOR), "stopped": "truth", "best_loss": "real", "best_step": (-1, MAX_COUNT), "last_loss": "real",
    "skipped": (0, MAX_COUNT), "skipped_in_row": (0, MAX_COUNT), "stale_validations": (0, MAX_COUNT), "valid_loss": "real",
    "template_text": "text", "chat": "truth", "eos": "truth", "special": "truth", "leading_bos": "truth", "init": "text",
    "data_digest": "digest", "valid_digest": "digest", "base_loss": "real", "init_loss": "real",
    "chat_template_digest": "text", "base_norm_eps": "real", "chat_template": "text", "chat_arguments": "text", "chat_clock": "text"}
# Since 2.1: files may lack them.
ADDED_FIELDS = {"valid_digest", "base_loss", "init_loss", "chat_template_digest", "base_norm_eps", "chat_template", "chat_arguments",
                "chat_clock"}
# Since 2.4: a file that has one is written as such.
CHAT_FIELDS = ("chat_template", "chat_arguments", "chat_clock")
# Bytes that each of them may have.
CHAT_LIMITS = {"chat_template": 64 << 10, "chat_arguments": 1 << 20, "chat_clock": 64}
MLP_FIELDS = {"mlp_hidden": (1, MAX_SIZE), "mlp_width": (1, MAX_SIZE)}
# What the arrays say themselves.
SHAPE_FIELDS = ("length", "n_layers", "first_layer", "n_kv_heads", "head_dim")
NO_DIGEST = "0" * 64
# Of a task that has not begun.
DEFAULTS = {"seed": 0, "step": 0, "cursor": 0, "stopped": False, "best_loss": INFINITE, "best_step": 0, "last_loss": 0.0,
            "skipped": 0, "skipped_in_row": 0, "stale_validations": 0, "valid_loss": INFINITE, "template_text": None,
            "chat": False, "eos": True, "special": False, "leading_bos": True, "init": None, "data_digest": NO_DIGEST,
            "valid_digest": NO_DIGEST, "base_loss": INFINITE, "init_loss": INFINITE, "chat_template_digest": None,
            "base_norm_eps": 0.0, "chat_template": None, "chat_arguments": None, "chat_clock": None, "key_order": "halves", "key_rope": "post", "positions": "after_prefix"}


class FormatError(ValueError):
    """A file that is damaged, of another format, or holds what it must not; or content that no file may hold."""


class Prefix:
    """Keys and values of one task: dicts of float32 arrays [length, key/value heads, head width] by the layer's number in
    the base; and what the file says of it, by the names of docs/format-checkpoint.md: int, bool, float, str or None."""

    def __init__(self, keys, values, first_layer=0, **attributes):
        self.keys = _by_layer(keys, first_layer)
        self.values = _by_layer(values, first_layer)
        known = set(DEFAULTS) | {"base_layers", "moments"} | set(MLP_FIELDS)
        for name in attributes:
            if name not in known:
                raise TypeError("a prefix has no attribute %r; there are %s" % (name, ", ".join(sorted(known))))
        self.attributes = {**DEFAULTS, **attributes}
        if self.layers:
            self.attributes.setdefault("base_layers", self.layers[-1] + 1)

    @property
    def layers(self):
        """Numbers of the layers that have keys and values, in order."""
        return sorted(self.keys)

    @property
    def shape(self):
        """(length, key/value heads, head width) of each layer."""
        return self.keys[self.layers[0]].shape

    @property
    def length(self):
        """Slots: the first token behind the prefix has this position."""
        return self.shape[0]

    def __repr__(self):
        return "<Prefix of %d slots x %d layers>" % (self.length, len(self.keys))


class Collection(dict):
    """The prefixes of a file by their names, and what the file says of itself and its base: `attributes`."""

    def __init__(self, prefixes=(), **attributes):
        super().__init__(prefixes)
        for name in attributes:
            if name not in FILE_FIELDS:
                raise TypeError("a file has no attribute %r; there are %s" % (name, ", ".join(sorted(FILE_FIELDS))))
        self.attributes = {name: NO_DIGEST if kind == "digest" else None for name, kind in FILE_FIELDS.items()}
        self.attributes.update(attributes)


def _by_layer(arrays, first_layer):
    items = arrays.items() if isinstance(arrays, dict) else enumerate(arrays, first_layer)
    return {int(layer): numpy.asarray(array, dtype="<f4") for layer, array in items}


def block_of(index_bytes):
    block = HEADER_BYTES
    while block < HEADER_BYTES + index_bytes:
        block *= 2
    return block


def header(minor, digest, index_bytes):
    text = "%s %d.%d\nsha256 %s\nindex %d\nblock %d\n" % (TITLE, MAJOR, minor, digest, index_bytes, block_of(index_bytes))
    return text.encode("ascii")


def is_name(name):
    return isinstance(name, str) and NAME.match(name) is not None and name.strip(".") != ""


def allowed(kind):
    if isinstance(kind, tuple):
        return "a whole number from %d to %d" % kind
    return {"text": "a text without NUL", "truth": "0 or 1", "digest": "64 hexadecimal digits",
            "real": "a number, or infinity for none, in its one form"}[kind]
