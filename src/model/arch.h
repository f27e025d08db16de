/*
 * arch.h - a model's architecture: its family and sizes, without its weights.
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

/** Check ranges and divisibility. @return FR_OK; FR_ERR_FORMAT naming `path` and the field */
FR_MUST_CHECK fr_status fr_arch_check(fr_ctx *ctx, const char *path,
                                      const fr_arch *arch);

/**
 * Read the architecture alone: from the header of a GGUF file, or from config.json of a Hugging Face folder, which need
 * not hold the weights.
 * @return as fr_weights_open
 */
FR_MUST_CHECK fr_status fr_arch_read(fr_ctx *ctx, const char *path, fr_arch *out);

/** `count` layers of a model from `first` on. */
typedef struct fr_layer_range {
    int64_t first;
    int64_t count;
} fr_layer_range;

/** The part of `range` that lies within the n layers from `first` on. In `range` a count of 0 means all layers from its
 * first on; in the result it means none. */
fr_layer_range fr_layers_within(fr_layer_range range, int64_t first, int64_t n);

/** Elements of the keys, or of the values, of a prefix in one layer: length * n_kv_heads * head_dim. */
int64_t fr_arch_prefix_elements(const fr_arch *arch, int64_t length);

#endif
