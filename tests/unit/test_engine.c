/* What an engine computes on one rank, against the stage's own functions. */
#include "base/exact.h"
#include "base/mem.h"
#include "device/host.h"
#include "support/suite.h"
#include "support/tiny_model.h"
#include "support/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 7 };

static const int32_t IDS[TEXT] = {5, 17, 99, 3, 64, 21, 7};
static const char *const MODELS[] = {"golden/tiny_llama", "golden/tiny_gpt2"};

/* Also after another text went through the same memory. */
static void keys_of_text_on_some_layers_are_those_of_all(void)
{
    static const fr_layer_range ALL = {0, 0};
    static const fr_layer_range LOWER = {0, 1};
    static const fr_layer_range UPPER = {1, 1};
    for (int m = 0; m < 4; m++) {
        fr_tiny tiny;
        fr_group *self = NULL;
        fr_grid grid;
        fr_engine *engine = NULL;
        float *keys[3] = {NULL};
        float *values[3] = {NULL};
        fr_tiny_open(fr_test_data(MODELS[m % 2]), m < 2 ? FR_F32 : FR_BF16, 64, &tiny);
        FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &self));
        FR_ASSERT_OK(fr_grid_init(fr_test_ctx(), self, NULL, 1, 1, &grid));
        fr_engine_params params = {
            .grid = &grid, .stage = tiny.stage, .max_in_flight = 1};
        FR_ASSERT_OK(fr_engine_create(fr_test_ctx(), &params, &engine));
        int64_t layer = fr_arch_prefix_elements(tiny.arch, TEXT);
        const fr_layer_range *const ranges[] = {&ALL, &UPPER, &LOWER};
        for (int i = 0; i < 3; i++) {
            FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * layer, sizeof(float), &keys[i]));
            FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * layer, sizeof(float), &values[i]));
            FR_ASSERT_OK(fr_engine_keys_of_text(engine, IDS, TEXT, *ranges[i], keys[i],
                                                values[i]));
        }
        size_t bytes = (size_t)layer * sizeof(float);
        fr_assert_same_bytes("upper keys", keys[1], keys[0] + layer, bytes);
        fr_assert_same_bytes("upper values", values[1], values[0] + layer, bytes);
        fr_assert_same_bytes("lower keys", keys[2], keys[0], bytes);
        fr_assert_same_bytes("lower values", values[2], values[0], bytes);
        CU_ASSERT(keys[0][0] != 0.0f && keys[1][layer] == 0.0f);
        for (int i = 0; i < 3; i++) {
            free(keys[i]);
            free(values[i]);
        }
        fr_engine_destroy(&engine);
        fr_grid_fini(&grid);
        fr_group_destroy(&self);
        fr_tiny_close(&tiny);
    }
}

/* ---- microbatches of a plan ------------------------------------------------------------------- */

enum { N_ROWS = 30, N_EXAMPLES = 12, MAX_IN_FLIGHT = 3 };

/* A plan of several microbatches and what a pass over it gives. */
typedef struct run {
    fr_trainer trainer;
    fr_engine *engine;
    fr_step_plan plan;
    fr_stage_prefix prefix;
    fr_exact_sum sum;
    fr_pass pass;
    int64_t totals[FR_PASS_TOTALS];
} run;

static void open_run(run *r)
{
    char text[4096];
    const char *folder = fr_test_folder();
    (void)snprintf(text, sizeof text,
                   "run: {dir: \"%s\", steps: 9}\n"
                   "tasks:\n"
                   "- {name: t, train: \"%s\", eos: false,\n"
                   "   batch: {examples: %d, microbatch_tokens: 20},\n"
                   "   prefix: {init: {random: 0.5}, length: 4}}\n",
                   folder, fr_trainer_rows(folder, "rows.jsonl", N_ROWS), N_EXAMPLES);
    memset(r, 0, sizeof *r);
    fr_trainer_open(text, &r->trainer);
    fr_task *task = &r->trainer.tasks[0];
    fr_engine_params params = {.grid = &r->trainer.session.grid,
                               .stage = r->trainer.session.stage,
                               .max_in_flight = MAX_IN_FLIGHT};
    FR_ASSERT_OK(fr_engine_create(fr_test_ctx(), &params, &r->engine));
    fr_plan_params how = fr_plan_of_task(task->config, task->train, 1);
    FR_ASSERT_OK(
        fr_plan_step(fr_test_ctx(), &how, &task->sampler, 0, N_EXAMPLES, &r->plan));
    CU_ASSERT_FATAL(fr_plan_count(&r->plan, 0) > MAX_IN_FLIGHT);
    r->prefix = fr_task_prefix(task);
}

