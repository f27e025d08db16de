/* How much a step of a task has to compute: rows, microbatches and sizes.
 *
 * First the examples are described by few numbers (fr_workload_source): from the rows themselves, from numbers that
 * the user gives, or from the config alone. Then a step is derived from them (fr_workload_of_task). With rows some
 * steps are planned exactly as training plans them, and their mean is taken, because shared sources save rows in a
 * way that no formula knows. Without rows, or with very many examples a step, equal examples are divided in
 * proportion.
 *
 * Sums are means over the steps, for the forecast of time. Maxima stay maxima, for the forecast of memory.
 */
#include "train/forecast/workload.h"

#include "base/integer.h"
#include "base/mem.h"
#include "train/data/step_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Planning sorts a step's units by insertion, in quadratic time. Beyond this many examples the proportion is as good a
 * mean, and immediate. */
enum { MAX_PLANNED = 4096 };

void fr_workload_from_rows(const fr_dataset *dataset, int64_t length,
                           fr_workload_source *out)
{
    const fr_data_stats *stats = fr_dataset_stats(dataset);
    int64_t rows = 0;
    int64_t counted = 0;
    *out = (fr_workload_source){.length = length, .dataset = dataset};
    for (int64_t r = 0; r < stats->n_rows; r++) {
        if (fr_dataset_line(dataset, r) > FR_WORKLOAD_LINES && r > 0) {
            break;
        }
        fr_sequence source = fr_dataset_source(dataset, r);
        int64_t n = fr_dataset_n_targets(dataset, r);
        for (int64_t t = 0; t < n; t++) {
            fr_sequence target = fr_dataset_target(dataset, r, t);
            int64_t tokens = source.count + target.count;
            rows += fr_unit_rows(&source, &target, 1);
            counted += fr_sequence_predictions(&source, false) +
                       fr_sequence_predictions(&target, source.count > 0);
            if (tokens > out->longest) {
                out->longest = tokens;
                out->longest_line = fr_dataset_line(dataset, r);
            }
        }
        out->n_examples += n;
    }
    out->example_rows = (double)rows / (double)out->n_examples;
    out->target_share = rows > 0 ? fmin(1.0, (double)counted / (double)rows) : 1.0;
}

void fr_workload_from_numbers(int64_t length, int64_t tokens_per_example,
                              double target_share, fr_workload_source *out)
{
    *out = (fr_workload_source){.length = length,
                                .example_rows = (double)tokens_per_example,
                                .target_share = target_share,
                                .longest = tokens_per_example};
}

/* Texts have about 4 bytes a token in European languages. ANY stands for a length that only a file would say; it is
 * of the usual size. */
static int64_t suggested_length(const fr_task_config *config)
{
    enum { BYTES_PER_TOKEN = 4, ANY = 32 };
    if (config->prefix.length != FR_AUTO) {
        return config->prefix.length;
    }
    if (config->prefix.init != FR_INIT_TEXT || config->prefix.text == NULL) {
        return ANY;
    }
    int64_t bytes = (int64_t)strlen(config->prefix.text);
    return bytes > 0 ? fr_ceil_div(bytes, BYTES_PER_TOKEN) : 1;
}

/* The longest example that the config allows, so that memory is not forecast too low. Nothing says how much of it is a
 * target, so half is taken. */
void fr_workload_from_config(const fr_arch *arch, const fr_task_config *config,
                             fr_workload_source *out)
{
    int64_t length = suggested_length(config);
    int64_t tokens = fr_microbatch_tokens(config, 0);
    int64_t capacity = arch->context_length - length;
    if (config->max_tokens != FR_AUTO && config->max_tokens < tokens) {
        tokens = config->max_tokens;
    }
    tokens = tokens < capacity ? tokens : capacity;
    fr_workload_from_numbers(length, tokens > 1 ? tokens : 1, 0.5, out);
}

double fr_workload_target_share(const fr_workload_source *sources, int64_t n_tasks)
{
    double targets = 0.0;
    double rows = 0.0;
    for (int64_t i = 0; i < n_tasks; i++) {
        targets += sources[i].example_rows * sources[i].target_share;
        rows += sources[i].example_rows;
    }
    return rows > 0.0 ? targets / rows : 1.0;
}

int64_t fr_workload_max_position(const fr_workload_source *sources, int64_t n_tasks)
{
    int64_t max = 1;
    for (int64_t i = 0; i < n_tasks; i++) {
        int64_t own = sources[i].length + sources[i].longest;
        max = own > max ? own : max;
    }
    return max;
}

