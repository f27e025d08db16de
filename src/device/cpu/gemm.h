/*
 * gemm.h - matrix products with a fixed order of summation, blocked for the caches.
 *
 * out[m, j] (+)= sum over d of left[m, d] * right[d, j]. The weights W [n_out, n_in] are `right` as
 * they lie for the backward map (d over n_out) and transposed for the forward map (d over n_in).
 *
 * Order of summation, the same for every element at every position: the depth is cut into equal
 * blocks as a function of its own length alone (fr_gemm_depth_block); within a block the products are added one
 * by one in ascending d, starting from nothing; blocks are added to `out` in ascending order.
 *
 * f32 weights: each product is added by one fused operation.
 *
 * bf16 weights, in fixed point: a block is cut into runs (fr_gemm_run). Let 2^e be the largest power of two in a run of a row
 * of `left` or of a column of `right` (e >= FR_GEMM_FIXED_MIN). The run's elements are rounded to the nearest multiple of
 * 2^(e - 11), which leaves a bf16 number of at least 2^(e - 4) unchanged. The products of these integers are added exactly, so
 * in any order: their sum is at most 4096 * 4080 * 128 < 2^31. That sum, rounded to f32, times the product of the two powers of
 * two (in f32: infinite from 2^128 on, 0 below 2^-149) is added to `out` by one fused operation, runs in ascending order. An
 * infinity or NaN makes its run's scale NaN. So every instruction set gives the same bits (except for those of a NaN).
 */
#ifndef FR_DEVICE_CPU_GEMM_H
#define FR_DEVICE_CPU_GEMM_H

#include "device/cpu/isa.h"
#include "device/matrix.h"

enum {
    /* Of a panel of packed weights; AVX-512 has wider panels of its own. */
    FR_GEMM_COLUMNS = 16,
    /* Multiplied at a time without packing the weights: 8 sums of 8 lanes in the 16 registers of AVX2. */
    FR_GEMM_NARROW_ROWS = 4,
    /* Depths between two fetched cache lines: 16 f32 weights are one line. */
    FR_GEMM_PREFETCH = 16,
    /* Of a magnitude in fixed point: 2^11 .. 2^12 for the largest of a run. */
    FR_GEMM_FIXED_BITS = 12,
    /* The least exponent of a run, so that its scales are normal numbers. */
    FR_GEMM_FIXED_MIN = -110,
    /* The longest run for which the sum above stays below 2^31. */
    FR_GEMM_LONGEST_RUN = 128
};

/** A run of weights to pack: `depth` x `columns`, one of the two steps is 1. */
typedef struct fr_gemm_panel {
    const void *source; /* element of the first depth and column */
    int64_t depth;
    int64_t columns;     /* 1 .. the kernel's columns */
    int64_t depth_step;  /* elements between neighbours in depth */
    int64_t column_step; /* elements between neighbouring columns */
} fr_gemm_panel;

/** Activations to pack: a run of the depth of a row tile. */
typedef struct fr_gemm_rows {
    const float *x;
    int64_t stride; /* floats between rows */
    int64_t rows;   /* 1 .. the kernel's rows */
    int64_t depth;
} fr_gemm_rows;

/** One product of a row tile with a packed panel. */
typedef struct fr_gemm_tile {
    int64_t rows;    /* 1 .. the kernel's rows */
    int64_t columns; /* 1 .. the kernel's columns */
    int64_t depth;   /* >= 1 */
    const float *
        left; /* [depth, rows], depths left_step apart: packed, or the like in fixed point */
    int64_t left_step;  /* the rows of the kernel that packed it */
    const float *right; /* [depth, the kernel's columns], packed */
    float *out;
    int64_t out_stride;
    bool add; /* to what is in `out` */
    /* Two runs of memory to fetch meanwhile, a cache line every FR_GEMM_PREFETCH depths. */
    const char *prefetch[2];
    int64_t prefetch_step; /* bytes */
} fr_gemm_tile;

/** The kernel of an instruction set for weights of one type. */
typedef struct fr_gemm_kernel {
    int64_t rows;    /* of a full tile */
    int64_t columns; /* of a panel */
    int64_t
        row_part; /* most rows that share a packed panel: those of the longest block fit the second cache */
    /** For bf16 weights. Packed data are then runs: first scales, 16 or a multiple, then numbers of 16 bits in an order of
     * the kernel's own, two depths in the memory of a float. */
    bool is_fixed;
    /** Order activations as [depth, the kernel's rows], so that the numbers of a depth are neighbours. Nothing is written for
     * absent rows. */
    void (*pack_left)(const fr_gemm_rows *rows, float *out);
    /** Order weights as [depth, columns]; absent columns become 0. */
    void (*pack_right)(const fr_gemm_panel *panel, float *out);
    void (*multiply)(const fr_gemm_tile *tile);
    /** The same bits from weights that are transposed and not packed (`right` is not read), at most
     * FR_GEMM_NARROW_ROWS rows and all columns. NULL: the kernel has none. */
    void (*multiply_narrow)(const fr_gemm_tile *tile, const fr_gemm_panel *panel);
} fr_gemm_kernel;

/* f32 weights */
extern const fr_gemm_kernel fr_gemm_kernel_generic;
extern const fr_gemm_kernel fr_gemm_kernel_avx2;
extern const fr_gemm_kernel fr_gemm_kernel_avx512;
/* bf16 weights */
extern const fr_gemm_kernel fr_gemm_fixed_generic;
extern const fr_gemm_kernel fr_gemm_fixed_avx2;
extern const fr_gemm_kernel fr_gemm_fixed_avx512;
extern const fr_gemm_kernel fr_gemm_fixed_avx512_vnni;

/** The kernel of the highest instruction set up to `isa` for weights of a type. */
const fr_gemm_kernel *fr_gemm_kernel_select(fr_isa isa, fr_dtype dtype);

/** Length of the blocks of a sum of `depth` products with weights of a type (the last one may be shorter): a multiple of
 * 16, the same for every kernel. */
int64_t fr_gemm_depth_block(fr_dtype dtype, int64_t depth);

/** Length of the runs of a block of `depth` in fixed point, even (the last one may be shorter). */
int64_t fr_gemm_run(int64_t depth);

/** A whole product, for fr_linear and fr_linear_back. */
typedef struct fr_product {
    int64_t m;
    int64_t columns; /* of out */
    int64_t depth;
    int64_t
        depth_block; /* fr_gemm_depth_block of the whole sum, of which this may be a part */
    const float *left; /* [m, depth], rows left_stride floats apart */
    int64_t left_stride;
    const fr_matrix *weights;
    bool transposed; /* forward: right[d, j] = W[j, d] */
    bool accumulate;
    float *out; /* [m, columns], rows out_stride floats apart */
    int64_t out_stride;
} fr_product;

/** Weights in place (fr_matrix_in_place). */
FR_MUST_CHECK fr_status fr_gemm_multiply(fr_device *device, const fr_product *product);

#endif
