/*
 * stage_walk.h - a stage's part of the schedule over real messages, without a model: what a forward or a backward does
 * is left to the caller. The order of events can be tested with it, and idle time be measured.
 */
#ifndef FR_TESTS_STAGE_WALK_H
#define FR_TESTS_STAGE_WALK_H

#include "comm/group.h"

enum { FR_WALK_MAX_TASKS = 4 };

/** One forward or backward; also the message that goes to the neighbour after it. */
typedef struct fr_walk_pass {
    int64_t forward; /* 0 or 1 */
    int64_t task;
    int64_t step; /* of the task, from 0 */
    int64_t microbatch;
    int64_t end; /* when it ended, in the caller's time; `work` sets it */
} fr_walk_pass;

/** Every task has the same steps and microbatches. The ranks of `world` are the stages. */
typedef struct fr_walk_params {
    fr_group *world;
    int64_t n_tasks;
    int64_t n_microbatches;
    int64_t n_steps;
    /* Compute a pass and set its end. `arrived`: the neighbour's message for it; NULL on the first stage's forwards and
     * on the last stage's backwards. */
    void (*work)(void *argument, fr_walk_pass *pass, const fr_walk_pass *arrived);
    /* A task's step has ended on all stages: the latest `end` of its last backwards. */
    void (*updated)(void *argument, int64_t end);
    void *argument;
} fr_walk_params;

/** Collective over the world. */
FR_MUST_CHECK fr_status fr_walk_stage(fr_ctx *ctx, const fr_walk_params *params);

#endif
