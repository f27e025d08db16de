#include "train/step/best.h"

#include <math.h>
#include <string.h>

/* A checkpoint from before format 2.1 has no digest of its validation rows; it reads as zeros. */
static bool is_zero(const uint8_t digest[FR_DIGEST_BYTES])
{
    uint8_t any = 0;
    for (int i = 0; i < FR_DIGEST_BYTES; i++) {
        any |= digest[i];
    }
    return any == 0;
}

/* Two tasks without a validation file are the same, and one with such a file differs from one without. */
static bool has_same_names(const fr_task_config *a, const fr_task_config *b)
{
    bool either_lacks = a->valid == NULL || b->valid == NULL;
    return either_lacks
               ? a->valid == b->valid
               : strcmp(a->valid, b->valid) == 0 && a->valid_rows == b->valid_rows;
}

/* By the config that the checkpoint holds; the same where it holds none. */
static fr_status compare_configs(const fr_task_env *env, const char *path,
                                 const fr_checkpoint *checkpoint, const fr_task *task,
                                 bool *same)
{
    fr_config *config = NULL;
    *same = true;
    if (checkpoint->config == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_config_parse_saved(env->ctx, path, checkpoint->config, &config));
    const fr_task_config *before = fr_config_find_task(config, task->config->name);
    *same = before == NULL || has_same_names(before, task->config);
    fr_config_destroy(&config);
    return FR_OK;
}

void fr_best_forget(fr_task *task)
{
    task->progress.best_loss = (double)INFINITY;
    task->progress.best_step = -1;
    task->progress.valid_loss = (double)INFINITY;
    task->progress.stale_validations = 0;
}

/* Three cases, because the user has to know whether a best.h5 in the folder will be replaced, or stays although no
 * validation of this run stands behind it. */
static void log_forgotten(const fr_task_env *env, const fr_task *task)
{
    const char *name = task->config->name;
    const char *valid = task->config->valid;
    if (!isfinite(task->progress.best_loss)) {
        fr_log(env->ctx, FR_LOG_INFO,
               "task %s: its validations so far were on other rows than now and do not "
               "count",
               name);
    } else if (valid != NULL) {
        fr_log(env->ctx, FR_LOG_INFO,
               "task %s: its best validation loss, %.4f of step %lld, was measured on "
               "other rows than %s now gives: it is forgotten, and best.h5 is replaced "
               "at the next validation",
               name, task->progress.best_loss, (long long)task->progress.best_step,
               valid);
    } else {
        fr_log(env->ctx, FR_LOG_INFO,
               "task %s: its best validation loss, %.4f of step %lld, was measured on "
               "rows that the config no longer names: it is forgotten, and best.h5 "
               "stays as it is",
               name, task->progress.best_loss, (long long)task->progress.best_step);
    }
}

fr_status fr_best_recall(const fr_task_env *env, const char *path,
                         const fr_checkpoint *checkpoint,
                         const fr_checkpoint_task *saved, fr_task *task)
{
    bool same = memcmp(saved->valid_digest, task->valid_digest, FR_DIGEST_BYTES) == 0;
    bool measured = isfinite(saved->progress.best_loss) ||
                    isfinite(saved->progress.valid_loss) ||
                    saved->progress.stale_validations > 0;
    /* The loss of the base is measured again, which costs one pass; that of an init text only where no step is done.
     * Both are dropped even where an old file without a digest may have had the same rows. */
    if (!same) {
        task->progress.base_loss = (double)INFINITY;
        task->progress.init_loss = (double)INFINITY;
    }
    /* Without a digest the configs decide. A file without a config counts as the same. */
    if (measured && is_zero(saved->valid_digest)) {
        FR_TRY(compare_configs(env, path, checkpoint, task, &same));
    }
    if (measured && !same) {
        log_forgotten(env, task);
        fr_best_forget(task);
    }
    return FR_OK;
}
