/* Biases, rotations of heads, and rows that go into the cache. */
#include "base/integer.h"
#include "base/mem.h"
#include "device/cuda/kernels_heads.h"
#include "device/cuda/memory.h"
#include "device/cuda/operators.h"
#include "device/cuda/runtime.h"

#include <stdlib.h>

enum { WARP = 32, FOUR = 4, MAX_BLOCKS = 1 << 20, MAX_Y = 65535 };

/* For so much work of a block: whole warps, at most the kernels' threads. */
static int threads_for(int64_t n)
{
    return (int)fr_min(fr_round_up(n, WARP), FR_HEADS_THREADS);
}

/* A thread that has rows one after the other reads their bias once, so there are no more blocks than keep a GPU busy. */
void fr_cuda_add_bias(fr_device *device, int64_t n_tokens, int64_t width,
                      int64_t stride, const float *b, fr_view x)
{
    enum { ENOUGH = 8192 };
    int64_t fours = fr_ceil_div(width, FOUR);
    if (n_tokens == 0 || width == 0) {
        return;
    }
    int threads = threads_for(fours);
    int64_t blocks = fr_ceil_div(fours, threads);
    int64_t n_y = fr_clamp(n_tokens, 1, fr_min(fr_ceil_div(ENOUGH, blocks), MAX_Y));
    fr_add_bias_arguments a = {n_tokens, width, stride, n_y, b, x.at};
    fr_cuda_start start = {.kernel = FR_KERNEL_add_bias_0 + fr_cuda_digits_1(x),
                           .blocks = blocks,
                           .blocks_y = n_y,
                           .threads = threads};
    fr_cuda_launch(device, &start, &a);
}

void fr_cuda_rope(fr_device *device, const fr_heads *heads, int64_t rotary,
                  const int32_t *positions_T, const float *table, bool inverse,
                  fr_view x)
{
    fr_cuda_list positions = {
        .from = positions_T,
        .bytes = heads->n_tokens * (int64_t)sizeof *positions_T,
    };
    if (heads->n_tokens == 0 || heads->n_heads == 0 || rotary == 0 ||
        !fr_cuda_keep(device, fr_cuda_lists(device, 1, &positions))) {
        return;
    }
    int64_t lanes = fr_min(fr_ceil_div(rotary / 2, FOUR), FR_HEADS_THREADS);
    fr_rope_arguments a = {
        .n_tokens = heads->n_tokens,
        .n_heads = heads->n_heads,
        .head_dim = heads->head_dim,
        .stride = heads->stride,
        .half = rotary / 2,
        .lanes = lanes,
        .positions_T = positions.at,
        .table = table,
        .x = x.at,
        .is_inverse = inverse ? 1 : 0,
    };
    int64_t most = fr_min(heads->n_heads, FR_HEADS_THREADS) * lanes;
    fr_cuda_start start = {.kernel = FR_KERNEL_rope_0 + fr_cuda_digits_1(x),
                           .blocks = fr_min(heads->n_tokens, MAX_BLOCKS),
                           .threads = threads_for(most)};
    fr_cuda_launch(device, &start, &a);
}

/* The row of the cache that each token goes to. */
static fr_status cache_rows(const fr_qkv *qkv, fr_ctx *ctx, int64_t **out)
{
    FR_TRY(fr_alloc(ctx, qkv->n_tokens, sizeof **out, out));
    for (int64_t t = 0; t < qkv->n_tokens; t++) {
        (*out)[t] = -1;
    }
    for (int64_t s = 0; s < qkv->n_segments; s++) {
        const fr_segment *segment = &qkv->segments[s];
        for (int64_t i = 0; i < segment->q_count; i++) {
            (*out)[segment->q_first + i] = segment->own_first + i;
        }
    }
    return FR_OK;
}

static void start_qkv(fr_device *device, fr_view x, fr_view saved, fr_qkv_arguments *a)
{
    int64_t turned = a->n_heads + a->n_kv_heads;
    a->lanes = fr_clamp(fr_ceil_div(a->half, FOUR), 1, FR_HEADS_THREADS);
    a->has_rest = a->bias != NULL || a->saved != NULL || a->cache_rows_T != NULL ||
                  saved.dtype != FR_F32;
    int64_t most = fr_min(turned, FR_HEADS_THREADS) * a->lanes;
    if (a->has_rest != 0) {
        most = fr_max(most, fr_ceil_div((turned + a->n_kv_heads) * a->head_dim, FOUR));
    }
    fr_cuda_start start = {.kernel =
                               FR_KERNEL_qkv_finish_00 + fr_cuda_digits_2(x, saved),
                           .blocks = fr_min(a->n_tokens, MAX_BLOCKS),
                           .threads = threads_for(most)};
    if (most > 0 && (a->half > 0 || a->has_rest != 0)) {
        fr_cuda_launch(device, &start, a);
    }
}

