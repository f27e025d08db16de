/*
 * Attention forward. A query tile passes once over its key tiles with a running softmax (Milakov and Gimelshein 2018;
 * Dao et al. 2022). Each row keeps its maximum m, the sum l of exp2(s - m) and the weighted sum o of values; when a
 * key tile raises m, l and o are first multiplied by exp2(m_old - m). At the end o / l is the output and m ln 2 + ln
 * l the log-sum-exp.
 *
 * Threads share the query tiles of all segments, the last ones first: they see the most keys, so the short ones even
 * out the end. A tile's result depends on its segment alone (attention_tiles.c), so the share does not change bits.
 */
#include "device/cpu/attention_impl.h"

#include "base/elementary.h"
#include "base/integer.h"

#include <math.h>
#include <omp.h>
#include <stddef.h>
#include <string.h>

/** One thread's buffers; R tile rows, N tile keys, K padded head width. */
typedef struct forward_scratch {
    float *q_RK;
    float *o_RK;
    float *keys_KN;
    float *values_NK;
    float *scores_RN;
    float *stats_R2;
} forward_scratch;

/* The sum of the parts that scratch_part deals out, for one thread. */
static int64_t scratch_floats(const fr_attention_call *call)
{
    int64_t dim = call->padded_dim;
    return 2 * FR_TILE_ROWS * dim + 2 * FR_TILE_KEYS * dim +
           FR_TILE_ROWS * (FR_TILE_KEYS + 2);
}

static forward_scratch scratch_part(const fr_attention_call *call, float *base)
{
    int64_t dim = call->padded_dim;
    forward_scratch scratch;
    scratch.q_RK = base;
    scratch.o_RK = scratch.q_RK + FR_TILE_ROWS * dim;
    scratch.keys_KN = scratch.o_RK + FR_TILE_ROWS * dim;
    scratch.values_NK = scratch.keys_KN + FR_TILE_KEYS * dim;
    scratch.scores_RN = scratch.values_NK + FR_TILE_KEYS * dim;
    scratch.stats_R2 = scratch.scores_RN + FR_TILE_ROWS * FR_TILE_KEYS;
    return scratch;
}

/* Softmax step of every row over the key tile at `start`. */
static void update_rows(const fr_attention_call *call, const fr_query_tile *tile,
                        const fr_key_run *run, int64_t start, int64_t n_keys,
                        const forward_scratch *scratch)
{
    int64_t padded = fr_round_up(n_keys, 8);
    for (int64_t row = 0; row < tile->n_rows; row++) {
        float *scores = scratch->scores_RN + row * FR_TILE_KEYS;
        fr_key_range seen = fr_attention_visible(tile, run, row, start, n_keys);
        /* a row that sees no key of this tile adds nothing: probabilities of 0, with maximum and sum as before */
        if (seen.end == 0) {
            memset(scores, 0, (size_t)padded * sizeof *scores);
            continue;
        }
        if (fr_attention_has_shape(call, seen)) {
            fr_score_shape shape =
                fr_attention_shape(call, tile, run, row, start, seen);
            call->kernels->shape_scores(seen.end, &shape, scores);
        }
        float factor = call->kernels->softmax_row(seen.end, padded, scores,
                                                  scratch->stats_R2 + 2 * row);
        /* the maximum has risen: what was summed so far is scaled down to it */
        if (factor != 1.0F) {
            call->kernels->scale(call->padded_dim, factor,
                                 scratch->o_RK + row * call->padded_dim);
        }
    }
}

/* Scores of the tile from queries and transposed keys, their softmax step, then the weighted values on top of o. */
static void add_key_tile(const fr_attention_call *call, const fr_query_tile *tile,
                         const fr_key_run *run, int64_t start,
                         const forward_scratch *scratch)
{
    int64_t dim = call->padded_dim;
    int64_t n_keys = fr_min(run->count - start, FR_TILE_KEYS);
    int64_t ld = 0;
    const float *values =
        fr_attention_key_rows(call, run->v + start * run->stride, run->stride, n_keys,
                              scratch->values_NK, &ld);
    call->kernels->transpose(n_keys, call->params->head_dim,
                             run->k + start * run->stride, run->stride, FR_TILE_KEYS,
                             scratch->keys_KN);
    call->kernels->tile_product(&(fr_tile_product){.n_rows = tile->n_rows,
                                                   .n = fr_round_up(n_keys, 16),
                                                   .depth = call->params->head_dim,
                                                   .a = scratch->q_RK,
                                                   .a_row = dim,
                                                   .a_step = 1,
                                                   .b = scratch->keys_KN,
                                                   .ldb = FR_TILE_KEYS,
                                                   .c = scratch->scores_RN,
                                                   .ldc = FR_TILE_KEYS});
    update_rows(call, tile, run, start, n_keys, scratch);
    call->kernels->tile_product(&(fr_tile_product){.n_rows = tile->n_rows,
                                                   .n = dim,
                                                   .depth = n_keys,
                                                   .a = scratch->scores_RN,
                                                   .a_row = FR_TILE_KEYS,
                                                   .a_step = 1,
                                                   .b = values,
                                                   .ldb = ld,
                                                   .c = scratch->o_RK,
                                                   .ldc = dim,
                                                   .accumulate = true});
}

