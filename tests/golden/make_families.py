"""Tiny random models of many families, and what Transformers computes on them behind a prefix.

usage: make_families.py OUTPUT [LLAMA_CPP]: LLAMA_CPP is the source folder of llama.cpp with its converter (conversion/,
gguf-py/); without it no GGUF files are made.

For each case OUTPUT gets a folder CASE with config.json, model.safetensors (BF16) and perhaps model.gguf (by llama.cpp's
converter), and golden values CASE.pP.MODE.safetensors for prefixes of P slots. MODE `always`: every token sees all slots
of the prefix; `slides` (cases with a window): a layer with a window hides slot j from token t once p + t - j >= window.
README.md of this folder names the tensors.
"""
import copy
import json
import os
import shutil
import sys
import tempfile

import torch
import transformers
from safetensors.torch import save_file

VOCABULARY, TOKENS, PREFIXES, WINDOW = 96, 44, (1, 32), 8
PROMPT, NEW = 5, 30
SCALE = 1.3  # of the prefix
# what a test may rely on: choices of the greedy continuation, and the reference's own error
SMALLEST_MARGIN, LARGEST_ERROR = 5e-3, 4e-5

LLAMA = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
GEMMA = dict(LLAMA, head_dim=16, num_attention_heads=2, num_key_value_heads=1, intermediate_size=32, sliding_window=WINDOW)
GEMMA2 = dict(GEMMA, attn_logit_softcapping=4.0, final_logit_softcapping=9.0)
GEMMA3 = dict(GEMMA, num_hidden_layers=6, hidden_size=24, query_pre_attn_scalar=16, rope_parameters={
    "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 100000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0}})
PHI3 = dict(LLAMA, head_dim=None)
NEOX = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2)
WEAK_LAYERS = {"GPTNeoX", "OPT", "Bloom"}  # whose layers need larger weights to matter


def rope(kind, **keys):
    return {"rope_type": kind, "rope_theta": 10000.0, **keys}


# name: (class prefix, configuration, does it continue a prompt, can GGUF express it)
CASES = {
    "llama": ("Llama", dict(LLAMA), True, True),
    "llama3": ("Llama", dict(LLAMA, head_dim=16, tie_word_embeddings=True, rope_parameters=rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)), True, True),
    "llama_linear": ("Llama", dict(LLAMA, rope_parameters=rope("linear", factor=3.0)), False, True),
    "llama_yarn": ("Llama", dict(LLAMA, head_dim=16, max_position_embeddings=4096, rope_parameters=rope(
        "yarn", factor=4.0, original_max_position_embeddings=1024)), False, True),
    "llama_bias": ("Llama", dict(LLAMA, attention_bias=True, mlp_bias=True), False, True),
    "qwen2": ("Qwen2", dict(LLAMA, tie_word_embeddings=True), False, True),
    # GGUF has no key for the windows of this and the next: llama.cpp ignores them
    "qwen2_window": ("Qwen2", dict(LLAMA, num_hidden_layers=3, use_sliding_window=True, sliding_window=WINDOW,
                                   max_window_layers=1, tie_word_embeddings=True), False, False),
    "mistral": ("Mistral", dict(LLAMA, head_dim=16, num_attention_heads=2, num_key_value_heads=1, sliding_window=WINDOW),
                True, False),
    "qwen3": ("Qwen3", dict(LLAMA, head_dim=16, num_attention_heads=4), False, True),
    "gemma2": ("Gemma2", dict(GEMMA2, query_pre_attn_scalar=16, num_hidden_layers=3), True, True),
    # GGUF has no key for the scale: llama.cpp takes that of head_dim
    "gemma2_scale": ("Gemma2", dict(GEMMA2, query_pre_attn_scalar=40), False, False),
    "gemma3": ("Gemma3", dict(GEMMA3), True, True),
    "smollm3": ("SmolLM3", dict(LLAMA, num_hidden_layers=4, intermediate_size=32, no_rope_layers=[1, 1, 1, 0]), True, True),
    "granite": ("Granite", dict(LLAMA, embedding_multiplier=3.0, attention_multiplier=0.5, residual_multiplier=0.6,
                                logits_scaling=0.7, tie_word_embeddings=True), False, True),
    "olmo2": ("Olmo2", dict(LLAMA), False, True),
    "phi3": ("Phi3", dict(PHI3, sliding_window=WINDOW), True, True),
    # short factors while all positions are below 64, else the long ones
    "phi3_longrope": ("Phi3", dict(PHI3, num_attention_heads=2, num_key_value_heads=1,
                                   original_max_position_embeddings=64, rope_parameters=rope(
                                       "longrope", partial_rotary_factor=0.75, short_factor=[1.0, 1.02, 1.1, 1.2, 1.5, 1.8],
                                       long_factor=[1.1, 1.5, 2.5, 4.0, 7.0, 12.0])), True, True),
    "gpt_neox": ("GPTNeoX", dict(NEOX, rope_parameters=rope("default", partial_rotary_factor=0.25)), True, False),
    "gpt_neox_seq": ("GPTNeoX", dict(NEOX, use_parallel_residual=False,
                                     rope_parameters=rope("default", partial_rotary_factor=0.5)), False, False),
    "opt": ("OPT", dict(hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=32,
                        max_position_embeddings=80), True, False),
    "bloom": ("Bloom", dict(hidden_size=32, n_layer=2, n_head=4), False, False),
    "bloom_6": ("Bloom", dict(hidden_size=48, n_layer=2, n_head=6), True, False),
}


