/*
 * metrics.h - what a run reports: JSON lines in the run folder, a progress bar or plain lines on stderr.
 *
 * docs/format-metrics.md lists the lines and their keys. Rank 0 alone; on other ranks every call does nothing.
 */
#ifndef FR_TRAIN_RUN_METRICS_H
#define FR_TRAIN_RUN_METRICS_H

#include "train/checkpoint/writer.h"
#include "train/step/evaluate.h"
#include "train/step/step.h"

typedef struct fr_metrics fr_metrics;

/**
 * Open `folder`/metrics.jsonl for appending; lines of steps that a task has yet to do are dropped first (each task
 * may stand at a step of its own), so that a resumed run leaves one line a step.
 * @param tasks        their names and steps done; read during the call alone
 * @param total_steps  of all tasks, for the estimate of the time left
 */
FR_MUST_CHECK fr_status fr_metrics_open(fr_ctx *ctx, const char *folder,
                                        const fr_task *tasks, int64_t n_tasks,
                                        int64_t total_steps, fr_metrics **out);
void fr_metrics_close(fr_metrics **metrics);

/** One update: a line every `log_every` steps and the progress display. */
FR_MUST_CHECK fr_status fr_metrics_step(fr_metrics *metrics, const char *task,
                                        int64_t step, int64_t log_every,
                                        const fr_step_result *result);

/** Before the first step: the losses of the base alone and of the init text, those that are known. */
FR_MUST_CHECK fr_status fr_metrics_start(fr_metrics *metrics, const fr_task *task);

/** One validation. */
FR_MUST_CHECK fr_status fr_metrics_validation(fr_metrics *metrics, const char *task,
                                              int64_t step, const fr_evaluation *result,
                                              bool best);

/** A task stopped before its last step; `steps_left` no longer count in the estimate of the time left. */
FR_MUST_CHECK fr_status fr_metrics_stopped(fr_metrics *metrics, const char *task,
                                           int64_t step, int64_t steps_left,
                                           const char *reason);

/**
 * A file was committed: a line {"saved": its name, "step", "blocked_seconds", "writer_seconds", "writer_cpu_seconds"}.
 * @param blocked  seconds for which training stood still for files since the line before
 */
FR_MUST_CHECK fr_status fr_metrics_saved(fr_metrics *metrics, const fr_write *write,
                                         double blocked);

#endif
