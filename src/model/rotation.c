#include "model/rotation.h"

#include "base/elementary.h"

#include <math.h>

static const double TURN = 6.283185307179586477;

fr_rotation fr_rotation_plain(double theta, int64_t rotary)
{
    fr_rotation rotation = {.theta = theta, .rotary = rotary, .scale = 1.0};
    for (int i = 0; i < FR_ROTATION_MAX_PAIRS; i++) {
        rotation.divisors[i] = 1.0;
        rotation.long_divisors[i] = 1.0;
    }
    return rotation;
}

void fr_rotation_linear(fr_rotation *rotation, double factor)
{
    for (int64_t i = 0; i < rotation->rotary / 2; i++) {
        rotation->divisors[i] = factor;
    }
}

/* The divisor between none (slow 0) and all (slow 1) of a factor: speeds are mixed, not divisors. */
static double mix(double slow, double factor)
{
    return 1.0 / (slow / factor + (1.0 - slow));
}

void fr_rotation_llama3(fr_rotation *rotation, const fr_llama3 *by)
{
    for (int64_t i = 0; i < rotation->rotary / 2; i++) {
        double exponent = (double)(2 * i) / (double)rotation->rotary;
        double turns = by->original / (TURN * fr_power_of(rotation->theta, exponent));
        double fast = (turns - by->low) / (by->high - by->low);
        rotation->divisors[i] = turns < by->low    ? by->factor
                                : turns > by->high ? 1.0
                                                   : mix(1.0 - fast, by->factor);
    }
}

static double attention_scale(double factor, double mscale)
{
    return factor <= 1.0 ? 1.0 : 0.1 * mscale * fr_ln(factor) + 1.0;
}

/* The number, as a real one, of the pair with that many turns in `original` positions. */
static double pair_with_turns(const fr_rotation *rotation, double original,
                              double turns)
{
    return (double)rotation->rotary * fr_ln(original / (turns * TURN)) /
           (2.0 * fr_ln(rotation->theta));
}

void fr_rotation_yarn(fr_rotation *rotation, const fr_yarn *by)
{
    double low = pair_with_turns(rotation, by->original, by->beta_fast);
    double high = pair_with_turns(rotation, by->original, by->beta_slow);
    if (by->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = low > 0.0 ? low : 0.0;
    double last = (double)(rotation->rotary - 1);
    high = high < last ? high : last;
    if (low == high) {
        high += 0.001; /* as the source has it: a step in place of a ramp */
    }
    for (int64_t i = 0; i < rotation->rotary / 2; i++) {
        double slow = ((double)i - low) / (high - low);
        slow = slow < 0.0 ? 0.0 : slow > 1.0 ? 1.0 : slow;
        rotation->divisors[i] = mix(slow, by->factor);
    }
    rotation->scale = by->scale;
    if (by->scale == 0.0) {
        rotation->scale = by->mscale != 0.0 && by->mscale_all != 0.0
                              ? attention_scale(by->factor, by->mscale) /
                                    attention_scale(by->factor, by->mscale_all)
                              : attention_scale(by->factor, 1.0);
    }
}

void fr_rotation_longrope(fr_rotation *rotation, const fr_longrope *by)
{
    for (int64_t i = 0; i < rotation->rotary / 2; i++) {
        rotation->divisors[i] = by->shorts[i];
        rotation->long_divisors[i] = by->longs[i];
    }
    rotation->long_from = by->original;
    rotation->scale = by->scale;
    if (by->scale == 0.0) {
        double logs = fr_ln(by->factor) / fr_ln((double)by->original);
        rotation->scale = by->factor <= 1.0 ? 1.0 : sqrt(1.0 + logs);
    }
}
