/*
 * `data check`: what a training would make of a file, without training.
 *
 * The config says how rows are read: model, template, chat, lengths. The file is compared with another one of the task: with
 * its valid where FILE is its train, with its train otherwise. Each file is scanned once, in bounded memory.
 */
#include "cli/commands.h"
#include "cli/config_options.h"
#include "cli/data_report.h"
#include "model/files/where.h"
#include "model/text/tokens.h"
#include "train/data/row_lines.h"
#include "train/data/row_shape.h"
#include "train/step/task.h"

#include <stdlib.h>
#include <string.h>

enum verb { CHECK };

static const fr_option OPTIONS[] = {
    {"config", "CONFIG", "config of the training: it says how rows are read"},
    {"task", "NAME", "which of the config's tasks (default: the only one)"},
    {"set", "KEY=VALUE", "override a key of the config; may be given several times"},
    {NULL, NULL, NULL},
};

static const fr_verb VERBS[] = {
    [CHECK] = {"check", "FILE", 1, 1, "config task set",
               "count rows and tokens, show three rows as the model sees them, find "
               "duplicates, and what would be left out"},
    {NULL, NULL, 0, 0, NULL, NULL},
};

const fr_command FR_DATA_COMMAND = {
    "data", "VERB ...", 0, "look at a data file as a training would", OPTIONS, VERBS,
};

static fr_status find_task(const fr_cli *cli, const fr_config *config,
                           const fr_task_config **out)
{
    const char *name = fr_options_text(cli->options, "task");
    *out = name != NULL ? fr_config_find_task(config, name) : &config->tasks[0];
    if (*out == NULL) {
        return FR_FAIL(cli->ctx, FR_ERR_ARG, "--task %s: the config has no such task",
                       name);
    }
    if (name == NULL && config->n_tasks > 1) {
        return FR_FAIL(
            cli->ctx, FR_ERR_ARG,
            "the config has %lld tasks; name one with --task, e.g. --task %s",
            (long long)config->n_tasks, config->tasks[0].name);
    }
    return FR_OK;
}

/* The task's other file: rows of train should not be in valid. */
static const char *other_file(const fr_task_config *task, const char *file)
{
    bool is_train = strcmp(task->train, file) == 0;
    return is_train ? task->valid : task->train;
}

static fr_status scan_other(fr_data_report *r, const fr_task_env *env,
                            const fr_task *task)
{
    fr_data_params params;
    fr_data_stats stats;
    const fr_data_scan scan = {fr_data_report_other, r};
    if (r->other == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_task_data_params(env, task, r->other, &params));
    params.skip_bad_rows = true;
    FR_TRY(fr_row_set_create(r->ctx, &r->others));
    return fr_dataset_scan(r->ctx, &params, &scan, &stats);
}

/* Bad rows are named as if they were skipped, so that all are counted; the config says whether a run would stop at them. */
static fr_status check(const fr_cli *cli, const fr_task_env *env, const fr_task *task)
{
    const char *file = fr_options_positional(cli->options, 0);
    fr_data_params params;
    FR_TRY(fr_task_data_params(env, task, file, &params));
    bool stops = !params.skip_bad_rows;
    params.skip_bad_rows = true;
    fr_data_report report = {
        .ctx = cli->ctx, .params = &params, .other = other_file(task->config, file)};
    const fr_data_scan scan = {fr_data_report_row, &report};
    fr_status status = fr_row_set_create(cli->ctx, &report.own);
    if (status == FR_OK) {
        status = scan_other(&report, env, task);
    }
    if (status == FR_OK) {
        status = fr_dataset_scan(cli->ctx, &params, &scan, &report.stats);
    }
    if (status == FR_OK) {
        fr_row_report_forms(cli->ctx, file, report.stats.forms);
        fr_row_report(cli->ctx, file, 0, report.stats.n_unused);
        fr_data_report_print(&report);
        bool fails =
            (stops && report.stats.n_unusable > 0) || report.stats.n_target_tokens == 0;
        (void)printf("a training     %s\n",
                     !fails ? "takes these rows"
                     : report.stats.n_unusable > 0 && stops
                         ? "stops at the bad rows (data.on_error: skip leaves them out)"
                         : "has nothing to learn here");
        *cli->exit_code = fails ? 1 : 0;
    }
    fr_row_set_destroy(&report.own);
    fr_row_set_destroy(&report.others);
    return status;
}

static fr_status check_task(const fr_cli *cli, const fr_config *config,
                            const char *model)
{
    const fr_task_config *task_config = NULL;
    fr_arch arch = {.n_layers = 0};
    fr_tokens tokens;
    fr_task task;
    FR_TRY(find_task(cli, config, &task_config));
    FR_TRY(fr_arch_read(cli->ctx, model, &arch));
    FR_TRY(fr_tokens_open(cli->ctx, model, &tokens));
    const fr_task_env env = {.ctx = cli->ctx,
                             .config = config,
                             .tokenizer = tokens.tokenizer,
                             .no_tokenizer = tokens.no_tokenizer,
                             .eos = tokens.ends.eos,
                             .arch = &arch};
    fr_status status = fr_task_open_reader(&env, task_config, &task);
    if (status == FR_OK) {
        status = check(cli, &env, &task);
        fr_task_close(&task);
    }
    fr_tokens_close(&tokens);
    return status;
}

fr_status fr_cmd_data(const fr_cli *cli)
{
    const char *path = NULL;
    char *model = NULL;
    fr_config *config = NULL;
    FR_TRY(fr_options_need(cli->ctx, cli->options, "config", &path));
    FR_TRY(fr_cli_read_config_at(cli, path, &config));
    fr_status status =
        fr_model_find(cli->ctx, config->base.path, FR_MODEL_HEAD, &model);
    if (status == FR_OK) {
        status = check_task(cli, config, model);
    }
    free(model);
    fr_config_destroy(&config);
    return status;
}
