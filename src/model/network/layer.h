/*
 * layer.h - one frozen transformer layer with a prefix: weights, forward, activation-only backward.
 *
 * Shape letters as in device.h; Q = H*K and KV = G*K are the
 * widths of the query and key/value parts of the fused projection, W = Q + 2 KV.
 */
#ifndef FR_MODEL_NETWORK_LAYER_H
#define FR_MODEL_NETWORK_LAYER_H

#include "model/network/batch.h"
#include "model/weights/frozen.h"

/** Frozen weights of one layer; matrices in the run's precision or read from the file, vectors f32. */
typedef struct fr_layer {
    fr_matrix qkv;         /* [W, D], rows of q, k, v */
    fr_matrix o;           /* [D, Q] */
    fr_matrix up;          /* Llama: [2F, D], gate then up; GPT-2: [F, D] */
    fr_matrix down;        /* [D, F] */
    float *attn_norm;      /* [D] */
    float *attn_norm_bias; /* [D], layer norm only */
    float *qkv_bias;       /* [W] or NULL */
    float *o_bias;         /* [D] or NULL */
    float *mlp_norm;
    float *mlp_norm_bias;
    float *up_bias;   /* [2F] or [F], or NULL */
    float *down_bias; /* [D] or NULL */
    void *storage[8]; /* owned memory behind the vectors above */
    int n_storage;
} fr_layer;

/** @param frozen  holds the matrices; borrowed as long as the layer lives */
FR_MUST_CHECK fr_status fr_layer_load(fr_ctx *ctx, const fr_weights *weights,
                                      fr_frozen *frozen, int64_t index, fr_layer *out);
void fr_layer_fini(fr_layer *layer);

/**
 * What the backward pass of one layer needs, for T token rows. Q, K, V, O, gate and up in the run's
 * precision, the residual stream in f32. Bytes a token in bf16: 8D + 4Q + 4KV + 4F + 4H + 16.
 * up NULL, or all but x1 NULL: not kept; the forward pass leaves it in the workspace and the backward pass
 * computes it again.
 */
typedef struct fr_saved {
    float *x1_TD; /* layer input */
    float *x2_TD; /* input of the feed-forward half */
    float *norm1; /* rstd_T (RMS norm) or stats_T2 (layer norm) */
    float *norm2;
    void *qkv_TW; /* after RoPE */
    void *o_TQ;
    void *up_TU; /* gate and up (Llama, U = 2F) or up (GPT-2, U = F) */
    float *lse_TH;
    bool only_read; /* past attention only the S rows that the batch reads are computed:
                       x2, norm2, up and the layer's output hold these alone */
} fr_saved;

/** Scratch that all layers of a stage share, for T token rows, f32. */
typedef struct fr_workspace {
    float *h_TD;
    float *qkv_TW;
    float *o_TQ;
    float *up_TU;
    float *act_TF;
    float *dqkv_TW; /* the same memory as act */
    float *x2_TD;   /* this and below: of a layer that keeps nothing */
    float *norm1;
    float *norm2;
    float *lse_TH;
    float *dprefix_k_UP; /* [units, P*KV] */
    float *dprefix_v_UP;
} fr_workspace;

/** The prefix of one layer, borrowed; length 0: none. */
typedef struct fr_layer_prefix {
    const float *k_PGK;
    const float *v_PGK;
    int64_t length;
} fr_layer_prefix;

/** Key/value cache of one layer, keys after RoPE; sequences lie where the batch's segments say. For generation, and to
 * get the prefix that stands for a text. */
typedef struct fr_layer_cache {
    float *k; /* [capacity, KV] */
    float *v;
    const fr_attention_prefix
        *prefixes_U; /* of the pass; NULL: all see the layer's one */
} fr_layer_cache;

/** Everything of a stage that its layers use. */
typedef struct fr_layer_context {
    fr_device *device;
    const fr_arch *arch;
    fr_dtype dtype;
    const float *rope_table; /* [positions, K/2, 2]; NULL for GPT-2 */
    /* fr_linear, or fr_linear_few for a batch that only decodes */
    fr_status (*linear)(fr_device *device, int64_t m, const float *x,
                        const fr_matrix *w, bool accumulate, float *y);
    fr_workspace *workspace;
} fr_layer_context;

/**
 * y = layer(saved->x1). Reads saved->x1_TD, fills what `saved` keeps, writes y_TD (another buffer).
 * @param cache  NULL in training; else this call's keys and values go to each segment's own rows there, and the
 *               segments name cache rows
 */
FR_MUST_CHECK fr_status fr_layer_forward(const fr_layer_context *context,
                                         const fr_layer *layer, const fr_batch *batch,
                                         const fr_layer_prefix *prefix,
                                         fr_layer_cache *cache, const fr_saved *saved,
                                         float *y_TD);

/**
 * Backward: dx_TD holds d loss / d y on entry (S rows with saved->only_read) and d loss / d x1 on return; the
 * workspace's dprefix_* hold the prefix gradient of each unit.
 * @param prefix_only  first layer with a prefix: stop at its attention (dx_TD is then undefined)
 */
FR_MUST_CHECK fr_status fr_layer_backward(const fr_layer_context *context,
                                          const fr_layer *layer, const fr_batch *batch,
                                          const fr_layer_prefix *prefix,
                                          const fr_saved *saved, bool prefix_only,
                                          float *dx_TD);

/** Widths: Q, KV, W and U as above. */
int64_t fr_arch_q_width(const fr_arch *arch);
int64_t fr_arch_kv_width(const fr_arch *arch);
int64_t fr_arch_qkv_width(const fr_arch *arch);
int64_t fr_arch_up_width(const fr_arch *arch);

#endif
