#define _POSIX_C_SOURCE 200809L
#include "train/run_impl.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fr_run_identify(const fr_run_state *run, fr_run_identity *out)
{
    *out = (fr_run_identity){.shape = run->session.shape,
                             .isa = fr_isa_name(fr_device_isa(run->session.device)),
                             .version = run->options->version,
                             .layout = run->session.layout,
                             .config = run->config_text};
    memcpy(out->digest, run->session.digest, FR_DIGEST_BYTES);
}

fr_status fr_run_save(fr_run_state *run)
{
    fr_checkpoint *checkpoint = NULL;
    fr_run_identity identity;
    int64_t step = fr_run_step(run);
    if (fr_run_total(run) == run->saved_total) {
        return FR_OK;
    }
    fr_run_identify(run, &identity);
    fr_watch_busy(run->watch, "saving");
    fr_status status = fr_gather(&run->env, &run->session.grid, &identity, run->tasks,
                                 run->n_tasks, false, true, &checkpoint);
    if (status == FR_OK && checkpoint != NULL) {
        status = fr_checkpoint_save(run->ctx, run->config->run.dir, step,
                                    run->config->run.keep, checkpoint);
    }
    fr_checkpoint_destroy(&checkpoint);
    run->saved_total = fr_run_total(run);
    status = fr_group_agree(run->world, status);
    fr_watch_busy(run->watch, NULL);
    return status;
}

/* Write a prefix for inference into the run folder. */
static fr_status save_prefix_file(fr_run_state *run, const char *name, bool best)
{
    fr_checkpoint *checkpoint = NULL;
    char *path = NULL;
    fr_run_identity identity;
    fr_run_identify(run, &identity);
    fr_watch_busy(run->watch, "saving");
    fr_status status = fr_gather(&run->env, &run->session.grid, &identity, run->tasks,
                                 run->n_tasks, best, false, &checkpoint);
    if (status == FR_OK && checkpoint != NULL) {
        status = fr_join_path(run->ctx, run->config->run.dir, name, &path);
        if (status == FR_OK) {
            status = fr_checkpoint_write(run->ctx, path, checkpoint);
        }
    }
    free(path);
    fr_checkpoint_destroy(&checkpoint);
    status = fr_group_agree(run->world, status);
    fr_watch_busy(run->watch, NULL);
    return status;
}

fr_status fr_run_save_prefixes(fr_run_state *run)
{
    return save_prefix_file(run, "prefix.h5", false);
}

fr_status fr_run_save_best(fr_run_state *run)
{
    return save_prefix_file(run, "best.h5", true);
}

void fr_run_answer_stop(fr_run_state *run)
{
    char *asked = NULL;
    char *answered = NULL;
    fr_status status = fr_join_path(run->ctx, run->config->run.dir, "STOP", &asked);
    if (status == FR_OK) {
        status = fr_join_path(run->ctx, run->config->run.dir, "STOPPED", &answered);
    }
    if (status == FR_OK && fr_file_exists(asked) && rename(asked, answered) != 0) {
        fr_log(run->ctx, FR_LOG_WARN,
               "cannot rename %s (%s); remove it before the next start", asked,
               strerror(errno));
    }
    free(asked);
    free(answered);
}

void fr_run_forget_stop(fr_run_state *run)
{
    char *path = NULL;
    if (fr_join_path(run->ctx, run->config->run.dir, "STOPPED", &path) == FR_OK) {
        (void)unlink(path);
    }
    free(path);
}
