/*
 * The plan of a step is made in this order:
 *
 *   group_by_source / separate   drawn examples -> sources, in order of first appearance
 *   form_units                   neighbouring sources that begin alike -> one unit
 *   measure_units                token rows, keys and counted tokens
 *   sort_units, assign_units     units, longest first, each into the emptiest microbatch with room for it
 *   order_units                  list the units microbatch by microbatch
 *   deal_microbatches            microbatches -> replicas
 *
 * Up to form_units nothing depends on the layout of the run: units decide the bits of the sums. The rest decides only
 * where and when a unit is computed. Some loops are quadratic in the examples of a step, which are few.
 */
#include "train/data/step_plan.h"

#include "base/integer.h"
#include "base/mem.h"

#include <stdlib.h>

fr_plan_params fr_plan_of_task(const fr_task_config *config, const fr_dataset *dataset,
                               int n_replicas)
{
    return (fr_plan_params){.dataset = dataset,
                            .share_sources = config->batch.share_sources,
                            .share_prompt = config->batch.share_prompt,
                            .microbatch_tokens = fr_microbatch_tokens(config, 0),
                            .n_replicas = n_replicas};
}

void fr_step_plan_fini(fr_step_plan *plan)
{
    free(plan->sources);
    free(plan->units);
    free(plan->examples);
    free(plan->order);
    free(plan->microbatches);
    free(plan->drawn);
    *plan = (fr_step_plan){0};
}

/* There are at most as many sources, units and microbatches as examples, so one capacity serves all arrays. The old
 * content is not kept: each plan is made anew. */
static fr_status reserve(fr_ctx *ctx, fr_step_plan *plan, int64_t n)
{
    if (n <= plan->capacity) {
        return FR_OK;
    }
    fr_step_plan_fini(plan);
    FR_TRY(fr_alloc(ctx, n, sizeof *plan->sources, &plan->sources));
    FR_TRY(fr_alloc(ctx, n, sizeof *plan->units, &plan->units));
    FR_TRY(fr_alloc(ctx, n, sizeof *plan->examples, &plan->examples));
    FR_TRY(fr_alloc(ctx, n, sizeof *plan->order, &plan->order));
    FR_TRY(fr_alloc(ctx, n, sizeof *plan->microbatches, &plan->microbatches));
    FR_TRY(fr_alloc(ctx, n, sizeof *plan->drawn, &plan->drawn));
    plan->capacity = n;
    return FR_OK;
}

/* Each drawn example gets a source of its own. */
static void separate(const fr_dataset *dataset, fr_step_plan *plan)
{
    plan->n_sources = plan->n_examples;
    for (int64_t i = 0; i < plan->n_examples; i++) {
        plan->examples[i] = plan->drawn[i];
        plan->sources[i] =
            (fr_plan_source){fr_dataset_source_row(dataset, plan->drawn[i]), i, 1};
    }
}

/* Group the drawn examples by source. Rows with equal sources have the same source row (data_sources.c), so comparing
 * its number is enough. Within a source the examples keep the order in which they were drawn. */
static void group_by_source(const fr_dataset *dataset, fr_step_plan *plan)
{
    int64_t *rows = plan->order; /* scratch until the units are ordered */
    int64_t filled = 0;
    plan->n_sources = 0;
    for (int64_t i = 0; i < plan->n_examples; i++) {
        rows[i] = fr_dataset_source_row(dataset, plan->drawn[i]);
    }
    for (int64_t i = 0; i < plan->n_examples; i++) {
        bool seen = false;
        for (int64_t s = 0; s < plan->n_sources && !seen; s++) {
            seen = plan->sources[s].row == rows[i];
        }
        if (seen) {
            continue;
        }
        int64_t first = filled;
        for (int64_t j = i; j < plan->n_examples; j++) {
            if (rows[j] == rows[i]) {
                plan->examples[filled++] = plan->drawn[j];
            }
        }
        plan->sources[plan->n_sources++] =
            (fr_plan_source){rows[i], first, filled - first};
    }
}

/* Number of leading tokens that n sources have in common, without tokens in the loss and without the last token of any
 * source; 0 if they are too few. */