/* Equal examples, each a unit, packed as fr_plan_step packs. */
static void by_proportion(const fr_task_config *config,
                          const fr_workload_source *source, int n_replicas,
                          fr_task_workload *out)
{
    int64_t examples = config->batch.examples;
    double limit = (double)config->batch.microbatch_tokens;
    double each = fmax(1.0, source->example_rows);
    int64_t fit = limit > each ? (int64_t)(limit / each) : 1;
    int64_t n = fr_ceil_div(examples, fit);
    n = n > n_replicas ? n : n_replicas;
    n = n < examples ? n : examples;
    out->step_rows = each * (double)examples;
    out->unshared_rows = out->step_rows;
    out->useful_tokens = out->step_rows;
    out->counted_tokens = out->step_rows * source->target_share;
    out->n_microbatches = fr_ceil_div(n, n_replicas);
    out->replica_rows = out->step_rows * (double)out->n_microbatches / (double)n;
    out->max_units = fr_ceil_div(examples, n);
    out->max_rows = (int64_t)ceil(each * (double)out->max_units);
    /* in a causal example a mean row sees half of it */
    out->row_keys = each / 2.0;
}

/* Add one planned step to the sums in *out. */
static fr_status add_step(fr_ctx *ctx, const fr_step_plan *plan, int n_replicas,
                          fr_task_workload *out)
{
    int64_t *rows = NULL; /* [n_replicas] */
    int64_t *count = NULL;
    fr_status status = fr_alloc(ctx, n_replicas, sizeof *rows, &rows);
    if (status == FR_OK) {
        status = fr_alloc(ctx, n_replicas, sizeof *count, &count);
    }
    int64_t busiest = 0;
    int64_t max = 0;
    for (int64_t b = 0; status == FR_OK && b < plan->n_microbatches; b++) {
        const fr_microbatch *m = &plan->microbatches[b];
        rows[m->replica] += m->n_rows;
        count[m->replica]++;
        busiest = rows[m->replica] > busiest ? rows[m->replica] : busiest;
        max = count[m->replica] > max ? count[m->replica] : max;
        out->step_rows += (double)m->n_rows;
        out->max_rows = m->n_rows > out->max_rows ? m->n_rows : out->max_rows;
        out->max_units = m->n_units > out->max_units ? m->n_units : out->max_units;
    }
    out->replica_rows += (double)busiest;
    out->n_microbatches = max > out->n_microbatches ? max : out->n_microbatches;
    out->row_keys += (double)plan->n_keys;
    out->counted_tokens += (double)plan->n_counted;
    out->useful_tokens += (double)plan->n_useful;
    /* n tokens take n - 1 rows, since nothing follows the last one */
    out->unshared_rows += (double)(plan->n_useful - plan->n_examples);
    free(rows);
    free(count);
    return status;
}

static fr_status by_plan(fr_ctx *ctx, const fr_task_config *config,
                         const fr_workload_source *source, int n_replicas,
                         fr_task_workload *out)
{
    fr_sampler sampler;
    fr_step_plan plan = {0};
    int64_t examples = config->batch.examples;
    fr_plan_params how = fr_plan_of_task(config, source->dataset, n_replicas);
    bool by_source = config->batch.order == FR_ORDER_BY_SOURCE;
    FR_TRY(fr_sampler_init(ctx, config->seed, source->n_examples,
                           by_source ? source->dataset : NULL, &sampler));
    fr_status status = FR_OK;
    for (int64_t step = 0; status == FR_OK && step < FR_WORKLOAD_STEPS; step++) {
        status = fr_plan_step(ctx, &how, &sampler, step * examples, examples, &plan);
        if (status == FR_OK) {
            status = add_step(ctx, &plan, n_replicas, out);
        }
    }
    fr_step_plan_fini(&plan);
    fr_sampler_fini(&sampler);
    /* a mean over rows: divided while step_rows is still the sum over all steps */
    out->row_keys /= fmax(1.0, out->step_rows);
    out->step_rows /= FR_WORKLOAD_STEPS;
    out->replica_rows /= FR_WORKLOAD_STEPS;
    out->counted_tokens /= FR_WORKLOAD_STEPS;
    out->useful_tokens /= FR_WORKLOAD_STEPS;
    out->unshared_rows /= FR_WORKLOAD_STEPS;
    return status;
}

fr_status fr_workload_of_task(fr_ctx *ctx, const fr_task_config *config,
                              const fr_workload_source *source, int n_replicas,
                              fr_task_workload *out)
{
    *out = (fr_task_workload){
        .length = source->length,
        .layers = {config->prefix.first_layer, config->prefix.n_layers},
        .mlp_hidden = config->prefix.mlp_hidden,
        .mlp_width = config->prefix.mlp_width};
    if (source->dataset != NULL && config->batch.examples <= MAX_PLANNED) {
        return by_plan(ctx, config, source, n_replicas, out);
    }
    by_proportion(config, source, n_replicas, out);
    return FR_OK;
}
