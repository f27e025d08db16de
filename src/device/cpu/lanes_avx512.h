/*
 * lanes_avx512.h - which lanes of a register count, for the sources compiled for AVX-512.
 */
#ifndef FR_DEVICE_CPU_LANES_AVX512_H
#define FR_DEVICE_CPU_LANES_AVX512_H

#include "device/cpu/inline.h"

#include <immintrin.h>
#include <stdint.h>

/** The first n of sixteen lanes: none if n < 1, all if n > 15. */
static inline __mmask16 fr_avx512_first_lanes(int64_t n)
{
    unsigned lanes = n > 15 ? 0xffffU : (1U << (n > 0 ? n : 0)) - 1;
    return (__mmask16)lanes;
}

/** The first n of 32 words: none if n < 1, all if n > 31. */
static inline __mmask32 fr_avx512_first_words(int64_t n)
{
    return n > 31 ? 0xffffffffU : (1U << (n > 0 ? n : 0)) - 1;
}

#endif
