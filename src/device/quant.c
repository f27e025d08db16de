/*
 * Types of stored weights: their table, and the choice of the kernels that convert them.
 *
 * The table knows every type that GGUF defines, so that a message can name one that is not supported. A kernel table
 * has one entry for each number of a type; NULL means that there is no kernel of its own for it.
 */
#include "device/quant.h"

#include "base/integer.h"
#include "device/cpu/quant_kernels.h"

#include <stdio.h>
#include <string.h>

/* Numbers, names and block sizes as GGUF defines them; those that are not supported can only be named. */
static const fr_quant_type TYPES[] = {
    {"F32", FR_QUANT_F32, 1, 4, true},
    {"F16", FR_QUANT_F16, 1, 2, true},
    {"BF16", FR_QUANT_BF16, 1, 2, true},
    {"Q4_0", FR_QUANT_Q4_0, 32, 18, true},
    {"Q4_1", FR_QUANT_Q4_1, 32, 20, true},
    {"Q5_0", FR_QUANT_Q5_0, 32, 22, true},
    {"Q5_1", FR_QUANT_Q5_1, 32, 24, true},
    {"Q8_0", FR_QUANT_Q8_0, 32, 34, true},
    {"Q2_K", FR_QUANT_Q2_K, 256, 84, true},
    {"Q3_K", FR_QUANT_Q3_K, 256, 110, true},
    {"Q4_K", FR_QUANT_Q4_K, 256, 144, true},
    {"Q5_K", FR_QUANT_Q5_K, 256, 176, true},
    {"Q6_K", FR_QUANT_Q6_K, 256, 210, true},
    {"IQ4_NL", FR_QUANT_IQ4_NL, 32, 18, true},
    {"IQ4_XS", FR_QUANT_IQ4_XS, 256, 136, true},
    {"TQ1_0", FR_QUANT_TQ1_0, 256, 54, true},
    {"TQ2_0", FR_QUANT_TQ2_0, 256, 66, true},
    {"MXFP4", FR_QUANT_MXFP4, 32, 17, true},
    {"Q1_0", FR_QUANT_Q1_0, 128, 18, true},
    {"Q2_0", FR_QUANT_Q2_0, 64, 18, true},
    {"IQ2_XXS", 16, 256, 66, false},
    {"IQ2_XS", 17, 256, 74, false},
    {"IQ3_XXS", 18, 256, 98, false},
    {"IQ1_S", 19, 256, 50, false},
    {"IQ3_S", 21, 256, 110, false},
    {"IQ2_S", 22, 256, 82, false},
    {"I8", 24, 1, 1, false},
    {"I16", 25, 1, 2, false},
    {"I32", 26, 1, 4, false},
    {"I64", 27, 1, 8, false},
    {"F64", 28, 1, 8, false},
    {"IQ1_M", 29, 256, 56, false},
    {"NVFP4", 40, 64, 36, false},
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

const fr_quant_type *fr_quant_find_name(const char *name)
{
    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        if (strcmp(TYPES[i].name, name) == 0) {
            return &TYPES[i];
        }
    }
    return NULL;
}

/* For messages. `blocks` includes the types that store several numbers together. */
fr_quant_names fr_quant_supported(bool blocks)
{
    fr_quant_names names = {{0}};
    size_t used = 0;
    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        if (!TYPES[i].widens || (TYPES[i].block > 1 && !blocks)) {
            continue;
        }
        int n = snprintf(names.text + used, sizeof names.text - used, "%s%s",
                         used > 0 ? ", " : "", TYPES[i].name);
        used += n > 0 && (size_t)n < sizeof names.text - used ? (size_t)n : 0;
    }
    return names;
}

/* n must be a multiple of the block. */
size_t fr_quant_bytes(const fr_quant_type *type, int64_t n)
{
    return (size_t)(n / type->block) * type->bytes;
}

fr_status fr_quant_choose(fr_ctx *ctx, const fr_quant_kernels **out)
{
    fr_isa_choice choice;
    *out = NULL;
    FR_TRY(fr_isa_choose(ctx, fr_isa_detect(), &choice));
    *out = fr_quant_kernels_select(choice.isa);
    return FR_OK;
}

void fr_quant_widen(const fr_quant_kernels *kernels, const fr_quant_type *type,
                    const uint8_t *data, int64_t n, float *out)
{
    kernels->widen[type->number](data, n, out);
}

/* A type without a kernel of its own goes through f32, a chunk at a time. */
void fr_quant_to_bf16(const fr_quant_kernels *kernels, const fr_quant_type *type,
                      const uint8_t *data, int64_t n, uint16_t *out)
{
    /* 8 KiB of floats, which stay in the first cache. */
    enum { CHUNK = 8 * FR_QUANT_MAX_BLOCK };
    float chunk[CHUNK];
    if (type->number == FR_QUANT_BF16) {
        memcpy(out, data, (size_t)n * sizeof *out);
    } else if (kernels->to_bf16[type->number] != NULL) {
        kernels->to_bf16[type->number](data, n, out);
    } else {
        for (int64_t i = 0; i < n; i += CHUNK) {
            int64_t count = fr_min(n - i, CHUNK);
            kernels->widen[type->number](data + fr_quant_bytes(type, i), count, chunk);
            kernels->round_bf16(chunk, count, out + i);
        }
    }
}

void fr_quant_round_bf16(const fr_quant_kernels *kernels, const float *x, int64_t n,
                         uint16_t *out)
{
    kernels->round_bf16(x, n, out);
}
