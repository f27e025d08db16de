#include "base/rng.h"
#include "device/bf16.h"
#include "device/cpu/kernels.h"
#include "device/cpu/quant_kernels.h"
#include "device/device.h"
#include "model/files/safetensors.h"
#include "support/model_files.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUES = 1024, HALVES = 1 << 16 };

static const char *const SUPPORTED[] = {"F16",   "BF16",  "Q4_0",   "Q4_1",   "Q5_0",
                                        "Q5_1",  "Q8_0",  "Q2_K",   "Q3_K",   "Q4_K",
                                        "Q5_K",  "Q6_K",  "IQ4_NL", "IQ4_XS", "TQ1_0",
                                        "TQ2_0", "MXFP4", "Q1_0",   "Q2_0"};

/* The kernels of the processor's highest set. */
static const fr_quant_kernels *best(void)
{
    return fr_quant_kernels_select(fr_isa_detect());
}

/* Equal but for which NaN: of two that meet, the compiler chooses whose payload survives. */
static int count_other_floats(const float *a, const float *b, int64_t n)
{
    int n_other = 0;
    for (int64_t i = 0; i < n; i++) {
        bool same = memcmp(&a[i], &b[i], sizeof *a) == 0;
        n_other += same || (isnan(a[i]) && isnan(b[i])) ? 0 : 1;
    }
    return n_other;
}

static bool is_nan_bf16(uint16_t x)
{
    return (x & 0x7fff) > 0x7f80;
}

static int count_other_bf16(const uint16_t *a, const uint16_t *b, int64_t n)
{
    int n_other = 0;
    for (int64_t i = 0; i < n; i++) {
        n_other += a[i] == b[i] || (is_nan_bf16(a[i]) && is_nan_bf16(b[i])) ? 0 : 1;
    }
    return n_other;
}

/* By every instruction set, in f32 and rounded. Values that no NaN meets must have the reference's bytes. */
static void check_values(const fr_quant_type *type, const uint8_t *blocks, int64_t n,
                         const float *wanted, bool hostile)
{
    float got[MAX_VALUES];
    uint16_t got_bf16[MAX_VALUES];
    uint16_t wanted_bf16[MAX_VALUES];
    fr_quant_generic.round_bf16(wanted, n, wanted_bf16);
    for (int isa = FR_ISA_GENERIC; isa <= (int)fr_isa_detect(); isa++) {
        const fr_quant_kernels *kernels = fr_quant_kernels_select((fr_isa)isa);
        fr_quant_widen(kernels, type, blocks, n, got);
        fr_quant_to_bf16(kernels, type, blocks, n, got_bf16);
        CU_ASSERT_EQUAL(count_other_floats(got, wanted, n), 0);
        CU_ASSERT_EQUAL(count_other_bf16(got_bf16, wanted_bf16, n), 0);
        if (!hostile) {
            fr_assert_same_bytes(type->name, got, wanted, (size_t)n * sizeof *got);
        }
    }
}

static void check_against_file(const fr_safetensors *file, const char *name,
                               bool hostile)
{
    char key[64];
    float wanted[MAX_VALUES];
    const char *which = hostile ? ".hostile" : "";
    const fr_quant_type *type = fr_quant_find_name(name);
    (void)snprintf(key, sizeof key, "%s%s.blocks", name, which);
    const fr_safetensor *blocks = fr_safetensors_find(file, key);
    CU_ASSERT_PTR_NOT_NULL_FATAL(blocks);
    CU_ASSERT_PTR_NOT_NULL_FATAL(type);
    int64_t n = (int64_t)blocks->bytes / type->bytes * type->block;
    CU_ASSERT_FATAL(n > 0 && n <= MAX_VALUES);
    (void)snprintf(key, sizeof key, "%s%s.values", name, which);
    fr_test_copy_tensor(file, key, "F32", n, wanted);
    check_values(type, blocks->data, n, wanted, hostile);
}

static void check_all_against_file(bool hostile)
{
    fr_safetensors *file = NULL;
    FR_ASSERT_OK(fr_safetensors_open(
        fr_test_ctx(), fr_test_data("golden/quant/blocks.safetensors"), &file));
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (int i = 0; i < FR_N_CASES(SUPPORTED); i++) {
        check_against_file(file, SUPPORTED[i], hostile);
    }
    fr_safetensors_close(&file);
}

static void every_type_matches_the_reference_bit_for_bit(void)
{
    check_all_against_file(false);
}

static void scales_that_are_no_numbers_spread_as_in_the_reference(void)
{
    check_all_against_file(true);
}

