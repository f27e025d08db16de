"""Prefix files and checkpoints of Forerun in Python.

    import forerun_prefix
    prefix = forerun_prefix.open("runs/mine/best.h5")["mine"]
    prefix.keys[0]                  # layer 0: float32 [length, key/value heads, head width]

A file is a dict of prefixes by their names. Files are read by their index, as Forerun itself reads them, and not with the
HDF5 library, which a malicious file can crash. docs/python.md of Forerun is the manual, docs/format-checkpoint.md the format.
"""
# SPDX-License-Identifier: Apache-2.0
from .cache import past_key_values
from .content import Collection, FormatError, Prefix
from .reading import read as open  # pylint: disable=redefined-builtin
from .writing import write

__version__ = "0.1.0"
__all__ = ["Collection", "FormatError", "Prefix", "open", "past_key_values", "write"]
