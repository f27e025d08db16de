/*
 * run_impl.h - the state of a training run, shared by run*.c.
 */
#ifndef FR_TRAIN_RUN_IMPL_H
#define FR_TRAIN_RUN_IMPL_H

#include "base/lock.h"
#include "train/gather.h"
#include "train/metrics.h"
#include "train/run.h"
#include "train/session.h"
#include "train/step.h"

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
    int64_t saved_total; /* fr_run_total at the newest checkpoint; -1: none */
    fr_watch *watch;     /* borrowed from options->watch; NULL: not there yet */
} fr_run_state;

/** Everything before the first step; collective. */
FR_MUST_CHECK fr_status fr_run_prepare(fr_run_state *run);

/** What checkpoints of this run say about it; strings borrowed from the run. */
void fr_run_identify(const fr_run_state *run, fr_run_identity *out);

/** Write checkpoint-STEP.h5; collective. */
FR_MUST_CHECK fr_status fr_run_save(fr_run_state *run);
/** Write prefix.h5; collective. */
FR_MUST_CHECK fr_status fr_run_save_prefixes(fr_run_state *run);
/** Write best.h5, each task's best prefix by validation; collective. */
FR_MUST_CHECK fr_status fr_run_save_best(fr_run_state *run);

/** Rank 0, after the checkpoint is committed: a file STOP becomes STOPPED, so that the next start does not stop for it
 * again and whoever started this run can see that it was asked. */
void fr_run_answer_stop(fr_run_state *run);
/** Rank 0, at the start: remove STOPPED. */
void fr_run_forget_stop(fr_run_state *run);

/** Largest step of all tasks. */
int64_t fr_run_step(const fr_run_state *run);
/** Steps of all tasks together: after a resume with other rules or tasks they stand at different steps. */
int64_t fr_run_total(const fr_run_state *run);

/**
 * Train until no task is live. The stop signals stay blocked and are taken by the watch; they and the file STOP are
 * looked at between steps. @return FR_OK; FR_ERR_STOPPED with a checkpoint; the errors of fr_run
 */
FR_MUST_CHECK fr_status fr_run_rounds(fr_run_state *run);

/** Whether any task still trains. */
bool fr_run_is_live(const fr_run_state *run);
/**
 * After a task's step and its validation, if one was due: set task->stopped by stopping.h and tell the reason
 * once (log, metrics.jsonl). Collective over the world.
 * @return FR_OK; FR_ERR_NUMERIC if the only task of the run is stopped by non-finite steps
 */
FR_MUST_CHECK fr_status fr_run_decide(fr_run_state *run, fr_task *task);
/** After a restore: tell that a rule still holds the task. */
void fr_run_tell_stopped(const fr_run_state *run, fr_task *task);
/** After the last step of a run with a sweep: write sweep.jsonl and print the table, best first; without a sweep
 * nothing. Collective over the world. */
FR_MUST_CHECK fr_status fr_run_report_sweep(fr_run_state *run);
/** Tell what each operator took of the `seconds` that this rank's steps took, summed over the ranks. Collective. */
FR_MUST_CHECK fr_status fr_run_report_profile(fr_run_state *run, double seconds);
/** After the last step and fr_run_save_prefixes: FR_ERR_NUMERIC naming the tasks that non-finite steps stopped,
 * else FR_OK. The same on all ranks. */
FR_MUST_CHECK fr_status fr_run_verdict(fr_run_state *run);

#endif
