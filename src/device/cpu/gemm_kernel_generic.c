/* Products in f32 in plain C. They must be fused (fmaf) to give the bits of the others, which takes a call each
 * where the baseline has no such instruction: correct everywhere, and slow there. */
#include "device/cpu/gemm.h"

#include <math.h>
#include <string.h>

enum { ROWS = 4, COLUMNS = FR_GEMM_COLUMNS, ROW_PART = 256 };

static void pack_left(const fr_gemm_rows *rows, float *out)
{
    for (int64_t i = 0; i < rows->rows; i++) {
        const float *x = rows->x + i * rows->stride;
        for (int64_t d = 0; d < rows->depth; d++) {
            out[d * ROWS + i] = x[d];
        }
    }
}

static void pack_right(const fr_gemm_panel *panel, float *out)
{
    const float *w = panel->source;
    if (panel->columns < COLUMNS) {
        memset(out, 0, (size_t)(panel->depth * COLUMNS) * sizeof *out);
    }
    for (int64_t j = 0; j < panel->columns; j++) {
        for (int64_t d = 0; d < panel->depth; d++) {
            out[d * COLUMNS + j] = w[d * panel->depth_step + j * panel->column_step];
        }
    }
}

/* The sum begins at 0 and is added to `out` at the end, as in the other kernels: to begin with `out` would round
 * differently. */
static void multiply_row(const fr_gemm_tile *tile, const float *left, float *out)
{
    float sum[COLUMNS] = {0};
    for (int64_t d = 0; d < tile->depth; d++) {
        const float *right = tile->right + d * COLUMNS;
        for (int j = 0; j < COLUMNS; j++) {
            sum[j] = fmaf(left[d * ROWS], right[j], sum[j]);
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
    .pack_left = pack_left,
    .pack_right = pack_right,
    .multiply = multiply,
};
