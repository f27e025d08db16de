/* Logits, losses and exact sums on a GPU: kernels_loss.cu. */
#include "base/integer.h"
#include "device/cuda/memory.h"
#include "device/cuda/operators.h"
#include "device/cuda/wide.h"

#include <math.h>
#include <stddef.h>

enum { QUAD = 4, MOST_ROWS = 1 << 20 };

static fr_shape_numbers numbers_of(const fr_logit_shape *shape)
{
    if (shape == NULL) {
        return (fr_shape_numbers){1.0F, 0.0F, 0.0F};
    }
    return (fr_shape_numbers){shape->scale, shape->cap,
                              shape->cap != 0.0F ? 1.0F / shape->cap : 0.0F};
}

void fr_cuda_shape_logits(fr_device *device, int64_t n, const fr_logit_shape *shape,
                          float *logits)
{
    fr_shape_logits_arguments arguments = {logits, n, numbers_of(shape)};
    fr_cuda_start start =
        fr_cuda_share(FR_KERNEL_shape_logits, fr_ceil_div(n, QUAD), 0);
    fr_cuda_launch(device, &start, &arguments);
}

/* Some 16 numbers a thread, from one warp on: the width alone decides, as sums depend on it. */
static int threads_of(int64_t vocab)
{
    enum { WARP = 32, A_THREAD = 16 };
    int64_t warps = fr_ceil_div(vocab, WARP * A_THREAD);
    return (int)(WARP * fr_min(warps, FR_LOSS_WARPS));
}

void fr_cuda_cross_entropy(fr_device *device, int64_t n_rows, int64_t vocab,
                           const fr_logit_shape *shape, float *logits_RV,
                           const int32_t *targets_R, bool want_gradient, double *nll_R)
{
    fr_cuda_list list = {targets_R, n_rows * (int64_t)sizeof *targets_R, NULL};
    if (n_rows == 0 || !fr_cuda_keep(device, fr_cuda_lists(device, 1, &list))) {
        return;
    }
    fr_cross_entropy_arguments arguments = {.logits_RV = logits_RV,
                                            .targets_R = list.at,
                                            .nll_R = nll_R,
                                            .n_rows = n_rows,
                                            .vocab = vocab,
                                            .shape = numbers_of(shape),
                                            .has_shape = shape != NULL,
                                            .want_gradient = want_gradient};
    fr_cuda_start start = {.kernel = FR_KERNEL_cross_entropy,
                           .blocks = fr_min(n_rows, MOST_ROWS),
                           .threads = threads_of(vocab),
                           .shared = (int64_t)sizeof(fr_loss_shared)};
    fr_cuda_launch(device, &start, &arguments);
}

void fr_cuda_exact_add(fr_device *device, int64_t n_units, int64_t n, int exponent,
                       const float *g_Un, int64_t *sum_n, int64_t *n_refused)
{
    fr_exact_arguments arguments = {.g_Un = g_Un,
                                    .sum = sum_n,
                                    .n_refused = n_refused,
                                    .n_units = n_units,
                                    .n = n,
                                    .scale = ldexp(1.0, exponent)};
    fr_cuda_start start = fr_cuda_share(FR_KERNEL_exact_add, n_units > 0 ? n : 0, 0);
    fr_cuda_launch(device, &start, &arguments);
}

void fr_cuda_exact_add_numbers(fr_device *device, int64_t n, int exponent,
                               const double *x_n, int64_t *sum, int64_t *n_refused)
{
    fr_exact_arguments arguments = {.x_n = x_n,
                                    .sum = sum,
                                    .n_refused = n_refused,
                                    .n = n,
                                    .scale = ldexp(1.0, exponent)};
    fr_cuda_start start = fr_cuda_share(FR_KERNEL_exact_add_numbers, n, 0);
    fr_cuda_launch(device, &start, &arguments);
}
