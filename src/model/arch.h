/*
 * arch.h - the description of a model: sizes and features, without its weights.
 *
 * Everything that computes, loads, counts bytes or forecasts follows these features; none of it asks for a family's
 * name. A family's table (src/model/families) reads them from the model's files.
 *
 * A layer, with N a norm where the description has it (else the identity) and r the residual scale:
 *
 *     a  = N_attn_post(attention(N_attn(x1)))            x2 = x1 + r a
 *     m  = N_mlp_post(feed_forward(N_mlp(x2)))           y  = x2 + r m
 *
 * `parallel`: the feed-forward half reads x1 in place of x2.
 */
#ifndef FR_MODEL_ARCH_H
#define FR_MODEL_ARCH_H

#include "base/ctx.h"
#include "device/activation.h"
#include "model/rotation.h"

#include <stdint.h>

/** Bounds far above any published model. */
enum { FR_MAX_LAYERS = 1024 };

typedef enum fr_norm {
    FR_NORM_RMS,  /* weight */
    FR_NORM_LAYER /* weight and bias */
} fr_norm;

/** RMS norm of queries and keys, before their rotation. */
typedef enum fr_qk_norm {
    FR_QK_NORM_NONE,
    FR_QK_NORM_HEAD, /* of each head, one weight [head_dim] for all heads */
    FR_QK_NORM_WHOLE /* of all heads together, weights [n_heads * head_dim], [n_kv_heads * head_dim] */
} fr_qk_norm;

/** What tells a token its place. */
typedef enum fr_positions {
    FR_POSITIONS_ROPE,
    FR_POSITIONS_LEARNED, /* rows of a table, added to the embedding */
    FR_POSITIONS_ALIBI /* a slope of each head times the distance, added to the scores */
} fr_positions;

/** How a layer differs from the others, as bits. */
enum {
    FR_LAYER_WINDOW = 1,         /* attention sees the last `window` positions */
    FR_LAYER_LOCAL_ROTATION = 2, /* rotates by local_rotation */
    FR_LAYER_NO_ROTATION = 4     /* does not rotate */
};

typedef struct fr_arch {
    const char *family; /* its name in messages and in prefix files; static */
    int64_t n_layers;   /* <= FR_MAX_LAYERS */
    int64_t d_model;
    int64_t d_ff;
    int64_t n_heads;
    int64_t n_kv_heads; /* divides n_heads */
    int64_t head_dim;   /* even; need not be d_model / n_heads */
    int64_t vocab_size;
    int64_t context_length;

    fr_norm norm; /* kind of all norms but those of queries and keys */
    double norm_eps;
    bool attn_norm; /* which norms a layer has, see above */
    bool attn_post_norm;
    bool mlp_norm;
    bool mlp_post_norm;
    bool embedding_norm; /* layer norm of the embedding */
    fr_qk_norm qk_norm;
    bool parallel;

    bool gated; /* down(activation(gate x) * up x), else down(activation(up x)) */
    fr_activation activation;
    bool qkv_bias;
    bool o_bias;
    bool mlp_bias;  /* up, down, and gate where there is one */
    bool tied_head; /* the head is the token embedding */

    fr_positions positions;
    fr_rotation rotation;
    fr_rotation local_rotation; /* of layers with FR_LAYER_LOCAL_ROTATION */
    int64_t
        window; /* a token sees this many positions up to its own; 0: no layer has a window */
    uint8_t layers[FR_MAX_LAYERS]; /* FR_LAYER_ bits */

    double embedding_scale; /* 1: none, and so below */
    double residual_scale;
    double attention_scale; /* of the scores; 0: 1 / sqrt(head_dim) */
    double attention_cap;   /* scores s become cap tanh(s / cap); 0: none */
    double logit_scale;
    double logit_cap; /* after logit_scale; 0: none */
} fr_arch;

/** A description without features: scales of 1, no norms, no biases. Families start from it; the macro is for their
 * tables. */
fr_arch fr_arch_plain(void);
#define FR_ARCH_PLAIN .embedding_scale = 1.0, .residual_scale = 1.0, .logit_scale = 1.0

/** The window of a layer; 0: none. */
int64_t fr_arch_window(const fr_arch *arch, int64_t layer);

/** Check ranges and divisibility of the sizes, which loops and products of a reader go by.
 * @return FR_OK; FR_ERR_FORMAT naming `path` and the field */
FR_MUST_CHECK fr_status fr_arch_check_sizes(fr_ctx *ctx, const char *path,
                                            const fr_arch *arch);

/** Check the sizes and all features. @return as fr_arch_check_sizes */
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
