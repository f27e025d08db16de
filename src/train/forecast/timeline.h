/*
 * timeline.h - the schedule played through in time, stage by stage. `forerun plan` predicts from it and draws it, and
 * tests compare it with the formulas.
 *
 * One replica; every microbatch of a run takes the same time on a stage.
 */
#ifndef FR_TRAIN_FORECAST_TIMELINE_H
#define FR_TRAIN_FORECAST_TIMELINE_H

#include "train/step/schedule.h"

/** Times in any one unit. */
typedef struct fr_timeline_params {
    int n_stages;
    int64_t warmup_depth;
    int64_t n_tasks;
    const int64_t *n_microbatches; /* [n_tasks] of a step on this replica */
    const int64_t
        *n_steps; /* [n_tasks] steps of each task; the run ends with the longest */
    const double *forward;  /* [n_stages] time of one microbatch */
    const double *backward; /* [n_stages] */
    const int *
        lowest; /* [n_tasks] stages below have no backward of the task and expect no message for it; NULL: 0 */
    const double *
        hops; /* [n_stages - 1] from the end of a pass to its message's arrival, of the edge above each stage; NULL: 0 */
    double update; /* from a step's last backward anywhere to its update everywhere */
} fr_timeline_params;

/** One pass of one microbatch on one stage. */
typedef struct fr_time_span {
    int stage;
    bool forward;
    int64_t task;
    int64_t step;       /* of the task, from 0 */
    int64_t microbatch; /* within the step */
    double start;
    double end;
} fr_time_span;

typedef struct fr_timeline {
    int64_t n_spans;
    fr_time_span *spans; /* stage by stage, each in order; owned */
    double end;
    double busy; /* time that all stages compute, added up */
    int64_t
        max_kept[2]; /* most microbatches in flight on the first and the last stage */
} fr_timeline;

/** @return FR_OK; FR_ERR_NO_MEMORY; FR_ERR_INTERNAL if the stages wait for each other */
FR_MUST_CHECK fr_status fr_timeline_run(fr_ctx *ctx, const fr_timeline_params *params,
                                        fr_timeline *out);
void fr_timeline_fini(fr_timeline *timeline);

/**
 * The steady state of T tasks of m microbatches each on S stages, without latency: a task's next step waits
 * for its own update while the others fill in: max(0, 1 - T m / (m + S - 1)). Exact for one task and where
 * (T - 1) m >= S - 1 (then 0); else the fixed order idles more.
 */
double fr_bubble_formula(int64_t n_tasks, int64_t n_microbatches, int n_stages);

#endif
