/*
 * device.h - the compute device and the operators that the transformer is made of; attention has attention.h,
 * activations have activation.h.
 *
 * One device a rank; operators run on its threads and return when the result is complete. Not thread-safe: one thread per
 * handle.
 *
 * There is one backend, the CPU (src/device/cpu), and this interface assumes it in four ways: every operator below is a
 * function of that backend, without a table between; all pointers are host memory, which callers read and write directly; a
 * device is made from threads and an instruction set; and fr_matrix reads rows by callbacks on the host. A second backend
 * needs an operator table behind these functions, and copies where callers touch buffers.
 *
 * Repeatable: every operator gives a row (or a unit) the same bits independent of the other rows of the
 * call, of its position in the buffer, and of the number of threads. Sums run in a fixed order.
 * The bits depend on the device's arithmetic alone (fr_device_arithmetic), not on the processor or the compiler. A NaN is a NaN
 * everywhere, but its sign and payload may differ.
 *
 * Shape letters: T token rows of a packed buffer, D model width, F feed-forward width, V vocabulary,
 * R rows that carry a target, H query heads, G key/value heads, K head width, P prefix slots,
 * U units (one source with its targets), M N K matrix sizes. Buffers are row-major f32, dense
 * unless a stride is named. Arguments are valid by contract (checked by the caller).
 */
#ifndef FR_DEVICE_DEVICE_H
#define FR_DEVICE_DEVICE_H

#include "base/ctx.h"

#include <stdint.h>

typedef enum fr_dtype { FR_F32, FR_BF16 } fr_dtype;

/** Bytes of one element. */
size_t fr_dtype_bytes(fr_dtype dtype);

/** Instruction sets of the CPU in ascending order; a rank may be limited to a lower one than its processor has. All give the
 * same bits, except for those of a NaN. */
typedef enum fr_isa {
    FR_ISA_GENERIC,
    FR_ISA_AVX2,
    FR_ISA_AVX512,
    FR_ISA_AVX512_VNNI, /* products of 16-bit integers */
    FR_ISA_COUNT
} fr_isa;

/** Highest instruction set of this processor. */
fr_isa fr_isa_detect(void);
const char *fr_isa_name(fr_isa isa);

/** The set with this name; false, and *out unchanged, if there is none. */
bool fr_isa_find(const char *name, fr_isa *out);

/** The set to compute with, and the one that the user asked for. */
typedef struct fr_isa_choice {
    fr_isa isa;
    fr_isa asked; /* FR_ISA_COUNT: nothing */
} fr_isa_choice;

/**
 * The highest of the sets up to `has` (fr_isa_detect()) that FORERUN_ISA allows.
 * @return FR_OK; FR_ERR_ARG if FORERUN_ISA names no set
 */
FR_MUST_CHECK fr_status fr_isa_choose(fr_ctx *ctx, fr_isa has, fr_isa_choice *out);

typedef struct fr_device fr_device;

typedef struct fr_device_params {
    int n_threads; /* >= 1 */
    fr_isa isa;    /* <= fr_isa_detect() */
} fr_device_params;

FR_MUST_CHECK fr_status fr_device_create(fr_ctx *ctx, const fr_device_params *params,
                                         fr_device **out);
void fr_device_destroy(fr_device **device);

/** A short text that names what the results' bits depend on: devices with equal texts give the same bits. Static. */
const char *fr_device_arithmetic(const fr_device *device);
int fr_device_threads(const fr_device *device);

/**
 * Call `progress` on the calling thread every few milliseconds while matrix products are computed: MPI advances messages only
 * inside its own calls. It must be short and must not use the device. NULL: none.
 */
void fr_device_set_progress(fr_device *device, void (*progress)(void *argument),
                            void *argument);

/* ---- linear maps (gemm) ---------------------------------------------------------------- */

struct fr_few; /* few.h */

/**
 * A frozen weight matrix [n_out, n_in], row-major, borrowed. One copy serves both directions. With `read` it never exists in
 * memory as a whole: operators read runs of rows and drop them, and results equal those of a matrix in memory.
 */
