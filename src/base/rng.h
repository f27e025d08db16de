/*
 * rng.h - counter-based random numbers (Philox4x32-10, Salmon et al., SC 2011).
 *
 * A number is a pure function of (seed, purpose, index). So there is no generator state to save, and numbers do not
 * depend on the rank or on the order of calls.
 */
#ifndef FR_BASE_RNG_H
#define FR_BASE_RNG_H

#include <stdint.h>

/** What a stream of numbers is for; values are part of the checkpoint contract. */
typedef enum fr_rng_purpose {
    FR_RNG_SHUFFLE = 1,
    FR_RNG_INIT_K = 2,
    FR_RNG_INIT_V = 3,
    FR_RNG_SAMPLE = 4,
    FR_RNG_MLP_E = 5,
    FR_RNG_MLP_W1 = 6,
    FR_RNG_TEST = 99
} fr_rng_purpose;

/** Four 32-bit words of block (hi, lo) under key (seed, purpose). */
void fr_rng_block(uint64_t seed, fr_rng_purpose purpose, uint64_t hi, uint64_t lo,
                  uint32_t out[4]);

/** Uniform 64-bit word number `lo` of stream `hi`. */
uint64_t fr_rng_u64(uint64_t seed, fr_rng_purpose purpose, uint64_t hi, uint64_t lo);

/** Uniform in [0, 1), 53 bits. */
double fr_rng_uniform(uint64_t seed, fr_rng_purpose purpose, uint64_t hi, uint64_t lo);

/** Standard normal (Box-Muller). */
double fr_rng_normal(uint64_t seed, fr_rng_purpose purpose, uint64_t hi, uint64_t lo);

#endif
