/*
 * stored_case.h - the same matrix in stored bytes on the CPU and on a CUDA device, for tests of what reads it.
 */
#ifndef FR_CUDA_EMULATION_STORED_CASE_H
#define FR_CUDA_EMULATION_STORED_CASE_H

#include "base/rng.h"
#include "device/bf16.h"
#include "device/cpu/quant_kernels.h"
#include "device/matrix.h"
#include "pair.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t STORED_FORMATS[] = {
    FR_QUANT_F32,   FR_QUANT_F16,   FR_QUANT_BF16,  FR_QUANT_Q4_0,   FR_QUANT_Q4_1,
    FR_QUANT_Q5_0,  FR_QUANT_Q5_1,  FR_QUANT_Q8_0,  FR_QUANT_Q2_K,   FR_QUANT_Q3_K,
    FR_QUANT_Q4_K,  FR_QUANT_Q5_K,  FR_QUANT_Q6_K,  FR_QUANT_IQ4_NL, FR_QUANT_IQ4_XS,
    FR_QUANT_TQ1_0, FR_QUANT_TQ2_0, FR_QUANT_MXFP4, FR_QUANT_Q1_0,   FR_QUANT_Q2_0};

typedef struct stored_case {
    const fr_two *two;
    fr_matrix on_cpu;
    fr_matrix on_cuda;
    uint8_t *cpu[FR_MATRIX_PARTS];
    void *cuda[FR_MATRIX_PARTS];
} stored_case;

/* Bytes of all values: scales that are infinite or none, too. Or numbers below 64 in size that spread widely. */
static inline void stored_bytes(uint8_t *rows, int64_t bytes, const fr_quant_type *type,
                                uint64_t stream, bool hostile)
{
    for (int64_t i = 0; i < bytes; i++) {
        rows[i] = (uint8_t)fr_rng_u64(7, FR_RNG_TEST, stream, (uint64_t)i);
    }
    int64_t n = bytes / type->bytes;
    for (int64_t b = 0; b < n && !hostile; b++) {
        uint8_t *block = rows + b * type->bytes;
        uint16_t half = (uint16_t)(0x1800 + (block[0] & 0x83ff));
        float x = (float)block[0] / 100.0F - 1.3F;
        uint16_t narrow = fr_bf16_round(x);
        uint8_t power = (uint8_t)(118 + block[0] % 8);
        switch (type->number) {
        case FR_QUANT_F32:
            memcpy(block, &x, sizeof x);
            break;
        case FR_QUANT_BF16:
            memcpy(block, &narrow, sizeof narrow);
            break;
        case FR_QUANT_MXFP4:
            block[0] = power;
            break;
        case FR_QUANT_Q4_1:
        case FR_QUANT_Q5_1:
        case FR_QUANT_Q4_K:
        case FR_QUANT_Q5_K:
            memcpy(block + 2, &half, sizeof half); /* fall through */
        case FR_QUANT_F16:
        case FR_QUANT_Q4_0:
        case FR_QUANT_Q5_0:
        case FR_QUANT_Q8_0:
        case FR_QUANT_Q1_0:
        case FR_QUANT_Q2_0:
        case FR_QUANT_IQ4_NL:
        case FR_QUANT_IQ4_XS:
            memcpy(block, &half, sizeof half);
            break;
        case FR_QUANT_Q2_K:
            memcpy(block + 80, &half, sizeof half); /* fall through */
        default:
            memcpy(block + type->bytes - 2, &half, sizeof half);
            break;
        }
    }
}

/* One part of the shape in *part, whose stored rows begin `offset` bytes into memory. */
static inline void stored_part(stored_case *c, int i, const fr_matrix_part *part,
                               int64_t n_stored, int offset, bool hostile)
{
    const fr_quant_type *type = fr_quant_find(part->format);
    int64_t bytes = (int64_t)fr_quant_bytes(type, n_stored * c->on_cpu.n_in);
    c->cpu[i] = calloc((size_t)(bytes + offset) + 1, 1);
    if (c->cpu[i] == NULL) {
        exit(1);
    }
    stored_bytes(c->cpu[i] + offset, bytes, type, (uint64_t)i + 10 * part->format,
                 hostile);
    FR_ASSERT_OK(fr_device_alloc(c->two->cuda, bytes + offset + 1, 1, &c->cuda[i]));
    FR_ASSERT_OK(fr_device_load(c->two->cuda, c->cuda[i], c->cpu[i], bytes + offset));
    c->on_cpu.parts[i] = *part;
    c->on_cuda.parts[i] = *part;
    c->on_cpu.parts[i].rows = c->cpu[i] + offset;
    c->on_cuda.parts[i].rows = (char *)c->cuda[i] + offset;
}

