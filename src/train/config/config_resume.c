/*
 * Whether a run may go on under another config.
 *
 * The schema says of each key whether it decides the numbers (identity). Such keys are compared as text, because equal values
 * are written equally; that needs no code for each type. Steps are the exception: a task's schedule may depend on their
 * number, so that they may grow only where it is constant.
 */
#include "train/config/config_impl.h"

#include <stdlib.h>
#include <string.h>

/* Equal keys are written equally, so their texts are what is compared. */
static fr_status compare_key(fr_ctx *ctx, const fr_config_key *key, const char *path,
                             fr_key_view saved, fr_key_view now)
{
    char *saved_text = NULL;
    char *now_text = NULL;
    fr_status status = fr_config_value_text(ctx, key, saved, &saved_text);
    if (status == FR_OK) {
        status = fr_config_value_text(ctx, key, now, &now_text);
    }
    if (status == FR_OK && saved_text != NULL && now_text != NULL &&
        strcmp(saved_text, now_text) != 0) {
        status = FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                         "%s.%s was %s in the run that is resumed and is %s now; "
                         "restore it or start another run.dir",
                         path, key->name, saved_text, now_text);
    }
    free(saved_text);
    free(now_text);
    return status;
}

static fr_status compare_section(fr_ctx *ctx, fr_section_id section, const char *path,
                                 fr_key_view saved, fr_key_view now)
{
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        const fr_config_key *key = &FR_CONFIG_KEYS[i];
        if (key->section == section && key->resume == FR_RESUME_IDENTITY) {
            FR_TRY(compare_key(ctx, key, path, saved, now));
        }
    }
    return FR_OK;
}

/* The examples of an epoch are those of the run that is resumed (restore.c compares the data), so epochs stand for steps. */
static fr_status compare_steps(fr_ctx *ctx, const char *path, const char *key,
                               int64_t saved, int64_t now, fr_rate_schedule schedule)
{
    if (schedule != FR_SCHEDULE_CONSTANT && now != saved) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s.%s was %lld in the run that is resumed and is %lld now; "
                       "its optimizer.schedule depends on it: restore it or start "
                       "another run.dir",
                       path, key, (long long)saved, (long long)now);
    }
    if (now < saved) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s.%s was %lld in the run that is resumed and is %lld now; "
                       "it may grow but not shrink",
                       path, key, (long long)saved, (long long)now);
    }
    return FR_OK;
}

static fr_status compare_task(fr_ctx *ctx, const fr_config *saved_config,
                              const fr_task_config *saved, const fr_config *now_config)
{
    char path[FR_PLACE_BYTES];
    const fr_task_config *now = fr_config_find_task(now_config, saved->name);
    if (now == NULL) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "task %s of the run that is resumed is not in the config; put "
                       "it back or start another run.dir",
                       saved->name);
    }
    for (fr_section_id s = FR_SECTION_TASK; s < FR_SECTION_COUNT; s++) {
        (void)snprintf(path, sizeof path, "tasks.%s%s", saved->name,
                       FR_CONFIG_SECTIONS[s].path + strlen("tasks[]"));
        FR_TRY(compare_section(ctx, s, path, (fr_key_view){.task = saved},
                               (fr_key_view){.task = now}));
    }
    (void)snprintf(path, sizeof path, "tasks.%s", saved->name);
    int64_t was = fr_task_epochs(saved_config, saved);
    int64_t is = fr_task_epochs(now_config, now);
    if ((was > 0) != (is > 0)) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s was counted in %s in the run that is resumed and is counted "
                       "in %s now; restore it or start another run.dir",
                       path, was > 0 ? "epochs" : "steps", is > 0 ? "epochs" : "steps");
    }
    return was > 0
               ? compare_steps(ctx, path, "epochs", was, is, now->optimizer.schedule)
               : compare_steps(ctx, path, "steps", fr_task_steps(saved_config, saved),
                               fr_task_steps(now_config, now), now->optimizer.schedule);
}

fr_status fr_config_check_resume(fr_ctx *ctx, const fr_config *saved,
                                 const fr_config *now)
{
    const fr_key_view saved_view = {.config = saved};
    const fr_key_view now_view = {.config = now};
    FR_TRY(compare_section(ctx, FR_SECTION_BASE, "base", saved_view, now_view));
    FR_TRY(compare_section(ctx, FR_SECTION_RUN, "run", saved_view, now_view));
    for (int64_t i = 0; i < saved->n_tasks; i++) {
        FR_TRY(compare_task(ctx, saved, &saved->tasks[i], now));
    }
    return FR_OK;
}
