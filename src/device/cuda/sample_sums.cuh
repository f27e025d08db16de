/*
 * sample_sums.cuh - the sums of the weights of sorted candidates, by a block, with the bits of a loop.
 *
 * The sum of the weights is that of a loop, s += w, rounded at each step. While s lies in [2^e, 2^(e+1)) it is an integer in
 * units of its last place, and a step adds an integer, too: w in these units, rounded to the nearest. Only at a tie does it
 * depend on s, namely on whether s is even. So each thread has two sums of its steps, one for either case, and they are
 * put together in a tree. Where s reaches the next power of two, that step is done as the loop does it, and the next ones begin
 * anew: 18 times for 2^18 candidates.
 */
#ifndef FR_DEVICE_CUDA_SAMPLE_SUMS_CUH
#define FR_DEVICE_CUDA_SAMPLE_SUMS_CUH

#include "device/cuda/sample_lists.cuh"

#include "base/elementary_formula.h"

enum { A_THREAD = 4 };

static const int64_t FULL = (int64_t)1 << 53; /* units in a power of two's next one */

/* Beyond FULL nothing but that matters; what is larger could overflow. */
FR_DEVICE int64_t bounded(int64_t x)
{
    return x < 2 * FULL ? x : 2 * FULL;
}

/* What a weight adds, in units, to an even and to an odd sum. */
FR_DEVICE fr_sample_steps step_of(double weight, double per_unit)
{
    double units = weight * per_unit; /* exact, as what follows */
    int64_t whole = (int64_t)units;
    double rest = units - (double)whole;
    int64_t up = whole + (rest > 0.5 ? 1 : 0);
    fr_sample_steps out = {up, up};
    if (rest == 0.5) {
        out.even += whole & 1;
        out.odd += 1 - (whole & 1);
    }
    return out;
}

/* `first`, then `next`. */
FR_DEVICE fr_sample_steps both_steps(const fr_sample_steps &first,
                                     const fr_sample_steps &next)
{
    bool even_stays = (first.even & 1) == 0;
    bool odd_stays = (first.odd & 1) == 0;
    fr_sample_steps out = {bounded(first.even + (even_stays ? next.even : next.odd)),
                           bounded(first.odd + (odd_stays ? next.odd : next.even))};
    return out;
}

FR_DEVICE int64_t after_steps(int64_t sum, const fr_sample_steps &steps)
{
    return sum + ((sum & 1) == 0 ? steps.even : steps.odd);
}

/* The sum before this thread's own steps, of a block whose sum begins at `sum`. */
FR_DEVICE int64_t sum_before(int64_t sum, fr_sample_steps own, fr_sample_shared *shared)
{
    int lane = fr_thread() % FR_WARP;
    int warp = fr_thread() / FR_WARP;
    fr_sample_steps upto = own;
    for (int step = 1; step < FR_WARP; step *= 2) {
        fr_sample_steps other = {fr_from_lane(upto.even, lane - step),
                                 fr_from_lane(upto.odd, lane - step)};
        if (lane >= step) {
            upto = both_steps(other, upto);
        }
    }
    fr_sample_steps before = {fr_from_lane(upto.even, lane - 1),
                              fr_from_lane(upto.odd, lane - 1)};
    if (lane == FR_WARP - 1) {
        shared->steps[warp] = upto;
    }
    fr_sync();
    for (int i = 0; i < warp; i++) {
        sum = bounded(after_steps(sum, shared->steps[i]));
    }
    return lane > 0 ? after_steps(sum, before) : sum;
}

/* The sorted candidates that are weighed, and the sums of their weights. */
typedef struct weighing {
    const fr_candidate *sorted;
    double *sums; /* of all up to each */
    int64_t kept;
    double highest;
    double temperature;
} weighing;

/* Relative to the highest logit no exponent is above 0: nothing overflows, and the first weight is exactly 1. */
FR_DEVICE double weight_of(const weighing &w, int64_t i)
{
    double logit = (double)logit_of(w.sorted[i].key);
    return fr_exp_of_pair((logit - w.highest) / w.temperature, 0.0);
}

/* The next sums from number `from` on, after `sum` >= 1: as many as a block takes, or up to the one that reaches the next
 * power of two. @return the first number that is left; shared->sum is the sum by then */
FR_DEVICE int64_t add_weights(const weighing &w, int64_t from, double sum,
                              fr_sample_shared *shared)
{
    enum { MANTISSA = 52, BIAS = 1023 };
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    int exponent = (int)(bits >> MANTISSA) - BIAS;
    double unit = fr_power_of_two(exponent - MANTISSA);
    double per_unit = fr_power_of_two(MANTISSA - exponent);
    int64_t first = from + (int64_t)A_THREAD * fr_thread();
    int64_t end = first + A_THREAD < w.kept ? first + A_THREAD : w.kept;
    fr_sample_steps own = {0, 0};
    for (int64_t i = first; i < end; i++) {
        double weight = weight_of(w, i);
        w.sums[i] = weight; /* kept where its sum comes */
        own = both_steps(own, step_of(weight, per_unit));
    }
    if (fr_thread() == 0) {
        shared->crossed = -1;
    }
    int64_t at = sum_before((int64_t)(sum * per_unit), own, shared);
    for (int64_t i = first; i < end && at < FULL; i++) {
        double weight = w.sums[i];
        int64_t next = after_steps(at, step_of(weight, per_unit));
        double so_far = (double)next * unit;
        if (next >= FULL) {
            so_far = (double)at * unit + weight;
            shared->crossed = (int32_t)i;
            shared->sum = so_far;
        }
        w.sums[i] = so_far;
        at = next;
    }
    if (at < FULL && fr_thread() == fr_threads() - 1) {
        shared->sum = (double)at * unit;
    }
    fr_sync();
    return shared->crossed >= 0 ? (int64_t)shared->crossed + 1
                                : from + (int64_t)A_THREAD * fr_threads();
}

FR_DEVICE void weigh(const weighing &w, fr_sample_shared *shared)
{
    double sum = 1.0;
    int64_t from = 1;
    if (fr_thread() == 0) {
        w.sums[0] = sum;
    }
    while (from < w.kept) {
        from = add_weights(w, from, sum, shared);
        sum = shared->sum;
        fr_sync();
    }
    fr_sync();
}

#endif
