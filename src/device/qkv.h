/*
 * qkv.h - what happens to a projection's queries, keys and values between the product and attention, in one pass over them.
 *
 * Words, shape letters and promises as in device.h.
 */
#ifndef FR_DEVICE_QKV_H
#define FR_DEVICE_QKV_H

#include "device/attention.h"

/** Rows of W = (H + 2 G) K numbers: queries, keys, values, heads side by side. A model or a call may lack each of the parts. */
typedef struct fr_qkv {
    int64_t n_tokens;
    int64_t n_heads;    /* H */
    int64_t n_kv_heads; /* G */
    int64_t head_dim;   /* K */

    const fr_f32 *bias_W; /* NULL: none */

    int64_t
        rotary; /* and the two below, as for fr_rope; 0: queries and keys do not turn */
    const int32_t *positions_T;
    const fr_f32 *table;

    /* Keys and values also go to a cache, as by fr_fill_cache: dense [rows, G*K] in x's type. No row belongs to two segments. */
    int64_t n_segments;
    const fr_segment *segments;
    fr_view cache_k; /* none: there is no cache */
    fr_view cache_v;
} fr_qkv;

/**
 * In place: x + bias, with queries and keys turned, then fr_save of that, and rows for the cache. A number is rounded to x's
 * type once, at the end; so f32 has the bits of fr_add_bias, fr_rope, fr_save and fr_fill_cache one after the other. The way back
 * is fr_rope.
 *
 * @param x      [n_tokens, W]
 * @param saved  [n_tokens, W], as for fr_save
 */
void fr_qkv_finish(fr_device *device, const fr_qkv *qkv, fr_view x_TW,
                   fr_view saved_TW);

#endif
