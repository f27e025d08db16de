/*
 * Logits, losses and exact sums.
 *
 * cross_entropy: a block has a row. It reads the row twice, first for the highest logit and the sum of exponentials, then for the
 * gradient, which it writes. Thread t has the numbers 4 j ... 4 j + 3 for j = t, t + threads, ...; it keeps the highest logit so
 * far and the f64 sum of e^(logit - highest), which is scaled when the highest rises. The order of all sums is fixed by the
 * vocabulary alone. Losses and gradients are the CPU's to about 1e-7; logits and exact sums have the CPU's bits.
 */
#include "device/cuda/kernels_loss.h"

#include "device/cuda/fours.cuh"
#include "device/cuda/simd_one.cuh"

#include "base/elementary_formula.h"
#include "base/exact.h"

FR_DEVICE float shaped(const fr_shape_numbers &shape, float x)
{
    v8 y = v8_mul(v8_set(x), v8_set(shape.scale));
    if (shape.cap != 0.0F) {
        y = v8_mul(v8_set(shape.cap), v8_tanh(v8_mul(y, v8_set(shape.inverse_cap))));
    }
    return y.lane;
}

FR_KERNEL(shape_logits, fr_shape_logits_arguments, 256)
{
    int64_t step = FR_FOUR * fr_threads() * fr_blocks();
    int64_t first = FR_FOUR * (fr_block() * fr_threads() + fr_thread());
    for (int64_t at = first; at < a.n; at += step) {
        fr_four<float> x = fr_read_four(a.logits + at, a.n - at);
        for (int i = 0; i < FR_FOUR; i++) {
            x.at[i] = shaped(a.shape, x.at[i]);
        }
        fr_write_four(a.logits + at, a.n - at, x);
    }
}

/* ---- cross-entropy -------------------------------------------------------------------------------- */

FR_DEVICE float exp_one(float x)
{
    return v8_exp(v8_set(x)).lane;
}

/* Of the numbers so far: the highest logit, sum of e^(logit - highest), and whether all are finite. */
typedef struct softmax_sum {
    double sum;
    float max;
    bool finite;
} softmax_sum;

/* The sum to a higher maximum. */
FR_DEVICE void raise_max(softmax_sum *s, float max)
{
    if (max > s->max) {
        s->sum *= (double)exp_one(s->max - max);
        s->max = max;
    }
}

/* One number's logit, which the row holds from then on where no gradient is wanted. */
FR_DEVICE float logit_of(const fr_cross_entropy_arguments &a, float x)
{
    return a.has_shape != 0 ? shaped(a.shape, x) : x;
}

FR_DEVICE softmax_sum sum_of_thread(const fr_cross_entropy_arguments &a, float *row)
{
    softmax_sum s = {0.0, -INFINITY, true};
    bool writes = a.has_shape != 0 && a.want_gradient == 0;
    for (int64_t at = (int64_t)FR_FOUR * fr_thread(); at < a.vocab;
         at += (int64_t)FR_FOUR * fr_threads()) {
        fr_four<float> x = fr_read_four(row + at, a.vocab - at);
        float max = -INFINITY;
        for (int i = 0; i < FR_FOUR; i++) {
            s.finite = s.finite && x.at[i] * 0.0F == 0.0F;
            x.at[i] = logit_of(a, x.at[i]);
            max = at + i < a.vocab && x.at[i] > max ? x.at[i] : max;
        }
        if (writes) {
            fr_write_four(row + at, a.vocab - at, x);
        }
        raise_max(&s, max);
        for (int i = 0; i < FR_FOUR;
             i++) { /* each in f64: next to a 1 no small one is lost */
            s.sum += at + i < a.vocab ? (double)exp_one(x.at[i] - s.max) : 0.0;
        }
    }
    return s;
}

/* Of the whole row, the same in all threads. Those without numbers have sum 0. */
FR_DEVICE softmax_sum sum_of_row(softmax_sum s, fr_loss_shared *shared)
{
    int warp = fr_thread() / FR_WARP;
    int warps = fr_threads() / FR_WARP;
    float max = s.max;
    for (int mask = FR_WARP / 2; mask > 0; mask /= 2) {
        float other = fr_from_xor(max, mask);
        max = other > max ? other : max;
    }
    raise_max(&s, max);
    for (int mask = FR_WARP / 2; mask > 0; mask /= 2) {
        s.sum += fr_from_xor(s.sum, mask);
    }
    shared->sum[warp] = s.sum;
    shared->max[warp] = max;
    shared->finite[warp] = fr_ballot(!s.finite) == 0 ? 1 : 0;
    fr_sync();
    softmax_sum all = {0.0, shared->max[0], true};
    for (int i = 1; i < warps; i++) {
        all.max = shared->max[i] > all.max ? shared->max[i] : all.max;
    }
    for (int i = 0; i < warps; i++) {
        softmax_sum part = {shared->sum[i], shared->max[i], true};
        raise_max(&part, all.max);
        all.sum += part.sum;
        all.finite = all.finite && shared->finite[i] != 0;
    }
    fr_sync();
    return all;
}