static int64_t common_tokens(const fr_dataset *dataset, const fr_plan_source *sources,
                             int64_t n)
{
    enum { WORTHWHILE = 8 }; /* below, one span more in attention costs what it saves */
    fr_sequence first = fr_dataset_source(dataset, sources[0].row);
    int64_t common = n > 1 ? first.count : 0;
    for (int64_t s = 0; s < n; s++) {
        fr_sequence source = fr_dataset_source(dataset, sources[s].row);
        common = common < source.count ? common : source.count - 1;
        for (int64_t i = 0; i < common; i++) {
            if (source.ids[i] != first.ids[i] || source.counted[i] != 0) {
                common = i;
            }
        }
    }
    return common >= WORTHWHILE ? common : 0;
}

/* Sources are cut into groups of `max` by position. A group that begins alike is one unit; in any other group each
 * source is a unit. The units do not depend on microbatch_tokens or the replicas: they decide the bits of the sums. */
static void form_units(const fr_plan_params *params, fr_step_plan *plan)
{
    int64_t max = params->share_prompt > 1 ? params->share_prompt : 1;
    plan->n_units = 0;
    for (int64_t s = 0; s < plan->n_sources; s += max) {
        int64_t left = plan->n_sources - s;
        int64_t n = left < max ? left : max;
        int64_t shared = common_tokens(params->dataset, &plan->sources[s], n);
        int64_t each = shared > 0 ? n : 1;
        for (int64_t i = 0; i < n; i += each) {
            plan->units[plan->n_units++] =
                (fr_unit){.first_source = s + i, .n_sources = each, .n_shared = shared};
        }
    }
}

/* Add n rows that attend to `before` keys and causally to themselves. */
static void add_rows(fr_step_plan *plan, fr_unit *unit, int64_t n, int64_t before)
{
    unit->n_rows += n;
    plan->n_rows += n;
    plan->n_keys += n * before + n * (n + 1) / 2;
}

/* The last token of a target is predicted but predicts nothing, so it needs no row: a target has count - 1 rows. They
 * attend to the whole source, which each of its examples shares. */
static void measure_source(const fr_dataset *dataset, const fr_plan_source *from,
                           fr_step_plan *plan, fr_unit *unit)
{
    fr_sequence source = fr_dataset_source(dataset, from->row);
    add_rows(plan, unit, source.count - unit->n_shared, unit->n_shared);
    for (int64_t i = 0; i < from->n_examples; i++) {
        fr_sequence target =
            fr_dataset_example_target(dataset, plan->examples[from->first_example + i]);
        add_rows(plan, unit, target.count - 1, source.count);
        plan->n_counted += fr_sequence_predictions(&source, false) +
                           fr_sequence_predictions(&target, source.count > 0);
        plan->n_useful += source.count + target.count;
    }
}

static void measure_units(const fr_dataset *dataset, fr_step_plan *plan)
{
    plan->n_counted = plan->n_useful = plan->n_rows = plan->n_keys = 0;
    for (int64_t u = 0; u < plan->n_units; u++) {
        fr_unit *unit = &plan->units[u];
        add_rows(plan, unit, unit->n_shared, 0);
        for (int64_t s = 0; s < unit->n_sources; s++) {
            measure_source(dataset, &plan->sources[unit->first_source + s], plan, unit);
        }
    }
}

/* Unit numbers by decreasing size, ties by number: an insertion sort. */
static void sort_units(fr_step_plan *plan)
{
    for (int64_t i = 0; i < plan->n_units; i++) {
        int64_t j = i;
        for (; j > 0 && plan->units[plan->order[j - 1]].n_rows < plan->units[i].n_rows;
             j--) {
            plan->order[j] = plan->order[j - 1];
        }
        plan->order[j] = i;
    }
}

/* The emptiest microbatch that n_rows more rows fit into; -1 if there is none. */
static int64_t emptiest(const fr_step_plan *plan, int64_t n_rows, int64_t limit)
{
    int64_t best = -1;
    for (int64_t b = 0; b < plan->n_microbatches; b++) {
        int64_t rows = plan->microbatches[b].n_rows;
        bool fits = plan->microbatches[b].n_units == 0 || rows + n_rows <= limit;
        if (fits && (best < 0 || rows < plan->microbatches[best].n_rows)) {
            best = b;
        }
    }
    return best;
}

/* Set home[u], the microbatch of unit u. The number of microbatches starts at the larger of two: the least that can
 * hold all rows, and the replicas, so that each has work. Another is added where a unit fits into none. A unit that is
 * longer than the limit fits into an empty microbatch only. */
