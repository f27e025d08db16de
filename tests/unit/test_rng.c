#include "base/rng.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* fr_rng_block mixes the purpose into the top byte of hi by xor: this hi cancels it, so that the
 * published vectors apply to the whole 128-bit counter. */
static uint64_t without_purpose(uint64_t hi, fr_rng_purpose purpose)
{
    return hi ^ ((uint64_t)purpose << 56);
}

static void check_vector(uint64_t seed, uint64_t hi, uint64_t lo,
                         const uint32_t wanted[4])
{
    uint32_t got[4];
    fr_rng_block(seed, FR_RNG_SHUFFLE, without_purpose(hi, FR_RNG_SHUFFLE), lo, got);
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(got[i], wanted[i]);
    }
}

/* Known answers of Philox4x32-10 from the Random123 distribution (Salmon et al., SC 2011). */
static void philox_gives_the_published_answers(void)
{
    static const uint32_t ZEROS[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    static const uint32_t ONES[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    static const uint32_t PI[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    check_vector(0, 0, 0, ZEROS);
    check_vector(UINT64_MAX, UINT64_MAX, UINT64_MAX, ONES);
    check_vector(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, PI);
}

static void block_is_a_pure_function(void)
{
    uint32_t a[4];
    uint32_t b[4];
    fr_rng_block(1, FR_RNG_TEST, 2, 3, a);
    fr_rng_block(9, FR_RNG_TEST, 9, 9, b);
    fr_rng_block(1, FR_RNG_TEST, 2, 3, b);
    fr_assert_same_bytes("repeated block", b, a, sizeof a);
}

static void every_argument_changes_the_block(void)
{
    uint32_t base[4];
    uint32_t other[4][4];
    fr_rng_block(1, FR_RNG_INIT_K, 2, 3, base);
    fr_rng_block(2, FR_RNG_INIT_K, 2, 3, other[0]);
    fr_rng_block(1, FR_RNG_INIT_V, 2, 3, other[1]);
    fr_rng_block(1, FR_RNG_INIT_K, 3, 3, other[2]);
    fr_rng_block(1, FR_RNG_INIT_K, 2, 4, other[3]);
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_NOT_EQUAL(memcmp(base, other[i], sizeof base), 0);
    }
}

static void u64_is_the_first_two_words(void)
{
    uint32_t words[4];
    fr_rng_block(5, FR_RNG_SAMPLE, 6, 7, words);
    CU_ASSERT_EQUAL(fr_rng_u64(5, FR_RNG_SAMPLE, 6, 7),
                    ((uint64_t)words[1] << 32) | words[0]);
}

static void uniform_stays_in_its_interval_and_spreads(void)
{
    enum { N = 20000, BINS = 10 };
    int bins[BINS] = {0};
    int outside = 0;
    for (uint64_t i = 0; i < N; i++) {
        double value = fr_rng_uniform(11, FR_RNG_TEST, 0, i);
        outside += !(value >= 0.0 && value < 1.0);
        bins[(int)(value * BINS) % BINS]++;
    }
    CU_ASSERT_EQUAL(outside, 0);
    for (int i = 0; i < BINS; i++) {
        /* five standard deviations of a binomial(20000, 0.1) count */
        CU_ASSERT_TRUE(abs(bins[i] - N / BINS) < 213);
    }
}

static void uniform_uses_53_bits(void)
{
    bool fine = false;
    for (uint64_t i = 0; i < 64; i++) {
        double scaled = fr_rng_uniform(1, FR_RNG_TEST, 0, i) * 0x1p53;
        CU_ASSERT_EQUAL(scaled, floor(scaled));
        fine = fine || fmod(scaled, 2.0) == 1.0;
    }
    CU_ASSERT_TRUE(fine);
}

static void normal_has_the_moments_of_a_normal(void)
{
    enum { N = 40000 };
    double sum = 0.0;
    double square = 0.0;
    double fourth = 0.0;
    for (uint64_t i = 0; i < N; i++) {
        double value = fr_rng_normal(3, FR_RNG_TEST, 1, i);
        CU_ASSERT_TRUE(isfinite(value));
        sum += value;
        square += value * value;
        fourth += value * value * value * value;
    }
    /* five standard errors each: 1, sqrt(2) and sqrt(96) over sqrt(N) */
    CU_ASSERT_TRUE(fabs(sum / N) < 0.025);
    CU_ASSERT_TRUE(fabs(square / N - 1.0) < 0.036);
    CU_ASSERT_TRUE(fabs(fourth / N - 3.0) < 0.25);
}

static void neighbouring_numbers_are_uncorrelated(void)
{
    enum { N = 20000 };
    double product = 0.0;
    for (uint64_t i = 0; i < N; i++) {
        product += (fr_rng_uniform(3, FR_RNG_TEST, 0, i) - 0.5) *
                   (fr_rng_uniform(3, FR_RNG_TEST, 0, i + 1) - 0.5);
    }
    CU_ASSERT_TRUE(fabs(product / N * 12.0) < 5.0 / sqrt((double)N));
}

static const fr_case CASES[] = {
    FR_CASE(philox_gives_the_published_answers),
    FR_CASE(block_is_a_pure_function),
    FR_CASE(every_argument_changes_the_block),
    FR_CASE(u64_is_the_first_two_words),
    FR_CASE(uniform_stays_in_its_interval_and_spreads),
    FR_CASE(uniform_uses_53_bits),
    FR_CASE(normal_has_the_moments_of_a_normal),
    FR_CASE(neighbouring_numbers_are_uncorrelated),
};

int main(int argc, char **argv)
{
    return fr_suite_main("rng", CASES, FR_N_CASES(CASES), argc, argv);
}
