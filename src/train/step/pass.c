#include "train/step/pass.h"

#include "base/mem.h"

#include <stdlib.h>

void fr_pass_scratch_fini(fr_pass_scratch *scratch)
{
    free(scratch->branches);
    free(scratch->targets);
    *scratch = (fr_pass_scratch){0};
}

/* Units have at most n examples, and so at most as many sources. */
static fr_status reserve(fr_ctx *ctx, fr_pass_scratch *scratch, int64_t n)
{
    if (n <= scratch->capacity) {
        return FR_OK;
    }
    fr_pass_scratch_fini(scratch);
    FR_TRY(fr_alloc(ctx, n, sizeof *scratch->branches, &scratch->branches));
    FR_TRY(fr_alloc(ctx, n, sizeof *scratch->targets, &scratch->targets));
    scratch->capacity = n;
    return FR_OK;
}

/* A source of the unit is a branch, whose leaves are the targets of its examples. */
static fr_status add_unit(fr_ctx *ctx, const fr_pass *pass, const fr_unit *unit,
                          fr_pass_scratch *scratch, fr_batch *batch)
{
    fr_sequence *next = scratch->targets;
    for (int64_t s = 0; s < unit->n_sources; s++) {
        const fr_plan_source *source = &pass->plan->sources[unit->first_source + s];
        const int64_t *examples = pass->plan->examples + source->first_example;
        /* Sequences are views into the data set; a branch points at its part of `targets`. */
        scratch->branches[s] = (fr_branch){
            fr_dataset_source(pass->dataset, source->row), next, source->n_examples};
        for (int64_t i = 0; i < source->n_examples; i++) {
            *next++ = fr_dataset_example_target(pass->dataset, examples[i]);
        }
    }
    return fr_batch_add_branches(ctx, batch, pass->prefix->length, unit->n_shared,
                                 scratch->branches, unit->n_sources);
}

fr_status fr_pass_fill_batch(fr_ctx *ctx, const fr_pass *pass,
                             const fr_microbatch *microbatch, fr_pass_scratch *scratch,
                             fr_batch *batch)
{
    const fr_step_plan *plan = pass->plan;
    /* A microbatch is a range of `order`, whose entries are the units in the order of packing. */
    const int64_t *units = plan->order + microbatch->first_unit;
    fr_status status = reserve(ctx, scratch, plan->n_examples);
    fr_batch_clear(batch);
    for (int64_t i = 0; status == FR_OK && i < microbatch->n_units; i++) {
        status = add_unit(ctx, pass, &plan->units[units[i]], scratch, batch);
    }
    return status;
}

/* In order, so that an example has the same nats in every layout. */
static double add_up(const double *values, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += values[i];
    }
    return sum;
}

/* An example's nats are those of its target and those that its source predicts itself (earlier turns of a dialogue).
 * Returns what lies behind the source and its targets. */
static const double *spread_source(const fr_pass *pass, const fr_plan_source *from,
                                   const double *nll)
{
    fr_sequence source = fr_dataset_source(pass->dataset, from->row);
    int64_t n_source = fr_sequence_predictions(&source, false);
    for (int64_t i = 0; i < from->n_examples; i++) {
        int64_t at = from->first_example + i;
        fr_sequence target =
            fr_dataset_example_target(pass->dataset, pass->plan->examples[at]);
        int64_t n = fr_sequence_predictions(&target, source.count > 0);
        pass->example_nll[at] = add_up(nll, n_source) + add_up(nll + n_source, n);
        nll += n_source + n;
    }
    return nll;
}

/* The batch has its targets unit by unit, source by source, as the plan lists them; nll follows that order. */
void fr_pass_spread(const fr_pass *pass, const fr_microbatch *microbatch,
                    const double *nll)
{
    const fr_step_plan *plan = pass->plan;
    for (int64_t i = 0; i < microbatch->n_units; i++) {
        const fr_unit *unit = &plan->units[plan->order[microbatch->first_unit + i]];
        for (int64_t s = 0; s < unit->n_sources; s++) {
            nll = spread_source(pass, &plan->sources[unit->first_source + s], nll);
        }
    }
}
