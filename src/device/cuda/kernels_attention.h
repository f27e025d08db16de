/*
 * kernels_attention.h - kernels of attention: what they take, and their names (kernels.h).
 *
 * A head's numbers are cut into chunks of 64; kernels are made for heads of 1, 2, 4 and 8 chunks. A block takes a tile of rows:
 * of query rows, which are the (token, head) pairs of a segment and one key/value head, token by token, or of keys.
 */
#ifndef FR_DEVICE_CUDA_KERNELS_ATTENTION_H
#define FR_DEVICE_CUDA_KERNELS_ATTENTION_H

#include <stdint.h>

/* The most numbers of a head; threads of a block; rows of what passes by a tile; numbers between rows in shared memory, where
 * fours of neighbouring rows lie in different banks. */
enum {
    FR_ATTEND_DIM = 512,
    FR_ATTEND_THREADS = 128,
    FR_ATTEND_CHUNK = 64,
    FR_ATTEND_STEP = 32,
    FR_ATTEND_CHUNK_LD = FR_ATTEND_CHUNK + 4,
    FR_ATTEND_STEP_LD = FR_ATTEND_STEP + 4,
    FR_ATTEND_RUNS = 5,
};

/* Rows of a tile for heads of so many chunks: as many as registers and 48 KiB of shared memory hold. */
#define FR_ATTEND_ROWS(chunks) (64 / (chunks))
#define FR_ATTEND_ROWS_BACK(chunks) ((chunks) > 4 ? 8 : 32 / (chunks))
#define FR_ATTEND_ROW_LD(chunks) (FR_ATTEND_CHUNK * (chunks) + 4)

/** Keys that lie one after the other: rows of k and v from `first` on, or slots of a prefix. */
typedef struct fr_attend_run {
    const float *prefix_k; /* NULL: not a prefix */
    const float *prefix_v;
    int64_t first;
    int32_t count;
    int32_t lead;   /* position of the segment's query 0 less that of the run's key 0 */
    int32_t window; /* 0: none for these keys, or one that hides none of them */
    int32_t causal; /* whether keys behind the query are hidden */
} fr_attend_run;

/** A segment that has queries, and what it sees, in order. */
typedef struct fr_attend_segment {
    int64_t q_first;
    int32_t q_count; /* times the heads of a group: < 2^31 */
    int32_t n_runs;
    fr_attend_run runs[FR_ATTEND_RUNS];
} fr_attend_segment;

/** A tile of query rows. */
typedef struct fr_attend_tile {
    int32_t segment;
    int32_t index; /* in the segment */
} fr_attend_tile;

/** A tile of keys whose gradients a block computes. */
typedef struct fr_attend_keys {
    int64_t first; /* row of k and v, or slot */
    int64_t out;   /* row of dk and dv, or of the prefix gradients [U P] */
    int64_t first_view;
    int32_t n_views;
    int32_t index; /* of the tile's first key in what `views` are about */
    int32_t count;
    int32_t is_prefix;
} fr_attend_keys;

/** A run through which keys are seen: key `index` of an owner is key `index + shift` of the run. */
typedef struct fr_attend_view {
    int32_t shift;
    int32_t segment;
    int32_t run;
} fr_attend_view;

/** What all kernels take. Views have one type. */
typedef struct fr_attend {
    const void *q;
    const void *k;
    const void *v;
    void *o_THK;
    float *lse_TH; /* may be NULL */
    const fr_attend_segment *segments;
    const fr_attend_tile *tiles;
    const float *slopes_H; /* NULL: none */
    int64_t q_stride;
    int64_t kv_stride;
    int32_t n_heads;
    int32_t n_kv_heads;
    int32_t group; /* query heads of a key/value head */
    int32_t head_dim;
    float
        scale; /* with the factor log2(e), like the cap: then exp2 does the work of exp */
    float cap;    /* 0: none */
    int32_t wide; /* whether all rows begin and end at a multiple of four numbers */
} fr_attend;

typedef struct fr_attend_back {
    fr_attend base;
    const float *lse_TH;
    const void *do_THK;
    float *stats_TH2; /* log-sum-exp to base 2, and the sum of dO * O */
    void *dq;
    void *dk;
    void *dv;
    float *dprefix_k_UPGK;
    float *dprefix_v_UPGK;
    const fr_attend_keys *keys;
    const fr_attend_view *views;
    int64_t n_rows; /* T H */
} fr_attend_back;

/* In the order of 1, 2, 4 and 8 chunks. attend: blocks of (tile, key/value head). attend_stats: a warp a row.
 * attend_query_back: dQ, as attend. attend_key_back: dK and dV, of (keys, key/value head). */
#define FR_KERNELS_ATTENTION(K, K1, K2, K3)                                            \
    K1(attend_64)                                                                      \
    K1(attend_128)                                                                     \
    K1(attend_256)                                                                     \
    K1(attend_512)                                                                     \
    K1(attend_stats)                                                                   \
    K1(attend_query_back_64)                                                           \
    K1(attend_query_back_128)                                                          \
    K1(attend_query_back_256)                                                          \
    K1(attend_query_back_512)                                                          \
    K1(attend_key_back_64)                                                             \
    K1(attend_key_back_128)                                                            \
    K1(attend_key_back_256)                                                            \
    K1(attend_key_back_512)

#endif
