/*
 * How a call of attention is cut into query tiles, and which keys a tile sees.
 *
 * Grouped heads share their keys, so a tile's rows are (token, head) pairs of one key/value head, token by token: up
 * to heads_per_tile heads and as many tokens as fill FR_TILE_ROWS. A group of more heads than that is cut into
 * chunks. Tiles of a segment are numbered along its tokens, one series for each key/value head and chunk.
 *
 * Both directions call these functions, so forward and backward see the same keys in the same order. Nothing here
 * depends on threads or on what else is in the call.
 */
#include "device/cpu/attention_impl.h"

#include "base/integer.h"

#include <stddef.h>

static const double LOG2E = 1.44269504088896340736;

/* The head width is padded to 16 floats, the widest register. */
fr_attention_call fr_attention_call_make(const fr_device *device,
                                         const fr_attention_params *params, fr_view q,
                                         fr_view k, fr_view v)
{
    fr_attention_call call = {.params = params,
                              .q = fr_view_floats(q),
                              .k = fr_view_floats(k),
                              .v = fr_view_floats(v)};
    call.kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    call.padded_dim = fr_round_up(params->head_dim, 16);
    call.group = params->n_heads / params->n_kv_heads;
    call.heads_per_tile = fr_min(call.group, FR_TILE_ROWS);
    call.tokens_per_tile = FR_TILE_ROWS / call.heads_per_tile;
    call.n_chunks = fr_ceil_div(call.group, call.heads_per_tile);
    call.shapes = params->cap != 0.0F || params->slopes_H != NULL;
    return call;
}

/* A call has one prefix for each unit (prefixes_U), or one for all. */
fr_attention_prefix fr_attention_prefix_of(const fr_attention_params *params,
                                           const fr_segment *segment)
{
    if (!segment->sees_prefix) {
        return (fr_attention_prefix){0};
    }
    if (params->prefixes_U != NULL) {
        return params->prefixes_U[segment->unit];
    }
    return (fr_attention_prefix){params->prefix_length, params->prefix_k_PGK,
                                 params->prefix_v_PGK, params->prefix_slides};
}

int64_t fr_attention_tiles(const fr_attention_call *call, const fr_segment *segment)
{
    return fr_ceil_div(segment->q_count, call->tokens_per_tile);
}

/* The last chunk may have fewer heads, and the last tile fewer tokens. */
fr_query_tile fr_attention_tile(const fr_attention_call *call,
                                const fr_segment *segment, int64_t kv_head,
                                int64_t chunk, int64_t index)
{
    fr_query_tile tile = {.segment = segment, .kv_head = kv_head};
    int64_t head = chunk * call->heads_per_tile;
    tile.first_head = kv_head * call->group + head;
    tile.n_heads = fr_min(call->heads_per_tile, call->group - head);
    tile.first_token = index * call->tokens_per_tile;
    tile.n_tokens = fr_min(call->tokens_per_tile, segment->q_count - tile.first_token);
    tile.n_rows = tile.n_tokens * tile.n_heads;
    return tile;
}

/* In an array whose tokens lie `stride` apart and whose heads lie side by side. */
int64_t fr_attention_row_offset(const fr_attention_call *call,
                                const fr_query_tile *tile, int64_t row, int64_t stride)
{
    int64_t token = tile->segment->q_first + tile->first_token + row / tile->n_heads;
    int64_t head = tile->first_head + row % tile->n_heads;
    return token * stride + head * call->params->head_dim;
}

/* The first token of a tile looks furthest back: its window's first key decides where the tile's keys begin. Returns
 * whether any is left. */
static bool enter_window(const fr_query_tile *tile, int64_t position, int64_t window,
                         fr_key_run *run)
{
    run->lead = tile->segment->position + tile->first_token - position;
    run->window = window;
    if (window > 0 && run->lead - window + 1 > 0) {
        run->begin = (run->lead - window + 1) / FR_TILE_KEYS * FR_TILE_KEYS;
        return run->lead - window + 1 < run->count;
    }
    return true;
}

/* The prefix, then the spans that the segment sees in full, then its own tokens, of which a row sees those up to
 * itself. Own keys beyond the tile's last token are left out, since no row sees them. */
