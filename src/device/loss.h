/*
 * loss.h - logits, the loss, and exact sums of gradients.
 *
 * Words, shape letters and promises as in device.h.
 */
#ifndef FR_DEVICE_LOSS_H
#define FR_DEVICE_LOSS_H

#include "device/device.h"

/** How logits come from the product x of hidden rows and the vocabulary: y = scale x, then cap tanh(y / cap) with a cap
 * (Gemma 2; 0: none). */
typedef struct fr_logit_shape {
    float scale; /* > 0 */
    float cap;   /* >= 0 */
} fr_logit_shape;

/** Products become logits, in place: for the choice of a token. */
void fr_shape_logits(fr_device *device, int64_t n, const fr_logit_shape *shape,
                     float *logits);

/**
 * Softmax cross-entropy of R rows: nll[r] = log sum exp(logits[r]) - logits[r, target[r]], in nats.
 * With `want_gradient` the logits are overwritten by d nll / d logits = softmax - onehot.
 * With a shape (NULL: none) the rows hold products, from which the logits come first, and the gradient is that of the products.
 * Without `want_gradient` the rows become their logits. A row with a number that is not finite has nll NaN.
 */
void fr_cross_entropy(fr_device *device, int64_t n_rows, int64_t vocab,
                      const fr_logit_shape *shape, float *logits_RV,
                      const int32_t *targets_R, bool want_gradient, double *nll_R);

/**
 * Exact sum (base/exact.h): sum[i] += llrint(g[u, i] * 2^exponent) over the units u.
 * @param n_refused  memory of the device: counts up for each value that is not finite or has |g| >= 2^17, which is not
 *                   added
 */
void fr_exact_add(fr_device *device, int64_t n_units, int64_t n, int exponent,
                  const float *g_Un, int64_t *sum_n, int64_t *n_refused);

/** The same of n numbers in f64, all in one sum: *sum += llrint(x[i] * 2^exponent). */
void fr_exact_add_numbers(fr_device *device, int64_t n, int exponent, const double *x_n,
                          int64_t *sum, int64_t *n_refused);

#endif
