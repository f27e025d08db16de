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
#include "model/network/constants.h"
#include "model/network/norm.h"
#include "model/weights/frozen.h"

/** Angles of a rotary embedding, see model/rotation.h. */
typedef struct fr_angles {
    fr_f32 *
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
    fr_f32 *q_norm; /* [K], or [Q] of all heads together; NULL: none */
    fr_f32 *k_norm;
    fr_f32 *qkv_bias;        /* [W] or NULL */
    fr_f32 *o_bias;          /* [D] or NULL */
    fr_f32 *up_bias;         /* [U] or NULL */
    fr_f32 *down_bias;       /* [D] or NULL */
    int64_t window;          /* 0: none */
    const fr_angles *angles; /* NULL: queries and keys are not rotated; borrowed */
} fr_layer;

/** @param constants  gets the vectors; lives as long as the layer   @param frozen  holds the matrices, likewise
 * @param bring  the device gets the matrices, too; else they lie where `frozen` has them */
FR_MUST_CHECK fr_status fr_layer_load(fr_constants *constants, fr_frozen *frozen,
                                      int64_t index, bool bring, fr_layer *out);

/**
 * What the backward pass of one layer needs, for T token rows. Q, K, V, O, gate and up in the device's kept
 * type, the residual stream in f32. Bytes a token in bf16 of a Llama: 8D + 4Q + 4KV + 4F + 4H + 16.
 * The backward pass needs each once, and uses the memory of up for its gradient.
 * up NULL, or all but x1 NULL: not kept; the forward pass leaves it in the workspace and the backward pass
 * computes it again.
 */
typedef struct fr_saved {
    fr_f32 *x1_TD; /* layer input */
    fr_f32 *x2_TD; /* input of the feed-forward half */
    fr_f32 *norm1; /* [T, 2], each */
    fr_f32 *norm2;
    fr_byte *
        qkv_TW; /* after the rotation; of a model with norms of queries and keys: before these */
    fr_byte *o_TQ;
    fr_byte *up_TU;
    fr_f32 *lse_TH;
    fr_byte *
        attn_out_TD; /* the halves' outputs before their post norms; NULL where there is none */
    fr_byte *mlp_out_TD;
    fr_f32 *attn_post; /* [T, 2] */
    fr_f32 *mlp_post;
    bool only_read; /* past attention only the S rows that the batch reads are computed:
                       x2, norm2, up, outputs and the layer's output hold these alone */
} fr_saved;

/** Scratch that all layers of a stage share, for T token rows; views are in the device's work type. NULL or none: no layer
 * of the model needs it. */
typedef struct fr_workspace {
    fr_view h_TD;
    fr_f32 *
        h_f32_TD; /* the same memory, with room for f32: gradients of the residual stream */
    fr_view qkv_TW;
    fr_view turned_TW; /* queries and keys after their norms and the rotation */
    fr_f32 *q_rstd_TH; /* of these norms, one a head, or one for all */
    fr_f32 *k_rstd_TG;
    fr_view o_TQ;
    fr_view up_TU;
    fr_view act_TF;
    fr_view dqkv_TW; /* the same memory as act */
    fr_f32
        *dy_TD; /* of parallel halves: the output's gradient, which both start from */
    fr_view attn_out_TD;
    fr_view mlp_out_TD;
    fr_f32 *x2_TD; /* this and below: of a layer that keeps nothing */
    fr_f32 *norm1;
    fr_f32 *norm2;
    fr_f32 *attn_post;
    fr_f32 *mlp_post;
    fr_f32 *lse_TH;
    fr_f32 *dprefix_k_UP; /* [units, P*KV] */
    fr_f32 *dprefix_v_UP;
} fr_workspace;

/** The prefix of one layer, borrowed; length 0: none. */
typedef struct fr_layer_prefix {
    const fr_f32 *k_PGK;
    const fr_f32 *v_PGK;
    int64_t length;
    bool slides; /* see fr_stage_prefix */
} fr_layer_prefix;

/** Key/value cache of one layer in the device's work type, keys after RoPE; sequences lie where the batch's segments say.
 * For generation, and to get the prefix that stands for a text. */
typedef struct fr_layer_cache {
    fr_view k; /* [capacity, KV] */
    fr_view v;
    const fr_attention_prefix
        *prefixes_U; /* of the pass; NULL: all see the layer's one */
} fr_layer_cache;

/** The gradient of the residual stream, on its way down. */
typedef struct fr_stream_gradient {
    fr_f32 *at_TD;
    /* the same numbers in the work type, for the next product: in the workspace's h_TD; none: they are not there */
    fr_view operand_TD;
} fr_stream_gradient;

/** Everything of a stage that its layers use. */
typedef struct fr_layer_context {
    fr_device *device;
    const fr_arch *arch;
    fr_dtype work; /* of the device (device.h), for the stage's precision */
    fr_dtype kept;
    const fr_f32 *slopes_H; /* ALiBi; NULL: none */
    /* fr_linear, or fr_linear_few for a batch that only decodes */
    fr_status (*linear)(fr_device *device, int64_t m, fr_view x, const fr_matrix *w,
                        fr_view add, fr_view y);
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
                                         fr_f32 *y_TD);

/**
 * Backward: *dx holds d loss / d y on entry (S rows with saved->only_read) and d loss / d x1 on return; the
 * workspace's dprefix_* hold the prefix gradient of each unit. Once for each forward pass.
 * @param prefix_only  first layer with a prefix: stop at its attention (*dx is then undefined)
 */
FR_MUST_CHECK fr_status fr_layer_backward(const fr_layer_context *context,
                                          const fr_layer *layer, const fr_batch *batch,
                                          const fr_layer_prefix *prefix,
                                          const fr_saved *saved, bool prefix_only,
                                          fr_stream_gradient *dx);

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
