#include "base/exact.h"

#include <math.h>

/* An int64 holds sums below 2^63; one bit stays free, so that a term that is rounded up to the limit fits as well. */
enum { SUM_BITS = 62, MAX_COUNT_BITS = SUM_BITS - FR_EXACT_LIMIT_BITS - 1 };

/* The most fractional bits with which n_terms numbers below FR_EXACT_LIMIT cannot overflow the sum. */
int fr_exact_exponent(int64_t n_terms)
{
    int bits = 0;
    while (bits < MAX_COUNT_BITS && ((int64_t)1 << bits) < n_terms) {
        bits++;
    }
    return SUM_BITS - bits - FR_EXACT_LIMIT_BITS;
}

/* A NaN fails the comparison too, so it is counted and never reaches the sum. */
void fr_exact_add_one(double x, int exponent, int64_t *sum, int64_t *n_nonfinite)
{
    if (fabs(x) < FR_EXACT_LIMIT) {
        *sum += llrint(ldexp(x, exponent));
    } else {
        (*n_nonfinite)++;
    }
}

double fr_exact_value(int64_t sum, int exponent)
{
    return ldexp((double)sum, -exponent);
}
