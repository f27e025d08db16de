/*
 * layer_impl.h - one call of a layer, and the two halves of a layer, shared by layer*.c.
 */
#ifndef FR_MODEL_NETWORK_LAYER_IMPL_H
#define FR_MODEL_NETWORK_LAYER_IMPL_H

#include "device/matrix.h"
#include "model/network/layer.h"

/** What every step of one call needs. */
typedef struct fr_layer_call {
    const fr_layer_context *c;
    const fr_layer *layer;
    const fr_batch *batch;
    const fr_layer_prefix *prefix;
    fr_layer_cache *cache;
    const fr_saved *
        saved; /* always has somewhere to write; its bytes are NULL where nothing is kept */
} fr_layer_call;

/** How a half's output o W + b comes to the residual stream: through a post norm, a scale, or neither. */
typedef struct fr_half {
    const fr_matrix *w;
    const fr_f32 *bias;
    const fr_norm_weights *post;
    fr_byte *out;       /* kept output before the post norm, or NULL */
    fr_view scratch;    /* [T, D] of the workspace, for that output */
    fr_f32 *statistics; /* of the post norm */
} fr_half;

fr_half fr_layer_attention_half(const fr_layer_call *call);
fr_half fr_layer_mlp_half(const fr_layer_call *call);

/** target = base + residual_scale * post(x W + b) of n rows, where base may be the target; target NULL: only what the backward
 * pass needs. Uses h_TD. */
FR_MUST_CHECK fr_status fr_layer_add_half(const fr_layer_call *call,
                                          const fr_half *half, int64_t n, fr_view x,
                                          const fr_f32 *base, fr_f32 *target);

/** The gradient of x W + b from that of the target: dy itself, in the work type where it is there, or f32 in h_f32_TD. */
fr_view fr_layer_half_gradient(const fr_layer_call *call, const fr_half *half,
                               int64_t n, const fr_stream_gradient *dy);

/** dx += d norm / dx^T dh of n rows, dh in h_TD. With `is_operand` the next product reads dx, which may take dh's place for it. */
void fr_layer_norm_back(const fr_layer_call *call, const fr_norm_weights *norm,
                        int64_t n, const fr_f32 *x, const fr_f32 *statistics,
                        bool is_operand, fr_stream_gradient *dx);
/** Makes the operand where no norm has left it, so that the product has the same numbers wherever dx comes from. */
void fr_layer_round_gradient(const fr_layer_call *call, fr_stream_gradient *dx);

/** Rows that go past attention: a forward pass without a cache ends in the loss, so rows of the last layer that predict
 * nothing need no feed-forward half. */
int64_t fr_layer_rows_past(const fr_layer_call *call);
/** y = the rows of x that go past attention. */
void fr_layer_gather(const fr_layer_call *call, int64_t width, fr_view x, fr_view y);
/** The way back of the rows that are read; the others are zero. */
void fr_layer_scatter(const fr_layer_call *call, int64_t width, fr_view x_S,
                      fr_view y_T);
/** y = x of n floats. */
void fr_layer_copy(const fr_layer_call *call, int64_t n, const fr_f32 *x, fr_f32 *y);

/** Where an operator writes: straight into the saved buffer where the device keeps the type that it works in; where it does
 * not, or the value is not kept, into scratch. */
fr_view fr_layer_work_buffer(const fr_layer_call *call, fr_byte *saved,
                             fr_view scratch);
/** Round to the kept type even if the value is not kept for backward, so that recomputation gives the same bits. */
void fr_layer_keep(const fr_layer_call *call, int64_t n, fr_view work, fr_byte *saved);
/** Where an operator keeps what it makes: none where it writes into the saved buffer itself; else as for fr_save, whose place it
 * takes. */
fr_view fr_layer_kept_apart(const fr_layer_call *call, fr_byte *saved);
/** The saved value in the work type: the saved buffer itself, or converted into scratch (unchanged if not kept). */
fr_view fr_layer_bring_back(const fr_layer_call *call, int64_t n, fr_byte *saved,
                            fr_view scratch);
void fr_layer_add_bias(const fr_layer_call *call, int64_t n, int64_t width,
                       const fr_f32 *bias, fr_view x);

/** o = attention(...) of all rows, returned in *o_out; fills norm1, qkv, o and lse of `saved`. */
FR_MUST_CHECK fr_status fr_layer_attend(const fr_layer_call *call, fr_view *o_out);
/** Fills dprefix and, unless prefix_only, dqkv (of the projection's output) of the workspace from the target's gradient. */
FR_MUST_CHECK fr_status fr_layer_attend_back(const fr_layer_call *call,
                                             bool prefix_only,
                                             const fr_stream_gradient *dy);

/** target = x2 + the feed-forward half of saved->x2, or of parallel halves target += that; target NULL: only what the backward
 * pass needs. */
FR_MUST_CHECK fr_status fr_layer_feed_forward(const fr_layer_call *call,
                                              fr_f32 *target);
/** dx += d(half)/dx2^T dx. */
FR_MUST_CHECK fr_status fr_layer_feed_forward_back(const fr_layer_call *call,
                                                   fr_stream_gradient *dx);

#endif
