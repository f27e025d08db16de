/* Softmax cross-entropy over the vocabulary; a row is one thread's work. */
#include "base/elementary.h"
#include "device/cpu/kernels.h"
#include "device/state.h"

#include <math.h>

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

void fr_cross_entropy(fr_device *device, int64_t n_rows, int64_t vocab,
                      float *logits_RV, const int32_t *targets_R, bool want_gradient,
                      double *nll_R)
{
    int64_t began = fr_operator_begin(device);
    const fr_kernels *kernels = fr_kernels_select(device->isa);
    int threads = fr_kernels_threads(device->n_threads, n_rows * vocab);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t r = 0; r < n_rows; r++) {
        nll_R[r] = row_loss(kernels, vocab, logits_RV + r * vocab, targets_R[r],
                            want_gradient);
    }
    fr_operator_end(device, FR_OP_LOSS, began, 0);
}
