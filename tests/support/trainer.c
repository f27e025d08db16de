#include "support/trainer.h"

#include "base/mem.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROW_BYTES = 160, CONFIG_BYTES = 8192 };

const char *fr_trainer_rows(const char *folder, const char *name, int n)
{
    const char *path = fr_test_path(folder, name);
    size_t bytes = (size_t)n * ROW_BYTES + 1;
    char *text = fr_test_memory(calloc(bytes, 1));
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        at += (size_t)snprintf(
            text + at, bytes - at,
            "{\"source_ids\":[1,2,3,4,5,6,7,8,9,%d],\"target_ids\":[3", 10 + i % 5);
        for (int j = 0; j < i % 11; j++) {
            at += (size_t)snprintf(text + at, bytes - at, ",%d", 20 + j);
        }
        at += (size_t)snprintf(text + at, bytes - at, "]}\n");
    }
    fr_test_write_text(path, text);
    free(text);
    return path;
}

static void open_tasks(fr_trainer *t, fr_layout layout, int64_t threads)
{
    fr_ctx *ctx = fr_test_ctx();
    int64_t max_position = 0;
    t->n_tasks = t->config->n_tasks;
    FR_ASSERT_OK(fr_alloc(ctx, t->n_tasks, sizeof *t->tasks, &t->tasks));
    for (int64_t i = 0; i < t->n_tasks; i++) {
        FR_ASSERT_OK(fr_task_open(&t->env, &t->config->tasks[i], &t->tasks[i]));
        int64_t own = fr_task_max_position(&t->tasks[i]);
        max_position = own > max_position ? own : max_position;
    }
    fr_session_params params = {.device = "auto",
                                .layout = layout,
                                .precision = FR_PRECISION_F32,
                                .threads = threads,
                                .max_position = max_position,
                                .target_share = 0.5,
                                .warmup_depth = 1};
    FR_ASSERT_OK(fr_session_load(&t->session, &params));
    for (int64_t i = 0; i < t->n_tasks; i++) {
        FR_ASSERT_OK(
            fr_task_alloc(&t->env, t->session.stage, t->session.host, &t->tasks[i]));
        FR_ASSERT_OK(fr_task_init_prefix(&t->env, t->session.engine, &t->tasks[i]));
    }
}

static void open_trainer(fr_group *world, const char *model, const char *config,
                         fr_trainer *t)
{
    fr_ctx *ctx = fr_test_ctx();
    char text[CONFIG_BYTES];
    *t = (fr_trainer){0};
    (void)snprintf(text, sizeof text, "base: {path: \"%s\"}\n%s", model, config);
    FR_ASSERT_OK(fr_config_parse(ctx, "c.yaml", text, &t->config));
    CU_ASSERT_PTR_NOT_NULL_FATAL(t->config);
    FR_ASSERT_OK(fr_session_open(ctx, world, model, &t->session));
    t->env = (fr_task_env){.ctx = ctx,
                           .config = t->config,
                           .tokenizer = t->session.tokenizer,
                           .arch = fr_weights_arch(t->session.weights)};
}

void fr_trainer_open(const char *config, fr_trainer *out)
{
    fr_group *own = NULL;
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &own));
    open_trainer(own, fr_test_data("golden/tiny_llama"), config, out);
    out->own = own;
    open_tasks(out, (fr_layout){1, 1}, 2);
}

void fr_trainer_open_on(fr_group *world, const int64_t *nodes, fr_layout layout,
                        const char *model, const char *config, fr_trainer *out)
{
    open_trainer(world, model, config, out);
    for (int r = 0; nodes != NULL && r < fr_group_size(world); r++) {
        out->session.nodes[r] = nodes[r];
    }
    open_tasks(out, layout, 1);
}

void fr_trainer_close(fr_trainer *trainer)
{
    fr_trainer *t = trainer;
    for (int64_t i = 0; i < t->n_tasks; i++) {
        fr_task_close(&t->tasks[i]);
    }
    free(t->tasks);
    fr_session_close(&t->session);
    fr_group_destroy(&t->own);
    fr_config_destroy(&t->config);
}