/* A block may start at any byte of a mapped file. */
static void blocks_need_no_alignment(void)
{
    uint8_t bytes[1 + 3 * 256];
    float straight[256];
    float shifted[256];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 37 % 120);
    }
    for (int i = 0; i < FR_N_CASES(SUPPORTED); i++) {
        const fr_quant_type *type = fr_quant_find_name(SUPPORTED[i]);
        uint8_t copy[3 * 256];
        memcpy(copy, bytes + 1, sizeof copy);
        fr_quant_widen(best(), type, copy, 256, straight);
        fr_quant_widen(best(), type, bytes + 1, 256, shifted);
        fr_assert_same_bytes(SUPPORTED[i], shifted, straight, sizeof straight);
    }
}

static void hand_made_q4_0_block_decodes(void)
{
    /* d = 0.5 (0x3800); byte j holds j in its low and 15 - j in its high nibble. */
    uint8_t block[18] = {0x00, 0x38};
    float out[32];
    for (int j = 0; j < 16; j++) {
        block[2 + j] = (uint8_t)(j | (15 - j) << 4);
    }
    fr_quant_widen(best(), fr_quant_find(FR_QUANT_Q4_0), block, 32, out);
    for (int j = 0; j < 16; j++) {
        CU_ASSERT_EQUAL(out[j], 0.5F * (float)(j - 8));
        CU_ASSERT_EQUAL(out[j + 16], 0.5F * (float)(7 - j));
    }
}

static void hand_made_q5_1_block_uses_the_fifth_bits(void)
{
    /* d = 1, m = -2 (0xc000); nibbles 3; the fifth bit is set for elements 1 and 31. */
    uint8_t block[24] = {0x00, 0x3c, 0x00, 0xc0, 0x02, 0x00, 0x00, 0x80};
    float out[32];
    memset(block + 8, 0x33, 16);
    fr_quant_widen(best(), fr_quant_find(FR_QUANT_Q5_1), block, 32, out);
    for (int j = 0; j < 32; j++) {
        CU_ASSERT_EQUAL(out[j], j == 1 || j == 31 ? 17.0F : 1.0F);
    }
}

static void hand_made_q4_k_block_uses_scale_of_its_run(void)
{
    /* d = 1, m = 1; run r has scale r + 1 and offset 2r, all nibbles 1: x = r + 1 - 2r. */
    uint8_t block[144] = {0x00, 0x3c, 0x00, 0x3c};
    float out[256];
    for (int r = 0; r < 4; r++) {
        int scale = r + 5;
        int offset = 2 * (r + 4);
        block[4 + r] = (uint8_t)((r + 1) | (scale >> 4) << 6);
        block[8 + r] = (uint8_t)(2 * r | (offset >> 4) << 6);
        block[12 + r] = (uint8_t)((scale & 15) | (offset & 15) << 4);
    }
    memset(block + 16, 0x11, 128);
    fr_quant_widen(best(), fr_quant_find(FR_QUANT_Q4_K), block, 256, out);
    for (int i = 0; i < 256; i++) {
        CU_ASSERT_EQUAL(out[i], (float)(1 - i / 32));
    }
}

static void hand_made_q6_k_block_covers_its_range(void)
{
    /* d = 1, scales 1: lower nibble 0 with upper bits 0 is -32; 15 and 3 are 31. */
    uint8_t block[210] = {0};
    float out[256];
    memset(block + 192, 1, 16);
    block[192 + 15] = 0xff;
    block[208] = 0x00;
    block[209] = 0x3c;
    memset(block + 64, 0xff, 64);
    memset(block + 160, 0xff, 32);
    fr_quant_widen(best(), fr_quant_find(FR_QUANT_Q6_K), block, 256, out);
    for (int i = 0; i < 256; i++) {
        CU_ASSERT_EQUAL(out[i], i < 128 ? -32.0F : i < 240 ? 31.0F : -31.0F);
    }
}

static void hand_made_q3_k_block_joins_bits_of_three_places(void)
{
    /* d = 1; run r has scale r - 8 (24 + r of 32 more), lower bits 1; the third bit is set in the runs of byte 0 to 15. */
    uint8_t block[110] = {0};
    float out[256];
    block[109] = 0x3c;
    memset(block, 0xff, 16);
    memset(block + 32, 0x55, 64);
    for (int r = 0; r < 16; r++) {
        block[96 + r % 8] |= (uint8_t)(((24 + r) & 15) << (r < 8 ? 0 : 4));
        block[104 + r % 4] |= (uint8_t)((24 + r) >> 4 << r / 4 * 2);
    }
    fr_quant_widen(best(), fr_quant_find(FR_QUANT_Q3_K), block, 256, out);
    for (int i = 0; i < 256; i++) {
        CU_ASSERT_EQUAL(out[i], (float)(i / 16 - 8) * (i / 16 % 2 == 0 ? 1.0F : -3.0F));
    }
}

