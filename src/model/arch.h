/*
 * arch.h - what a model is, apart from its numbers: read from a GGUF header or a config.json.
 */
#ifndef FR_MODEL_ARCH_H
#define FR_MODEL_ARCH_H

#include "base/ctx.h"

#include <stdint.h>

typedef enum fr_family { FR_LLAMA, FR_GPT2 } fr_family;

typedef struct fr_arch {
    fr_family family;
    int64_t n_layers;
    int64_t d_model;
    int64_t d_ff;
    int64_t n_heads;
    int64_t n_kv_heads; /* divides n_heads */
    int64_t head_dim;   /* even; need not be d_model / n_heads */
    int64_t vocab_size;
    int64_t context_length;
    double norm_eps;
    double rope_theta;   /* Llama only */
    bool attention_bias; /* q, k, v and o carry a bias */
    bool mlp_bias;
    bool tied_head; /* the head is the token embedding */
} fr_arch;

/** "llama" or "gpt2". */
const char *fr_family_name(fr_family family);

/** Check ranges and divisibility; FR_ERR_FORMAT naming `path` and the field. */
FR_MUST_CHECK fr_status fr_arch_check(fr_ctx *ctx, const char *path,
                                      const fr_arch *arch);

/**
 * Read only what a model is: the header of a GGUF file, or config.json of a Hugging Face folder, which need not
 * hold anything else.
 * @return as fr_weights_open
 */
FR_MUST_CHECK fr_status fr_arch_read(fr_ctx *ctx, const char *path, fr_arch *out);

/** Layers first, first + 1, ... of a model. */
typedef struct fr_layer_range {
    int64_t first;
    int64_t count;
} fr_layer_range;

/** What of `range` lies within the n layers from `first` on; there a count of 0 is none, in `range` it is all layers
 * above. */
fr_layer_range fr_layers_within(fr_layer_range range, int64_t first, int64_t n);

/** Prefix elements a layer: length * n_kv_heads * head_dim. */
int64_t fr_arch_prefix_elements(const fr_arch *arch, int64_t length);

#endif
