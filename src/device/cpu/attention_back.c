/*
 * Attention backward. With probabilities P recomputed from the saved log-sum-exp,
 *   dV += P^T dO,  dP = dO V^T,  dS = P (dP - delta),  delta = sum dO * O over a row,
 *   dK += scale dS^T q,  dQ += scale dS K,  with dS times 1 - tanh(s / c)^2 where a cap c made c tanh(s / c) of a product s.
 * Packed queries carry log2(e) scale, so the row kernel multiplies dS by ln 2: then dK takes the
 * packed queries as they are and dQ one factor at the end.
 *
 * A thread takes a (unit, key/value head) as a whole and works in the order segment, chunk, tile, run, key tile. So
 * every sum has one order, and no two threads add to the same element.
 */
#include "device/cpu/attention_impl.h"

#include "base/integer.h"

#include <omp.h>
#include <stddef.h>
#include <string.h>

/** One thread's buffers; R tile rows, N tile keys, K padded head width. */
typedef struct backward_scratch {
    float *q_RK;
    float *do_RK;
    float *dq_RK;
    float *keys_KN;
    float *values_KN;
    float *key_rows_NK;
    float *scores_RN;
    float *dscores_RN;
    float *lse_R;
    float *delta_R;
} backward_scratch;

/** What all (unit, head) pairs of a call share. */
typedef struct backward_call {
    fr_attention_call base;
    const float *o_THK;
    const float *lse_TH;
    const float *do_THK;
    const fr_attention_gradients *gradients;
} backward_call;

/* The sum of the parts that scratch_part deals out, for one thread. */
static int64_t scratch_floats(const fr_attention_call *call)
{
    int64_t dim = call->padded_dim;
    return 3 * (FR_TILE_ROWS + FR_TILE_KEYS) * dim +
           FR_TILE_ROWS * (2 * FR_TILE_KEYS + 2);
}

/* 3 blocks of rows, 3 of keys, 2 tiles of scores, then lse and delta. All but the last two are multiples of 16
 * floats, which keeps them aligned like the base. */
static backward_scratch scratch_part(const fr_attention_call *call, float *base)
{
    int64_t rows = FR_TILE_ROWS * call->padded_dim;
    int64_t keys = FR_TILE_KEYS * call->padded_dim;
    backward_scratch scratch;
    scratch.q_RK = base;
    scratch.do_RK = scratch.q_RK + rows;
    scratch.dq_RK = scratch.do_RK + rows;
    scratch.keys_KN = scratch.dq_RK + rows;
    scratch.values_KN = scratch.keys_KN + keys;
    scratch.key_rows_NK = scratch.values_KN + keys;
    scratch.scores_RN = scratch.key_rows_NK + keys;
    scratch.dscores_RN = scratch.scores_RN + FR_TILE_ROWS * FR_TILE_KEYS;
    scratch.lse_R = scratch.dscores_RN + FR_TILE_ROWS * FR_TILE_KEYS;
    scratch.delta_R = scratch.lse_R + FR_TILE_ROWS;
    return scratch;
}

/* lse is taken to base 2, to match queries that carry log2(e). delta is the dot product of dO and O of a row: it
 * equals the sum of P dP over the row, so no pass over the keys is needed for it. */
static void pack_rows(const backward_call *call, const fr_query_tile *tile,
                      const backward_scratch *scratch)
{
    static const double LOG2E = 1.44269504088896340736;
    const fr_attention_call *base = &call->base;
    int64_t dim = base->params->head_dim;
    int64_t stride = base->params->n_heads * dim;
    fr_attention_pack(base, tile, base->q, base->params->q_stride,
                      fr_attention_scale(base), scratch->q_RK);
    fr_attention_pack(base, tile, call->do_THK, stride, 1.0F, scratch->do_RK);
    memset(scratch->dq_RK, 0,
           (size_t)(tile->n_rows * base->padded_dim) * sizeof *scratch->dq_RK);
    for (int64_t row = 0; row < tile->n_rows; row++) {
        int64_t offset = fr_attention_row_offset(base, tile, row, stride);
        scratch->lse_R[row] = (float)((double)call->lse_TH[offset / dim] * LOG2E);
        scratch->delta_R[row] =
            base->kernels->dot(dim, call->do_THK + offset, call->o_THK + offset);
    }
}

