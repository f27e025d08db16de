/*
 * kernels_product.h - kernels of products: what they take, and their names (kernels.h).
 *
 * The digits are those of the left operand, the weights and the result.
 */
#ifndef FR_DEVICE_CUDA_KERNELS_PRODUCT_H
#define FR_DEVICE_CUDA_KERNELS_PRODUCT_H

#include <stdint.h>

/** A tile of the result, the depth that lies in shared memory at a time, and the threads, each with ROWS x COLUMNS sums. */
enum {
    FR_PRODUCT_TILE_ROWS = 64,
    FR_PRODUCT_TILE_COLUMNS = 64,
    FR_PRODUCT_TILE_DEPTH = 16,
    FR_PRODUCT_ROWS = 8,
    FR_PRODUCT_COLUMNS = 4,
    FR_PRODUCT_THREADS = FR_PRODUCT_TILE_ROWS / FR_PRODUCT_ROWS *
                         (FR_PRODUCT_TILE_COLUMNS / FR_PRODUCT_COLUMNS),
    /* a line of shared memory: four numbers more, so that lines of different depth begin in different banks */
    FR_PRODUCT_LINE = 64 + 4,
    FR_PRODUCT_SHARED = 2 * 2 * FR_PRODUCT_TILE_DEPTH * FR_PRODUCT_LINE * 4
};

/** A block computes a tile; tiles below each other, of the same columns, are neighbours in the grid. Strides count numbers. */
typedef struct fr_product_arguments {
    const void *left; /* [m, depth] */
    const void *
        weights; /* product_forward: [columns, depth]; product_back: [depth, columns] */
    const float *begun; /* [m, columns], dense: the sums so far; NULL: 0 */
    float *
        unfinished; /* [m, columns], dense, may be `begun`: where sums go that are not complete; NULL: they are, and go to out */
    const void *
        add; /* [m, columns] in the type of out, which it may be: out = add + sums; NULL: sums */
    void *out; /* [m, columns] */
    int64_t m;
    int64_t columns;
    int64_t depth;
    int64_t left_stride;
    int64_t weights_stride;
    int64_t out_stride; /* of add, too */
} fr_product_arguments;

#define FR_KERNELS_PRODUCT(K, K1, K2, K3)                                              \
    K3(product_forward)                                                                \
    K3(product_back)

#endif
