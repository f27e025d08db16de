/*
 * kernels_rows.h - kernels of rows that move, sums, values that are kept: what they take, and their names (kernels.h).
 *
 * Results in f32 have the CPU's bits. A sum of many rows has the order of the list, one after the other.
 */
#ifndef FR_DEVICE_CUDA_KERNELS_ROWS_H
#define FR_DEVICE_CUDA_KERNELS_ROWS_H

#include <stdint.h>

/* One long run of n numbers, of which the first n_groups groups are taken at once. */
typedef struct fr_run_arguments {
    void *x;
    void *y; /* what is kept, or the sum */
    int64_t n;
    int64_t n_groups;
    float factor;
    int32_t padding;
} fr_run_arguments;

/* y[n] = x[rows[n]], or 0 where rows[n] < 0, as bytes: `width` units of `unit` (16, 4 or 2) bytes a row. A thread's units in a row
 * lie `step` units apart. */
typedef struct fr_copy_rows_arguments {
    const int32_t *rows_N;
    const void *x;
    void *y_ND;
    int64_t n_rows;
    int64_t width;
    int64_t step;
    int32_t unit;
    int32_t padding;
} fr_copy_rows_arguments;

/* x[t] += table[rows[t]], f32. Items of a thread as in kernels_activation.h. */
typedef struct fr_add_table_rows_arguments {
    const int32_t *rows_T;
    const float *table;
    float *x_TD;
    int64_t n_tokens;
    int64_t width;
    int64_t step;
    int32_t wide;
    int32_t padding;
} fr_add_table_rows_arguments;

/* y[rows[u]] += x[order[i]] for i from begins[u] to begins[u + 1], f32: `rows` has each row once. */
typedef struct fr_add_rows_arguments {
    const int32_t *rows;
    const int64_t *begins;
    const int64_t *order;
    const float *x_ND;
    float *y;
    int64_t n_rows; /* that differ */
    int64_t width;
    int64_t step;
    int32_t wide;
    int32_t padding;
} fr_add_rows_arguments;

#define FR_KERNELS_ROWS(K, K1, K2, K3)                                                 \
    K2(save)       /* x, saved */                                                      \
    K2(restore)    /* saved, x */                                                      \
    K1(add_scaled) /* x */                                                             \
    K(scale)                                                                           \
    K(copy_rows)                                                                       \
    K(add_table_rows)                                                                  \
    K(add_rows)

#endif