/* rows_RK times the packed key tile [K, N]: scores, or dO V^T. */
static void multiply_keys(const fr_attention_call *call, int64_t n_rows, int64_t n_keys,
                          const float *rows_RK, const float *packed_KN, float *out_RN)
{
    call->kernels->tile_product(&(fr_tile_product){.n_rows = n_rows,
                                                   .n = fr_round_up(n_keys, 16),
                                                   .depth = call->params->head_dim,
                                                   .a = rows_RK,
                                                   .a_row = call->padded_dim,
                                                   .a_step = 1,
                                                   .b = packed_KN,
                                                   .ldb = FR_TILE_KEYS,
                                                   .c = out_RN,
                                                   .ldc = FR_TILE_KEYS});
}

/* gradient [keys] += tile_RN^T rows_RK: dV from P and dO, dK from dS and q. */
static void add_key_gradient(const fr_attention_call *call, int64_t n_rows,
                             int64_t n_keys, const float *tile_RN, const float *rows_RK,
                             float *gradient, int64_t stride)
{
    call->kernels->tile_product(&(fr_tile_product){.n_rows = n_keys,
                                                   .n = call->params->head_dim,
                                                   .depth = n_rows,
                                                   .a = tile_RN,
                                                   .a_row = 1,
                                                   .a_step = FR_TILE_KEYS,
                                                   .b = rows_RK,
                                                   .ldb = call->padded_dim,
                                                   .c = gradient,
                                                   .ldc = stride,
                                                   .accumulate = true});
}

/* dQ of a tile is summed in scratch over all key tiles, and leaves it once, in back_tile. */
static void add_query_gradient(const fr_attention_call *call, int64_t n_rows,
                               const fr_key_run *run, int64_t start, int64_t n_keys,
                               const backward_scratch *scratch)
{
    int64_t ld = 0;
    const float *keys =
        fr_attention_key_rows(call, run->k + start * run->stride, run->stride, n_keys,
                              scratch->key_rows_NK, &ld);
    call->kernels->tile_product(&(fr_tile_product){.n_rows = n_rows,
                                                   .n = call->padded_dim,
                                                   .depth = n_keys,
                                                   .a = scratch->dscores_RN,
                                                   .a_row = FR_TILE_KEYS,
                                                   .a_step = 1,
                                                   .b = keys,
                                                   .ldb = ld,
                                                   .c = scratch->dq_RK,
                                                   .ldc = call->padded_dim,
                                                   .accumulate = true});
}

/* Scores and dO V^T become P and ln 2 dS. */
static void differentiate_rows(const fr_attention_call *call, const fr_query_tile *tile,
                               const fr_key_run *run, int64_t start, int64_t n_keys,
                               const backward_scratch *scratch)
{
    for (int64_t row = 0; row < tile->n_rows; row++) {
        fr_key_range seen = fr_attention_visible(tile, run, row, start, n_keys);
        fr_score_row scores = {.n_visible = seen.end,
                               .n = fr_round_up(n_keys, 8),
                               .lse = scratch->lse_R[row],
                               .delta = scratch->delta_R[row],
                               .score = scratch->scores_RN + row * FR_TILE_KEYS,
                               .gradient = scratch->dscores_RN + row * FR_TILE_KEYS};
        if (fr_attention_has_shape(call, seen)) {
            fr_score_shape shape =
                fr_attention_shape(call, tile, run, row, start, seen);
            call->kernels->shaped_score_row_back(&scores, &shape);
        } else {
            call->kernels->score_row_back(&scores);
        }
    }
}

