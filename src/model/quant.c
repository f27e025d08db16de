#include "model/quant.h"

#include "model/quant_blocks.h"

#include <string.h>

/*
 * A half has 5 exponent bits with bias 15, a float 8 with bias 127: moving the fraction to its
 * place and raising the exponent by 112 is right for normal numbers. Infinity and NaN go up by
 * another 112. A subnormal half is an integer multiple of 2^-24.
 */
float fr_quant_half(uint16_t half)
{
    uint32_t magnitude = (uint32_t)(half & 0x7fffU) << 13;
    uint32_t exponent = magnitude & 0x0f800000U;
    uint32_t bits = magnitude + (112U << 23);
    float subnormal = (float)(int32_t)(half & 0x3ffU) * 0x1p-24F;
    uint32_t subnormal_bits = 0;
    float value = 0.0F;
    memcpy(&subnormal_bits, &subnormal, sizeof subnormal);
    bits = exponent == 0x0f800000U ? bits + (112U << 23) : bits;
    bits = exponent == 0 ? subnormal_bits : bits;
    bits |= (uint32_t)(half & 0x8000U) << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void widen_f32(const uint8_t *data, int64_t n, float *out)
{
    memcpy(out, data, (size_t)n * sizeof(float));
}

static void widen_f16(const uint8_t *data, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t half = 0;
        memcpy(&half, data + 2 * i, sizeof half);
        out[i] = fr_quant_half(half);
    }
}

static void widen_bf16(const uint8_t *data, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t top = 0;
        memcpy(&top, data + 2 * i, sizeof top);
        uint32_t bits = (uint32_t)top << 16;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

/* Numbers, names and block sizes as GGUF defines them; those without a function can only be named. */
static const fr_quant_type TYPES[] = {
    {"F32", FR_QUANT_F32, 1, 4, widen_f32},
    {"F16", FR_QUANT_F16, 1, 2, widen_f16},
    {"BF16", FR_QUANT_BF16, 1, 2, widen_bf16},
    {"Q4_0", FR_QUANT_Q4_0, 32, 18, fr_quant_widen_q4_0},
    {"Q4_1", FR_QUANT_Q4_1, 32, 20, fr_quant_widen_q4_1},
    {"Q5_0", FR_QUANT_Q5_0, 32, 22, fr_quant_widen_q5_0},
    {"Q5_1", FR_QUANT_Q5_1, 32, 24, fr_quant_widen_q5_1},
    {"Q8_0", FR_QUANT_Q8_0, 32, 34, fr_quant_widen_q8_0},
    {"Q4_K", FR_QUANT_Q4_K, 256, 144, fr_quant_widen_q4_k},
    {"Q5_K", FR_QUANT_Q5_K, 256, 176, fr_quant_widen_q5_k},
    {"Q6_K", FR_QUANT_Q6_K, 256, 210, fr_quant_widen_q6_k},
    {"Q2_K", 10, 256, 84, NULL},
    {"Q3_K", 11, 256, 110, NULL},
    {"IQ2_XXS", 16, 256, 66, NULL},
    {"IQ2_XS", 17, 256, 74, NULL},
    {"IQ3_XXS", 18, 256, 98, NULL},
    {"IQ1_S", 19, 256, 50, NULL},
    {"IQ4_NL", 20, 32, 18, NULL},
    {"IQ3_S", 21, 256, 110, NULL},
    {"IQ2_S", 22, 256, 82, NULL},
    {"IQ4_XS", 23, 256, 136, NULL},
    {"I8", 24, 1, 1, NULL},
    {"I16", 25, 1, 2, NULL},
    {"I32", 26, 1, 4, NULL},
    {"I64", 27, 1, 8, NULL},
    {"F64", 28, 1, 8, NULL},
    {"IQ1_M", 29, 256, 56, NULL},
    {"TQ1_0", 34, 256, 54, NULL},
    {"TQ2_0", 35, 256, 66, NULL},
    {"MXFP4", 39, 32, 17, NULL},
    {"NVFP4", 40, 64, 36, NULL},
    {"Q1_0", 41, 128, 18, NULL},
};

const fr_quant_type *fr_quant_find(uint32_t number)
{
    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        if (TYPES[i].number == number) {
            return &TYPES[i];
        }
    }
    return NULL;
}

const char *fr_quant_supported(void)
{
    return "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K";
}

size_t fr_quant_bytes(const fr_quant_type *type, int64_t n)
{
    return (size_t)(n / type->block) * type->bytes;
}

void fr_quant_widen(const fr_quant_type *type, const uint8_t *data, int64_t n,
                    float *out)
{
    type->widen(data, n, out);
}

/* Adding 0x7fff plus the lowest kept bit carries into the kept half exactly when rounding to nearest
 * even goes up. A NaN could carry into infinity, so it is cut off instead and made quiet. */
void fr_quant_round_bf16(const float *x, int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = 0;
        memcpy(&bits, &x[i], sizeof bits);
        uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
        uint32_t quiet = (bits >> 16) | 0x40U;
        bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
        out[i] = (uint16_t)(is_nan ? quiet : rounded);
    }
}
