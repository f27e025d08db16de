/*
 * run_impl.h - the state of a training run, shared by run*.c.
 */
#ifndef FR_TRAIN_RUN_RUN_IMPL_H
#define FR_TRAIN_RUN_RUN_IMPL_H

#include "base/lock.h"
#include "train/checkpoint/writer.h"
#include "train/run/gather.h"
#include "train/run/metrics.h"
#include "train/run/run.h"
#include "train/session/session.h"
#include "train/step/step.h"

/* Files that are saved while training goes on (run_save.c). On ranks other than 0 only the gather is there. */
typedef struct fr_saves {
    fr_gather *gather;
    fr_writer *writer;
    fr_checkpoint *spares[FR_WRITER_PLACES]; /* buffers that nobody uses */
    int n_spares;
    int n_buffers;          /* allocated, in use or not */
    fr_checkpoint *filling; /* layers are on their way into it; NULL: none */
    double blocked;         /* seconds for which training stood still, yet untold */
    int64_t total;          /* steps of all tasks in the newest checkpoint; -1: none */
    fr_status failure;      /* of a write, the first one */
} fr_saves;

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
    fr_saves saves;
    fr_watch *watch; /* borrowed from options->watch; NULL: not there yet */
} fr_run_state;

/** Everything before the first step; collective. */
FR_MUST_CHECK fr_status fr_run_prepare(fr_run_state *run);

/** What checkpoints of this run say about it; strings borrowed from the run. */
void fr_run_identify(const fr_run_state *run, fr_run_identity *out);

/** Start what saves need; collective over the world. */
FR_MUST_CHECK fr_status fr_run_open_saves(fr_run_state *run);
/** Wait for the writer and drop everything. */
void fr_run_close_saves(fr_run_state *run);

/**
 * A checkpoint while microbatches are in flight, in three parts that every rank goes through alike. Each waits for nobody
 * who waits for this rank. A failed write is told by saves.failure, and fr_run_finish_saves; what else fails is of
 * this rank alone.
 *
 *   begin     once the steps are decided that it holds; waits if two checkpoints are still being written
 *   task      right after each task's own step, or at once where it made none
 *   progress  now and then: layers that have arrived go to the writer
 *
 * @param total  fr_run_total once the steps under way are done
 */
FR_MUST_CHECK fr_status fr_run_begin_save(fr_run_state *run, int64_t total);
FR_MUST_CHECK fr_status fr_run_save_task(fr_run_state *run, int64_t task);
FR_MUST_CHECK fr_status fr_run_progress_saves(fr_run_state *run);

/** Wait until the layers of a checkpoint begun are with the writer; every task is done. */
FR_MUST_CHECK fr_status fr_run_settle_saves(fr_run_state *run);

/** The whole of a checkpoint, where no step is under way; nothing if the newest one is of the same steps. */
FR_MUST_CHECK fr_status fr_run_save(fr_run_state *run);

/** Wait until all that was saved is committed; collective. */
FR_MUST_CHECK fr_status fr_run_finish_saves(fr_run_state *run);

/** Write prefix.h5 and wait for it; collective. */
FR_MUST_CHECK fr_status fr_run_save_prefixes(fr_run_state *run);
/** Hand best.h5, each task's best prefix by validation, to the writer; collective. */
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
 * Train until no task is live. Requests of signals (signals.h) and the file STOP are looked at between steps. @return FR_OK; FR_ERR_STOPPED with a checkpoint; the errors of fr_run
 */
FR_MUST_CHECK fr_status fr_run_rounds(fr_run_state *run);

/** Whether any task still trains. */
bool fr_run_is_live(const fr_run_state *run);
/**
 * After a task's step and its validation, if one was due: set task->progress.stopped by stopping.h and tell the reason
 * once (log, metrics.jsonl). Collective over the world.
 * @return FR_OK; FR_ERR_NUMERIC if the only task of the run is stopped by non-finite steps
 */
FR_MUST_CHECK fr_status fr_run_decide(fr_run_state *run, fr_task *task);
/** After a restore: tell that a rule still holds the task. */
void fr_run_tell_stopped(const fr_run_state *run, fr_task *task);
/** After the last step of a run with a sweep: write sweep.jsonl and print the table, best first; without a sweep
 * nothing. Collective over the world. */
FR_MUST_CHECK fr_status fr_run_report_sweep(fr_run_state *run);
/** Before the first step, if run.measure_base: measure the loss of the base alone, and that of an init text, on each task's
 * validation rows (or some training rows), where no checkpoint tells them; tell them. No bit of training depends on it.
 * Collective over the world. */
FR_MUST_CHECK fr_status fr_run_measure_base(fr_run_state *run);
/** After a run that ended well: tell what was gained, where the files lie and what to type next. Collective. */
FR_MUST_CHECK fr_status fr_run_report_gain(fr_run_state *run);
/** Tell what each operator took of the `seconds` that this rank's steps took, summed over the ranks. Collective. */
FR_MUST_CHECK fr_status fr_run_report_profile(fr_run_state *run, double seconds);
/** After the last step and fr_run_save_prefixes: FR_ERR_NUMERIC naming the tasks that non-finite steps stopped, or
 * whose last validation, prefix or every step was not finite, else FR_OK. Collective; the same on all ranks. */
FR_MUST_CHECK fr_status fr_run_verdict(fr_run_state *run);

#endif
