"""Prefixes in transformers."""
# SPDX-License-Identifier: Apache-2.0
from .content import CONVENTIONS


def past_key_values(prefix, batch=1, dtype=None, device=None):
    """The prefix as a transformers.DynamicCache for `batch` rows, for models of its base.

    The cache counts as `prefix.length` tokens that were read before: the first token of a row has that position, which
    transformers finds out by itself, and the attention mask gets `prefix.length` ones in front of the rows' own. A cache
    is changed by the model that uses it: make a new one for each call. `dtype` and `device` should be the model's. Layers
    with a window hide slots that are too far back, as with `prefix.window: slides`; other prefixes then need short rows."""
    if len(prefix.keys) != prefix.attributes["base_layers"]:
        raise ValueError("the prefix is on layers %d to %d of %d; transformers' cache has one length for all layers, so only "
                         "prefixes on all layers can be used"
                         % (prefix.layers[0], prefix.layers[-1], prefix.attributes["base_layers"]))
    if prefix.attributes["positions"] not in CONVENTIONS["positions"]:
        raise ValueError("positions is %r, which this version does not know" % prefix.attributes["positions"])
    import torch
    import transformers

    cache = transformers.DynamicCache()
    for number, layer in enumerate(prefix.layers):
        pair = [torch.tensor(arrays[layer], dtype=dtype or torch.float32, device=device).permute(1, 0, 2)
                .unsqueeze(0).expand(batch, -1, -1, -1).contiguous() for arrays in (prefix.keys, prefix.values)]
        cache.update(pair[0], pair[1], number)
    return cache