static void hand_made_blocks_of_one_and_two_bits_go_by_neighbours(void)
{
    /* d = 2; Q1_0: the last bit of each byte is set; Q2_0: each byte counts from 0 to 3. */
    uint8_t ones[18] = {0x00, 0x40};
    uint8_t twos[18] = {0x00, 0x40};
    float out[128];
    memset(ones + 2, 0x80, 16);
    memset(twos + 2, 0xe4, 16);
    fr_quant_widen(best(), fr_quant_find(FR_QUANT_Q1_0), ones, 128, out);
    for (int i = 0; i < 128; i++) {
        CU_ASSERT_EQUAL(out[i], i % 8 == 7 ? 2.0F : -2.0F);
    }
    fr_quant_widen(best(), fr_quant_find(FR_QUANT_Q2_0), twos, 64, out);
    for (int i = 0; i < 64; i++) {
        CU_ASSERT_EQUAL(out[i], 2.0F * (float)(i % 4 - 1));
    }
}

static void mxfp4_scales_are_powers_of_two_down_to_subnormal_ones(void)
{
    for (int exponent = 0; exponent < 256; exponent++) {
        uint8_t block[17] = {(uint8_t)exponent, 0x91};
        float out[32];
        fr_quant_widen(best(), fr_quant_find(FR_QUANT_MXFP4), block, 32, out);
        CU_ASSERT_EQUAL(out[0], ldexpf(1.0F, exponent - 128));
        CU_ASSERT_EQUAL(out[16], -out[0]);
        CU_ASSERT_EQUAL(out[1], 0.0F);
    }
}

static float half_by_arithmetic(uint16_t half)
{
    int exponent = (half >> 10) & 31;
    double fraction = half & 1023;
    double value = exponent == 0    ? ldexp(fraction, -24)
                   : exponent == 31 ? (fraction == 0.0 ? (double)INFINITY : (double)NAN)
                                    : ldexp(1024.0 + fraction, exponent - 25);
    return (float)((half & 0x8000) != 0 ? -value : value);
}

static void all_halves_widen_exactly(void)
{
    int n_wrong = 0;
    for (int bits = 0; bits < HALVES; bits++) {
        const uint16_t half = (uint16_t)bits;
        float got = 0.0F;
        float wanted = half_by_arithmetic(half);
        fr_quant_generic.widen[FR_QUANT_F16]((const void *)&half, 1, &got);
        bool same = isnan(wanted) ? isnan(got)
                                  : got == wanted && signbit(got) == signbit(wanted);
        n_wrong += same ? 0 : 1;
    }
    CU_ASSERT_EQUAL(n_wrong, 0);
}

static uint16_t bf16_of_bits(uint32_t bits)
{
    float value = 0.0F;
    uint16_t out = 0;
    memcpy(&value, &bits, sizeof value);
    fr_quant_round_bf16(best(), &value, 1, &out);
    return out;
}

static void bf16_rounds_to_nearest_even(void)
{
    CU_ASSERT_EQUAL(bf16_of_bits(0x3f800000U), 0x3f80);
    CU_ASSERT_EQUAL(bf16_of_bits(0x3f807fffU), 0x3f80);
    CU_ASSERT_EQUAL(bf16_of_bits(0x3f808000U), 0x3f80);
    CU_ASSERT_EQUAL(bf16_of_bits(0x3f808001U), 0x3f81);
    CU_ASSERT_EQUAL(bf16_of_bits(0x3f818000U), 0x3f82);
    CU_ASSERT_EQUAL(bf16_of_bits(0xbf818000U), 0xbf82);
    CU_ASSERT_EQUAL(bf16_of_bits(0x80000000U), 0x8000);
    CU_ASSERT_EQUAL(bf16_of_bits(0x00008001U), 0x0001);
}

