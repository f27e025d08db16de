/*
 * integer.h - the small arithmetic of counts and sizes. Nothing here looks for overflow: counts of tokens, rows and bytes
 * that passed their readers' limits are far below 2^63.
 */
#ifndef FR_BASE_INTEGER_H
#define FR_BASE_INTEGER_H

#include <stdint.h>

static inline int64_t fr_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t fr_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/** `a` moved into [low, high]; `low` if the interval is empty and `a` lies below it. */
static inline int64_t fr_clamp(int64_t a, int64_t low, int64_t high)
{
    return a < low ? low : fr_min(a, high);
}

/** The smallest integer that is at least a / b. @param a  >= 0  @param b  >= 1 */
static inline int64_t fr_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/** The smallest multiple of b that is at least a. @param a  >= 0  @param b  >= 1 */
static inline int64_t fr_round_up(int64_t a, int64_t b)
{
    return fr_ceil_div(a, b) * b;
}

#endif
