/* Products in fixed point (gemm.h) in plain C, the reference for the others. Rows and columns are packed along the
 * depth, so that compilers find the baseline's instruction that multiplies and adds pairs of 16-bit numbers. */
#include "base/integer.h"
#include "device/bf16.h"
#include "device/cpu/gemm.h"

#include <math.h>
#include <string.h>

/* Without registers to fill, any small tile does. ROW_PART as on AVX2. */
enum { ROWS = 4, COLUMNS = FR_GEMM_COLUMNS, ROW_PART = 256, SCALES = 16 };

/* The factors to fixed point and back: 2^(11 - e) and 2^(e - 11). */
typedef struct run_scale {
    float to_fixed;
    float from_fixed;
} run_scale;

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* From the bits of the run's largest magnitude: as integers they are ordered like the magnitudes, with NaN above
 * all. */
static run_scale scale_of(uint32_t largest)
{
    enum { SPECIAL = 255, BIAS = 127, MANTISSA = 23, SHIFT = FR_GEMM_FIXED_BITS - 1 };
    uint32_t exponent = largest >> MANTISSA;
    const uint32_t min = BIAS + FR_GEMM_FIXED_MIN;
    if (exponent == SPECIAL) {
        return (run_scale){0.0F, NAN};
    }
    exponent = exponent < min ? min : exponent;
    return (run_scale){float_of_bits((2 * BIAS + SHIFT - exponent) << MANTISSA),
                       float_of_bits((exponent - SHIFT) << MANTISSA)};
}

/* Adding 1.5 2^23 rounds to the nearest integer, ties to even, and leaves it in the low bits. An infinity or NaN
 * gives any integer, but its run's scale is NaN. */
static int16_t fixed(float x, float to_fixed)
{
    return (int16_t)(bits_of_float(x * to_fixed + 12582912.0F) & 0xffffU);
}

/* ---- packing ------------------------------------------------------------------------------ */

/* n activations of a row, the count made even by a zero; returns the scale to go back by. */
static float pack_row(const float *x, int64_t n, int16_t *out)
{
    uint32_t largest = 0;
    for (int64_t d = 0; d < n; d++) {
        uint32_t magnitude = bits_of_float(x[d]) & 0x7fffffffU;
        largest = magnitude > largest ? magnitude : largest;
    }
    run_scale scale = scale_of(largest);
    out[(n + 1) / 2 * 2 - 1] = 0;
    for (int64_t d = 0; d < n; d++) {
        out[d] = fixed(x[d], scale.to_fixed);
    }
    return scale.from_fixed;
}

/* Widened first, so that rows and columns take one way to fixed point. */
static float pack_column(const uint16_t *w, int64_t step, int64_t n, int16_t *out)
{
    float column[FR_GEMM_LONGEST_RUN];
    for (int64_t d = 0; d < n; d++) {
        column[d] = fr_bf16_widen(w[d * step]);
    }
    return pack_row(column, n, out);
}

/* The last run of the depth may be shorter. */
static int64_t next_run(int64_t depth, int64_t d)
{
    return fr_min(fr_gemm_run(depth), depth - d);
}

/* Floats that a run of n depths of some lines takes: 16 scales, then the lines one after the other. */
static int64_t packed_run(int64_t lines, int64_t n)
{
    return SCALES + (n + 1) / 2 * lines;
}

static void pack_left(const fr_gemm_rows *rows, float *out)
{
    int64_t n = 0;
    for (int64_t d = 0; d < rows->depth; d += n) {
        n = next_run(rows->depth, d);
        int16_t *words = (int16_t *)(void *)(out + SCALES);
        for (int64_t i = 0; i < rows->rows; i++) {
            out[i] = pack_row(rows->x + i * rows->stride + d, n,
                              words + i * ((n + 1) / 2 * 2));
        }
        out += packed_run(ROWS, n);
    }
}

static void pack_right(const fr_gemm_panel *panel, float *out)
{
    const uint16_t *w = panel->source;
    int64_t n = 0;
    for (int64_t d = 0; d < panel->depth; d += n) {
        n = next_run(panel->depth, d);
        int16_t *words = (int16_t *)(void *)(out + SCALES);
        for (int64_t j = 0; j < panel->columns; j++) {
            out[j] = pack_column(w + d * panel->depth_step + j * panel->column_step,
                                 panel->depth_step, n, words + j * ((n + 1) / 2 * 2));
        }
        out += packed_run(COLUMNS, n);
    }
}

/* ---- the product -------------------------------------------------------------------------- */

/* Exact: FR_GEMM_LONGEST_RUN is short enough that no sum overflows an int32. So its order is free, and all kernels
 * agree on the bits. */
static int32_t sum_products(int64_t n, const int16_t *x, const int16_t *w)
{
    int32_t sum = 0;
    for (int64_t d = 0; d < n; d++) {
        sum += (int32_t)x[d] * (int32_t)w[d];
    }
    return sum;
}

/* One fused multiply-add for each run, in ascending order of the depth: this is the only rounding, and every
 * kernel does the same one. */
static void multiply(const fr_gemm_tile *tile)
{
    const float *left = tile->left;
    const float *right = tile->right;
    int64_t n = 0;
    for (int64_t d = 0; d < tile->depth; d += n) {
        n = next_run(tile->depth, d);
        int64_t pitch = (n + 1) / 2 * 2;
        const int16_t *x = (const int16_t *)(const void *)(left + SCALES);
        const int16_t *w = (const int16_t *)(const void *)(right + SCALES);
        for (int64_t i = 0; i < tile->rows; i++) {
            float *out = tile->out + i * tile->out_stride;
            for (int64_t j = 0; j < tile->columns; j++) {
                float sum = (float)sum_products(pitch, x + i * pitch, w + j * pitch);
                float before = tile->add || d > 0 ? out[j] : 0.0F;
                out[j] = fmaf(sum, left[i] * right[j], before);
            }
        }
        left += packed_run(ROWS, n);
        right += packed_run(COLUMNS, n);
    }
}

const fr_gemm_kernel fr_gemm_fixed_generic = {
    .rows = ROWS,
    .columns = COLUMNS,
    .row_part = ROW_PART,
    .is_fixed = true,
    .pack_left = pack_left,
    .pack_right = pack_right,
    .multiply = multiply,
};
