/*
 * Rows that move, sums, and values that are kept.
 *
 * The host turns lists of rows into what lets each number of a target have one writer: for fr_scatter_rows, the source of each
 * target row, so that rows which are not named are cleared in the same pass; for fr_add_rows, the rows that differ, each with
 * its places in the list in ascending order.
 */
#include "base/mem.h"
#include "device/cuda/memory.h"
#include "device/cuda/operators.h"
#include "device/cuda/wide.h"

#include <stdlib.h>
#include <string.h>

static void start_run(fr_device *device, unsigned kernel, int64_t side,
                      fr_run_arguments *a)
{
    bool wide = fr_cuda_aligned(a->x) && fr_cuda_aligned(a->y);
    a->n_groups = wide ? a->n / side : 0;
    fr_cuda_start start = fr_cuda_share(kernel, a->n, a->n_groups);
    fr_cuda_launch(device, &start, a);
}

void fr_cuda_save(fr_device *device, int64_t n, fr_view x, fr_view saved)
{
    bool narrower = x.dtype == FR_F32 && saved.dtype == FR_BF16;
    if (saved.at != NULL || narrower) {
        fr_run_arguments a = {.x = x.at, .y = saved.at, .n = n};
        start_run(device, FR_KERNEL_save_00 + fr_cuda_digits_2(x, saved),
                  fr_cuda_side(x, saved), &a);
    }
}

void fr_cuda_restore(fr_device *device, int64_t n, fr_view saved, fr_view x)
{
    fr_run_arguments a = {.x = x.at, .y = saved.at, .n = n};
    start_run(device, FR_KERNEL_restore_00 + fr_cuda_digits_2(saved, x),
              fr_cuda_side(saved, x), &a);
}

/* x times 1 is x, so a fused sum has the bits of a plain one. */
void fr_cuda_add(fr_device *device, int64_t n, fr_view x, float *y)
{
    fr_cuda_add_scaled(device, n, 1, x, y);
}

void fr_cuda_add_scaled(fr_device *device, int64_t n, float factor, fr_view x, float *y)
{
    fr_run_arguments a = {.x = x.at, .y = y, .n = n, .factor = factor};
    start_run(device, FR_KERNEL_add_scaled_0 + fr_cuda_digits_1(x), fr_cuda_side(x, x),
              &a);
}

void fr_cuda_scale(fr_device *device, int64_t n, float factor, float *x)
{
    fr_view view = fr_cuda_floats(x);
    fr_run_arguments a = {.x = x, .n = n, .factor = factor};
    start_run(device, FR_KERNEL_scale, fr_cuda_side(view, view), &a);
}

/* The largest unit in which rows of both can be read. */
static int32_t copy_unit(int64_t row_bytes, fr_view x, fr_view y)
{
    uintptr_t all = (uintptr_t)row_bytes | (uintptr_t)x.at | (uintptr_t)y.at;
    return all % 16 == 0 ? 16 : all % 4 == 0 ? 4 : 2;
}

/* y[n] = x[rows[n]], or 0 for a row below 0. */
static void copy_rows(fr_device *device, int64_t n_rows, int64_t width,
                      const int32_t *rows_N, fr_view x, fr_view y)
{
    fr_cuda_list rows = {.from = rows_N, .bytes = n_rows * (int64_t)sizeof *rows_N};
    int64_t bytes = width * (int64_t)fr_dtype_bytes(x.dtype);
    if (n_rows == 0 || width == 0 ||
        !fr_cuda_keep(device, fr_cuda_lists(device, 1, &rows))) {
        return;
    }
    fr_copy_rows_arguments a = {.rows_N = rows.at,
                                .x = x.at,
                                .y_ND = y.at,
                                .n_rows = n_rows,
                                .unit = copy_unit(bytes, x, y)};
    a.width = bytes / a.unit;
    fr_cuda_start start = fr_cuda_share_rows(FR_KERNEL_copy_rows, n_rows, a.width);
    a.step = fr_cuda_row_step(&start);
    fr_cuda_launch(device, &start, &a);
}

void fr_cuda_copy_rows(fr_device *device, int64_t n_rows, int64_t width,
                       const int32_t *rows_N, fr_view x, fr_view y)
{
    copy_rows(device, n_rows, width, rows_N, x, y);
}

void fr_cuda_scatter_rows(fr_device *device, int64_t n_tokens, int64_t width,
                          int64_t n_rows, const int32_t *rows_S, fr_view x, fr_view y)
{
    int32_t *sources = NULL;
    if (fr_cuda_keep(device,
                     fr_alloc(device->ctx, n_tokens, sizeof *sources, &sources))) {
        for (int64_t t = 0; t < n_tokens; t++) {
            sources[t] = -1;
        }
        for (int64_t s = 0; s < n_rows; s++) {
            sources[rows_S[s]] = (int32_t)s;
        }
        copy_rows(device, n_tokens, width, sources, x, y);
    }
    free(sources);
}

