/*
 * exact.h - sums of floating-point numbers that do not depend on the order of the terms.
 *
 * A term x becomes the integer llrint(x 2^E), and integers are added. E is chosen so that no sum of the agreed number of
 * terms (at most 2^44) can wrap, in any order and on any layout of ranks. Terms must lie below FR_EXACT_LIMIT in size.
 */
#ifndef FR_BASE_EXACT_H
#define FR_BASE_EXACT_H

#include <stdint.h>

/** Terms lie below 2^FR_EXACT_LIMIT_BITS in size: gradients and losses beyond it come from a run that has diverged. */
enum { FR_EXACT_LIMIT_BITS = 17 };
#define FR_EXACT_LIMIT ((double)((int64_t)1 << FR_EXACT_LIMIT_BITS))

/** Exponent E of a sum of at most n terms: 62 - ceil(log2 n) - FR_EXACT_LIMIT_BITS. */
int fr_exact_exponent(int64_t n_terms);
/** Add llrint(x * 2^exponent) to *sum. An x that is not finite or not below the limit is counted in *n_nonfinite
 * instead. */
void fr_exact_add_one(double x, int exponent, int64_t *sum, int64_t *n_nonfinite);
/** The sum's value. */
double fr_exact_value(int64_t sum, int exponent);

#endif
