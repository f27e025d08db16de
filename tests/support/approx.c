#include "support/approx.h"

/* A f32 rounding is 6e-8; sums of a few thousand terms in 8 or more lanes stay within tens of them. In
 * bf16 the references round their operands too, so only an operand that lies within f32 noise of a
 * rounding boundary differs, by 4e-3 of itself in a sum of many. FR_APPROX_DIFFERENCE is for analytic
 * against central-difference derivatives in f64, step 1e-3: the error is of third order. */
double fr_approx(fr_approx_operator operator_name, fr_dtype dtype)
{
    static const double TABLE[FR_APPROX_OPERATORS][2] = {
        [FR_APPROX_LINEAR] = {4e-6, 4e-6},
        [FR_APPROX_LINEAR_BACK] = {4e-6, 4e-6},
        [FR_APPROX_NORM] = {1e-6, 4e-3},
        [FR_APPROX_NORM_BACK] = {2e-6, 4e-3},
        [FR_APPROX_ROPE] = {3e-7, 4e-3},
        [FR_APPROX_ACTIVATION] = {1e-6, 4e-3},
        [FR_APPROX_ACTIVATION_BACK] = {1e-6, 4e-3},
        [FR_APPROX_SUM] = {1e-7, 4e-3},
        [FR_APPROX_LOSS] = {1e-6, 4e-3},
        [FR_APPROX_LOSS_GRADIENT] = {1e-6, 4e-3},
        [FR_APPROX_ATTENTION] = {2e-6, 4e-3},
        [FR_APPROX_ATTENTION_LSE] = {1e-6, 4e-3},
        [FR_APPROX_ATTENTION_BACK] = {5e-6, 4e-3},
        [FR_APPROX_DIFFERENCE] = {2e-5, 2e-5},
    };
    return TABLE[operator_name][dtype == FR_BF16 ? 1 : 0];
}
