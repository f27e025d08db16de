/*
 * difference.h - derivatives of a plain function by central differences, in f64.
 */
#ifndef FR_TESTS_DIFFERENCE_H
#define FR_TESTS_DIFFERENCE_H

#include <stdint.h>

/** A scalar function of n numbers. */
typedef double (*fr_test_function)(const double *x, const void *user);

/** (f(x + h e_i) - f(x - h e_i)) / 2h with h = 1e-3 for i = 0, step, 2 step, ... < n, into
 * derivative[i] (others untouched); x is restored. */
void fr_test_difference(fr_test_function function, const void *user, int64_t n,
                        int64_t step, double *x, float *derivative);

#endif
