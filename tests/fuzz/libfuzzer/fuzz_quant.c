/* Blocks of quantised numbers at an odd address: widened, rounded, and multiplied. The first byte chooses the type. */
#include "device/cpu/quant_kernels.h"
#include "fuzz/libfuzzer/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ELEMENTS = 4096 };

static void multiply(const fr_quant_kernels *kernels, const fr_quant_type *type,
                     const uint8_t *data, int64_t n)
{
    float x[2 * FR_QUANT_MAX_BLOCK];
    float y[2] = {0.0F, 0.0F};
    if (n < type->block || kernels->few[type->number] == NULL) {
        return;
    }
    int64_t depth = n / type->block * type->block;
    depth = depth < FR_QUANT_MAX_BLOCK ? depth : FR_QUANT_MAX_BLOCK;
    for (int i = 0; i < 2 * FR_QUANT_MAX_BLOCK; i++) {
        x[i] = 0.5F * (float)(i % 7) - 1.0F;
    }
    for (int round = 0; round < 2; round++) {
        fr_quant_few few = {.rows = {data},
                            .n_rows = 1,
                            .depth = depth,
                            .round = round != 0,
                            .m = 2,
                            .x = x,
                            .y = y,
                            .y_stride = 1};
        kernels->few[type->number](&few);
    }
}

static bool is_number(uint16_t bf16)
{
    return (bf16 & 0x7fffU) <= 0x7f80U;
}

/* A NaN stays one; a signalling one becomes quiet where it is rounded, not where it is copied. */
static void widen(const fr_quant_kernels *kernels, const fr_quant_type *type,
                  const uint8_t *data, int64_t n)
{
    float *wide = malloc((size_t)n * sizeof *wide);
    uint16_t *rounded = malloc((size_t)n * sizeof *rounded);
    uint16_t *wanted = malloc((size_t)n * sizeof *wanted);
    fuzz_check(wide != NULL && rounded != NULL && wanted != NULL, "memory");
    fr_quant_widen(kernels, type, data, n, wide);
    fr_quant_to_bf16(kernels, type, data, n, rounded);
    fr_quant_round_bf16(kernels, wide, n, wanted);
    for (int64_t i = 0; i < n; i++) {
        fuzz_check(rounded[i] == wanted[i] ||
                       (!is_number(rounded[i]) && !is_number(wanted[i])),
                   "bf16 is what widening and rounding gives");
    }
    free(wide);
    free(rounded);
    free(wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t TYPES[] = {
        FR_QUANT_F32,   FR_QUANT_F16,    FR_QUANT_Q4_0,   FR_QUANT_Q4_1,
        FR_QUANT_Q5_0,  FR_QUANT_Q5_1,   FR_QUANT_Q8_0,   FR_QUANT_Q4_K,
        FR_QUANT_Q5_K,  FR_QUANT_Q6_K,   FR_QUANT_BF16,   FR_QUANT_Q2_K,
        FR_QUANT_Q3_K,  FR_QUANT_IQ4_NL, FR_QUANT_IQ4_XS, FR_QUANT_TQ1_0,
        FR_QUANT_TQ2_0, FR_QUANT_MXFP4,  FR_QUANT_Q1_0,   FR_QUANT_Q2_0};
    if (size < 1) {
        return 0;
    }
    const fr_quant_type *type =
        fr_quant_find(TYPES[data[0] % (sizeof TYPES / sizeof TYPES[0])]);
    int64_t n = (int64_t)((size - 1) / type->bytes) * type->block;
    n = n < MAX_ELEMENTS ? n : MAX_ELEMENTS;
    if (n > 0) {
        size_t bytes = fr_quant_bytes(type, n);
        uint8_t *copy = malloc(bytes + 1); /* one byte in front: an odd address */
        fuzz_check(copy != NULL, "memory");
        memcpy(copy + 1, data + 1, bytes);
        for (int isa = FR_ISA_GENERIC; isa <= (int)fr_isa_detect(); isa++) {
            const fr_quant_kernels *kernels = fr_quant_kernels_select((fr_isa)isa);
            widen(kernels, type, copy + 1, n);
            multiply(kernels, type, copy + 1, n);
        }
        free(copy);
    }
    return 0;
}
