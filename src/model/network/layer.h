/*
 * layer.h - one frozen transformer layer with a prefix: weights, forward, activation-only backward.
 *
 * arch.h has the formula of a layer, and says which of its parts a model has. Shape letters as in
 * device.h; Q = H*K and KV = G*K are the widths of the query and key/value parts of the fused
 * projection, W = Q + 2 KV; U = 2F (gated: gate then up) or F.
 */
#ifndef FR_MODEL_NETWORK_LAYER_H
#define FR_MODEL_NETWORK_LAYER_H

#include "device/matrix.h"
#include "model/network/batch.h"
#include "model/network/norm.h"
#include "model/weights/frozen.h"

/** Angles of a rotary embedding, see model/rotation.h. */
typedef struct fr_angles {
    float *
        table; /* [positions, rotary/2, 2] cos and sin; NULL: no layer of the stage needs them */
    int64_t rotary;
} fr_angles;

/** Frozen weights of one layer; matrices in the run's precision or read from the file, vectors f32. */
typedef struct fr_layer {
    fr_matrix qkv;  /* [W, D], rows of q, k, v */
    fr_matrix o;    /* [D, Q] */
    fr_matrix up;   /* [U, D] */
    fr_matrix down; /* [D, F] */
    fr_norm_weights attn_norm;
    fr_norm_weights attn_post_norm;
    fr_norm_weights mlp_norm;
    fr_norm_weights mlp_post_norm;
    float *q_norm; /* [K], or [Q] of all heads together; NULL: none */
    float *k_norm;
    float *qkv_bias;         /* [W] or NULL */
    float *o_bias;           /* [D] or NULL */
    float *up_bias;          /* [U] or NULL */
    float *down_bias;        /* [D] or NULL */
    int64_t window;          /* 0: none */
    const fr_angles *angles; /* NULL: queries and keys are not rotated; borrowed */
    void *storage[16];       /* owned memory behind the vectors above */
    int n_storage;
} fr_layer;

/** @param frozen  holds the matrices; borrowed as long as the layer lives */
FR_MUST_CHECK fr_status fr_layer_load(fr_ctx *ctx, const fr_weights *weights,
                                      fr_frozen *frozen, int64_t index, fr_layer *out);
void fr_layer_fini(fr_layer *layer);

/**
 * What the backward pass of one layer needs, for T token rows. Q, K, V, O, gate and up in the run's
 * precision, the residual stream in f32. Bytes a token in bf16 of a Llama: 8D + 4Q + 4KV + 4F + 4H + 16.
 * up NULL, or all but x1 NULL: not kept; the forward pass leaves it in the workspace and the backward pass
 * computes it again.
 */
typedef struct fr_saved {
    float *x1_TD; /* layer input */
    float *x2_TD; /* input of the feed-forward half */
    float *norm1; /* [T, 2], each */
    float *norm2;
    void *
        qkv_TW; /* after the rotation; of a model with norms of queries and keys: before these */
    void *o_TQ;
    void *up_TU;
    float *lse_TH;
    void *
        attn_out_TD; /* the halves' outputs before their post norms; NULL where there is none */
    void *mlp_out_TD;
    float *attn_post; /* [T, 2] */
    float *mlp_post;
    bool only_read; /* past attention only the S rows that the batch reads are computed:
                       x2, norm2, up, outputs and the layer's output hold these alone */
} fr_saved;

/** Scratch that all layers of a stage share, for T token rows, f32. NULL: no layer of the model needs it. */
typedef struct fr_workspace {
    float *h_TD;
    float *qkv_TW;
    float *turned_TW; /* queries and keys after their norms and the rotation */
    float *q_rstd_TH; /* of these norms, one a head, or one for all */
    float *k_rstd_TG;
    float *o_TQ;
    float *up_TU;
    float *act_TF;
    float *dqkv_TW; /* the same memory as act */
    float *dy_TD; /* of parallel halves: the output's gradient, which both start from */
    float *attn_out_TD;
    float *mlp_out_TD;
    float *x2_TD; /* this and below: of a layer that keeps nothing */
    float *norm1;
    float *norm2;
    float *attn_post;
    float *mlp_post;
    float *lse_TH;
    float *dprefix_k_UP; /* [units, P*KV] */
    float *dprefix_v_UP;
} fr_workspace;

/** The prefix of one layer, borrowed; length 0: none. */
typedef struct fr_layer_prefix {
    const float *k_PGK;
    const float *v_PGK;
    int64_t length;
    bool slides; /* see fr_stage_prefix */
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
    const float *slopes_H; /* ALiBi; NULL: none */
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
/** Whether the outputs of the halves go through memory of their own before they are added to the residual stream. */
bool fr_arch_has_half_outputs(const fr_arch *arch);
/** Widths of one norm of queries, or of keys: K, or all heads together. */
int64_t fr_arch_q_norm_width(const fr_arch *arch);
int64_t fr_arch_k_norm_width(const fr_arch *arch);

#endif
