/* Products of few rows: a launch for each part of the matrix, whose columns of y lie side by side. */
#include "base/integer.h"
#include "device/cuda/operators.h"
#include "device/cuda/runtime.h"
#include "device/cuda/stored.h"

/* The most blocks of a grid. */
enum { MOST_BLOCKS = 1 << 30 };

/* A tile of the kernel that is started; none of the sums depends on it. */
typedef struct few_tile {
    fr_cuda_kernel kernel;
    int64_t columns;
    int64_t rows;
} few_tile;

static few_tile tile_of(int64_t m)
{
    return m <= FR_FEW_ROWS_4
               ? (few_tile){FR_KERNEL_fr_few_4, FR_FEW_COLUMNS_4, FR_FEW_ROWS_4}
               : (few_tile){FR_KERNEL_fr_few_8, FR_FEW_COLUMNS_8, FR_FEW_ROWS_8};
}

/* As many rows of x as a grid takes at a time: all, but for a caller who has very many. */
static void multiply_part(fr_device *device, fr_few_args args, int64_t m, fr_view x,
                          fr_view add, fr_view y)
{
    few_tile tile = tile_of(m);
    int64_t columns = fr_ceil_div(args.part.n_rows, tile.columns);
    int64_t most = tile.rows * fr_max(MOST_BLOCKS / columns, (int64_t)1);
    for (int64_t row = 0; row < m; row += args.m) {
        args.m = fr_min(m - row, most);
        args.row_tiles = fr_ceil_div(args.m, tile.rows);
        args.x = fr_view_at(x, row * args.n_in).at;
        args.add = fr_view_at(add, row * args.y_stride).at;
        args.y = fr_view_at(y, row * args.y_stride).at;
        fr_cuda_start start = {.kernel = tile.kernel,
                               .blocks = columns * args.row_tiles,
                               .threads = FR_FEW_THREADS,
                               .shared = FR_FEW_SPLIT * tile.columns * tile.rows *
                                         (int64_t)sizeof(float)};
        fr_cuda_launch(device, &start, &args);
    }
}

fr_status fr_cuda_linear_few(fr_device *device, int64_t m, fr_view x,
                             const fr_matrix *w, fr_view add, fr_view y)
{
    int64_t column = 0;
    for (int i = 0; i < w->n_parts && m > 0; i++) {
        fr_few_args args = {.part = fr_stored_part_of(&w->parts[i], w->n_in),
                            .n_in = w->n_in,
                            .x_row_bytes = w->n_in * (int64_t)fr_dtype_bytes(x.dtype),
                            .y_stride = w->n_out,
                            .x_is_bf16 = x.dtype == FR_BF16 ? 1 : 0,
                            .y_is_bf16 = y.dtype == FR_BF16 ? 1 : 0,
                            .is_rounded = w->dtype == FR_BF16 ? 1 : 0};
        if (args.part.n_rows > 0) {
            multiply_part(device, args, m, x, fr_view_at(add, column),
                          fr_view_at(y, column));
        }
        column += args.part.n_rows;
    }
    return FR_OK;
}
