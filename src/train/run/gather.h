/*
 * gather.h - collects the prefix layers of all tasks on rank 0.
 */
#ifndef FR_TRAIN_RUN_GATHER_H
#define FR_TRAIN_RUN_GATHER_H

#include "comm/grid.h"
#include "train/step/task.h"

/** What of the tasks is gathered. */
typedef enum fr_gather_what {
    FR_GATHER_ALL,    /* all that a resume needs */
    FR_GATHER_PREFIX, /* the prefix alone, for inference */
    FR_GATHER_BEST /* its best one by validation; the current one of a task without a validation yet */
} fr_gather_what;

/**
 * One gather can be used repeatedly, one round at a time:
 *
 *   begin    all ranks, before the first task
 *   task     each task, as it is at that moment, in any order: its layers are copied and sent
 *   test     until they have arrived
 *
 * None of these blocks, so a round may go on while microbatches are in flight. The stages of replica 0 take part; on
 * other ranks every call does nothing. Errors but those of create are FR_ERR_COMM.
 */
typedef struct fr_gather fr_gather;

/** Collective over the world; everything is borrowed. Allocates what is sent. */
FR_MUST_CHECK fr_status fr_gather_create(const fr_task_env *env, fr_grid *grid,
                                         fr_task *tasks, int64_t n_tasks,
                                         fr_gather_what what, fr_gather **out);
/** Local. Nothing may be under way, unless the group is abandoned or broken. */
void fr_gather_destroy(fr_gather **gather);

/** Starts a new round. First waits until this rank's sends of the previous round have completed.
 * @param into  rank 0: made by fr_describe_tasks for the same tasks; NULL elsewhere */
FR_MUST_CHECK fr_status fr_gather_begin(fr_gather *gather, fr_checkpoint *into);
/** Take this rank's layers of a task, once each after begin. */
FR_MUST_CHECK fr_status fr_gather_task(fr_gather *gather, int64_t task);
/** Whether all tasks are taken and nothing of them is under way on this rank. */
FR_MUST_CHECK fr_status fr_gather_test(fr_gather *gather, bool *is_done);
/** Wait for what is under way. */
FR_MUST_CHECK fr_status fr_gather_wait(fr_gather *gather);

#endif