typedef struct fr_matrix {
    const void *data; /* the rows, or what `read` reads them from */
    fr_dtype dtype;
    int64_t n_out;
    int64_t n_in;
    /* NULL, or: rows [first, first + count) to out [count, n_in] in dtype. Several threads call it at once. */
    void (*read)(const struct fr_matrix *w, int64_t first, int64_t count, void *out);
    /* NULL, or with `read`: rows [first, first + part->columns) with part->x to part->y, faster than by reading
     * them first and as few.h sums. Several threads call it at once. */
    void (*multiply)(const struct fr_matrix *w, int64_t first,
                     const struct fr_few *part);
} fr_matrix;

/** Memory that a matrix with `read` takes at a time: FR_SLICE_BYTES, or one block of a sum over its rows (FR_SLICE_ROWS_*,
 * the longest blocks of cpu/gemm.c) if that is more. 4 MiB stay in the caches between reading and multiplying. */
enum { FR_SLICE_BYTES = 4 << 20, FR_SLICE_ROWS_F32 = 320, FR_SLICE_ROWS_BF16 = 640 };

/** A matrix that lies in memory, dense. */
static inline fr_matrix fr_matrix_of(const void *data, fr_dtype dtype, int64_t n_out,
                                     int64_t n_in)
{
    return (fr_matrix){.data = data, .dtype = dtype, .n_out = n_out, .n_in = n_in};
}

/** Rows [first, first + count) of any matrix to out [count, n_in] in its dtype; on the calling thread. */
void fr_matrix_read(const fr_matrix *w, int64_t first, int64_t count, void *out);

/**
 * y_MN = x_MK W_NK^T, or y += ... with `accumulate`.
 * W in bf16: x and W enter in fixed point (cpu/gemm.h), which is closer to the exact product than x rounded to bf16.
 *
 * @param m  rows of x and y, >= 0
 * @param x  [m, w->n_in]   @param y  [m, w->n_out], does not overlap x
 * @return FR_OK; FR_ERR_NO_MEMORY (scratch)
 */
FR_MUST_CHECK fr_status fr_linear(fr_device *device, int64_t m, const float *x,
                                  const fr_matrix *w, bool accumulate, float *y);

/** fr_linear for few rows, at the speed at which W can be read; its order of summation, and so its bits, are its own
 * (few.h), whatever m is. W in bf16: x is rounded to bf16 (nearest even), products and sums are f32. */
FR_MUST_CHECK fr_status fr_linear_few(fr_device *device, int64_t m, const float *x,
                                      const fr_matrix *w, bool accumulate, float *y);

/** dx_MK = dy_MN W_NK, or dx += ... with `accumulate`; same precision rule on dy. */
FR_MUST_CHECK fr_status fr_linear_back(fr_device *device, int64_t m, const float *dy,
                                       const fr_matrix *w, bool accumulate, float *dx);

/* ---- row-wise operators ---------------------------------------------------------------- */

/** y = x * rstd * w, rstd = 1 / sqrt(mean(x^2) + eps). rstd_T may be NULL. */
void fr_rmsnorm(fr_device *device, int64_t n_tokens, int64_t width, const float *x_TD,
                const float *w_D, float eps, float *y_TD, float *rstd_T);

/** dx += d(rmsnorm)/dx^T dy, from the saved x and rstd. */
void fr_rmsnorm_back(fr_device *device, int64_t n_tokens, int64_t width,
                     const float *x_TD, const float *w_D, const float *rstd_T,
                     const float *dy_TD, float *dx_TD);

/** y = (x - mean) * rstd * w + b. stats_T2 (mean, rstd per row) may be NULL. */
void fr_layernorm(fr_device *device, int64_t n_tokens, int64_t width, const float *x_TD,
                  const float *w_D, const float *b_D, float eps, float *y_TD,
                  float *stats_T2);

/** dx += d(layernorm)/dx^T dy, from the saved x and stats. */
void fr_layernorm_back(fr_device *device, int64_t n_tokens, int64_t width,
                       const float *x_TD, const float *w_D, const float *stats_T2,
                       const float *dy_TD, float *dx_TD);