def make_config(prefix, settings):
    settings = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
                **({} if prefix == "Bloom" else {"max_position_embeddings": 256}), **settings}
    if settings.get("head_dim", 0) is None:
        del settings["head_dim"]
    name = prefix + ("TextConfig" if prefix == "Gemma3" else "Config")
    return getattr(transformers, name)(**settings, attn_implementation="eager")


def fill(model, generator, gemma, gain):
    """Random parameters that BF16 holds exactly. Gemma adds 1 to weights of norms and scales embeddings, whose product
    with themselves would else choose the next token."""
    embeddings = {id(model.get_input_embeddings().weight)}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.randn(parameter.shape, generator=generator)
            if id(parameter) in embeddings:
                values *= 0.2 if gemma else 0.3
            elif parameter.dim() > 1:
                values *= gain / parameter[0].numel() ** 0.5
            elif name.endswith("bias"):
                values *= 0.3
            else:
                values = 0.3 * values + (0.0 if gemma else 1.0)
                if gemma and name.endswith("model.norm.weight"):
                    values += 2.0
            parameter.copy_(values.bfloat16().float())


def make_model(prefix, config, seed):
    model = getattr(transformers, prefix + "ForCausalLM")(config).float().eval()
    fill(model, torch.Generator().manual_seed(seed), prefix.startswith("Gemma"), 2.0 if prefix in WEAK_LAYERS else 1.3)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def window_layers(config):
    """Has each layer a window?"""
    if getattr(config, "layer_types", None):
        return [kind == "sliding_attention" for kind in config.layer_types]
    return [getattr(config, "sliding_window", None) is not None] * config.num_hidden_layers


def mask_of(n, p, window, slides, dtype):
    """[1, 1, n, p + n], added to the scores."""
    query, key = torch.arange(p, p + n)[:, None], torch.arange(p + n)[None, :]
    seen = key <= query
    if window is not None:
        near = query - key < window
        seen &= near if slides else near | (key < p)
    return torch.zeros(n, p + n, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)[None, None]


def masks_of(config, n, p, slides, dtype):
    window = getattr(config, "sliding_window", None)
    if config.model_type == "bloom":  # takes which keys are there, and there are no windows
        return torch.ones(1, p + n, dtype=torch.long)
    if getattr(config, "layer_types", None):
        return {"full_attention": mask_of(n, p, None, slides, dtype),
                "sliding_attention": mask_of(n, p, window, slides, dtype)}
    return mask_of(n, p, window, slides, dtype)


def run(model, ids, k, v, slides, own_masks=False):
    """Logits of one row; the cache keeps all keys, so that only the masks decide what is seen."""
    cache = transformers.DynamicCache()
    for layer in range(k.shape[0]):
        cache.update(k[layer][None], v[layer][None], layer)
    n, p, dtype = ids.shape[1], k.shape[2], model.dtype
    inputs = {"input_ids": ids, "cache": cache, "use_cache": True}
    if not own_masks:
        inputs["attention_mask"] = masks_of(model.config, n, p, slides, dtype)
    if model.config.model_type != "bloom":
        inputs["position_ids"] = torch.arange(p, p + n)[None]
    return model(**inputs).logits


def token_losses(logits, ids):
    return torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:], reduction="none")[None]


def greedy(model, prompt, k, v, slides):
    """Continuation without a cache of tokens, and how far the second choice was at the closest."""
    ids, margin = prompt, float("inf")
    for _ in range(NEW):
        top = torch.topk(run(model, ids, k, v, slides)[0, -1], 2)
        margin = min(margin, float(top.values[0] - top.values[1]))
        ids = torch.cat([ids, top.indices[:1][None]], dim=1)
    return ids[:, prompt.shape[1]:], margin


def choose_prompt(model, k, v, slides, generator):
    """A prompt whose continuation is no loop over few tokens and has no near ties."""
    best = None
    for _ in range(12):
        prompt = torch.randint(3, VOCABULARY, (1, PROMPT), generator=generator)
        generated, margin = greedy(model, prompt, k, v, slides)
        distinct = len(set(generated[0].tolist()))
        if margin >= SMALLEST_MARGIN and (best is None or distinct > best[0]):
            best = (distinct, prompt, generated, margin)
        if best and best[0] >= 10:
            break
    return best


