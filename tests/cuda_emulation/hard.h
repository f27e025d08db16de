/*
 * hard.h - numbers that formulas go wrong at, and the comparison of results that hold NaN, whose sign and payload may differ.
 */
#ifndef FR_CUDA_EMULATION_HARD_H
#define FR_CUDA_EMULATION_HARD_H

#include "device/bf16.h"
#include "pair.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** n numbers, a function of the stream: every third is a hard one, the others are uniform in [-6, 6]. Freed by the caller. */
static inline float *hard_numbers(int64_t n, uint64_t stream)
{
    static const float HARD[] = {NAN,       INFINITY, -INFINITY, 0.0F,     -0.0F,
                                 1e-40F,    -1e-40F,  3.4e38F,   -3.4e38F, 87.9F,
                                 -87.9F,    1e-20F,   14.5F,     -14.5F,   0x1p-149F,
                                 -1.0F / 3, 1e30F,    0.70001F,  -0.9999F};
    float *numbers = fr_test_numbers(n, stream, 6);
    int64_t first = (int64_t)(stream % FR_N_CASES(HARD));
    for (int64_t i = (int64_t)(stream % 3); i < n; i += 3) {
        numbers[i] = HARD[(i / 3 + first) % FR_N_CASES(HARD)];
    }
    return numbers;
}

/** Hard numbers on both devices. */
static inline fr_pair hard_pair(const fr_two *two, const char *name, int64_t n,
                                fr_dtype dtype, uint64_t stream)
{
    float *numbers = hard_numbers(n, stream);
    fr_pair pair = fr_pair_of(two, name, n, dtype, numbers);
    free(numbers);
    return pair;
}

/** What is kept in a type, which is that type's on the CPU too: hard numbers that both types can hold. */
static inline fr_pair kept_pair(const fr_two *two, int64_t n, fr_dtype dtype,
                                uint64_t stream)
{
    float *numbers = hard_numbers(n, stream);
    uint16_t *narrow = calloc((size_t)n + 1, sizeof *narrow);
    for (int64_t i = 0; i < n; i++) {
        narrow[i] = fr_bf16_round(numbers[i]);
        numbers[i] = fr_bf16_widen(narrow[i]);
    }
    fr_pair pair = fr_pair_bytes(two, "kept", n, fr_dtype_bytes(dtype),
                                 dtype == FR_F32 ? (void *)numbers : (void *)narrow);
    free(numbers);
    free(narrow);
    return pair;
}

static inline float *as_floats(const void *from, int64_t n, fr_dtype dtype)
{
    float *out = fr_test_zeros(n + 1);
    for (int64_t i = 0; i < n; i++) {
        out[i] = dtype == FR_F32 ? ((const float *)from)[i]
                                 : fr_bf16_widen(((const uint16_t *)from)[i]);
        out[i] = isnan(out[i]) ? NAN : out[i];
    }
    return out;
}

static inline void assert_same_floats(const char *name, const float *got,
                                      const float *wanted, int64_t n)
{
    fr_assert_same_bytes(name, got, wanted, (size_t)n * sizeof *got);
}

/** The same bits, but for which NaN. */
static inline void assert_same(const fr_pair *pair)
{
    void *fetched = fr_pair_fetch(pair);
    float *got = as_floats(fetched, pair->n, FR_F32);
    float *wanted = as_floats(pair->cpu, pair->n, FR_F32);
    for (int64_t i = 0; i < pair->n && pair->on_cuda.dtype == FR_BF16; i++) {
        float rounded = fr_bf16_widen(fr_bf16_round(wanted[i]));
        wanted[i] = isnan(rounded) ? NAN : rounded;
    }
    assert_same_floats(pair->name, got, wanted, pair->n);
    free(fetched);
    free(got);
    free(wanted);
}

/** What the CUDA device has in two places. */
static inline void assert_same_places(const fr_pair *one, const fr_pair *other)
{
    void *fetched[] = {fr_pair_fetch(one), fr_pair_fetch(other)};
    float *got = as_floats(fetched[0], one->n, FR_F32);
    float *wanted = as_floats(fetched[1], one->n, FR_F32);
    assert_same_floats(one->name, got, wanted, one->n);
    free(fetched[0]);
    free(fetched[1]);
    free(got);
    free(wanted);
}

/** assert_same of a kept_pair. */
static inline void assert_same_kept(const fr_pair *pair, fr_dtype dtype)
{
    void *fetched = fr_pair_fetch(pair);
    float *got = as_floats(fetched, pair->n, dtype);
    float *wanted = as_floats(pair->cpu, pair->n, dtype);
    assert_same_floats(pair->name, got, wanted, pair->n);
    free(fetched);
    free(got);
    free(wanted);
}

#endif
