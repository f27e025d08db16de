#!/usr/bin/env python3
"""Reference values of Gemma 3 270M, computed by transformers on the weights of its GGUF file.

Needs torch, transformers and gguf (PyPI). Writes tests/golden/gemma3.json: cases with token ids, with the nats of
the tokens from `from` on, and with a greedy continuation as ids, each without a prefix and with one of SLOTS slots
whose numbers come from a hash (`slot_values`), so that the file need not hold them. `window` says what the windows of
the base's layers see of the prefix: all of it (always) or what lies within the window (slides). Run once; the numbers
are kept.

The ids are pieces of TEXT by the longest match, which need not be the tokenizer's own choice: only ids are compared.

usage: make_gemma3.py MODEL.gguf TEXT OUT.json
"""
import json
import sys

import numpy
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from transformers import DynamicCache, Gemma3ForCausalLM, Gemma3TextConfig

SLOTS = 16
SHORT, LONG, PROMPT, NEW_TOKENS = 48, 600, 496, 30
FROM = 512 - SLOTS  # the first tokens that a window of 512 takes slots from
CLEAR = 1e-2  # by how much the best logit must lead, so that rounding cannot choose another token

NAMES = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
         "attn_k_norm": "self_attn.k_norm", "post_attention_norm": "post_attention_layernorm",
         "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


def setting(reader, name):
    return reader.fields["gemma3." + name].contents()


def name_of(tensor):
    if not tensor.startswith("blk."):
        return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[tensor]
    _, layer, kind, _ = tensor.split(".")
    return "model.layers.%s.%s.weight" % (layer, NAMES[kind])


def load_model(reader):
    """The file holds the norms as they multiply, transformers as what is added to 1."""
    config = Gemma3TextConfig(
        vocab_size=len(reader.fields["tokenizer.ggml.tokens"].data), hidden_size=setting(reader, "embedding_length"),
        intermediate_size=setting(reader, "feed_forward_length"), num_hidden_layers=setting(reader, "block_count"),
        num_attention_heads=setting(reader, "attention.head_count"),
        num_key_value_heads=setting(reader, "attention.head_count_kv"),
        head_dim=setting(reader, "attention.key_length"), query_pre_attn_scalar=setting(reader, "attention.key_length"),
        rms_norm_eps=setting(reader, "attention.layer_norm_rms_epsilon"),
        sliding_window=setting(reader, "attention.sliding_window"),
        max_position_embeddings=setting(reader, "context_length"), tie_word_embeddings=True,
        rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": setting(reader, "rope.freq_base")},
                         "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}})
    assert config.layer_types == [("sliding" if (i + 1) % 6 else "full") + "_attention" for i in range(18)]
    config._attn_implementation = "eager"
    model = Gemma3ForCausalLM(config).float().eval()
    weights = {}
    for tensor in reader.tensors:
        values = torch.from_numpy(numpy.array(dequantize(tensor.data, tensor.tensor_type), dtype=numpy.float32))
        weights[name_of(tensor.name)] = values - 1 if "norm" in tensor.name else values
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model


def slot_values(config):
    """K and V [layer][slot][head width] from the element's number: MurmurHash3's last steps, the upper 16 bits, to
    [-1, 1)."""
    n = config.num_hidden_layers * SLOTS * config.num_key_value_heads * config.head_dim
    h = numpy.arange(1, 2 * n + 1, dtype=numpy.uint64)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = ((h ^ (h >> numpy.uint64(shift))) * numpy.uint64(factor)) & numpy.uint64(0xFFFFFFFF)
    h ^= h >> numpy.uint64(16)
    values = (h >> numpy.uint64(16)).astype(numpy.float32) / 32768 - 1
    return torch.from_numpy(values).view(2, config.num_hidden_layers, 1, SLOTS, config.num_key_value_heads,
                                         config.head_dim).transpose(3, 4)


def masks(n, slots, window, slides):
    """What token t sees: slot j at position j, token u at position slots + u."""
    query = torch.arange(slots, slots + n)[:, None]
    key = torch.arange(slots + n)[None, :]
    full = key <= query
    local = full & (query - key < window)
    if not slides:
        local = local | (key < slots)

    def as_bias(seen):
        return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[None, None]

    return {"full_attention": as_bias(full), "sliding_attention": as_bias(local)}


def logits_of(model, ids, window, n_last=0):
    """Of the last n_last tokens; 0: of all."""
    config = model.config
    cache = DynamicCache()
    slots = 0 if window == "none" else SLOTS
    if slots:
        keys, values = slot_values(config)
        for layer in range(config.num_hidden_layers):
            cache.update(keys[layer], values[layer], layer)
    with torch.no_grad():
        return model(torch.tensor([ids]), past_key_values=cache, use_cache=True, logits_to_keep=n_last,
                     attention_mask=masks(len(ids), slots, config.sliding_window, window == "slides"),
                     position_ids=torch.arange(slots, slots + len(ids))[None]).logits[0].double()


def nats_case(model, ids, first, window):
    logits = logits_of(model, ids, window)
    nats = torch.nn.functional.cross_entropy(logits[first - 1:-1], torch.tensor(ids[first:]), reduction="none")
    return {"window": window, "ids": ids, "from": first, "nats": [round(float(n), 6) for n in nats]}


def greedy_case(model, ids, window):
    new = list(ids)
    for _ in range(NEW_TOKENS):
        best = logits_of(model, new, window, 1)[-1].topk(2)
        lead = float(best.values[0] - best.values[1])
        assert lead > CLEAR, "two tokens are as good as each other (%g); choose another text" % lead
        new.append(int(best.indices[0]))
    return {"window": window, "ids": ids, "greedy": new[len(ids):]}


def longest_match(reader, text):
    field = reader.fields["tokenizer.ggml.tokens"]
    pieces = {bytes(field.parts[at]).decode("utf-8"): i for i, at in enumerate(field.data)}
    text = text.replace(" ", "\u2581")
    ids, at = [int(reader.fields["tokenizer.ggml.bos_token_id"].contents())], 0
    while at < len(text) and len(ids) < LONG:
        end = next(end for end in range(min(at + 32, len(text)), at, -1) if text[at:end] in pieces)
        ids.append(pieces[text[at:end]])
        at = end
    assert len(ids) == LONG, "the text is too short"
    return ids


def main():
    path, text, out = sys.argv[1:4]
    torch.manual_seed(1)
    reader = GGUFReader(path)
    model = load_model(reader)
    with open(text, encoding="utf-8") as file:
        ids = longest_match(reader, file.read())
    # a plain call with transformers' own masks must agree with the masks made here
    with torch.no_grad():
        own = model(torch.tensor([ids])).logits[0].double()
    assert float((own - logits_of(model, ids, "none")).abs().max()) < 1e-3
    losses = [nats_case(model, ids[:SHORT], 1, window) for window in ("none", "always")]
    losses += [nats_case(model, ids, FROM, window) for window in ("none", "always", "slides")]
    greedy = [greedy_case(model, ids[:PROMPT], window) for window in ("none", "always", "slides")]
    with open(out, "w", encoding="utf-8") as file:
        file.write('{"slots": %d,\n"losses": [\n%s],\n"greedy": [\n%s]}\n'
                   % (SLOTS, ",\n".join(map(json.dumps, losses)), ",\n".join(map(json.dumps, greedy))))


main()
