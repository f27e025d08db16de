/* Softmax cross-entropy over the vocabulary; a row is one thread's work. */
#include "device/loss.h"
#include "base/elementary.h"
#include "base/integer.h"
#include "device/cpu/cpu.h"
#include "device/cpu/kernels.h"

#include <math.h>
#include <stddef.h>

/* nll = log sum e^(x - max) + (max - x_target), in f64 from the f32 logits. */
/* The gradient is probability - 1 at the target and the probability elsewhere, in place of the logits. The target
 * is read before sum_exp, which overwrites the row. A row with a logit that is not finite gives NaN, so that it
 * shows in the sum of losses. */
static double row_loss(const fr_kernels *kernels, int64_t vocab, float *logits,
                       int32_t target, bool want_gradient)
{
    bool finite = false;
    float max = kernels->max_logit(vocab, logits, &finite);
    double target_logit = (double)logits[target];
    double sum = kernels->sum_exp(vocab, max, want_gradient, logits);
    if (want_gradient) {
        double probability = (double)logits[target] / sum;
        kernels->scale(vocab, (float)(1.0 / sum), logits);
        logits[target] = (float)(probability - 1.0);
    }
    return finite ? fr_ln(sum) + ((double)max - target_logit) : (double)NAN;
}

/* A factor of the logits is one of their gradient, too. */
static double scaled_row_loss(const fr_kernels *kernels, int64_t vocab,
                              const fr_logit_shape *shape, float *x, int32_t target,
                              bool want_gradient)
{
    kernels->shape_logits(vocab, shape, x);
    double nll = row_loss(kernels, vocab, x, target, want_gradient);
    if (want_gradient) {
        kernels->scale(vocab, shape->scale, x);
    }
    return nll;
}

/* Products become capped logits, which stay in place while they are summed: both the probability and the slope of the cap,
 * scale (1 - (logit / cap)^2), come from them. Whether the row is finite is asked before, since a cap hides infinities. */
static double capped_row_loss(const fr_kernels *kernels, int64_t vocab,
                              const fr_logit_shape *shape, float *x, int32_t target,
                              bool want_gradient)
{
    bool finite = false;
    bool unused = false;
    (void)kernels->max_logit(vocab, x, &finite);
    kernels->shape_logits(vocab, shape, x);
    float max = kernels->max_logit(vocab, x, &unused);
    double target_logit = (double)x[target];
    double sum = kernels->sum_exp(vocab, max, false, x);
    if (want_gradient) {
        double t = target_logit / (double)shape->cap;
        double probability = fr_exp(target_logit - (double)max) / sum;
        kernels->capped_probability(vocab, shape, max, (float)(1.0 / sum), x);
        x[target] = (float)((probability - 1.0) * (double)shape->scale * (1.0 - t * t));
    }
    return finite ? fr_ln(sum) + ((double)max - target_logit) : (double)NAN;
}

void fr_cpu_cross_entropy(fr_device *device, int64_t n_rows, int64_t vocab,
                          const fr_logit_shape *shape, float *logits_RV,
                          const int32_t *targets_R, bool want_gradient, double *nll_R)
{
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_rows * vocab);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t r = 0; r < n_rows; r++) {
        float *row = logits_RV + r * vocab;
        if (shape == NULL) {
            nll_R[r] = row_loss(kernels, vocab, row, targets_R[r], want_gradient);
        } else if (shape->cap == 0.0F) {
            nll_R[r] = scaled_row_loss(kernels, vocab, shape, row, targets_R[r],
                                       want_gradient);
        } else {
            nll_R[r] = capped_row_loss(kernels, vocab, shape, row, targets_R[r],
                                       want_gradient);
        }
    }
}

void fr_cpu_shape_logits(fr_device *device, int64_t n, const fr_logit_shape *shape,
                         float *logits)
{
    enum { CHUNK = 4096 };
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        kernels->shape_logits(fr_min(n - start, CHUNK), shape, logits + start);
    }
}