static void bf16_keeps_infinity_and_nan(void)
{
    CU_ASSERT_EQUAL(bf16_of_bits(0x7f800000U), 0x7f80);
    CU_ASSERT_EQUAL(bf16_of_bits(0xff800000U), 0xff80);
    CU_ASSERT_EQUAL(bf16_of_bits(0x7f7fffffU), 0x7f80);
    CU_ASSERT_EQUAL(bf16_of_bits(0x7fc00000U), 0x7fc0);
    CU_ASSERT_EQUAL(bf16_of_bits(0x7f800001U), 0x7fc0);
    CU_ASSERT_EQUAL(bf16_of_bits(0xffffffffU), 0xffff);
}

static void bf16_widened_and_rounded_is_unchanged(void)
{
    int n_wrong = 0;
    for (int bits = 0; bits < HALVES; bits++) {
        uint16_t half = (uint16_t)bits;
        uint8_t raw[2];
        float value = 0.0F;
        uint16_t back = 0;
        memcpy(raw, &half, sizeof raw);
        fr_quant_widen(best(), fr_quant_find(FR_QUANT_BF16), raw, 1, &value);
        fr_quant_round_bf16(best(), &value, 1, &back);
        n_wrong += back == half || (isnan(value) && back == (half | 0x40)) ? 0 : 1;
    }
    CU_ASSERT_EQUAL(n_wrong, 0);
}

