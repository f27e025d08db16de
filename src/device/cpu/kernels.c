#include "device/cpu/kernels.h"

#include <math.h>

const fr_kernels *fr_kernels_select(fr_isa isa)
{
    if (isa >= FR_ISA_AVX512) {
        return &fr_kernels_avx512;
    }
    return isa >= FR_ISA_AVX2 ? &fr_kernels_avx2 : &fr_kernels_generic;
}

/* Below this, waking threads costs more than the work (about 2 us). */
enum { ELEMENTS_WORTH_THREADS = 8192 };

int fr_kernels_threads(int n_threads, int64_t elements)
{
    return elements < ELEMENTS_WORTH_THREADS ? 1 : n_threads;
}

/* The C library's log differs between processors with and without fused multiply-add, which would
 * make results depend on more than the instruction set in use. Here x = m 2^e with m in
 * [sqrt(1/2), sqrt(2)) and log m = 2 artanh(s), s = (m - 1) / (m + 1), |s| <= 0.172: eleven odd terms
 * reach 1e-17. */
double fr_kernels_log(double x)
{
    static const double LN2 = 0.69314718055994530942;
    static const double SQRT_HALF = 0.70710678118654752440;
    enum { TERMS = 11 };
    int exponent = 0;
    if (!isfinite(x) || x <= 0) {
        return log(x);
    }
    double m = frexp(x, &exponent);
    if (m < SQRT_HALF) {
        m *= 2;
        exponent -= 1;
    }
    double s = (m - 1) / (m + 1);
    double sum = 0;
    for (int term = TERMS - 1; term >= 0; term--) {
        sum = sum * (s * s) + 1.0 / (2 * term + 1);
    }
    return 2 * s * sum + exponent * LN2;
}
