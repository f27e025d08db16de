/*
 * gather.h - between the ranks' layers and a checkpoint that knows no ranks.
 *
 * Layer L4; uses checkpoint, task, grid.
 */
#ifndef FR_TRAIN_RUN_GATHER_H
#define FR_TRAIN_RUN_GATHER_H

#include "train/step/task.h"

/** What a checkpoint says about the base and the run; strings borrowed. */
typedef struct fr_run_identity {
    const char *shape;
    uint8_t digest[FR_DIGEST_BYTES];
    const char *isa;
    const char *arithmetic;
    const char *version;
    const char *layout;
    const char *config; /* resolved YAML */
} fr_run_identity;

/** What of the tasks is gathered. */
typedef enum fr_gather_what {
    FR_GATHER_ALL,    /* all that a resume needs */
    FR_GATHER_PREFIX, /* the prefix alone, for inference */
    FR_GATHER_BEST /* its best one by validation; the current one of a task without a validation yet */
} fr_gather_what;

/**
 * The way of the tasks' layers to rank 0, which may be gone many times, one after another:
 *
 *   begin    all ranks, before the first task
 *   task     each task, as it is at that moment: its layers are copied and leave; in any order
 *   test     until they have arrived
 *
 * Nothing waits, so it may go on while microbatches are in flight. The stages of replica 0 take part; on other ranks
 * every call does nothing. Errors but those of create and describe are FR_ERR_COMM.
 */
typedef struct fr_gather fr_gather;

/** Collective over the world; everything is borrowed. Allocates what is sent. */
FR_MUST_CHECK fr_status fr_gather_create(const fr_task_env *env, fr_grid *grid,
                                         fr_task *tasks, int64_t n_tasks,
                                         fr_gather_what what, fr_gather **out);
/** Local. Nothing may be under way, unless the group is abandoned or broken. */
void fr_gather_destroy(fr_gather **gather);

/** Local, rank 0: a checkpoint of these tasks with room for their layers; the caller destroys it. */
FR_MUST_CHECK fr_status fr_gather_describe(const fr_gather *gather,
                                           const fr_run_identity *identity,
                                           fr_checkpoint **out);

/** Waits for what this rank still sends of the time before. @param into  rank 0: made by describe; NULL elsewhere */
FR_MUST_CHECK fr_status fr_gather_begin(fr_gather *gather, fr_checkpoint *into);
/** Take this rank's layers of a task, once each after begin. */
FR_MUST_CHECK fr_status fr_gather_task(fr_gather *gather, int64_t task);
/** Whether all tasks are taken and nothing of them is under way on this rank. */
FR_MUST_CHECK fr_status fr_gather_test(fr_gather *gather, bool *is_done);
/** Wait for what is under way. */
FR_MUST_CHECK fr_status fr_gather_wait(fr_gather *gather);

/** Local: take this rank's layers and the task's place from a checkpoint. Tasks are matched by name; a task
 * that the checkpoint lacks keeps what it has and *found is false. FR_ERR_CHECKPOINT if shapes, data or
 * moments do not fit. */
FR_MUST_CHECK fr_status fr_restore_task(const fr_task_env *env, const char *path,
                                        const fr_checkpoint *checkpoint, fr_task *task,
                                        bool *found);

#endif
