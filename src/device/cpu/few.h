/*
 * few.h - a part of a product of few rows of x with rows of W in memory, for fr_linear_few; one kernel for each instruction set.
 *
 * Order of summation, the same for every element at every position: lane l of 16 adds the products of depths
 * l, l + 16, ... in ascending order from zero, each by one fused multiply-add; then the upper half of the lanes is
 * added to the lower one until one is left, and that to what `y` held.
 */
#ifndef FR_DEVICE_CPU_FEW_H
#define FR_DEVICE_CPU_FEW_H

#include "device/device.h"

/** All rows of x with some neighbouring rows of W. */
typedef struct fr_few {
    int64_t m;
    int64_t columns; /* rows of W */
    int64_t depth;
    const float *x; /* [m, depth], dense */
    const void *w;  /* [columns, depth], dense */
    fr_dtype dtype; /* of w */
    float *y;       /* [m, columns], rows `y_stride` apart */
    int64_t y_stride;
    bool add; /* to what is in y */
} fr_few;

typedef void fr_few_kernel(const fr_few *few);

fr_few_kernel fr_few_generic;
fr_few_kernel fr_few_avx2;
fr_few_kernel fr_few_avx512;

#endif
