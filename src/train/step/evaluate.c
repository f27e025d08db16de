/* The mean loss of a data set under a prefix.
 *
 * The examples go through the engine in chunks of consecutive ones. Each chunk has a plan of its own, so the memory
 * of a plan does not grow with the data set. Losses are added as integers in one unit for all chunks (exact.h).
 * Integer sums do not depend on their order, so neither the packing of microbatches nor the number of ranks changes
 * a bit of the mean. The ranks add up their sums once, after the last chunk.
 *
 * The loss of a single example is known to the last stage of the one replica that computed it. It is written at its
 * index in the data set. After the last chunk, reductions of CHUNK_EXAMPLES numbers bring all of them to every
 * rank. */
#include "train/step/evaluate.h"

#include "base/exact.h"
#include "base/mem.h"
#include "comm/device_wait.h"
#include "device/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Examples planned at a time: enough to fill microbatches on every replica. */
enum { CHUNK_EXAMPLES = 256 };

/* The running sums of an evaluation. */
typedef struct tally {
    int64_t totals[FR_PASS_TOTALS]; /* of all chunks */
    fr_image image;                 /* of them */
    int exponent;
    int64_t n_examples; /* the first ones, that are looked at */
    int64_t n_counted;  /* target tokens in them */
    double *chunk_nll;  /* [CHUNK_EXAMPLES] of this rank, or NULL */
} tally;

/* Each rank runs its replica's microbatches of each chunk. The plan lists examples in its own order, so the nats of
 * a chunk are moved to their index in the data set. */
static fr_status run_chunks(const fr_task_env *env, fr_grid *grid, fr_engine *engine,
                            fr_pass *pass, int64_t microbatch_tokens, tally *t,
                            double *example_nll)
{
    /* a shared source changes no bit of a forward pass, a shared prompt would */
    fr_plan_params how = {.dataset = pass->dataset,
                          .share_sources = true,
                          .microbatch_tokens = microbatch_tokens,
                          .n_replicas = grid->n_replicas};
    fr_step_plan plan = {0};
    fr_status status = FR_OK;
    int64_t n = t->n_examples;
    pass->plan = &plan;
    for (int64_t first = 0; first < n && status == FR_OK; first += CHUNK_EXAMPLES) {
        int64_t count = n - first < CHUNK_EXAMPLES ? n - first : CHUNK_EXAMPLES;
        if (t->chunk_nll != NULL) {
            memset(t->chunk_nll, 0, CHUNK_EXAMPLES * sizeof *t->chunk_nll);
        }
        status = fr_plan_rows(env->ctx, &how, first, count, &plan);
        if (status == FR_OK) {
            status = fr_engine_run(engine, pass);
        }
        if (status == FR_OK) {
            t->n_counted += plan.n_counted;
            for (int64_t i = 0; example_nll != NULL && i < count; i++) {
                example_nll[plan.examples[i]] = t->chunk_nll[i];
            }
        }
    }
    fr_step_plan_fini(&plan);
    pass->plan = NULL;
    return status;
}

/* Every example's nats lie on one rank and are zero elsewhere, so the sum of their bits gathers them. */
static fr_status gather_nll(fr_grid *grid, double *example_nll, int64_t n)
{
    int64_t bits[CHUNK_EXAMPLES];
    _Static_assert(sizeof bits[0] == sizeof example_nll[0], "a double's bits fit");
    for (int64_t first = 0; first < n; first += CHUNK_EXAMPLES) {
        int64_t count = n - first < CHUNK_EXAMPLES ? n - first : CHUNK_EXAMPLES;
        size_t bytes = (size_t)count * sizeof bits[0];
        memcpy(bits, example_nll + first, bytes);
        FR_TRY(fr_group_allreduce(grid->world, FR_SUM, bits, count));
        memcpy(example_nll + first, bits, bytes);
    }
    return FR_OK;
}

/* What the device added up, for the host. */
static fr_status fetch_totals(fr_grid *grid, fr_device *device, tally *t)
{
    fr_image_get(device, &t->image);
    FR_TRY(fr_group_wait_device(grid->world, device, fr_device_mark(device)));
    fr_image_take(&t->image);
    return FR_OK;
}

/* Mean over the first t->n_examples. */
static fr_status evaluate(const fr_task_env *env, fr_grid *grid, fr_engine *engine,
                          fr_pass *pass, int64_t microbatch_tokens, tally *t,
                          fr_evaluation *out)
{
    double *example_nll = pass->example_nll;
    fr_device *device = fr_engine_device(engine);
    fr_status status = FR_OK;
    if (example_nll != NULL) {
        memset(example_nll, 0, (size_t)t->n_examples * sizeof *example_nll);
        status =
            fr_alloc(env->ctx, CHUNK_EXAMPLES, sizeof *t->chunk_nll, &t->chunk_nll);
    }
    /* The bound of all targets serves also where only the first examples are looked at: a smaller one is not
     * needed. */
    t->exponent = fr_exact_exponent(fr_dataset_stats(pass->dataset)->n_target_tokens);
    pass->example_nll = t->chunk_nll;
    pass->loss_exponent = t->exponent;
    if (status == FR_OK) {
        status = fr_image_open(device, t->totals, sizeof t->totals, &t->image);
    }
    pass->totals = t->image.device;
    if (status == FR_OK) {
        status = run_chunks(env, grid, engine, pass, microbatch_tokens, t, example_nll);
    }
    if (status == FR_OK) {
        status = fetch_totals(grid, device, t);
    }
    fr_image_close(device, &t->image);
    free(t->chunk_nll);
    if (status != FR_OK) { /* a stage that failed alone is waited for by the others */
        return fr_group_abandon(grid->world, status);
    }
    /* Stages other than the last one hold zeros, so a sum over the world counts each target once. */
    int64_t sums[2] = {t->totals[FR_PASS_LOSS], t->totals[FR_PASS_REFUSED]};
    FR_TRY(fr_group_allreduce(grid->world, FR_SUM, sums, 2));
    if (example_nll != NULL) {
        FR_TRY(gather_nll(grid, example_nll, t->n_examples));
    }
    out->n_targets = t->n_counted;
    out->n_examples = t->n_examples;
    double nats = fr_exact_value(sums[0], t->exponent);
    out->loss = sums[1] == 0 ? nats / (double)out->n_targets : (double)NAN;
    return FR_OK;
}

fr_status fr_evaluate(const fr_task_env *env, fr_grid *grid, fr_engine *engine,
                      const fr_dataset *dataset, const fr_stage_prefix *prefix,
                      int64_t microbatch_tokens, double *example_nll,
                      fr_evaluation *out)
{
    tally t = {.n_examples = fr_dataset_stats(dataset)->n_examples};
    fr_pass pass = {.dataset = dataset, .prefix = prefix, .example_nll = example_nll};
    return evaluate(env, grid, engine, &pass, microbatch_tokens, &t, out);
}

fr_status fr_evaluate_first(const fr_task_env *env, fr_grid *grid, fr_engine *engine,
                            const fr_dataset *dataset, const fr_stage_prefix *prefix,
                            int64_t microbatch_tokens, fr_evaluation *out)
{
    int64_t n = fr_dataset_stats(dataset)->n_examples;
    tally t = {.n_examples = out->n_examples < n ? out->n_examples : n};
    fr_pass pass = {.dataset = dataset, .prefix = prefix};
    return evaluate(env, grid, engine, &pass, microbatch_tokens, &t, out);
}