void fr_cuda_add_table_rows(fr_device *device, int64_t n_tokens, int64_t width,
                            const int32_t *rows_T, const float *table, float *x_TD)
{
    fr_cuda_list rows = {.from = rows_T, .bytes = n_tokens * (int64_t)sizeof *rows_T};
    if (n_tokens == 0 || width == 0 ||
        !fr_cuda_keep(device, fr_cuda_lists(device, 1, &rows))) {
        return;
    }
    int64_t side = fr_cuda_side(fr_cuda_floats(table), fr_cuda_floats(x_TD));
    fr_add_table_rows_arguments a = {
        .rows_T = rows.at,
        .table = table,
        .x_TD = x_TD,
        .n_tokens = n_tokens,
        .width = width,
        .wide = width % side == 0 && fr_cuda_aligned(table) && fr_cuda_aligned(x_TD)};
    fr_cuda_start start = fr_cuda_share_rows(FR_KERNEL_add_table_rows, n_tokens,
                                             a.wide != 0 ? width / side : width);
    a.step = fr_cuda_row_step(&start);
    fr_cuda_launch(device, &start, &a);
}

/* The rows of a list that differ, ascending, and the places of each in the list, ascending: those of rows[u] are order[begins[u]]
 * to order[begins[u + 1] - 1]. */
typedef struct row_groups {
    int64_t n;
    int32_t *rows;
    int64_t *begins;
    int64_t *order;
    int64_t *spare;
} row_groups;

static void free_groups(row_groups *groups)
{
    free(groups->rows);
    free(groups->begins);
    free(groups->order);
    free(groups->spare);
}

/* Sort by one byte of the row. Places with the same byte keep their order. */
static void sort_by_byte(int64_t n, const int32_t *rows_N, int shift,
                         const int64_t *from, int64_t *to)
{
    enum { VALUES = 256 };
    int64_t next[VALUES + 1] = {0};
    for (int64_t i = 0; i < n; i++) {
        next[((rows_N[from[i]] >> shift) & (VALUES - 1)) + 1]++;
    }
    for (int v = 0; v < VALUES; v++) {
        next[v + 1] += next[v];
    }
    for (int64_t i = 0; i < n; i++) {
        to[next[(rows_N[from[i]] >> shift) & (VALUES - 1)]++] = from[i];
    }
}

/* A list in order, which most are, needs no pass; else one for each byte of the largest row. */
static void sort_places(int64_t n, const int32_t *rows_N, row_groups *groups)
{
    bool sorted = true;
    int32_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        groups->order[i] = i;
        sorted = sorted && rows_N[i] >= largest;
        largest = rows_N[i] > largest ? rows_N[i] : largest;
    }
    for (int shift = 0; !sorted && shift < 32 && largest >> shift > 0; shift += 8) {
        sort_by_byte(n, rows_N, shift, groups->order, groups->spare);
        int64_t *sorted_now = groups->spare;
        groups->spare = groups->order;
        groups->order = sorted_now;
    }
}

static fr_status group_rows(fr_ctx *ctx, int64_t n, const int32_t *rows_N,
                            row_groups *out)
{
    FR_TRY(fr_alloc(ctx, n, sizeof *out->rows, &out->rows));
    FR_TRY(fr_alloc(ctx, n + 1, sizeof *out->begins, &out->begins));
    FR_TRY(fr_alloc(ctx, n, sizeof *out->order, &out->order));
    FR_TRY(fr_alloc(ctx, n, sizeof *out->spare, &out->spare));
    sort_places(n, rows_N, out);
    for (int64_t i = 0; i < n; i++) {
        int32_t row = rows_N[out->order[i]];
        if (out->n == 0 || out->rows[out->n - 1] != row) {
            out->rows[out->n] = row;
            out->begins[out->n++] = i;
        }
    }
    out->begins[out->n] = n;
    return FR_OK;
}

static void add_groups(fr_device *device, int64_t n_rows, int64_t width,
                       const row_groups *groups, const float *x_ND, float *y)
{
    fr_cuda_list lists[] = {
        {.from = groups->rows, .bytes = groups->n * (int64_t)sizeof *groups->rows},
        {.from = groups->begins,
         .bytes = (groups->n + 1) * (int64_t)sizeof *groups->begins},
        {.from = groups->order, .bytes = n_rows * (int64_t)sizeof *groups->order}};
    if (!fr_cuda_keep(device, fr_cuda_lists(device, 3, lists))) {
        return;
    }
    int64_t side = fr_cuda_side(fr_cuda_floats(x_ND), fr_cuda_floats(y));
    fr_add_rows_arguments a = {.rows = lists[0].at,
                               .begins = lists[1].at,
                               .order = lists[2].at,
                               .x_ND = x_ND,
                               .y = y,
                               .n_rows = groups->n,
                               .width = width,
                               .wide = width % side == 0 && fr_cuda_aligned(x_ND) &&
                                       fr_cuda_aligned(y)};
    fr_cuda_start start = fr_cuda_share_rows(FR_KERNEL_add_rows, groups->n,
                                             a.wide != 0 ? width / side : width);
    a.step = fr_cuda_row_step(&start);
    fr_cuda_launch(device, &start, &a);
}

void fr_cuda_add_rows(fr_device *device, int64_t n_rows, int64_t width,
                      const int32_t *rows_N, const float *x_ND, float *y)
{
    row_groups groups = {0};
    if (n_rows > 0 && width > 0 &&
        fr_cuda_keep(device, group_rows(device->ctx, n_rows, rows_N, &groups))) {
        add_groups(device, n_rows, width, &groups, x_ND, y);
    }
    free_groups(&groups);
}