def golden(name, model, p, slides, continues, generator):
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    shape = (config.num_hidden_layers, heads, p, head_dim)
    k = (SCALE * torch.randn(shape, generator=generator)).requires_grad_()
    v = (SCALE * torch.randn(shape, generator=generator)).requires_grad_()
    ids = torch.randint(3, VOCABULARY, (1, TOKENS), generator=generator)
    logits = run(model, ids, k, v, slides)
    losses = token_losses(logits, ids)
    loss = losses.mean()
    loss.backward()
    out = {"input_ids": ids, "prefix_k": k, "prefix_v": v, "logits": logits, "token_loss": losses, "loss": loss,
           "grad_k": k.grad, "grad_v": v.grad}
    with torch.no_grad():
        if slides or not any(window_layers(config)):
            assert torch.equal(run(model, ids, k, v, slides, own_masks=True), logits), "these are not Transformers' masks"
        exact = run(copy.deepcopy(model).double(), ids, k.double(), v.double(), slides)
        error = float((exact - logits).abs().max())
        other = run(model, ids, torch.zeros_like(k), torch.zeros_like(v), slides)
        effect = float((token_losses(other, ids) - losses).abs().mean())
        note = ""
        if continues:
            distinct, out["prompt"], out["generated"], margin = choose_prompt(model, k, v, slides, generator)
            note = f", {distinct} tokens in the continuation, margin {margin:.3f}"
    print(f"{name} p={p} {'slides' if slides else 'always'}: loss {float(loss.detach()):.3f}, "
          f"logits' deviation {float(logits.std()):.2f}, prefix changes losses by {effect:.2f}, "
          f"gradients up to {float(k.grad.abs().max()):.1e} {float(v.grad.abs().max()):.1e}, f32 error {error:.1e}{note}")
    assert error <= LARGEST_ERROR, "weights of this case make f32 too inexact"
    return {key: value.detach().contiguous() for key, value in out.items()}


def save_model(model, folder):
    copy.deepcopy(model).bfloat16().save_pretrained(folder)
    generation = os.path.join(folder, "generation_config.json")
    if os.path.exists(generation):
        os.remove(generation)


def save_multimodal(text, output):
    """The same language model within a multimodal one, whose vision tower is to be ignored."""
    vision = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=8, patch_size=4)
    config = transformers.Gemma3Config(
        text_config=text.config.to_dict(), vision_config=vision, mm_tokens_per_image=1, boi_token_index=93,
        eoi_token_index=94, image_token_index=95, attn_implementation="eager")
    model = transformers.Gemma3ForConditionalGeneration(config).float().eval()
    fill(model, torch.Generator().manual_seed(99), True, 1.0)
    model.model.language_model.load_state_dict(text.model.state_dict())
    model.tie_weights()
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, text(input_ids=ids).logits)
    save_model(model, os.path.join(output, "gemma3_mm"))


def write_vocabulary(self):
    """Stands in for reading a tokenizer, which these models have not."""
    tokens = [f"t{i}" for i in range(VOCABULARY)]
    self.gguf_writer.add_tokenizer_model("gpt2")
    self.gguf_writer.add_tokenizer_pre("default")
    self.gguf_writer.add_token_list(tokens)
    self.gguf_writer.add_token_types([1] * VOCABULARY)
    self.gguf_writer.add_token_merges(["t 1", "t 2"])


def convert(case, output):
    """llama.cpp's own converter; it reads the size of a vocabulary from tokenizer.json."""
    import gguf
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

    with tempfile.TemporaryDirectory() as temporary:
        folder = os.path.join(temporary, case)
        shutil.copytree(os.path.join(output, case), folder)
        with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as file:
            json.dump({"model": {"vocab": {f"t{i}": i for i in range(VOCABULARY)}}, "added_tokens": []}, file)
        from pathlib import Path
        hparams = ModelBase.load_hparams(Path(folder), False)
        kind = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
        kind = type(kind.__name__, (kind,), {"set_vocab": write_vocabulary, "model_arch": kind.model_arch})
        with torch.inference_mode():
            kind(Path(folder), gguf.LlamaFileType.MOSTLY_BF16, Path(output) / case / "model.gguf", eager=True).write()


def make(name, output, converter):
    prefix, settings, continues, in_gguf = CASES[name]
    seed = 1000 + 10 * list(CASES).index(name)
    config = make_config(prefix, settings)
    model = make_model(prefix, config, seed)
    save_model(model, os.path.join(output, name))
    generator = torch.Generator().manual_seed(seed + 1)
    modes = (False, True) if any(window_layers(config)) else (False,)
    for p in PREFIXES:
        for slides in modes:
            # the continuation would change its rotation on the way
            changes = name == "phi3_longrope" and p + PROMPT + NEW > config.original_max_position_embeddings
            values = golden(name, model, p, slides, continues and not changes, generator)
            save_file(values, os.path.join(output, f"{name}.p{p}.{'slides' if slides else 'always'}.safetensors"))
    if name == "gemma3":
        save_multimodal(model, output)
    if converter and in_gguf:
        convert(name, output)


def main():
    output, converter = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    if converter:
        sys.path[:0] = [converter, os.path.join(converter, "gguf-py")]
    torch.set_num_threads(1)
    os.makedirs(output, exist_ok=True)
    for name in CASES:
        make(name, output, converter)


if __name__ == "__main__":
    main()
