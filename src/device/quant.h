/*
 * quant.h - the number formats of model files, and their conversion to f32 and bf16.
 *
 * Types are numbered as in GGUF files. A row of a block type is a sequence
 * of blocks of `block` elements in `bytes` bytes; float types have blocks of one element. Files are
 * little-endian, as the machine must be. Input needs no alignment. Conversions take a table of kernels; all tables give the same
 * bits.
 */
#ifndef FR_DEVICE_QUANT_H
#define FR_DEVICE_QUANT_H

#include "base/ctx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FR_QUANT_F32 = 0,
    FR_QUANT_F16 = 1,
    FR_QUANT_Q4_0 = 2,
    FR_QUANT_Q4_1 = 3,
    FR_QUANT_Q5_0 = 6,
    FR_QUANT_Q5_1 = 7,
    FR_QUANT_Q8_0 = 8,
    FR_QUANT_Q2_K = 10,
    FR_QUANT_Q3_K = 11,
    FR_QUANT_Q4_K = 12,
    FR_QUANT_Q5_K = 13,
    FR_QUANT_Q6_K = 14,
    FR_QUANT_IQ4_NL = 20,
    FR_QUANT_IQ4_XS = 23,
    FR_QUANT_BF16 = 30,
    FR_QUANT_TQ1_0 = 34,
    FR_QUANT_TQ2_0 = 35,
    FR_QUANT_MXFP4 = 39,
    FR_QUANT_Q1_0 = 41,
    FR_QUANT_Q2_0 = 42
};

/** Elements of the longest block; every block length divides it. */
enum { FR_QUANT_MAX_BLOCK = 256 };

typedef struct fr_quant_type {
    const char *name;
    uint32_t number;
    uint16_t block; /* elements a block */
    uint16_t bytes; /* bytes a block */
    bool widens;    /* whether it can be widened */
} fr_quant_type;

/** Description of a type number; NULL if there is no such type. */
const fr_quant_type *fr_quant_find(uint32_t number);

/** Description of a type's name; NULL if there is no such type. */
const fr_quant_type *fr_quant_find_name(const char *name);

/** A list of types for messages. */
typedef struct fr_quant_names {
    char text[256];
} fr_quant_names;

/** "F32, F16, ...": the types that can be widened, without `blocks` those of one element alone. */
fr_quant_names fr_quant_supported(bool blocks);

/** Bytes of n elements (a multiple of the block length). */
size_t fr_quant_bytes(const fr_quant_type *type, int64_t n);

/** The conversions for one kind of processor; cpu/quant_kernels.h. */
typedef struct fr_quant_kernels fr_quant_kernels;

/**
 * The table for the best that this processor has and FORERUN_ISA allows (fr_isa_choose). Static.
 * @return FR_OK; FR_ERR_ARG if FORERUN_ISA names no set
 */
FR_MUST_CHECK fr_status fr_quant_choose(fr_ctx *ctx, const fr_quant_kernels **out);

/**
 * Widen n elements to f32.
 *
 * @param type  a type that widens   @param n  a multiple of type->block, >= 0
 * @param data  fr_quant_bytes(type, n) bytes
 */
void fr_quant_widen(const fr_quant_kernels *kernels, const fr_quant_type *type,
                    const uint8_t *data, int64_t n, float *out);

/** The same, rounded to bf16 as fr_quant_round_bf16 does. */
void fr_quant_to_bf16(const fr_quant_kernels *kernels, const fr_quant_type *type,
                      const uint8_t *data, int64_t n, uint16_t *out);

/** Round n floats to bf16: fr_bf16_round (bf16.h) of each. */
void fr_quant_round_bf16(const fr_quant_kernels *kernels, const float *x, int64_t n,
                         uint16_t *out);

#endif