static void begin(run *r)
{
    fr_task *task = &r->trainer.tasks[0];
    memset(task->sum, 0, (size_t)(2 * task->n_local) * sizeof *task->sum);
    memset(r->totals, 0, sizeof r->totals);
    r->sum = fr_task_sum(task, fr_host_i64(r->totals + FR_PASS_REFUSED));
    r->pass = (fr_pass){.dataset = task->train,
                        .plan = &r->plan,
                        .prefix = &r->prefix,
                        .sum = &r->sum,
                        .totals = fr_host_i64(r->totals),
                        .loss_exponent = fr_exact_exponent(r->plan.n_counted)};
}

static void close_run(run *r)
{
    fr_step_plan_fini(&r->plan);
    fr_engine_destroy(&r->engine);
    fr_trainer_close(&r->trainer);
}

/* As the schedule orders them, with at most max_in_flight at once. */
static void run_all(run *r, int64_t max_in_flight)
{
    int64_t n = fr_plan_count(&r->plan, 0);
    begin(r);
    for (int64_t forwards = 0, backwards = 0; backwards < n;) {
        if (forwards < n && forwards - backwards < max_in_flight) {
            FR_ASSERT_OK(fr_engine_forward(r->engine, &r->pass, forwards++));
        } else {
            FR_ASSERT_OK(fr_engine_backward(r->engine));
            backwards++;
        }
    }
    FR_ASSERT_OK(fr_engine_settle(r->engine));
    CU_ASSERT_EQUAL(r->totals[FR_PASS_REFUSED], 0);
}

/* Each microbatch has its own activations: however many are in flight, the sums have the same bits. */
static void microbatches_in_flight_do_not_disturb_each_other(void)
{
    run r;
    open_run(&r);
    const fr_task *task = &r.trainer.tasks[0];
    size_t bytes = (size_t)(2 * task->n_local) * sizeof *task->sum;
    int64_t *alone = malloc(bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(alone);
    run_all(&r, 1);
    memcpy(alone, task->sum, bytes);
    int64_t loss = r.totals[FR_PASS_LOSS];
    CU_ASSERT(loss > 0 && task->sum[0] != 0);
    for (int64_t n = 2; n <= MAX_IN_FLIGHT; n++) {
        run_all(&r, n);
        fr_assert_same_bytes("sums", task->sum, alone, bytes);
        CU_ASSERT_EQUAL(r.totals[FR_PASS_LOSS], loss);
    }
    free(alone);
    close_run(&r);
}

/* A forward-only pass gives the loss of the training pass, and splits it into its examples. */
static void the_losses_of_examples_add_up_to_the_loss(void)
{
    run r;
    double nll[N_EXAMPLES] = {0};
    double sum = 0;
    open_run(&r);
    run_all(&r, 1);
    int64_t loss = r.totals[FR_PASS_LOSS];
    begin(&r);
    r.pass.sum = NULL;
    r.pass.example_nll = nll;
    FR_ASSERT_OK(fr_engine_run(r.engine, &r.pass));
    CU_ASSERT_EQUAL(r.totals[FR_PASS_LOSS], loss);
    for (int i = 0; i < N_EXAMPLES; i++) {
        CU_ASSERT(nll[i] > 0);
        sum += nll[i];
    }
    double wanted = fr_exact_value(loss, r.pass.loss_exponent);
    CU_ASSERT(fabs(sum - wanted) < 1e-9 * wanted);
    close_run(&r);
}

static const fr_case CASES[] = {
    FR_CASE(microbatches_in_flight_do_not_disturb_each_other),
    FR_CASE(the_losses_of_examples_add_up_to_the_loss),
    FR_CASE(keys_of_text_on_some_layers_are_those_of_all),
};

int main(int argc, char **argv)
{
    return fr_suite_main("engine", CASES, FR_N_CASES(CASES), argc, argv);
}