int fr_attention_runs(const fr_attention_call *call, const fr_query_tile *tile,
                      fr_key_run runs[FR_MAX_RUNS])
{
    const fr_attention_params *params = call->params;
    const fr_segment *segment = tile->segment;
    int64_t head = tile->kv_head * params->head_dim;
    fr_attention_prefix prefix = fr_attention_prefix_of(params, segment);
    int n_runs = 0;
    if (prefix.length > 0) {
        runs[0] = (fr_key_run){.k = fr_cpu_floats(prefix.k_PGK) + head,
                               .v = fr_cpu_floats(prefix.v_PGK) + head,
                               .stride = params->n_kv_heads * params->head_dim,
                               .count = prefix.length,
                               .is_prefix = true};
        n_runs += enter_window(tile, 0, prefix.slides ? params->window : 0, runs);
    }
    for (int s = 0; s <= segment->n_spans; s++) {
        bool own = s == segment->n_spans;
        fr_span span = {segment->own_first, tile->first_token + tile->n_tokens,
                        segment->position};
        if (!own) {
            span = segment->spans[s];
        }
        int64_t offset = span.first * params->kv_stride + head;
        if (span.count > 0) {
            runs[n_runs] = (fr_key_run){.k = call->k + offset,
                                        .v = call->v + offset,
                                        .stride = params->kv_stride,
                                        .count = span.count,
                                        .causal = own};
            n_runs += enter_window(tile, span.position, params->window, runs + n_runs);
        }
    }
    return n_runs;
}

/* In the causal run, a row sees its own token and all before it; with a window, no more than that many. */
fr_key_range fr_attention_visible(const fr_query_tile *tile, const fr_key_run *run,
                                  int64_t row, int64_t start, int64_t n_keys)
{
    fr_key_range range = {0, n_keys};
    int64_t after = run->lead + row / tile->n_heads + 1 - start;
    if (run->causal) {
        range.end = fr_min(after, n_keys);
    }
    if (run->window > 0) {
        range.first = fr_max(after - run->window, 0);
    }
    return range.first < range.end ? range : (fr_key_range){0, 0};
}

bool fr_attention_has_shape(const fr_attention_call *call, fr_key_range range)
{
    return call->shapes || range.first > 0;
}

fr_score_shape fr_attention_shape(const fr_attention_call *call,
                                  const fr_query_tile *tile, const fr_key_run *run,
                                  int64_t row, int64_t start, fr_key_range range)
{
    const float *slopes = fr_cpu_floats(call->params->slopes_H);
    fr_score_shape shape = {.first = range.first};
    shape.cap = (float)(LOG2E * (double)call->params->cap);
    shape.distance = (float)(start - run->lead - row / tile->n_heads);
    if (slopes != NULL) {
        double slope = (double)slopes[tile->first_head + row % tile->n_heads];
        shape.slope = (float)(LOG2E * slope);
    }
    return shape;
}

void fr_attention_pack(const fr_attention_call *call, const fr_query_tile *tile,
                       const float *rows, int64_t stride, float factor, float *packed)
{
    for (int64_t row = 0; row < tile->n_rows; row++) {
        call->kernels->copy_scaled(call->params->head_dim, call->padded_dim, factor,
                                   rows +
                                       fr_attention_row_offset(call, tile, row, stride),
                                   packed + row * call->padded_dim);
    }
}

/* Rows are used in place unless they need padding: the products read whole registers. */
const float *fr_attention_key_rows(const fr_attention_call *call, const float *rows,
                                   int64_t stride, int64_t n_keys, float *buffer,
                                   int64_t *ld)
{
    if (call->padded_dim == call->params->head_dim) {
        *ld = stride;
        return rows;
    }
    for (int64_t j = 0; j < n_keys; j++) {
        call->kernels->copy_scaled(call->params->head_dim, call->padded_dim, 1.0F,
                                   rows + j * stride, buffer + j * call->padded_dim);
    }
    *ld = call->padded_dim;
    return buffer;
}

/* The factor log2(e) makes exp2 do the work of exp, with one multiplication for each query element and none for
 * each score. */
float fr_attention_scale(const fr_attention_call *call)
{
    return (float)(LOG2E * call->params->scale);
}

/* Own tokens count half, because a row sees half of them on average, and a row sees no more than the window. */
static int64_t keys_of_row(const fr_attention_params *params, const fr_segment *segment)
{
    fr_attention_prefix prefix = fr_attention_prefix_of(params, segment);
    int64_t slots = prefix.length;
    int64_t keys = segment->q_count / 2;
    for (int i = 0; i < segment->n_spans; i++) {
        keys += segment->spans[i].count;
    }
    if (params->window == 0) {
        return slots + keys;
    }
    return prefix.slides ? fr_min(slots + keys, params->window)
                         : slots + fr_min(keys, params->window);
}

int fr_attention_threads(const fr_device *device, const fr_attention_params *params)
{
    /* Multiply-adds in the time of one element of row-wise work. */
    enum { PRODUCTS_PER_ELEMENT = 16 };
    int64_t scores = 0;
    for (int64_t s = 0; s < params->n_segments; s++) {
        const fr_segment *segment = params->segments + s;
        scores += segment->q_count * keys_of_row(params, segment);
    }
    return fr_kernels_threads(device->n_threads, scores * params->n_heads *
                                                     params->head_dim /
                                                     PRODUCTS_PER_ELEMENT);
}
