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

#endif
