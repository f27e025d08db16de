/* A step of training allocates nothing once its arrays have seen the largest one. */
#include "support/fault.h"
#include "support/trainer.h"
#include "train/step/step.h"

#include <stdio.h>
#include <string.h>

enum { N_STEPS = 12, N_ROWS = 30 };

/* A run of one task on one rank. */
typedef struct trainer {
    fr_trainer base;
    fr_steps *steps;
} trainer;

static void open_trainer(const char *batch, trainer *t)
{
    char text[4096];
    const char *folder = fr_test_folder();
    (void)snprintf(text, sizeof text,
                   "run: {dir: \"%s\", steps: 1000}\n"
                   "tasks:\n"
                   "- {name: t, train: \"%s\", eos: false, batch: %s,\n"
                   "   prefix: {init: {random: 0.5}, length: 4}}\n",
                   folder, fr_trainer_rows(folder, "rows.jsonl", N_ROWS), batch);
    *t = (trainer){0};
    fr_trainer_open(text, &t->base);
    fr_session *session = &t->base.session;
    FR_ASSERT_OK(fr_steps_create(&t->base.env, &session->grid,
                                 fr_engine_replicas(session->engine), t->base.tasks, 1,
                                 &t->steps));
    CU_ASSERT_PTR_NOT_NULL_FATAL(t->steps);
}

static void close_trainer(trainer *t)
{
    fr_steps_destroy(&t->steps);
    fr_trainer_close(&t->base);
}

static fr_status run_step(trainer *t)
{
    int64_t n = 0;
    fr_step_result result;
    FR_TRY(fr_step_begin(t->steps, 0, &n));
    fr_pass *pass = fr_step_pass(t->steps, 0);
    for (int64_t i = 0; i < n; i++) {
        FR_TRY(fr_engine_forward(t->base.session.engine, pass, i));
        FR_TRY(fr_engine_backward(t->base.session.engine));
    }
    fr_step_close(t->steps, 0, false, false);
    return fr_step_finish(t->steps, 0, &result);
}

/* The same steps again and again: what they hold repeats. */
static fr_status run_steps(fr_ctx *ctx, void *argument)
{
    (void)ctx;
    trainer *t = argument;
    t->base.tasks[0].progress.cursor = 0;
    for (int i = 0; i < N_STEPS; i++) {
        FR_TRY(run_step(t));
    }
    return FR_OK;
}

static void a_step_allocates_nothing(void)
{
    static const char *const BATCHES[] = {
        "{examples: 7, microbatch_tokens: 60}",
        "{examples: 7, microbatch_tokens: 60, share_sources: false}",
        "{examples: 7, microbatch_tokens: 60, share_prompt: 3, order: by_source}"};
    for (size_t i = 0; i < sizeof BATCHES / sizeof BATCHES[0]; i++) {
        trainer t;
        open_trainer(BATCHES[i], &t);
        fr_fault_outcome outcome = fr_fault_run(fr_test_ctx(), 1, run_steps, &t);
        CU_ASSERT_TRUE(outcome.fired); /* the first step does, and can be begun again */
        fr_ctx_clear_error(fr_test_ctx());
        FR_ASSERT_OK(run_steps(fr_test_ctx(), &t));
        outcome = fr_fault_run(fr_test_ctx(), 1, run_steps, &t);
        FR_ASSERT_OK(outcome.status);
        CU_ASSERT_FALSE(outcome.fired);
        close_trainer(&t);
    }
}

/* Open rows, order them by source and plan a step. */
static fr_status plan_once(fr_ctx *ctx, void *argument)
{
    fr_data_params rows = {
        .path = argument, .vocab_size = 128, .eos_id = -1, .max_tokens = 64};
    fr_dataset *dataset = NULL;
    fr_sampler sampler = {0};
    fr_step_plan plan = {0};
    fr_status status = fr_dataset_open(ctx, &rows, &dataset);
    if (status == FR_OK) {
        status = fr_sampler_init(ctx, 1, N_ROWS, dataset, &sampler);
    }
    if (status == FR_OK) {
        fr_plan_params how = {dataset, true, 3, 60, 1};
        status = fr_plan_step(ctx, &how, &sampler, 0, 7, &plan);
    }
    fr_step_plan_fini(&plan);
    fr_sampler_fini(&sampler);
    fr_dataset_close(&dataset);
    return status;
}

static void a_plan_survives_each_failed_allocation(void)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s",
                   fr_trainer_rows(fr_test_folder(), "rows.jsonl", N_ROWS));
    CU_ASSERT_TRUE(fr_fault_sweep("plan", plan_once, path) >= 15);
}

static const fr_case CASES[] = {
    FR_CASE(a_plan_survives_each_failed_allocation),
    FR_CASE(a_step_allocates_nothing),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_steps", CASES, FR_N_CASES(CASES), argc, argv);
}
