/* Whether a resumed run goes on over the base that its checkpoint was made with. */
#include "train/run/run_impl.h"

#include "train/data/chat_identity.h"

#include <string.h>

/* The chat of the run's task with this name; NULL: it has none. */
static const fr_chat *chat_of(const fr_run_state *run, const char *name)
{
    const fr_chat *found = NULL;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        if (strcmp(run->tasks[i].config->name, name) == 0) {
            found = run->tasks[i].chat;
        }
    }
    return found;
}

/* Besides the base's identity: the epsilon of its norms, and its chat template, because rows of dialogues must keep
 * their token ids. */
static fr_status check_base_of_tasks(const fr_run_state *run)
{
    const fr_checkpoint *saved = run->resumed;
    for (int64_t i = 0; i < saved->n_tasks; i++) {
        FR_TRY(fr_identity_check_eps(run->ctx, run->resumed_path,
                                     saved->tasks[i].base_norm_eps,
                                     run->env.arch->norm_eps));
        FR_TRY(fr_chat_identity_check(run->ctx, run->resumed_path, &saved->tasks[i],
                                      chat_of(run, saved->tasks[i].name),
                                      !run->options->force));
    }
    return FR_OK;
}

/* A file from before arithmetics had names holds an instruction set instead: each set had its own arithmetic then. */
static void warn_of_arithmetic(const fr_run_state *run, const fr_checkpoint *saved)
{
    const char *arithmetic = fr_device_arithmetic(run->session.device);
    const char *was = saved->arithmetic != NULL ? saved->arithmetic : saved->isa;
    if (was != NULL && strcmp(was, arithmetic) != 0) {
        fr_log(run->ctx, FR_LOG_WARN,
               "%s was computed with the arithmetic %.96s, this program computes "
               "with %s: the last bits will differ from an uninterrupted run",
               run->resumed_path, was, arithmetic);
    }
}

/* After the weights are loaded, because their digest is what is compared. */
fr_status fr_run_check_base(fr_run_state *run)
{
    const fr_checkpoint *saved = run->resumed;
    if (saved == NULL) {
        return FR_OK;
    }
    warn_of_arithmetic(run, saved);
    FR_TRY(fr_identity_check(run->ctx, run->resumed_path, saved->base_shape,
                             saved->base_digest, run->session.shape,
                             run->session.digest, !run->options->force));
    return check_base_of_tasks(run);
}