/* One part, in order. */
static inline stored_case stored_plain(const fr_two *two, uint32_t format,
                                       fr_dtype dtype, int64_t n_out, int64_t n_in,
                                       int offset, bool hostile)
{
    fr_matrix w = {.n_out = n_out, .n_in = n_in, .dtype = dtype, .n_parts = 1};
    stored_case c = {.two = two, .on_cpu = w, .on_cuda = w};
    fr_matrix_part part = {.n_rows = n_out, .format = format};
    stored_part(&c, 0, &part, n_out, offset, hostile);
    return c;
}

/* Rows of three parts: pairs in heads, heads that lie among others, in order. The addresses of two are odd. */
enum {
    CASE_HEAD = 6,
    CASE_STEP = 3 * CASE_HEAD,
    CASE_PAIRS = 2 * CASE_HEAD,
    CASE_HEADS = 2 * CASE_HEAD,
    CASE_ORDERED = 5,
    CASE_ROWS = CASE_PAIRS + CASE_HEADS + CASE_ORDERED
};
static inline stored_case stored_parts(const fr_two *two, const uint32_t formats[3],
                                       fr_dtype dtype, int64_t n_in, bool hostile)
{
    fr_matrix w = {.n_out = CASE_ROWS, .n_in = n_in, .dtype = dtype, .n_parts = 3};
    stored_case c = {.two = two, .on_cpu = w, .on_cuda = w};
    const fr_matrix_part pairs = {.n_rows = CASE_PAIRS,
                                  .head = CASE_HEAD,
                                  .step = CASE_HEAD,
                                  .pairs = true,
                                  .format = formats[0]};
    const fr_matrix_part heads = {.n_rows = CASE_HEADS,
                                  .head = CASE_HEAD,
                                  .step = CASE_STEP,
                                  .format = formats[1]};
    const fr_matrix_part ordered = {.n_rows = CASE_ORDERED, .format = formats[2]};
    stored_part(&c, 0, &pairs, CASE_PAIRS, 1, hostile);
    stored_part(&c, 1, &heads, 3 * CASE_HEADS, 2, hostile);
    stored_part(&c, 2, &ordered, CASE_ORDERED, 3, hostile);
    return c;
}

static inline void stored_free(stored_case *c)
{
    for (int i = 0; i < FR_MATRIX_PARTS; i++) {
        free(c->cpu[i]);
        fr_device_free(c->two->cuda, c->cuda[i]);
    }
}

/* What the CPU reads, in f32 or bf16, with a row behind it. */
static inline void *stored_read(const stored_case *c, int64_t first, int64_t count,
                                fr_dtype to)
{
    fr_matrix w = c->on_cpu;
    w.dtype = to;
    void *out = calloc((size_t)((count + 1) * w.n_in), sizeof(float));
    fr_matrix_read(fr_quant_kernels_select(fr_isa_detect()), &w, first, count, out);
    return out;
}

/* Equal but for which NaN. */
static inline bool same_number(fr_dtype dtype, const void *a, const void *b, int64_t i)
{
    if (dtype == FR_BF16) {
        uint16_t x = ((const uint16_t *)a)[i];
        uint16_t y = ((const uint16_t *)b)[i];
        return x == y || ((x & 0x7fffU) > 0x7f80U && (y & 0x7fffU) > 0x7f80U);
    }
    float x = ((const float *)a)[i];
    float y = ((const float *)b)[i];
    return memcmp(&x, &y, sizeof x) == 0 || (isnan(x) && isnan(y));
}

static inline void assert_same_numbers(const char *what, fr_dtype dtype,
                                       const void *got, const void *wanted, int64_t n)
{
    int64_t first = -1;
    for (int64_t i = n - 1; i >= 0; i--) {
        first = same_number(dtype, got, wanted, i) ? first : i;
    }
    CU_ASSERT_EQUAL(first, -1);
    if (first >= 0) {
        printf("%s: number %lld of %lld differs\n", what, (long long)first,
               (long long)n);
    }
}

#endif
