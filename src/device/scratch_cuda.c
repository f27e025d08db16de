/* What the operators of device/cuda take for themselves. Of each buffer (device/cuda/memory.h) it is the largest use, by the
 * formula of the file that asks for it: a change there is repeated here, and e2e.cuda_memory compares both. */
#include "base/integer.h"
#include "device/attention.h"
#include "device/cuda/kernels_attention.h"
#include "device/cuda/kernels_product_tensor.h"
#include "device/cuda/kernels_sample.h"
#include "device/cuda/lt.h"
#include "device/cuda/memory.h"
#include "device/cuda/product.h"
#include "device/cuda/sample_room.h"
#include "device/scratch.h"

/* product.c: slices of widened rows, and on tensor cores where parts in place meet within a group of rows. */
static int64_t slice_bytes(const fr_scratch_shape *s)
{
    bool on_tensor_cores = s->dtype == FR_BF16;
    int64_t max = 0;
    for (int i = 0; i < s->n_matrices; i++) {
        const fr_scratch_matrix *w = s->matrices + i;
        int64_t row = w->n_in * (int64_t)fr_dtype_bytes(s->dtype);
        int64_t fit = FR_CUDA_SLICE_BYTES / fr_max(row, 1);
        int64_t group = on_tensor_cores ? FR_TENSOR_GROUP : 1;
        int64_t met = w->in_parts && on_tensor_cores ? FR_TENSOR_GROUP : 0;
        int64_t rows = w->on_demand ? fr_max(fit, group) : met;
        max = fr_max(max, fr_min(w->n_out, rows) * row);
    }
    return max;
}

/* product.c, lt_product.c: sums of a backward product between runs of a matrix's rows; cuBLASLt has them also where the matrix lies
 * in place. */
static int64_t sum_bytes(const fr_scratch_shape *s)
{
    int64_t max = 0;
    for (int i = 0; i < s->n_matrices; i++) {
        const fr_scratch_matrix *w = s->matrices + i;
        int64_t bytes = w->n_out * w->n_in * (int64_t)fr_dtype_bytes(s->dtype);
        bool in_slices = bytes > FR_CUDA_SLICE_BYTES || w->n_out > FR_LT_MOST_BLOCK;
        max = w->in_parts || in_slices
                  ? fr_max(max, w->m * w->n_in * (int64_t)sizeof(float))
                  : max;
    }
    return max;
}

/* attention_back.c: two numbers a row of queries. */
static int64_t stats_bytes(const fr_scratch_shape *s)
{
    return 2 * s->n_tokens * s->n_heads * (int64_t)sizeof(float);
}

/* attention_plan.c: lists of segments, tiles of queries and of keys, and who sees them. Every row may be a segment of its own; its
 * keys are seen by itself, and it sees a prefix and the keys of some others. */
static int64_t plan_bytes(const fr_scratch_shape *s)
{
    int64_t chunks = 1;
    while (chunks * FR_ATTEND_CHUNK < s->head_dim) {
        chunks *= 2;
    }
    int64_t rows = FR_ATTEND_ROWS_BACK(chunks);
    int64_t group = s->n_heads / s->n_kv_heads;
    int64_t n_tiles = fr_ceil_div(s->n_tokens * group, rows) + s->n_tokens;
    int64_t n_keys = fr_ceil_div(s->n_tokens, rows) + s->n_tokens +
                     s->n_units * fr_ceil_div(s->length, rows);
    int64_t n_views = (FR_MAX_SPANS + 2) * s->n_tokens;
    return s->n_tokens * (int64_t)sizeof(fr_attend_segment) +
           n_tiles * (int64_t)sizeof(fr_attend_tile) +
           n_keys * (int64_t)sizeof(fr_attend_keys) +
           n_views * (int64_t)sizeof(fr_attend_view);
}

/* rows.c: rows that are added have a number, a place and a beginning each. */
static int64_t row_list_bytes(const fr_scratch_shape *s)
{
    int64_t n = fr_max(s->n_tokens, s->n_targets);
    return n * (int64_t)(sizeof(int32_t) + 2 * sizeof(int64_t)) +
           (int64_t)sizeof(int64_t);
}

int64_t fr_scratch_cuda(const fr_scratch_shape *shape)
{
    enum { LISTS = 4 };
    const fr_scratch_shape *s = shape;
    int64_t n_blocks = 0;
    int64_t values = fr_max(stats_bytes(s), sum_bytes(s));
    if (s->n_sampled > 0) {
        values = fr_max(values, fr_cuda_sample_room(s->n_sampled, s->vocab, &n_blocks));
    }
    int64_t lists =
        fr_max(plan_bytes(s), row_list_bytes(s)) + LISTS * FR_CUDA_LIST_ALIGNMENT;
    return slice_bytes(s) + values + fr_round_up(lists, FR_CUDA_LIST_GRAIN);
}
