#include "base/rng.h"

#include "base/elementary.h"

#include <math.h>

/* Philox4x32-10 (Salmon et al. 2011), with the constants of its authors. Numbers come from a counter and a key and
 * not from a state, so any rank can compute any number at any time. */
static void philox_round(uint32_t c[4], const uint32_t k[2])
{
    uint64_t product0 = (uint64_t)0xD2511F53u * c[0];
    uint64_t product1 = (uint64_t)0xCD9E8D57u * c[2];
    uint32_t next0 = (uint32_t)(product1 >> 32) ^ c[1] ^ k[0];
    uint32_t next2 = (uint32_t)(product0 >> 32) ^ c[3] ^ k[1];
    c[0] = next0;
    c[1] = (uint32_t)product1;
    c[2] = next2;
    c[3] = (uint32_t)product0;
}

void fr_rng_block(uint64_t seed, fr_rng_purpose purpose, uint64_t hi, uint64_t lo,
                  uint32_t out[4])
{
    enum { ROUNDS = 10 };
    /* the purpose takes the top bits of hi: streams are layers, epochs or rows, far below 2^56 */
    uint64_t stream = hi ^ ((uint64_t)purpose << 56);
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    out[0] = (uint32_t)lo;
    out[1] = (uint32_t)(lo >> 32);
    out[2] = (uint32_t)stream;
    out[3] = (uint32_t)(stream >> 32);
    for (int round = 0; round < ROUNDS; round++) {
        philox_round(out, key);
        key[0] += 0x9E3779B9u;
        key[1] += 0xBB67AE85u;
    }
}

uint64_t fr_rng_u64(uint64_t seed, fr_rng_purpose purpose, uint64_t hi, uint64_t lo)
{
    uint32_t words[4];
    fr_rng_block(seed, purpose, hi, lo, words);
    return ((uint64_t)words[1] << 32) | words[0];
}

/* The upper 53 bits, as many as a double holds: from 0 to just below 1. */
static double to_unit(uint32_t high, uint32_t low)
{
    uint64_t bits = ((uint64_t)high << 32) | low;
    return (double)(bits >> 11) * 0x1p-53;
}

double fr_rng_uniform(uint64_t seed, fr_rng_purpose purpose, uint64_t hi, uint64_t lo)
{
    uint32_t words[4];
    fr_rng_block(seed, purpose, hi, lo, words);
    return to_unit(words[1], words[0]);
}

/* Box and Muller. 1 - u lies above 0, so its logarithm is finite. Logarithm and cosine are those of elementary.h:
 * the C library's may differ in the last bit between machines. */
double fr_rng_normal(uint64_t seed, fr_rng_purpose purpose, uint64_t hi, uint64_t lo)
{
    static const double TWO_PI = 6.283185307179586476925;
    uint32_t words[4];
    fr_rng_block(seed, purpose, hi, lo, words);
    double radius = sqrt(-2.0 * fr_ln(1.0 - to_unit(words[1], words[0])));
    return radius * fr_cos(TWO_PI * to_unit(words[3], words[2]));
}
