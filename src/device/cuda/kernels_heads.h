/*
 * kernels_heads.h - kernels of biases, rotations and the cache: what they take, and their names (kernels.h).
 *
 * f32 has the CPU's bits, bf16 the same rounded once; the cache's kernels move bits.
 */
#ifndef FR_DEVICE_CUDA_KERNELS_HEADS_H
#define FR_DEVICE_CUDA_KERNELS_HEADS_H

#include <stdint.h>

#define FR_KERNELS_HEADS(K, K1, K2, K3)                                                \
    K1(add_bias)    /* x */                                                            \
    K1(rope)        /* x */                                                            \
    K2(qkv_finish)  /* x, saved */                                                     \
    K(fill_cache_2) /* by the bytes that are moved at a time */                        \
    K(fill_cache_4)                                                                    \
    K(fill_cache_16)

enum { FR_HEADS_THREADS = 256 };

/** Rows y, y + n_y, ... of the block's second index y; the first goes over the columns. */
typedef struct fr_add_bias_arguments {
    int64_t n_tokens;
    int64_t width;
    int64_t stride;
    int64_t n_y;
    const float *b;
    void *x;
} fr_add_bias_arguments;

/** A block has a token at a time: `lanes` threads have its pairs, four each, of every n-th head. */
typedef struct fr_rope_arguments {
    int64_t n_tokens;
    int64_t n_heads;
    int64_t head_dim;
    int64_t stride;
    int64_t half; /* rotary / 2 */
    int64_t lanes;
    const int32_t *positions_T;
    const float *table;
    void *x;
    int64_t is_inverse;
} fr_rope_arguments;

/**
 * A block has a token at a time: as in rope, `lanes` threads have the pairs of every n-th head of queries and keys; after that all
 * threads have the numbers that do not turn, four each.
 */
typedef struct fr_qkv_arguments {
    int64_t n_tokens;
    int64_t n_heads;
    int64_t n_kv_heads;
    int64_t head_dim;
    int64_t half; /* rotary / 2 */
    int64_t lanes;
    int64_t has_rest;  /* whether anything is done to numbers that do not turn */
    const float *bias; /* NULL: none */
    const int32_t *positions_T;
    const float *table;
    const int64_t *cache_rows_T; /* -1: to none; NULL: there is no cache */
    void *cache_k;
    void *cache_v;
    void *x;
    void *saved; /* NULL: x is rounded to its type alone */
} fr_qkv_arguments;

enum { FR_CACHE_RUNS = 128 }; /* so that the argument stays below 4096 bytes */

/** Neighbouring rows that go to neighbouring rows: those of a segment. */
typedef struct fr_cache_run {
    int64_t from;
    int64_t to;
    int64_t count;
} fr_cache_run;

/** Rows in units of the bytes that are moved at a time. */
typedef struct fr_fill_cache_arguments {
    int64_t width;
    int64_t stride; /* between rows of k, and of v */
    const void *k;
    const void *v;
    void *cache_k;
    void *cache_v;
    fr_cache_run runs[FR_CACHE_RUNS]; /* a block's second index */
} fr_fill_cache_arguments;

#endif
