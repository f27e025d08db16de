/*
 * rowwise.h - operators on rows: norms, biases, rotations, sums, and values that are kept.
 *
 * Words, shape letters and promises as in device.h.
 */
#ifndef FR_DEVICE_ROWWISE_H
#define FR_DEVICE_ROWWISE_H

#include "device/memory.h"

/** y = x * rstd * w, rstd = 1 / sqrt(mean(x^2) + eps). rstd_T may be NULL. */
void fr_rmsnorm(fr_device *device, int64_t n_tokens, int64_t width, fr_view x_TD,
                const fr_f32 *w_D, float eps, fr_view y_TD, fr_f32 *rstd_T);

/**
 * dx += d(rmsnorm)/dx^T dy, from the saved x and rstd.
 *
 * @param again  gets dx's new numbers once more, for a product that reads them next; in dy's type, may be dy itself; none: they
 *               are not wanted
 */
void fr_rmsnorm_back(fr_device *device, int64_t n_tokens, int64_t width, fr_view x_TD,
                     const fr_f32 *w_D, const fr_f32 *rstd_T, fr_view dy_TD,
                     fr_f32 *dx_TD, fr_view again_TD);

/** y = (x - mean) * rstd * w + b. stats_T2 (mean, rstd per row) may be NULL. */
void fr_layernorm(fr_device *device, int64_t n_tokens, int64_t width, fr_view x_TD,
                  const fr_f32 *w_D, const fr_f32 *b_D, float eps, fr_view y_TD,
                  fr_f32 *stats_T2);

/** dx += d(layernorm)/dx^T dy, from the saved x and stats. @param again  as in fr_rmsnorm_back */
void fr_layernorm_back(fr_device *device, int64_t n_tokens, int64_t width, fr_view x_TD,
                       const fr_f32 *w_D, const fr_f32 *stats_T2, fr_view dy_TD,
                       fr_f32 *dx_TD, fr_view again_TD);

/** x[t, :] += b for each of n_tokens rows; rows lie `stride` numbers apart. */
void fr_add_bias(fr_device *device, int64_t n_tokens, int64_t width, int64_t stride,
                 const fr_f32 *b, fr_view x);

/** Head vectors that lie side by side in rows: the queries or the keys of a fused [T, W] buffer. */
typedef struct fr_heads {
    int64_t n_tokens;
    int64_t n_heads;
    int64_t head_dim; /* K: numbers a head */
    int64_t stride;   /* W: numbers between rows */
} fr_heads;

/**
 * Turn the first `rotary` elements of each head in place, pairing element i with i + rotary/2 (Hugging Face's order):
 * (a, b) becomes (a cos - b sin, b cos + a sin). `inverse` takes -sin: the backward pass, since that is the transpose, also
 * of a table whose cos and sin carry a factor.
 *
 * @param rotary  even, <= head_dim
 * @param table   [max_position, rotary/2, 2] cos and sin   @param x  of the first head; see fr_heads
 */
void fr_rope(fr_device *device, const fr_heads *heads, int64_t rotary,
             const int32_t *positions_T, const fr_f32 *table, bool inverse, fr_view x);

/** fr_rmsnorm of each head by itself, with one weight for all. y has x's layout and type and may be x. rstd_TN [n_tokens, n_heads] may be
 * NULL. One head as wide as the row: a norm over all heads together. */
void fr_rmsnorm_heads(fr_device *device, const fr_heads *heads, fr_view x,
                      const fr_f32 *w_K, float eps, fr_view y, fr_f32 *rstd_TN);

/** dx = d(fr_rmsnorm_heads)/dx^T dy from the saved x and rstd: written, not added. x, dy and dx have one layout and
 * one type; dx may be dy. */
void fr_rmsnorm_heads_back(fr_device *device, const fr_heads *heads, fr_view x,
                           const fr_f32 *w_K, const fr_f32 *rstd_TN, fr_view dy,
                           fr_view dx);

/** Store n numbers in the type of `saved`; where that is narrower, also replace x by the rounded values, so that forward and
 * backward see the same numbers. With `saved` none nothing is stored, only x rounded to its type. */
void fr_save(fr_device *device, int64_t n, fr_view x, fr_view saved);

/** Read back what fr_save stored, into x's type. */
void fr_restore(fr_device *device, int64_t n, fr_view saved, fr_view x);

/** y[i, :] += x[i, :]. */
void fr_add(fr_device *device, int64_t n, fr_view x, fr_f32 *y);

/** y[i] += factor * x[i], rounded once. */
void fr_add_scaled(fr_device *device, int64_t n, float factor, fr_view x, fr_f32 *y);

/** x[i] *= factor. */
void fr_scale(fr_device *device, int64_t n, float factor, fr_f32 *x);

#endif
