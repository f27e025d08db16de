/*
 * rotation.h - how far a rotary embedding turns each pair of elements.
 *
 * Pair i of the first `rotary` elements of a head is (i, i + rotary/2). At position t it turns by
 *
 *     t * theta^(-2i / rotary) / divisors[i]
 *
 * and is multiplied by `scale`. All scaling methods of model files are such divisors and a scale: a reader computes them
 * with the functions below, or takes them from the file.
 */
#ifndef FR_MODEL_ROTATION_H
#define FR_MODEL_ROTATION_H

#include "base/ctx.h"

#include <stdint.h>

enum { FR_ROTATION_MAX_PAIRS = 256 };

typedef struct fr_rotation {
    double theta;
    int64_t rotary;                         /* even, <= head_dim */
    double scale;                           /* of cos and sin */
    double divisors[FR_ROTATION_MAX_PAIRS]; /* the first rotary/2 */
    /* LongRoPE: a stage made for more positions than long_from turns by these divisors; 0: it has only the others */
    int64_t long_from;
    double long_divisors[FR_ROTATION_MAX_PAIRS];
} fr_rotation;

/** No scaling: divisors and scale are 1. */
fr_rotation fr_rotation_plain(double theta, int64_t rotary);

/* The functions below change a plain rotation with 1 < theta and 2 <= rotary <= 2 FR_ROTATION_MAX_PAIRS. Their parameters
 * are finite and above 0; where a file says nonsense, the result has divisors that fr_arch_check refuses. The formulas are
 * those of transformers 5 (modeling_rope_utils.py), here in f64. */

/** All pairs turn `factor` times as slowly. */
void fr_rotation_linear(fr_rotation *rotation, double factor);

/** Llama 3.1: pairs with fewer than `low` turns in `original` positions are slowed by `factor`, those with more than
 * `high` are left, and between them the two are mixed in proportion to the turns. */
typedef struct fr_llama3 {
    double factor;
    double low;
    double high; /* above low */
    double original;
} fr_llama3;
void fr_rotation_llama3(fr_rotation *rotation, const fr_llama3 *by);

/** YaRN (Peng et al. 2023): as Llama 3.1 with a ramp over the pairs' numbers, from the pair with `beta_fast` turns to the
 * one with `beta_slow`. */
typedef struct fr_yarn {
    double factor;
    double original;
    double beta_fast;
    double beta_slow;
    bool truncate; /* the ramp's ends are whole numbers */
    double scale;  /* 0: 0.1 ln(factor) + 1 */
    double
        mscale; /* with the next one, if both are not 0: the quotient of 0.1 m ln(factor) + 1 for the two */
    double mscale_all;
} fr_yarn;
void fr_rotation_yarn(fr_rotation *rotation, const fr_yarn *by);

/** LongRoPE (Ding et al. 2024): `shorts` and `longs` are the rotary/2 divisors on both sides of `original` positions.
 * @param scale  0: sqrt(1 + ln(factor) / ln(original)), 1 for a factor of at most 1 */
typedef struct fr_longrope {
    const double *shorts;
    const double *longs;
    int64_t original;
    double factor;
    double scale;
} fr_longrope;
void fr_rotation_longrope(fr_rotation *rotation, const fr_longrope *by);

#endif
