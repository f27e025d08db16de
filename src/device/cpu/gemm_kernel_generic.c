/* Plain C, shaped so that a compiler vectorises over the columns of a panel. */
#include "device/cpu/gemm.h"

#include <string.h>

enum { ROWS = 4, COLUMNS = FR_GEMM_COLUMNS, ROW_PART = 256 };

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Nearest even; NaN stays NaN (its quiet bit is set). */
static float round_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = bits + 0x7fffU + ((bits >> 16) & 1U);
    uint32_t quiet = bits | 0x00400000U;
    return float_of_bits((x != x ? quiet : rounded) & 0xffff0000U);
}

static void round_all(int64_t n, const float *x, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        out[i] = round_bf16(x[i]);
    }
}

static void pack_left(const fr_gemm_rows *rows, float *out)
{
    for (int64_t i = 0; i < rows->rows; i++) {
        const float *x = rows->x + i * rows->stride;
        for (int64_t d = 0; d < rows->depth; d++) {
            out[d * ROWS + i] = rows->round ? round_bf16(x[d]) : x[d];
        }
    }
}

static float element(const fr_gemm_panel *panel, int64_t at)
{
    if (panel->dtype == FR_BF16) {
        return float_of_bits((uint32_t)((const uint16_t *)panel->source)[at] << 16);
    }
    return ((const float *)panel->source)[at];
}

static void pack_right(const fr_gemm_panel *panel, float *out)
{
    if (panel->columns < COLUMNS) {
        memset(out, 0, (size_t)(panel->depth * COLUMNS) * sizeof *out);
    }
    for (int64_t j = 0; j < panel->columns; j++) {
        for (int64_t d = 0; d < panel->depth; d++) {
            out[d * COLUMNS + j] =
                element(panel, d * panel->depth_step + j * panel->column_step);
        }
    }
}

static void multiply_row(const fr_gemm_tile *tile, const float *left, float *out)
{
    float sum[COLUMNS] = {0};
    for (int64_t d = 0; d < tile->depth; d++) {
        const float *right = tile->right + d * COLUMNS;
        for (int j = 0; j < COLUMNS; j++) {
            sum[j] += left[d * ROWS] * right[j];
        }
    }
    for (int64_t j = 0; j < tile->columns; j++) {
        out[j] = tile->add ? out[j] + sum[j] : sum[j];
    }
}

static void multiply(const fr_gemm_tile *tile)
{
    for (int64_t i = 0; i < tile->rows; i++) {
        multiply_row(tile, tile->left + i, tile->out + i * tile->out_stride);
    }
}

const fr_gemm_kernel fr_gemm_kernel_generic = {
    .rows = ROWS,
    .columns = COLUMNS,
    .row_part = ROW_PART,
    .round = round_all,
    .pack_left = pack_left,
    .pack_right = pack_right,
    .multiply = multiply,
};
