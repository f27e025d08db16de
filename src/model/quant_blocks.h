/*
 * quant_blocks.h - widening of GGUF's block types to f32; private to quant.c.
 *
 * Layer L3. Each function takes n elements (a multiple of the type's block) that lie block after
 * block, at any address. Products and sums are rounded in the order of the formulas given in the
 * source, so the values equal those of the format's reference implementation bit for bit.
 */
#ifndef FR_MODEL_QUANT_BLOCKS_H
#define FR_MODEL_QUANT_BLOCKS_H

#include <stdint.h>

void fr_quant_widen_q4_0(const uint8_t *blocks, int64_t n, float *out);
void fr_quant_widen_q4_1(const uint8_t *blocks, int64_t n, float *out);
void fr_quant_widen_q5_0(const uint8_t *blocks, int64_t n, float *out);
void fr_quant_widen_q5_1(const uint8_t *blocks, int64_t n, float *out);
void fr_quant_widen_q8_0(const uint8_t *blocks, int64_t n, float *out);
void fr_quant_widen_q4_k(const uint8_t *blocks, int64_t n, float *out);
void fr_quant_widen_q5_k(const uint8_t *blocks, int64_t n, float *out);
void fr_quant_widen_q6_k(const uint8_t *blocks, int64_t n, float *out);

#endif