/* d nll / d product of each number that is not the target: the probability, through the cap and the scale. */
FR_DEVICE float slope(const fr_cross_entropy_arguments &a, float product,
                      const softmax_sum &s, float inverse_sum)
{
    float logit = logit_of(a, product);
    float e = exp_one(logit - s.max);
    if (a.shape.cap == 0.0F) {
        return e * inverse_sum * a.shape.scale;
    }
    float t = logit * a.shape.inverse_cap;
    return e * (inverse_sum * a.shape.scale) * fr_fma(-t, t, 1.0F);
}

/* The same of the target, in f64: the probability less 1. */
FR_DEVICE float slope_at_target(const fr_cross_entropy_arguments &a, float logit,
                                const softmax_sum &s)
{
    if (a.shape.cap == 0.0F) {
        double probability = (double)exp_one(logit - s.max) / s.sum;
        return (float)(probability - 1.0) * a.shape.scale;
    }
    double t = (double)logit / (double)a.shape.cap;
    double probability = fr_exp_of_pair((double)logit - (double)s.max, 0.0) / s.sum;
    return (float)((probability - 1.0) * (double)a.shape.scale * (1.0 - t * t));
}

FR_DEVICE void write_gradient(const fr_cross_entropy_arguments &a, float *row,
                              int64_t target, float target_logit, const softmax_sum &s)
{
    float inverse_sum = (float)(1.0 / s.sum);
    float at_target = slope_at_target(a, target_logit, s);
    for (int64_t at = (int64_t)FR_FOUR * fr_thread(); at < a.vocab;
         at += (int64_t)FR_FOUR * fr_threads()) {
        fr_four<float> x = fr_read_four(row + at, a.vocab - at);
        for (int i = 0; i < FR_FOUR; i++) {
            float other = slope(a, x.at[i], s, inverse_sum);
            x.at[i] = at + i == target ? at_target : other;
        }
        fr_write_four(row + at, a.vocab - at, x);
    }
}

FR_KERNEL(cross_entropy, fr_cross_entropy_arguments, 1024)
{
    fr_loss_shared *shared = fr_shared<fr_loss_shared>();
    for (int64_t r = fr_block(); r < a.n_rows; r += fr_blocks()) {
        float *row = a.logits_RV + r * a.vocab;
        int64_t target = a.targets_R[r];
        softmax_sum s = sum_of_row(sum_of_thread(a, row), shared);
        /* Where no gradient is wanted the row holds its logits by now. */
        float at_target = a.want_gradient != 0 ? logit_of(a, row[target]) : row[target];
        fr_sync(); /* all threads have the target's logit before it is overwritten */
        if (fr_thread() == 0) {
            double nll = fr_ln_of_positive(s.sum) + ((double)s.max - (double)at_target);
            a.nll_R[r] = s.finite ? nll : (double)NAN;
        }
        if (a.want_gradient != 0) {
            write_gradient(a, row, target, at_target, s);
        }
    }
}

/* ---- exact sums ----------------------------------------------------------------------------------- */

/* A NaN fails the comparison too, so it is counted and never reaches the sum. The product is exact: the scale is a power of
 * two. */
FR_DEVICE int64_t exact_term(double x, double scale, int64_t *refused)
{
    if (x < FR_EXACT_LIMIT && x > -FR_EXACT_LIMIT) {
        return fr_round_i64(x * scale);
    }
    *refused += 1;
    return 0;
}

/* The sum over the warp, in all of its lanes. */
FR_DEVICE int64_t warp_total(int64_t x)
{
    for (int mask = FR_WARP / 2; mask > 0; mask /= 2) {
        x += fr_from_xor(x, mask);
    }
    return x;
}

FR_DEVICE void add_of_warp(int64_t *sum, int64_t x)
{
    int64_t total = warp_total(x);
    if (fr_thread() % FR_WARP == 0 && total != 0) {
        fr_add_i64(sum, total);
    }
}

/* A thread has a sum, over all units: the sums need no atomics. */
FR_KERNEL(exact_add, fr_exact_arguments, 256)
{
    int64_t refused = 0;
    int64_t step = fr_threads() * fr_blocks();
    for (int64_t i = fr_block() * fr_threads() + fr_thread(); i < a.n; i += step) {
        int64_t sum = a.sum[i];
        for (int64_t unit = 0; unit < a.n_units; unit++) {
            sum += exact_term((double)a.g_Un[unit * a.n + i], a.scale, &refused);
        }
        a.sum[i] = sum;
    }
    add_of_warp(a.n_refused, refused);
}

FR_KERNEL(exact_add_numbers, fr_exact_arguments, 256)
{
    int64_t refused = 0;
    int64_t sum = 0;
    int64_t step = fr_threads() * fr_blocks();
    for (int64_t i = fr_block() * fr_threads() + fr_thread(); i < a.n; i += step) {
        sum += exact_term(a.x_n[i], a.scale, &refused);
    }
    add_of_warp(a.sum, sum);
    add_of_warp(a.n_refused, refused);
}