/** x[t, :] += b for each of n_tokens rows; rows lie `stride` floats apart. */
void fr_add_bias(fr_device *device, int64_t n_tokens, int64_t width, int64_t stride,
                 const float *b, float *x);

/** Head vectors that lie side by side in rows: the queries or the keys of a fused [T, W] buffer. */
typedef struct fr_heads {
    int64_t n_tokens;
    int64_t n_heads;
    int64_t head_dim; /* K: floats a head */
    int64_t stride;   /* W: floats between rows */
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
             const int32_t *positions_T, const float *table, bool inverse, float *x);

/** fr_rmsnorm of each head by itself, with one weight for all. y has x's layout and may be x. rstd_TN [n_tokens, n_heads] may be
 * NULL. One head as wide as the row: a norm over all heads together. */
void fr_rmsnorm_heads(fr_device *device, const fr_heads *heads, const float *x,
                      const float *w_K, float eps, float *y, float *rstd_TN);

/** dx = d(fr_rmsnorm_heads)/dx^T dy from the saved x and rstd: written, not added. x, dy and dx have one layout; dx may be dy. */
void fr_rmsnorm_heads_back(fr_device *device, const fr_heads *heads, const float *x,
                           const float *w_K, const float *rstd_TN, const float *dy,
                           float *dx);

/** Store n floats as `dtype`; for bf16 also replace x by the rounded values, so that forward and
 * backward see the same numbers. With `saved` NULL nothing is stored, only x rounded. */
void fr_save(fr_device *device, int64_t n, fr_dtype dtype, float *x, void *saved);

/** Read back what fr_save stored. */
void fr_restore(fr_device *device, int64_t n, fr_dtype dtype, const void *saved,
                float *x);

/** y[t, :] = row ids[t] of the table [V, D], widened. FR_ERR_NO_MEMORY (scratch, with table->read). */
FR_MUST_CHECK fr_status fr_gather_rows(fr_device *device, int64_t n_tokens,
                                       const int32_t *ids, const fr_matrix *table,
                                       float *y_TD);

/** y[i, :] += x[i, :]. */
void fr_add(fr_device *device, int64_t n, const float *x, float *y);

/** y[i] += factor * x[i], rounded once. */
void fr_add_scaled(fr_device *device, int64_t n, float factor, const float *x,
                   float *y);

/** x[i] *= factor. */
void fr_scale(fr_device *device, int64_t n, float factor, float *x);

/** How logits come from the product x of hidden rows and the vocabulary: y = scale x, then cap tanh(y / cap) with a cap
 * (Gemma 2; 0: none). */
typedef struct fr_logit_shape {
    float scale; /* > 0 */
    float cap;   /* >= 0 */
} fr_logit_shape;

/** Products become logits, in place: for the choice of a token. */
void fr_shape_logits(fr_device *device, int64_t n, const fr_logit_shape *shape,
                     float *logits);

/**
 * Softmax cross-entropy of R rows: nll[r] = log sum exp(logits[r]) - logits[r, target[r]], in nats.
 * With `want_gradient` the logits are overwritten by d nll / d logits = softmax - onehot.
 * With a shape (NULL: none) the rows hold products, from which the logits come first, and the gradient is that of the products.
 * Without `want_gradient` the rows become their logits. A row with a number that is not finite has nll NaN.
 */
void fr_cross_entropy(fr_device *device, int64_t n_rows, int64_t vocab,
                      const fr_logit_shape *shape, float *logits_RV,
                      const int32_t *targets_R, bool want_gradient, double *nll_R);

/**
 * Exact sum: sum[i] += llrint(g[u, i] * 2^exponent) over the units u.
 * @return the number of values that are not finite or have |g| >= 2^17 (they are not added)
 */
int64_t fr_exact_add(fr_device *device, int64_t n_units, int64_t n, int exponent,
                     const float *g_Un, int64_t *sum_n);

#endif
