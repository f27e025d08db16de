#include "train/plan.h"

#include "base/mem.h"
#include "base/rng.h"

#include <stdlib.h>

fr_status fr_sampler_init(fr_ctx *ctx, uint64_t seed, int64_t n_examples,
                          fr_sampler *out)
{
    *out = (fr_sampler){.seed = seed, .n_examples = n_examples, .epoch = -1};
    return fr_alloc(ctx, n_examples, sizeof *out->order, &out->order);
}

void fr_sampler_fini(fr_sampler *sampler)
{
    free(sampler->order);
    *sampler = (fr_sampler){0};
}

/* Uniform in [0, n) without bias worth naming: the high half of a 64 x 64 bit product. */
static int64_t below(uint64_t word, int64_t n)
{
    uint64_t high = word >> 32;
    uint64_t low = word & 0xffffffffu;
    uint64_t bound = (uint64_t)n; /* < 2^32 rows, checked by the reader of the data */
    return (int64_t)((high * bound + ((low * bound) >> 32)) >> 32);
}

static void shuffle_epoch(fr_sampler *s, int64_t epoch)
{
    for (int64_t i = 0; i < s->n_examples; i++) {
        s->order[i] = i;
    }
    for (int64_t i = s->n_examples - 1; i > 0; i--) {
        uint64_t word =
            fr_rng_u64(s->seed, FR_RNG_SHUFFLE, (uint64_t)epoch, (uint64_t)i);
        int64_t j = below(word, i + 1);
        int64_t held = s->order[i];
        s->order[i] = s->order[j];
        s->order[j] = held;
    }
    s->epoch = epoch;
}

int64_t fr_sampler_get(fr_sampler *sampler, int64_t g)
{
    int64_t epoch = g / sampler->n_examples;
    if (epoch != sampler->epoch) {
        shuffle_epoch(sampler, epoch);
    }
    return sampler->order[g % sampler->n_examples];
}

void fr_step_plan_fini(fr_step_plan *plan)
{
    free(plan->units);
    free(plan->targets);
    free(plan->order);
    free(plan->microbatches);
    *plan = (fr_step_plan){0};
}

static fr_status reserve(fr_ctx *ctx, fr_step_plan *plan, int64_t n)
{
    if (n <= plan->room) {
        return FR_OK;
    }
    fr_step_plan_fini(plan);
    FR_TRY(fr_alloc(ctx, n, sizeof *plan->units, &plan->units));
    FR_TRY(fr_alloc(ctx, n, sizeof *plan->targets, &plan->targets));
    FR_TRY(fr_alloc(ctx, n, sizeof *plan->order, &plan->order));
    FR_TRY(fr_alloc(ctx, n, sizeof *plan->microbatches, &plan->microbatches));
    plan->room = n;
    return FR_OK;
}

/* Group the (row, target) pairs in plan->units/targets by row; on entry one unit a pair, in order of
 * appearance. Quadratic in the examples of a step, which are few. */
static void merge_units(fr_step_plan *plan, const int64_t *rows, const int64_t *targets,
                        int64_t n)
{
    int64_t filled = 0;
    plan->n_units = 0;
    for (int64_t i = 0; i < n; i++) {
        bool seen = false;
        for (int64_t u = 0; u < plan->n_units && !seen; u++) {
            seen = plan->units[u].row == rows[i];
        }
        if (seen) {
            continue;
        }
        fr_unit *unit = &plan->units[plan->n_units++];
        *unit = (fr_unit){.row = rows[i], .first_target = filled};
        for (int64_t j = i; j < n; j++) {
            if (rows[j] == rows[i]) {
                plan->targets[filled++] = targets[j];
            }
        }
        unit->n_targets = filled - unit->first_target;
    }
    plan->n_targets = filled;
}

