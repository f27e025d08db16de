#!/usr/bin/env python3
"""Write rotation.tsv: inverse frequencies and scales of rotary embeddings as transformers computes them (in f32).

    python3 tests/data/make_rotation.py > tests/data/rotation.tsv

Made with transformers 5.24. Each line: a name, theta, rotary, the scale, then the inverse frequency of each pair."""

from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

SHORT = [1.0 + 0.05 * i for i in range(16)]
LONG = [1.0 + 0.7 * i for i in range(16)]
CASES = {
    "linear": dict(rope_type="linear", factor=4.0),
    "llama3": dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=8192),
    "llama3_near": dict(rope_type="llama3", factor=2.0, low_freq_factor=0.5, high_freq_factor=2.0,
                        original_max_position_embeddings=64),
    "yarn": dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=4096),
    "yarn_whole": dict(rope_type="yarn", factor=40.0, original_max_position_embeddings=64, truncate=False,
                       beta_fast=16, beta_slow=2, mscale=0.7, mscale_all_dim=1.2),
    "yarn_scale": dict(rope_type="yarn", factor=2.0, original_max_position_embeddings=64, attention_factor=1.5),
    "longrope_short": dict(rope_type="longrope", short_factor=SHORT, long_factor=LONG,
                           original_max_position_embeddings=4096),
    "longrope_long": dict(rope_type="longrope", short_factor=SHORT, long_factor=LONG,
                          original_max_position_embeddings=4096),
}


def main():
    """Print all lines."""
    print("# made by make_rotation.py: name, theta, rotary, scale, inverse frequencies")
    for name, parameters in CASES.items():
        theta = 500000.0 if "llama3" in name else 10000.0
        config = LlamaConfig(hidden_size=128, num_attention_heads=4, max_position_embeddings=131072,
                             rope_parameters=dict(parameters, rope_theta=theta))
        length = 131072 if name == "longrope_long" else None
        frequencies, scale = ROPE_INIT_FUNCTIONS[parameters["rope_type"]](config, "cpu", seq_len=length)
        numbers = [repr(float(x)) for x in frequencies]
        print("\t".join([name, repr(theta), "32", repr(float(scale)), *numbers]))


main()
