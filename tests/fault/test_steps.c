/* A step of training allocates nothing once its arrays have seen the largest one. */
#include "support/fault.h"
#include "support/model_files.h"
#include "train/session/session.h"
#include "train/step/step.h"

#include <stdio.h>
#include <string.h>

enum { N_STEPS = 12, N_ROWS = 30 };

/* A run of one task on one rank. */
typedef struct trainer {
    fr_config *config;
    fr_group *world;
    fr_session session;
    fr_task_env env;
    fr_task task;
    fr_steps *steps;
} trainer;

/* Rows of 5 sources, which begin alike, with targets of all sorts of lengths. */
static const char *write_rows(const char *folder)
{
    const char *path = fr_test_path(folder, "rows.jsonl");
    char text[N_ROWS * 160] = "";
    size_t at = 0;
    for (int i = 0; i < N_ROWS; i++) {
        at += (size_t)snprintf(
            text + at, sizeof text - at,
            "{\"source_ids\":[1,2,3,4,5,6,7,8,9,%d],\"target_ids\":[3", 10 + i % 5);
        for (int j = 0; j < i % 11; j++) {
            at += (size_t)snprintf(text + at, sizeof text - at, ",%d", 20 + j);
        }
        at += (size_t)snprintf(text + at, sizeof text - at, "]}\n");
    }
    fr_test_write_text(path, text);
    return path;
}

static void open_trainer(const char *batch, trainer *t)
{
    fr_ctx *ctx = fr_test_ctx();
    char text[4096];
    const char *model = fr_test_data("golden/tiny_llama");
    const char *folder = fr_test_folder();
    (void)snprintf(text, sizeof text,
                   "base: {path: \"%s\"}\n"
                   "run: {dir: \"%s\", steps: 1000}\n"
                   "tasks:\n"
                   "- {name: t, train: \"%s\", eos: false, batch: %s,\n"
                   "   prefix: {init: {random: 0.5}, length: 4}}\n",
                   model, folder, write_rows(folder), batch);
    *t = (trainer){0};
    FR_ASSERT_OK(fr_config_parse(ctx, "c.yaml", text, &t->config));
    CU_ASSERT_PTR_NOT_NULL_FATAL(t->config);
    FR_ASSERT_OK(fr_group_create_self(ctx, &t->world));
    FR_ASSERT_OK(fr_session_open(ctx, t->world, model, &t->session));
    t->env = (fr_task_env){.ctx = ctx,
                           .config = t->config,
                           .tokenizer = t->session.tokenizer,
                           .arch = fr_weights_arch(t->session.weights)};
    FR_ASSERT_OK(fr_task_open(&t->env, &t->config->tasks[0], &t->task));
    fr_session_params params = {.layout = {1, 1},
                                .precision = FR_PRECISION_F32,
                                .threads = 2,
                                .max_position = fr_task_max_position(&t->task),
                                .target_share = 0.5,
                                .warmup_depth = 1};
    FR_ASSERT_OK(fr_session_load(&t->session, &params));
    FR_ASSERT_OK(fr_task_alloc(&t->env, t->session.device, t->session.first_layer,
                               t->session.n_layers, &t->task));
    FR_ASSERT_OK(fr_task_init_prefix(&t->env, t->session.engine, &t->task));
    FR_ASSERT_OK(fr_steps_create(&t->env, &t->session.grid, t->session.engine, &t->task,
                                 1, &t->steps));
    CU_ASSERT_PTR_NOT_NULL_FATAL(t->steps);
}

static void close_trainer(trainer *t)
{
    fr_steps_destroy(&t->steps);
    fr_task_close(&t->task);
    fr_session_close(&t->session);
    fr_group_destroy(&t->world);
    fr_config_destroy(&t->config);
}

static fr_status run_step(trainer *t)
{
    int64_t n = 0;
    fr_step_result result;
    FR_TRY(fr_step_begin(t->steps, 0, &n));
    fr_pass *pass = fr_step_pass(t->steps, 0);
    for (int64_t i = 0; i < n; i++) {
        FR_TRY(fr_engine_forward(t->session.engine, pass, i, 0));
        FR_TRY(fr_engine_backward(t->session.engine, pass, 0));
    }
    fr_step_close(t->steps, 0, false, false);
    return fr_step_finish(t->steps, 0, &result);
}

/* The same steps again and again: what they hold repeats. */
static fr_status run_steps(fr_ctx *ctx, void *argument)
{
    (void)ctx;
    trainer *t = argument;
    t->task.cursor = 0;
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
    (void)snprintf(path, sizeof path, "%s", write_rows(fr_test_folder()));
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