/* The order of the steps follows the formulas above: after differentiate_rows, scores_RN holds P and dscores_RN
 * holds dS. */
static void back_key_tile(const backward_call *call, const fr_query_tile *tile,
                          const fr_key_run *run, int64_t start,
                          const backward_scratch *scratch)
{
    const fr_attention_call *base = &call->base;
    int64_t dim = base->params->head_dim;
    int64_t n_rows = tile->n_rows;
    int64_t n_keys = fr_min(run->count - start, FR_TILE_KEYS);
    int64_t offset = start * run->stride;
    base->kernels->transpose(n_keys, dim, run->k + offset, run->stride, FR_TILE_KEYS,
                             scratch->keys_KN);
    base->kernels->transpose(n_keys, dim, run->v + offset, run->stride, FR_TILE_KEYS,
                             scratch->values_KN);
    multiply_keys(base, n_rows, n_keys, scratch->q_RK, scratch->keys_KN,
                  scratch->scores_RN);
    multiply_keys(base, n_rows, n_keys, scratch->do_RK, scratch->values_KN,
                  scratch->dscores_RN);
    differentiate_rows(base, tile, run, start, n_keys, scratch);
    add_key_gradient(base, n_rows, n_keys, scratch->scores_RN, scratch->do_RK,
                     run->dv + offset, run->stride);
    add_key_gradient(base, n_rows, n_keys, scratch->dscores_RN, scratch->q_RK,
                     run->dk + offset, run->stride);
    if (call->gradients->dq.at != NULL) {
        add_query_gradient(base, n_rows, run, start, n_keys, scratch);
    }
}

/* Gradient pointers of the runs: the prefix's of the unit, then rows of dk and dv. Without dq only the
 * prefix stays. */
static int runs_with_gradients(const backward_call *call, const fr_query_tile *tile,
                               fr_key_run runs[FR_MAX_RUNS])
{
    const fr_attention_params *params = call->base.params;
    const fr_attention_gradients *gradients = call->gradients;
    int n_runs = fr_attention_runs(&call->base, tile, runs);
    bool has_prefix = n_runs > 0 && runs[0].is_prefix;
    for (int r = 0; r < n_runs; r++) {
        if (runs[r].is_prefix) {
            int64_t row = tile->segment->unit * params->prefix_length;
            int64_t offset =
                (row * params->n_kv_heads + tile->kv_head) * params->head_dim;
            runs[r].dk = fr_cpu_floats(gradients->dprefix_k_UPGK) + offset;
            runs[r].dv = fr_cpu_floats(gradients->dprefix_v_UPGK) + offset;
        } else if (gradients->dq.at != NULL) {
            runs[r].dk = fr_view_floats(gradients->dk) + (runs[r].k - call->base.k);
            runs[r].dv = fr_view_floats(gradients->dv) + (runs[r].v - call->base.v);
        }
    }
    return gradients->dq.at != NULL ? n_runs : (has_prefix ? 1 : 0);
}

/* Nothing to do where the caller wants prefix gradients alone and the segment sees no prefix. */
static void back_tile(const backward_call *call, const fr_query_tile *tile,
                      const backward_scratch *scratch)
{
    const fr_attention_call *base = &call->base;
    fr_key_run runs[FR_MAX_RUNS];
    int n_runs = runs_with_gradients(call, tile, runs);
    if (n_runs == 0) {
        return;
    }
    pack_rows(call, tile, scratch);
    for (int r = 0; r < n_runs; r++) {
        for (int64_t start = runs[r].begin; start < runs[r].count;
             start += FR_TILE_KEYS) {
            back_key_tile(call, tile, runs + r, start, scratch);
        }
    }
    if (call->gradients->dq.at == NULL) {
        return;
    }
    for (int64_t row = 0; row < tile->n_rows; row++) {
        int64_t offset =
            fr_attention_row_offset(base, tile, row, base->params->q_stride);
        base->kernels->copy_scaled(base->params->head_dim, base->params->head_dim,
                                   fr_attention_scale(base),
                                   scratch->dq_RK + row * base->padded_dim,
                                   fr_view_floats(call->gradients->dq) + offset);
    }
}

