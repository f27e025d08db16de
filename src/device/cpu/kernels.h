/*
 * kernels.h - the inner loops of the CPU operators, one table per instruction set.
 *
 * For the sources of src/device alone. A kernel works on one row or one tile, without
 * threads, scratch of its own, or errors. Its bits depend on its arguments' values and counts
 * alone: sums run over 8 lanes in index order, then over a fixed tree of the lanes; a row's last,
 * incomplete vector goes through the same instructions as the full ones.
 */
#ifndef FR_DEVICE_CPU_KERNELS_H
#define FR_DEVICE_CPU_KERNELS_H

#include "device/activation.h"
#include "device/cpu/isa.h"
#include "device/loss.h"
#include "device/rowwise.h"

/**
 * C_RN (+)= A_RK B_KN. Element (r, k) of A lies at a[r * a_row + k * a_step]; one of the two
 * strides is 1. B has ldb floats a row, of which ceil(n / 16) * 16 are read. Sums run over k in
 * ascending order from the old value of C (accumulate) or zero, whatever n_rows and n are.
 */
typedef struct fr_tile_product {
    int64_t n_rows;
    int64_t n;
    int64_t depth;
    const float *a;
    int64_t a_row;
    int64_t a_step;
    const float *b;
    int64_t ldb;
    float *c;
    int64_t ldc;
    bool accumulate;
} fr_tile_product;

/** How products of queries and keys, in units of log 2, become the scores of one row of a tile: capped, then sloped. */
typedef struct fr_score_shape {
    int64_t first;  /* keys before it are not seen */
    float cap;      /* 0: none */
    float slope;    /* a position; 0: none */
    float distance; /* position of key 0 of the tile less that of the query */
} fr_score_shape;

/** One row of a score tile in the backward pass; scores are in units of log 2. */
typedef struct fr_score_row {
    int64_t n_visible; /* leading keys that the row sees */
    int64_t n;         /* keys of the tile; a multiple of 8 */
    float lse;         /* log2 sum exp2 over all keys of the row */
    float delta;       /* sum of dO * O over the row */
    float *score;      /* in: score; out: probability, 0 where not visible */
    float *
        gradient; /* in: dO V^T; out: ln 2 * p * (gradient - delta), 0 where not visible */
} fr_score_row;

/** One activation; y may be x, and a gradient an input. */
typedef struct fr_activation_kernels {
    void (*gated)(int64_t width, const float *gate_up, float *y);
    void (*gated_back)(int64_t width, const float *gate_up, const float *dy,
                       float *dgate_up);
    void (*plain)(int64_t n, const float *x, float *y);
    void (*plain_back)(int64_t n, const float *x, const float *dy, float *dx);
} fr_activation_kernels;

typedef struct fr_kernels {
    void (*rmsnorm)(int64_t width, const float *x, const float *w, float eps, float *y,
                    float *rstd);
    void (*rmsnorm_back)(int64_t width, const float *x, const float *w, float rstd,
                         const float *dy, float *dx);
    /** The same written to dx, which may be dy, instead of added. */
    void (*rmsnorm_turn)(int64_t width, const float *x, const float *w, float rstd,
                         const float *dy, float *dx);
    void (*layernorm)(int64_t width, const float *x, const float *w, const float *b,
                      float eps, float *y, float *stats);
    void (*layernorm_back)(int64_t width, const float *x, const float *w,
                           const float *stats, const float *dy, float *dx);
    /** x[i] += y[i] */
    void (*add)(int64_t width, const float *y, float *x);
    /** y[i] = factor * x[i] + y[i], rounded once */
    void (*add_scaled)(int64_t n, float factor, const float *x, float *y);
    /** Rotate the first `rotary` elements of n_heads heads by one table row of rotary / 2 (cos, sin) pairs. */
    void (*rope)(const fr_heads *heads, int64_t rotary, const float *table,
                 bool inverse, float *x);
    fr_activation_kernels activation[FR_ACTIVATIONS];
    /** Round to bf16 (nearest even, NaN stays NaN) and widen back into x. */
    void (*save_bf16)(int64_t n, float *x, uint16_t *saved);
    void (*round_bf16)(int64_t n, const float *x, float *rounded);
    void (*widen_bf16)(int64_t n, const uint16_t *saved, float *x);

    /** Largest logit; *finite tells whether every logit is. */
    float (*max_logit)(int64_t n, const float *logits, bool *finite);
    /** Sum of exp(x - max) in f64 over f32 blocks; with `store`, x becomes exp(x - max). */
    double (*sum_exp)(int64_t n, float max, bool store, float *x);
    void (*scale)(int64_t n, float factor, float *x);
    void (*shape_logits)(int64_t n, const fr_logit_shape *shape, float *x);
    /** Logits x become scale * (1 - (x / cap)^2) * exp(x - max) * inverse_sum; cap is not 0. */
    void (*capped_probability)(int64_t n, const fr_logit_shape *shape, float max,
                               float inverse_sum, float *x);

    /** sum[i] += round(g[i] * scale) where |g[i]| < 2^17; returns how many were not added. */
    int64_t (*exact_add)(int64_t n, double scale, const float *g, int64_t *sum);

    void (*tile_product)(const fr_tile_product *p);
    /** dst[k * ld + j] = src[j * stride + k] for j < n_rows, k < width; 0 up to the next
     * multiple of 16 in j (ld holds that many). */
    void (*transpose)(int64_t n_rows, int64_t width, const float *src, int64_t stride,
                      int64_t ld, float *dst);
    /** dst = factor * src + 0 (so that a zero is positive), then 0 from width to padded. */
    void (*copy_scaled)(int64_t width, int64_t padded, float factor, const float *src,
                        float *dst);
    float (*dot)(int64_t width, const float *a, const float *b);
    /**
     * One step of the running softmax: score (units of log 2) becomes exp2(score - max) with 0
     * from n_visible to n (a multiple of 8); stats = {max, sum} are updated. n_visible >= 1.
     * @return what earlier sums of the row are to be multiplied by
     */
    float (*softmax_row)(int64_t n_visible, int64_t n, float *score, float *stats);
    /** The first n_visible products become scores, -infinity before shape->first; n_visible > shape->first. */
    void (*shape_scores)(int64_t n_visible, const fr_score_shape *shape, float *score);
    void (*score_row_back)(const fr_score_row *row);
    /** The same of products: probabilities of their scores, and gradients of the products. 0 before shape->first. */
    void (*shaped_score_row_back)(const fr_score_row *row, const fr_score_shape *shape);
} fr_kernels;

extern const fr_kernels fr_kernels_generic;
extern const fr_kernels fr_kernels_avx2;
extern const fr_kernels fr_kernels_avx512;

/** The best table that `isa` allows. All give the same bits. */
const fr_kernels *fr_kernels_select(fr_isa isa);

/** Threads worth starting for `elements` numbers of row-wise work. */
int fr_kernels_threads(int n_threads, int64_t elements);

#endif