/* o / l and lse = m ln 2 + ln l, to the rows of the output. */
static void finish_rows(const fr_attention_call *call, const fr_query_tile *tile,
                        const forward_scratch *scratch, float *o_THK, float *lse_TH)
{
    static const double LN2 = 0.69314718055994530942;
    int64_t dim = call->params->head_dim;
    int64_t n_heads = call->params->n_heads;
    for (int64_t row = 0; row < tile->n_rows; row++) {
        const float *stats = scratch->stats_R2 + 2 * row;
        int64_t offset = fr_attention_row_offset(call, tile, row, n_heads * dim);
        call->kernels->copy_scaled(dim, dim, 1.0F / stats[1],
                                   scratch->o_RK + row * call->padded_dim,
                                   o_THK + offset);
        if (lse_TH != NULL) {
            double lse = (double)stats[0] * LN2 + fr_ln((double)stats[1]);
            lse_TH[offset / dim] = (float)lse;
        }
    }
}

/* -infinity and 0 are the maximum and the sum of no scores: the first key tile needs no special case. */
static void run_tile(const fr_attention_call *call, const fr_query_tile *tile,
                     const forward_scratch *scratch, float *o_THK, float *lse_TH)
{
    fr_key_run runs[FR_MAX_RUNS];
    int n_runs = fr_attention_runs(call, tile, runs);
    fr_attention_pack(call, tile, call->q, call->params->q_stride,
                      fr_attention_scale(call), scratch->q_RK);
    memset(scratch->o_RK, 0,
           (size_t)(tile->n_rows * call->padded_dim) * sizeof *scratch->o_RK);
    for (int64_t row = 0; row < tile->n_rows; row++) {
        scratch->stats_R2[2 * row] = -INFINITY;
        scratch->stats_R2[2 * row + 1] = 0;
    }
    for (int r = 0; r < n_runs; r++) {
        for (int64_t start = runs[r].begin; start < runs[r].count;
             start += FR_TILE_KEYS) {
            add_key_tile(call, tile, runs + r, start, scratch);
        }
    }
    finish_rows(call, tile, scratch, o_THK, lse_TH);
}

/* Of the longest segment: the loops over tiles run so far for every segment, and skip what a shorter one lacks. */
static int64_t max_tiles(const fr_attention_call *call)
{
    int64_t max = 0;
    for (int64_t s = 0; s < call->params->n_segments; s++) {
        max = fr_max(max, fr_attention_tiles(call, call->params->segments + s));
    }
    return max;
}

/* Later tiles see more keys, so they start first. */
static void run_all(const fr_attention_call *call, int threads, float *scratch_base,
                    float *o_THK, float *lse_TH)
{
    const fr_attention_params *params = call->params;
    int64_t n_tiles = max_tiles(call);
    int64_t n_chunks = params->n_kv_heads * call->n_chunks;
#pragma omp parallel num_threads(threads)
    {
        forward_scratch scratch = scratch_part(
            call, scratch_base + omp_get_thread_num() * scratch_floats(call));
#pragma omp for collapse(3) schedule(dynamic)
        for (int64_t t = 0; t < n_tiles; t++) {
            for (int64_t s = 0; s < params->n_segments; s++) {
                for (int64_t c = 0; c < n_chunks; c++) {
                    const fr_segment *segment = params->segments + s;
                    int64_t index = n_tiles - 1 - t;
                    if (index < fr_attention_tiles(call, segment)) {
                        fr_query_tile tile =
                            fr_attention_tile(call, segment, c / call->n_chunks,
                                              c % call->n_chunks, index);
                        run_tile(call, &tile, &scratch, o_THK, lse_TH);
                    }
                }
            }
        }
    }
}

fr_status fr_cpu_attention(fr_device *device, const fr_attention_params *params,
                           fr_view q, fr_view k, fr_view v, fr_view o_THK,
                           float *lse_TH)
{
    fr_attention_call call = fr_attention_call_make(device, params, q, k, v);
    float *scratch = NULL;
    FR_TRY(fr_cpu_scratch(device, FR_SCRATCH_ATTENTION,
                          device->n_threads * scratch_floats(&call), &scratch));
    run_all(&call, fr_attention_threads(device, params), scratch, fr_view_floats(o_THK),
            lse_TH);
    return FR_OK;
}
