/* Rows of a matrix to dense numbers: a run of them for products, those of a list for gather_rows. One launch serves all parts. */
#include "device/cuda/widen.h"

#include "base/integer.h"
#include "device/cuda/memory.h"
#include "device/cuda/operators.h"
#include "device/cuda/stored.h"

/* The most blocks of a grid, x and y: what is more is done by the same blocks. */
enum { MOST_BLOCKS = 1 << 30, MOST_BLOCKS_Y = 65535 };

static bool is_aligned(const void *p, size_t bytes)
{
    return (uintptr_t)p % bytes == 0;
}

/* Rows of args->ids, or from args->first on. */
static void launch(fr_device *device, const fr_matrix *w, fr_dtype to,
                   fr_widen_args *args)
{
    int64_t runs = fr_ceil_div(w->n_in, FR_WIDEN_RUN);
    int64_t threads = fr_min(fr_ceil_div(runs, FR_WIDEN_LANES) * FR_WIDEN_LANES,
                             (int64_t)FR_WIDEN_THREADS);
    for (int i = 0; i < w->n_parts; i++) {
        args->parts[i] = fr_stored_part_of(&w->parts[i], w->n_in);
    }
    args->n_in = w->n_in;
    args->blocks_y = fr_min(fr_ceil_div(runs, threads), (int64_t)MOST_BLOCKS_Y);
    args->is_wide = w->n_in % FR_WIDEN_RUN == 0 && is_aligned(args->out, 16) ? 1 : 0;
    fr_cuda_start start = {.kernel = FR_KERNEL_fr_widen_0 + (to == FR_BF16 ? 1 : 0),
                           .blocks = fr_min(args->count, (int64_t)MOST_BLOCKS),
                           .blocks_y = args->blocks_y,
                           .threads = (int)threads};
    fr_cuda_launch(device, &start, args);
}

fr_status fr_cuda_widen(fr_device *device, const fr_matrix *w, int64_t first,
                        int64_t count, fr_dtype to, void *out)
{
    fr_widen_args args = {.first = first, .count = count, .out = out};
    if (count > 0 && w->n_in > 0) {
        launch(device, w, to, &args);
    }
    return FR_OK;
}

fr_status fr_cuda_gather_rows(fr_device *device, int64_t n_tokens, const int32_t *ids,
                              const fr_matrix *table, float *y_TD)
{
    fr_cuda_list list = {.from = ids, .bytes = n_tokens * (int64_t)sizeof *ids};
    if (n_tokens == 0 || table->n_in == 0) {
        return FR_OK;
    }
    FR_TRY(fr_cuda_lists(device, 1, &list));
    fr_widen_args args = {.ids = list.at,
                          .count = n_tokens,
                          .out = y_TD,
                          .is_rounded = table->dtype == FR_BF16 ? 1 : 0};
    launch(device, table, FR_F32, &args);
    return FR_OK;
}