static void zero_rows(int64_t n_rows, int64_t width, int64_t stride, float *rows)
{
    for (int64_t row = 0; row < n_rows; row++) {
        memset(rows + row * stride, 0, (size_t)width * sizeof *rows);
    }
}

/* Clear what this unit and head add to. */
static void zero_unit(const backward_call *call, int64_t unit, int64_t kv_head)
{
    const fr_attention_params *params = call->base.params;
    const fr_attention_gradients *gradients = call->gradients;
    int64_t dim = params->head_dim;
    if (params->prefix_length > 0) {
        int64_t stride = params->n_kv_heads * dim;
        int64_t offset = unit * params->prefix_length * stride + kv_head * dim;
        zero_rows(params->prefix_length, dim, stride,
                  fr_cpu_floats(gradients->dprefix_k_UPGK) + offset);
        zero_rows(params->prefix_length, dim, stride,
                  fr_cpu_floats(gradients->dprefix_v_UPGK) + offset);
    }
    for (int64_t s = 0; s < params->n_segments && gradients->dq.at != NULL; s++) {
        const fr_segment *segment = params->segments + s;
        int64_t offset = segment->own_first * params->kv_stride + kv_head * dim;
        if (segment->unit == unit) {
            zero_rows(segment->q_count, dim, params->kv_stride,
                      fr_view_floats(gradients->dk) + offset);
            zero_rows(segment->q_count, dim, params->kv_stride,
                      fr_view_floats(gradients->dv) + offset);
        }
    }
}

/* Segments of a unit in ascending order, then chunks and tiles: this order is that of every sum over queries. */
static void back_unit(const backward_call *call, int64_t unit, int64_t kv_head,
                      const backward_scratch *scratch)
{
    const fr_attention_params *params = call->base.params;
    zero_unit(call, unit, kv_head);
    for (int64_t s = 0; s < params->n_segments; s++) {
        const fr_segment *segment = params->segments + s;
        if (segment->unit != unit) {
            continue;
        }
        int64_t n_tiles = fr_attention_tiles(&call->base, segment);
        for (int64_t i = 0; i < call->base.n_chunks * n_tiles; i++) {
            fr_query_tile tile = fr_attention_tile(&call->base, segment, kv_head,
                                                   i / n_tiles, i % n_tiles);
            back_tile(call, &tile, scratch);
        }
    }
}

/* Scratch for all threads is taken before they start, since allocation may fail. Dynamic scheduling changes only
 * which thread takes a pair, and a pair owns all elements that it adds to. */
fr_status fr_cpu_attention_back(fr_device *device, const fr_attention_params *params,
                                fr_view q, fr_view k, fr_view v, fr_view o_THK,
                                const float *lse_TH, fr_view do_THK,
                                const fr_attention_gradients *gradients)
{
    backward_call call = {.base = fr_attention_call_make(device, params, q, k, v),
                          .o_THK = fr_view_floats(o_THK),
                          .lse_TH = lse_TH,
                          .do_THK = fr_view_floats(do_THK),
                          .gradients = gradients};
    int threads = fr_attention_threads(device, params);
    float *base = NULL;
    FR_TRY(fr_cpu_scratch(device, FR_SCRATCH_ATTENTION_BACK,
                          device->n_threads * scratch_floats(&call.base), &base));
#pragma omp parallel num_threads(threads)
    {
        backward_scratch scratch = scratch_part(
            &call.base, base + omp_get_thread_num() * scratch_floats(&call.base));
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t unit = 0; unit < gradients->n_units; unit++) {
            for (int64_t head = 0; head < params->n_kv_heads; head++) {
                back_unit(&call, unit, head, &scratch);
            }
        }
    }
    return FR_OK;
}