/* Every upper half of a float with the lower halves at which rounding changes. */
static void fill_bf16_cases(int64_t chunk, float *x)
{
    static const uint32_t LOWER[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    enum { N_LOWER = sizeof LOWER / sizeof LOWER[0] };
    for (int64_t i = 0; i < MAX_VALUES; i++) {
        int64_t number = chunk * MAX_VALUES + i;
        uint32_t upper = (uint32_t)(number / N_LOWER) & 0xffffU;
        uint32_t bits = upper << 16 | LOWER[number % N_LOWER];
        memcpy(&x[i], &bits, sizeof bits);
    }
}

static void check_bf16_rounding(fr_isa isa, const float *x)
{
    uint16_t wanted[MAX_VALUES];
    float wanted_wide[MAX_VALUES];
    uint16_t got[MAX_VALUES];
    float got_wide[MAX_VALUES];
    for (int i = 0; i < MAX_VALUES; i++) {
        wanted[i] = fr_bf16_round(x[i]);
        wanted_wide[i] = fr_bf16_widen(wanted[i]);
    }
    fr_quant_round_bf16(fr_quant_kernels_select(isa), x, MAX_VALUES, got);
    fr_assert_same_bytes("files", got, wanted, sizeof wanted);
    fr_kernels_select(isa)->round_bf16(MAX_VALUES, x, got_wide);
    fr_assert_same_bytes("products", got_wide, wanted_wide, sizeof wanted_wide);
    memcpy(got_wide, x, sizeof got_wide);
    fr_kernels_select(isa)->save_bf16(MAX_VALUES, got_wide, got);
    fr_assert_same_bytes("saved", got, wanted, sizeof wanted);
    fr_assert_same_bytes("kept", got_wide, wanted_wide, sizeof wanted_wide);
}

static void every_rounding_to_bf16_is_the_scalar_one(void)
{
    enum { CHUNKS = 6 * HALVES / MAX_VALUES + 1 };
    float x[MAX_VALUES];
    for (int64_t chunk = 0; chunk < CHUNKS; chunk++) {
        fill_bf16_cases(chunk, x);
        for (int isa = 0; isa <= (int)fr_isa_detect(); isa++) {
            check_bf16_rounding((fr_isa)isa, x);
        }
    }
}

static void supported_list_names_exactly_the_types_that_widen(void)
{
    fr_quant_names list = fr_quant_supported(true);
    CU_ASSERT_STRING_EQUAL(fr_quant_supported(false).text, "F32, F16, BF16");
    for (uint32_t number = 0; number < 64; number++) {
        const fr_quant_type *type = fr_quant_find(number);
        if (type != NULL) {
            char item[32];
            char padded[sizeof list.text + 3];
            (void)snprintf(item, sizeof item, " %s,", type->name);
            (void)snprintf(padded, sizeof padded, " %s,", list.text);
            CU_ASSERT_EQUAL(strstr(padded, item) != NULL, type->widens);
        }
    }
    CU_ASSERT_PTR_NULL(fr_quant_find(4));
    CU_ASSERT_PTR_NULL(fr_quant_find(UINT32_MAX));
}

static void block_lengths_divide_the_longest(void)
{
    for (uint32_t number = 0; number < 64; number++) {
        const fr_quant_type *type = fr_quant_find(number);
        if (type != NULL) {
            CU_ASSERT_EQUAL(type->number, number);
            CU_ASSERT_EQUAL(FR_QUANT_MAX_BLOCK % type->block, 0);
            CU_ASSERT_EQUAL(fr_quant_bytes(type, 512),
                            (size_t)(512 / type->block * type->bytes));
        }
    }
}

static void check_against_plain_c(const fr_quant_kernels *kernels, const uint8_t *noise)
{
    float wanted[MAX_VALUES];
    float got[MAX_VALUES];
    uint16_t wanted_bf16[MAX_VALUES];
    uint16_t got_bf16[MAX_VALUES];
    for (uint32_t number = 0; number <= FR_QUANT_LAST; number++) {
        CU_ASSERT_EQUAL(kernels->widen[number] != NULL,
                        fr_quant_generic.widen[number] != NULL);
        for (int shift = 0; kernels->widen[number] != NULL && shift < 3; shift++) {
            fr_quant_generic.widen[number](noise + shift, MAX_VALUES, wanted);
            kernels->widen[number](noise + shift, MAX_VALUES, got);
            CU_ASSERT_EQUAL(count_other_floats(got, wanted, MAX_VALUES), 0);
            if (kernels->to_bf16[number] != NULL) {
                fr_quant_generic.round_bf16(wanted, MAX_VALUES, wanted_bf16);
                kernels->to_bf16[number](noise + shift, MAX_VALUES, got_bf16);
                CU_ASSERT_EQUAL(count_other_bf16(got_bf16, wanted_bf16, MAX_VALUES), 0);
            }
        }
    }
    for (int64_t n = 0; n < MAX_VALUES; n += n < 40 ? 1 : 123) { /* all tails */
        memcpy(wanted, noise, sizeof wanted);
        fr_quant_generic.round_bf16(wanted, n, wanted_bf16);
        kernels->round_bf16(wanted, n, got_bf16);
        fr_assert_same_bytes("bf16", got_bf16, wanted_bf16, (size_t)n * 2);
    }
}

/* Random bytes make blocks of every kind: scales that are subnormal, infinite or NaN among them (1 of 32 halves has
 * such an exponent, each), and floats of every size. */
static void every_instruction_set_gives_the_same_bits(void)
{
    enum { ROUNDS = 300, BYTES = MAX_VALUES * sizeof(float) + 16 };
    static const fr_quant_kernels *const KERNELS[] = {&fr_quant_avx2, &fr_quant_avx512};
    static const fr_isa NEEDS[] = {FR_ISA_AVX2, FR_ISA_AVX512};
    uint8_t noise[BYTES];
    for (int i = 0; i < FR_N_CASES(KERNELS); i++) {
        if (fr_isa_detect() < NEEDS[i]) {
            printf("(no %s here) ", fr_isa_name(NEEDS[i]));
            continue;
        }
        for (uint64_t round = 0; round < ROUNDS; round++) {
            for (uint64_t at = 0; at < BYTES; at += sizeof at) {
                uint64_t word = fr_rng_u64(round, FR_RNG_TEST, 0, at);
                memcpy(noise + at, &word, sizeof word);
            }
            check_against_plain_c(KERNELS[i], noise);
        }
    }
}

static const fr_case CASES[] = {
    FR_CASE(every_type_matches_the_reference_bit_for_bit),
    FR_CASE(scales_that_are_no_numbers_spread_as_in_the_reference),
    FR_CASE(blocks_need_no_alignment),
    FR_CASE(hand_made_q4_0_block_decodes),
    FR_CASE(hand_made_q5_1_block_uses_the_fifth_bits),
    FR_CASE(hand_made_q4_k_block_uses_scale_of_its_run),
    FR_CASE(hand_made_q6_k_block_covers_its_range),
    FR_CASE(hand_made_q3_k_block_joins_bits_of_three_places),
    FR_CASE(hand_made_blocks_of_one_and_two_bits_go_by_neighbours),
    FR_CASE(mxfp4_scales_are_powers_of_two_down_to_subnormal_ones),
    FR_CASE(all_halves_widen_exactly),
    FR_CASE(bf16_rounds_to_nearest_even),
    FR_CASE(bf16_keeps_infinity_and_nan),
    FR_CASE(bf16_widened_and_rounded_is_unchanged),
    FR_CASE(every_rounding_to_bf16_is_the_scalar_one),
    FR_CASE(supported_list_names_exactly_the_types_that_widen),
    FR_CASE(every_instruction_set_gives_the_same_bits),
    FR_CASE(block_lengths_divide_the_longest),
};

int main(int argc, char **argv)
{
    return fr_suite_main("quant", CASES, FR_N_CASES(CASES), argc, argv);
}