static void assign_units(fr_step_plan *plan, int64_t limit, int n_replicas,
                         int64_t *home)
{
    int64_t wanted = fr_ceil_div(plan->n_rows, limit);
    wanted = wanted > n_replicas ? wanted : n_replicas;
    wanted = wanted > 1 ? wanted : 1;
    plan->n_microbatches = wanted < plan->n_units ? wanted : plan->n_units;
    for (int64_t b = 0; b < plan->n_microbatches; b++) {
        plan->microbatches[b] = (fr_microbatch){0};
    }
    for (int64_t i = 0; i < plan->n_units; i++) {
        int64_t unit = plan->order[i];
        int64_t b = emptiest(plan, plan->units[unit].n_rows, limit);
        if (b < 0) {
            b = plan->n_microbatches++;
            plan->microbatches[b] = (fr_microbatch){0};
        }
        home[unit] = b;
        plan->microbatches[b].n_units++;
        plan->microbatches[b].n_rows += plan->units[unit].n_rows;
    }
}

/*
 * Microbatches are dealt to n replicas back and forth: 0, 1, .. n-1, n-1, .. 1, 0, 0, 1, .. Since the longest units
 * lead, this evens out the replicas' rows. Number of the microbatch that a replica gets at its turn `index`.
 */
static int64_t dealt(int64_t n_replicas, int64_t replica, int64_t index)
{
    int64_t round = index / 2 * (2 * n_replicas);
    return index % 2 == 0 ? round + replica : round + 2 * n_replicas - 1 - replica;
}

int64_t fr_plan_count(const fr_step_plan *plan, int replica)
{
    if (plan->n_microbatches == 0) {
        return 0;
    }
    int64_t n = plan->n_replicas;
    int64_t turns = plan->n_microbatches / (2 * n) * 2;
    while (dealt(n, replica, turns) < plan->n_microbatches) { /* of the last round */
        turns++;
    }
    return turns;
}

const fr_microbatch *fr_plan_microbatch(const fr_step_plan *plan, int replica,
                                        int64_t index)
{
    return &plan->microbatches[dealt(plan->n_replicas, replica, index)];
}

/* List the units microbatch by microbatch. */
static void order_units(fr_step_plan *plan, const int64_t *home)
{
    int64_t next = 0;
    for (int64_t b = 0; b < plan->n_microbatches; b++) {
        plan->microbatches[b].first_unit = next;
        for (int64_t u = 0; u < plan->n_units; u++) {
            if (home[u] == b) {
                plan->order[next++] = u;
            }
        }
    }
}

/* Note in each microbatch the replica that runs it: the inverse of fr_plan_microbatch. */
static void deal_microbatches(fr_step_plan *plan, int n_replicas)
{
    plan->n_replicas = n_replicas;
    for (int r = 0; r < n_replicas; r++) {
        int64_t n = fr_plan_count(plan, r);
        for (int64_t i = 0; i < n; i++) {
            plan->microbatches[dealt(n_replicas, r, i)].replica = r;
        }
    }
}

/* Plan the drawn examples. `drawn` is read for the last time by the grouping; from then on it holds the microbatch of
 * each unit. */
static void plan_drawn(const fr_plan_params *params, fr_step_plan *plan)
{
    if (params->share_sources) {
        group_by_source(params->dataset, plan);
    } else {
        separate(params->dataset, plan);
    }
    form_units(params, plan);
    measure_units(params->dataset, plan);
    sort_units(plan);
    assign_units(plan, params->microbatch_tokens, params->n_replicas, plan->drawn);
    order_units(plan, plan->drawn);
    deal_microbatches(plan, params->n_replicas);
}

fr_status fr_plan_step(fr_ctx *ctx, const fr_plan_params *params, fr_sampler *sampler,
                       int64_t cursor, int64_t n_examples, fr_step_plan *plan)
{
    FR_TRY(reserve(ctx, plan, n_examples));
    plan->n_examples = n_examples;
    for (int64_t i = 0; i < n_examples; i++) {
        plan->drawn[i] = fr_sampler_get(sampler, cursor + i);
    }
    plan_drawn(params, plan);
    return FR_OK;
}

fr_status fr_plan_rows(fr_ctx *ctx, const fr_plan_params *params, int64_t first,
                       int64_t n_examples, fr_step_plan *plan)
{
    FR_TRY(reserve(ctx, plan, n_examples));
    plan->n_examples = n_examples;
    for (int64_t i = 0; i < n_examples; i++) {
        plan->drawn[i] = first + i;
    }
    plan_drawn(params, plan);
    return FR_OK;
}
