/*
 * run_impl.h - the state of a training run, shared by run*.c.
 */
#ifndef FR_TRAIN_RUN_RUN_IMPL_H
#define FR_TRAIN_RUN_RUN_IMPL_H

#include "base/lock.h"
#include "train/run/rounds.h"
#include "train/run/run.h"
#include "train/session/session.h"

typedef struct fr_run_state {
    fr_ctx *ctx;
    fr_group *world;
    const fr_config *config;
    const fr_run_options *options;
    fr_session session;
    fr_task_env env;
    int64_t n_tasks;
    fr_task *tasks;
    fr_metrics *metrics;
    fr_lock *lock;          /* of the run folder, on rank 0; NULL elsewhere */
    char *config_text;      /* resolved */
    fr_checkpoint *resumed; /* NULL: from step 0 */
    char *resumed_path;
    fr_saves *saves;
    fr_stop_request stop;
    fr_watch *watch; /* borrowed from options->watch; NULL: not there yet */
} fr_run_state;

/** Everything before the first step; collective. */
FR_MUST_CHECK fr_status fr_run_prepare(fr_run_state *run);

/** Of a resumed run, with its weights loaded and its tasks open: compares base and chat templates with the checkpoint's, and
 * warns where another arithmetic computed it. Local. @return FR_OK; FR_ERR_CHECKPOINT */
FR_MUST_CHECK fr_status fr_run_check_base(fr_run_state *run);

/** After the last step of a run with a sweep: write sweep.jsonl and print the table, best first; without a sweep
 * nothing. Collective over the world. */
FR_MUST_CHECK fr_status fr_run_report_sweep(fr_run_state *run);
/** Before the first step, if run.measure_base: measure the loss of the base alone, and that of an init text, on each task's
 * validation rows (or some training rows), where no checkpoint holds them, and log them. No bit of training depends on it.
 * Collective over the world. */
FR_MUST_CHECK fr_status fr_run_measure_base(fr_run_state *run);
/** After a run that ended well: print what was gained, where the files lie and what to type next. Collective. */
FR_MUST_CHECK fr_status fr_run_report_gain(fr_run_state *run);
/** Print what each operator took of the `seconds` that this rank's steps took, summed over the ranks. Collective. */
FR_MUST_CHECK fr_status fr_run_report_profile(fr_run_state *run, double seconds);
/** After the last step and fr_saves_prefixes: FR_ERR_NUMERIC naming the tasks that non-finite steps stopped, or
 * whose last validation, prefix or every step was not finite, else FR_OK. Collective; the same on all ranks. */
FR_MUST_CHECK fr_status fr_run_verdict(fr_run_state *run);

#endif
