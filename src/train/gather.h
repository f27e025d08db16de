/*
 * gather.h - between the ranks' layers and a checkpoint that knows no ranks.
 *
 * Layer L4; uses checkpoint, task, grid.
 */
#ifndef FR_TRAIN_GATHER_H
#define FR_TRAIN_GATHER_H

#include "train/task.h"

/** What a checkpoint says about the base and the run; strings borrowed. */
typedef struct fr_run_identity {
    const char *shape;
    uint8_t digest[FR_DIGEST_BYTES];
    const char *isa;
    const char *version;
    const char *layout;
    const char *config; /* resolved YAML */
} fr_run_identity;

/**
 * Collective over the world: collect every task's layers on rank 0.
 * @param best  take each task's best prefix instead of the current one (tasks without a validation yet give
 *              the current one)
 * @param with_moments  false for a prefix for inference
 * @param[out] out  on rank 0 a checkpoint to destroy; NULL elsewhere
 */
FR_MUST_CHECK fr_status fr_gather(const fr_task_env *env, fr_grid *grid,
                                  const fr_run_identity *identity, fr_task *tasks,
                                  int64_t n_tasks, bool best, bool with_moments,
                                  fr_checkpoint **out);

/** Local: take this rank's layers and the task's place from a checkpoint. Tasks are matched by name; a task
 * that the checkpoint lacks keeps what it has and *found is false. FR_ERR_CHECKPOINT if shapes, data or
 * moments do not fit. */
FR_MUST_CHECK fr_status fr_restore_task(const fr_task_env *env, const char *path,
                                        const fr_checkpoint *checkpoint, fr_task *task,
                                        bool *found);

#endif
