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
    int64_t saved_step; /* step of the newest checkpoint; -1: none */
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

/** Largest step of all tasks. */
int64_t fr_run_step(const fr_run_state *run);

#endif
