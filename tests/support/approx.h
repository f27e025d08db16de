/*
 * approx.h - the one table of tolerances: how far an operator may be from its f64 reference.
 */
#ifndef FR_TESTS_APPROX_H
#define FR_TESTS_APPROX_H

#include "device/device.h"

typedef enum fr_approx_operator {
    FR_APPROX_LINEAR,
    FR_APPROX_LINEAR_BACK,
    FR_APPROX_NORM,
    FR_APPROX_NORM_BACK,
    FR_APPROX_ROPE,
    FR_APPROX_ACTIVATION,
    FR_APPROX_ACTIVATION_BACK,
    FR_APPROX_SUM,
    FR_APPROX_LOSS,
    FR_APPROX_LOSS_GRADIENT,
    FR_APPROX_ATTENTION,
    FR_APPROX_ATTENTION_LSE,
    FR_APPROX_ATTENTION_BACK,
    FR_APPROX_DIFFERENCE,
    FR_APPROX_OPERATORS
} fr_approx_operator;

/** Largest |got - wanted| allowed, as a share of the largest |wanted| (fr_assert_close's tolerance),
 * for operands in f32 or rounded to bf16. */
double fr_approx(fr_approx_operator operator_name, fr_dtype dtype);

#endif