void fr_cuda_qkv_finish(fr_device *device, const fr_qkv *qkv, fr_view x, fr_view saved)
{
    enum { POSITIONS, ROWS, LISTS };
    int64_t n = qkv->n_tokens;
    int64_t *rows = NULL;
    bool has_cache = qkv->cache_k.at != NULL;
    if (n == 0 ||
        (has_cache && !fr_cuda_keep(device, cache_rows(qkv, device->ctx, &rows)))) {
        return;
    }
    fr_cuda_list lists[LISTS] = {
        [POSITIONS] = {.from = qkv->positions_T,
                       .bytes = qkv->rotary > 0 ? n * (int64_t)sizeof(int32_t) : 0},
        [ROWS] = {.from = rows, .bytes = has_cache ? n * (int64_t)sizeof *rows : 0}};
    if (fr_cuda_keep(device, fr_cuda_lists(device, LISTS, lists))) {
        fr_qkv_arguments a = {.n_tokens = n,
                              .n_heads = qkv->n_heads,
                              .n_kv_heads = qkv->n_kv_heads,
                              .head_dim = qkv->head_dim,
                              .half = qkv->rotary / 2,
                              .bias = (const float *)qkv->bias_W,
                              .positions_T = lists[POSITIONS].at,
                              .table = (const float *)qkv->table,
                              .cache_rows_T = lists[ROWS].at,
                              .cache_k = qkv->cache_k.at,
                              .cache_v = qkv->cache_v.at,
                              .x = x.at,
                              .saved = saved.at};
        start_qkv(device, x, saved, &a);
    }
    free(rows);
}

/* The bytes that can be moved at a time: rows and their distances are multiples of them, and all addresses. */
static int64_t unit_of(int64_t size, const fr_fill_cache_arguments *a)
{
    uintptr_t all = (uintptr_t)a->k | (uintptr_t)a->v | (uintptr_t)a->cache_k |
                    (uintptr_t)a->cache_v | (uintptr_t)(a->width * size) |
                    (uintptr_t)(a->stride * size);
    if (all % 16 == 0) {
        return 16;
    }
    return all % 4 == 0 ? 4 : 2;
}

/* Runs of up to FR_CACHE_RUNS segments go with the kernel's argument: nothing is copied before it. */
static void start_runs(fr_device *device, int64_t unit,
                       const fr_fill_cache_arguments *a, int64_t n_runs)
{
    enum { ENOUGH = 16384 };
    int64_t longest = 0;
    for (int64_t i = 0; i < n_runs; i++) {
        longest = fr_max(longest, a->runs[i].count);
    }
    fr_cuda_start start = {.kernel = unit == 16  ? FR_KERNEL_fill_cache_16
                                     : unit == 4 ? FR_KERNEL_fill_cache_4
                                                 : FR_KERNEL_fill_cache_2,
                           .blocks = fr_min(longest, ENOUGH / n_runs),
                           .blocks_y = n_runs,
                           .threads = threads_for(a->width)};
    if (longest > 0) {
        fr_cuda_launch(device, &start, a);
    }
}

void fr_cuda_fill_cache(fr_device *device, const fr_attention_params *params, fr_view k,
                        fr_view v, fr_view cache_k, fr_view cache_v)
{
    int64_t size = (int64_t)fr_dtype_bytes(k.dtype);
    fr_fill_cache_arguments a = {
        .width = params->n_kv_heads * params->head_dim,
        .stride = params->kv_stride,
        .k = k.at,
        .v = v.at,
        .cache_k = cache_k.at,
        .cache_v = cache_v.at,
    };
    int64_t unit = unit_of(size, &a);
    a.width = a.width * size / unit;
    a.stride = a.stride * size / unit;
    for (int64_t first = 0; first < params->n_segments; first += FR_CACHE_RUNS) {
        int64_t n_runs = fr_min(params->n_segments - first, FR_CACHE_RUNS);
        for (int64_t i = 0; i < n_runs; i++) {
            const fr_segment *segment = &params->segments[first + i];
            a.runs[i] =
                (fr_cache_run){segment->q_first, segment->own_first, segment->q_count};
        }
        start_runs(device, unit, &a, n_runs);
    }
}