/* Rows, counted and useful tokens of every unit. */
static void measure_units(const fr_dataset *dataset, fr_step_plan *plan)
{
    plan->n_counted = 0;
    plan->n_useful = 0;
    for (int64_t u = 0; u < plan->n_units; u++) {
        fr_unit *unit = &plan->units[u];
        fr_sequence source = fr_dataset_source(dataset, unit->row);
        unit->n_rows = source.count;
        plan->n_counted += fr_sequence_predictions(&source, false);
        plan->n_useful += source.count * unit->n_targets;
        for (int64_t t = 0; t < unit->n_targets; t++) {
            fr_sequence target = fr_dataset_target(
                dataset, unit->row, plan->targets[unit->first_target + t]);
            unit->n_rows += target.count > 0 ? target.count - 1 : 0;
            plan->n_counted += fr_sequence_predictions(&target, source.count > 0);
            plan->n_useful += target.count;
        }
    }
}

/* Unit numbers by falling size, ties by number: an insertion sort of the few units of a step. */
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

/* Emptiest of the open microbatches that still has room for n_rows; -1 if none has. */
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

/* home[u] = microbatch of unit u. */
static void assign_units(fr_step_plan *plan, int64_t limit, int n_replicas,
                         int64_t *home)
{
    int64_t total = 0;
    for (int64_t u = 0; u < plan->n_units; u++) {
        total += plan->units[u].n_rows;
    }
    int64_t wanted = (total + limit - 1) / limit;
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

/* List the units microbatch by microbatch and deal the microbatches to the replicas back and forth. */
static void order_units(fr_step_plan *plan, int n_replicas, const int64_t *home)
{
    int64_t next = 0;
    for (int64_t b = 0; b < plan->n_microbatches; b++) {
        int64_t turn = b % (2 * n_replicas);
        plan->microbatches[b].first_unit = next;
        plan->microbatches[b].replica =
            (int)(turn < n_replicas ? turn : 2 * n_replicas - 1 - turn);
        for (int64_t u = 0; u < plan->n_units; u++) {
            if (home[u] == b) {
                plan->order[next++] = u;
            }
        }
    }
}

static fr_status pack(fr_ctx *ctx, const fr_dataset *dataset, int64_t microbatch_tokens,
                      int n_replicas, fr_step_plan *plan)
{
    int64_t *home = NULL;
    FR_TRY(fr_alloc(ctx, plan->n_units, sizeof *home, &home));
    measure_units(dataset, plan);
    sort_units(plan);
    assign_units(plan, microbatch_tokens, n_replicas, home);
    order_units(plan, n_replicas, home);
    free(home);
    return FR_OK;
}

/* Where the examples of a plan come from: a sampler, or file order from `first`. */
typedef struct source {
    fr_sampler *sampler;
    int64_t first;
} source;

static fr_status plan_from(fr_ctx *ctx, const fr_dataset *dataset, source from,
                           int64_t n_examples, int64_t microbatch_tokens,
                           int n_replicas, fr_step_plan *plan)
{
    int64_t *rows = NULL;
    int64_t *targets = NULL;
    fr_status status = reserve(ctx, plan, n_examples);
    if (status == FR_OK) {
        status = fr_alloc(ctx, n_examples, sizeof *rows, &rows);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, n_examples, sizeof *targets, &targets);
    }
    if (status == FR_OK) {
        for (int64_t i = 0; i < n_examples; i++) {
            int64_t g = from.first + i;
            int64_t example =
                from.sampler != NULL ? fr_sampler_get(from.sampler, g) : g;
            fr_dataset_example(dataset, example, &rows[i], &targets[i]);
        }
        merge_units(plan, rows, targets, n_examples);
        status = pack(ctx, dataset, microbatch_tokens, n_replicas, plan);
    }
    free(rows);
    free(targets);
    return status;
}

fr_status fr_plan_step(fr_ctx *ctx, const fr_dataset *dataset, fr_sampler *sampler,
                       int64_t cursor, int64_t n_examples, int64_t microbatch_tokens,
                       int n_replicas, fr_step_plan *plan)
{
    return plan_from(ctx, dataset, (source){sampler, cursor}, n_examples,
                     microbatch_tokens, n_replicas, plan);
}

fr_status fr_plan_rows(fr_ctx *ctx, const fr_dataset *dataset, int64_t first,
                       int64_t n_examples, int64_t microbatch_tokens, int n_replicas,
                       fr_step_plan *plan)
{
    return plan_from(ctx, dataset, (source){NULL, first}, n_examples, microbatch_tokens,
                     n_replicas, plan);
}
