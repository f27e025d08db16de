#!/usr/bin/env python3
"""Keys of transformers' configuration classes that model_settings.tsv does not list for a family.

    python3 tests/data/check_model_settings.py        (needs transformers; last used with 5.24)
"""

import pathlib
import sys

from transformers import AutoConfig, PreTrainedConfig

LISTED = pathlib.Path(__file__).with_name("model_settings.tsv")


def main():
    """Compare the keys that each class writes with those of the list."""
    rows = [line.split("\t") for line in LISTED.read_text().splitlines() if line and not line.startswith("#")]
    types = sorted({row[0] for row in rows if not row[0].startswith("gguf-")})
    shared = set(PreTrainedConfig().to_dict()) | {"model_type"}
    missing = []
    for name in types:
        listed = {row[1] for row in rows if row[0] == name}
        config = AutoConfig.for_model(name)
        missing += [f"{name}\t{key}" for key in sorted(set(config.to_dict()) - listed - shared)]
    print("\n".join(missing) if missing else "all keys are listed")
    sys.exit(1 if missing else 0)


main()
