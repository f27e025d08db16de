/*
 * The plan of a call of attention. Segments without queries are left out. Tiles of a segment come last first: they see the most
 * keys, so the short ones even out the end.
 *
 * Keys have a tile for as many of a segment's own keys as the kernels take, and of each unit's prefix. Who sees them is listed once for
 * each segment or unit, in the order of the list and of a segment's runs: it is that of the sums.
 */
#include "device/cuda/attention_plan.h"

#include "base/integer.h"
#include "base/mem.h"

#include <stdlib.h>

static const double LOG2E = 1.44269504088896340736;

/* A call has one prefix for each unit (prefixes_U), or one for all. */
static fr_attention_prefix prefix_of(const fr_attention_params *params,
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

/* A window that hides none of the keys is none. */
static void add_run(fr_attend_segment *to, const fr_segment *segment, int64_t position,
                    int64_t window, fr_attend_run run)
{
    int64_t lead = segment->position - position;
    if (run.count > 0) {
        run.lead = (int32_t)lead;
        run.window = lead + segment->q_count <= window ? 0 : (int32_t)window;
        to->runs[to->n_runs++] = run;
    }
}

/* The prefix, the spans, its own keys. */
static fr_attend_segment segment_of(const fr_attention_params *params,
                                    const fr_segment *segment)
{
    fr_attend_segment out = {.q_first = segment->q_first,
                             .q_count = (int32_t)segment->q_count};
    fr_attention_prefix prefix = prefix_of(params, segment);
    add_run(&out, segment, 0, prefix.slides ? params->window : 0,
            (fr_attend_run){.prefix_k = (const float *)prefix.k_PGK,
                            .prefix_v = (const float *)prefix.v_PGK,
                            .count = (int32_t)prefix.length});
    for (int s = 0; s < segment->n_spans; s++) {
        const fr_span *span = segment->spans + s;
        add_run(&out, segment, span->position, params->window,
                (fr_attend_run){.first = span->first, .count = (int32_t)span->count});
    }
    add_run(&out, segment, segment->position, params->window,
            (fr_attend_run){.first = segment->own_first,
                            .count = (int32_t)segment->q_count,
                            .causal = 1});
    return out;
}

static int64_t tiles_of(const fr_attend_plan *plan, const fr_segment *segment)
{
    return fr_ceil_div(segment->q_count * plan->group, plan->size.rows);
}

static fr_status plan_queries(fr_ctx *ctx, fr_attend_plan *plan)
{
    const fr_attention_params *params = plan->params;
    int64_t n_tiles = 0;
    for (int64_t s = 0; s < params->n_segments; s++) {
        n_tiles += tiles_of(plan, params->segments + s);
    }
    FR_TRY(fr_alloc(ctx, params->n_segments, sizeof *plan->segments, &plan->segments));
    FR_TRY(fr_alloc(ctx, n_tiles, sizeof *plan->tiles, &plan->tiles));
    for (int64_t s = 0; s < params->n_segments; s++) {
        const fr_segment *segment = params->segments + s;
        if (segment->q_count > 0) {
            plan->segments[plan->n_segments] = segment_of(params, segment);
            for (int64_t i = tiles_of(plan, segment) - 1; i >= 0; i--) {
                plan->tiles[plan->n_tiles++] =
                    (fr_attend_tile){(int32_t)plan->n_segments, (int32_t)i};
            }
            plan->n_segments++;
        }
    }
    return FR_OK;
}

/** Keys [first, first + count) whose gradients are wanted. */
typedef struct owner {
    int64_t unit;
    int64_t first; /* row of k and v; of a prefix: 0 */
    int64_t out;
    int64_t count;
    bool is_prefix;
} owner;

/* Runs of the unit's segments in which the owner's keys are; `at` is the plan's segment of params->segments[s]. Only counted
 * while there is no memory for them. */
static int64_t add_views(fr_attend_plan *plan, const owner *o, int64_t s, int64_t at)
{
    const fr_attention_params *params = plan->params;
    int64_t n = 0;
    for (; s < params->n_segments && params->segments[s].unit == o->unit; s++) {
        if (params->segments[s].q_count == 0) {
            continue;
        }
        const fr_attend_segment *segment = plan->segments + at;
        for (int r = 0; r < segment->n_runs; r++) {
            const fr_attend_run *run = segment->runs + r;
            int64_t shift = o->first - run->first;
            if ((run->prefix_k != NULL) == o->is_prefix && shift < run->count &&
                shift + o->count > 0) {
                if (plan->views != NULL) {
                    plan->views[plan->n_views + n] =
                        (fr_attend_view){(int32_t)shift, (int32_t)at, r};
                }
                n++;
            }
        }
        at++;
    }
    return n;
}

/* Tiles of the owner's keys, and who sees them. */
static void add_owner(fr_attend_plan *plan, const owner *o, int64_t s, int64_t at)
{
    int64_t n_views = add_views(plan, o, s, at);
    for (int64_t i = 0; i < o->count; i += plan->size.rows) {
        if (plan->keys != NULL) {
            plan->keys[plan->n_keys] = (fr_attend_keys){
                .first = o->first + i,
                .out = o->out + i,
                .first_view = plan->n_views,
                .n_views = (int32_t)n_views,
                .index = (int32_t)i,
                .count = (int32_t)fr_min(plan->size.rows, o->count - i),
                .is_prefix = o->is_prefix ? 1 : 0};
        }
        plan->n_keys++;
    }
    plan->n_views += n_views;
}

/* The unit's prefix, then its segments' own keys. Prefixes come first, as they are seen by the most queries. */
static void add_keys(fr_attend_plan *plan, const fr_attention_gradients *gradients,
                     bool prefixes)
{
    const fr_attention_params *params = plan->params;
    int64_t s = 0;
    int64_t at = 0; /* the plan's segment */
    for (int64_t unit = 0; unit < gradients->n_units; unit++) {
        owner o = {.unit = unit, .count = params->prefix_length, .is_prefix = true};
        o.out = unit * params->prefix_length;
        if (prefixes) {
            add_owner(plan, &o, s, at);
        }
        int64_t first = s;
        int64_t first_at = at;
        for (; s < params->n_segments && params->segments[s].unit == unit; s++) {
            const fr_segment *segment = params->segments + s;
            o = (owner){unit, segment->own_first, segment->own_first, segment->q_count,
                        false};
            if (!prefixes) {
                add_owner(plan, &o, first, first_at);
            }
            at += segment->q_count > 0 ? 1 : 0;
        }
    }
}

/* Counted first, then listed. */
static fr_status plan_keys(fr_ctx *ctx, const fr_attention_gradients *gradients,
                           fr_attend_plan *plan)
{
    for (int pass = 0; pass < 2; pass++) {
        plan->n_keys = 0;
        plan->n_views = 0;
        if (plan->params->prefix_length > 0) {
            add_keys(plan, gradients, true);
        }
        if (gradients->dq.at != NULL) {
            add_keys(plan, gradients, false);
        }
        if (pass == 0) {
            FR_TRY(fr_alloc(ctx, plan->n_keys, sizeof *plan->keys, &plan->keys));
            FR_TRY(fr_alloc(ctx, plan->n_views, sizeof *plan->views, &plan->views));
        }
    }
    return FR_OK;
}

fr_status fr_attend_plan_make(fr_device *device, const fr_attention_params *params,
                              fr_dtype dtype, const fr_attention_gradients *gradients,
                              fr_attend_plan *out)
{
    *out = (fr_attend_plan){.params = params,
                            .group = params->n_heads / params->n_kv_heads};
    if (params->head_dim > FR_ATTEND_DIM) {
        return FR_FAIL(device->ctx, FR_ERR_UNSUPPORTED,
                       "the model's heads have %lld numbers, and attention on a GPU "
                       "takes at most %d: use the CPU (device: cpu)",
                       (long long)params->head_dim, FR_ATTEND_DIM);
    }
    out->size = fr_attend_size_of(params->head_dim, dtype, gradients != NULL);
    FR_TRY(plan_queries(device->ctx, out));
    return gradients != NULL ? plan_keys(device->ctx, gradients, out) : FR_OK;
}

void fr_attend_plan_free(fr_attend_plan *plan)
{
    free(plan->segments);
    free(plan->tiles);
    free(plan->keys);
    free(plan->views);
    *plan = (fr_attend_plan){0};
}

/* Prefixes are f32 rows of all heads, whatever the views' type is. */
static bool are_wide(const fr_attend_plan *plan)
{
    const fr_attention_params *params = plan->params;
    int64_t width = params->n_kv_heads * params->head_dim;
    bool wide = true;
    for (int64_t s = 0; s < plan->n_segments; s++) {
        const fr_attend_run *run = plan->segments[s].runs;
        wide = wide &&
               (run->prefix_k == NULL ||
                (fr_attend_is_wide(&plan->size, run->prefix_k, sizeof(float), width) &&
                 fr_attend_is_wide(&plan->size, run->prefix_v, sizeof(float), width)));
    }
    return wide && params->head_dim % 4 == 0;
}

fr_status fr_attend_send(fr_device *device, const fr_attend_plan *plan, fr_view q,
                         fr_view k, fr_view v, fr_attend_back *out)
{
    const fr_attention_params *params = plan->params;
    size_t number = fr_dtype_bytes(q.dtype);
    fr_cuda_list lists[] = {
        {plan->segments, plan->n_segments * (int64_t)sizeof *plan->segments, NULL},
        {plan->tiles, plan->n_tiles * (int64_t)sizeof *plan->tiles, NULL},
        {plan->keys, plan->n_keys * (int64_t)sizeof *plan->keys, NULL},
        {plan->views, plan->n_views * (int64_t)sizeof *plan->views, NULL}};
    FR_TRY(fr_cuda_lists(device, 4, lists));
    *out = (fr_attend_back){.keys = lists[2].at, .views = lists[3].at};
    out->base = (fr_attend){.q = q.at,
                            .k = k.at,
                            .v = v.at,
                            .segments = lists[0].at,
                            .tiles = lists[1].at,
                            .slopes_H = (const float *)params->slopes_H,
                            .q_stride = params->q_stride,
                            .kv_stride = params->kv_stride,
                            .n_heads = (int32_t)params->n_heads,
                            .n_kv_heads = (int32_t)params->n_kv_heads,
                            .group = (int32_t)plan->group,
                            .head_dim = (int32_t)params->head_dim,
                            .scale = (float)(LOG2E * params->scale),
                            .cap = (float)(LOG2E * (double)params->cap)};
    out->base.wide =
        are_wide(plan) &&
                fr_attend_is_wide(&plan->size, q.at, number, params->q_stride) &&
                fr_attend_is_wide(&plan->size, k.at, number, params->kv_stride) &&
                fr_attend_is_wide(&plan->size, v.at, number, params->kv_stride)
            ? 1
            : 0;
    return FR_OK;
}
