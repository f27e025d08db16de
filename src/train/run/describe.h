/*
 * describe.h - tasks as a checkpoint describes them.
 */
#ifndef FR_TRAIN_RUN_DESCRIBE_H
#define FR_TRAIN_RUN_DESCRIBE_H

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

/** Local: a checkpoint of these tasks with memory for their whole prefixes; the arrays are not filled (gather.h). The
 * caller destroys it. @param for_resume  also memory for all else that a resume needs: optimizer moments or an MLP */
FR_MUST_CHECK fr_status fr_describe_tasks(const fr_task_env *env,
                                          const fr_run_identity *identity,
                                          const fr_task *tasks, int64_t n_tasks,
                                          bool for_resume, fr_checkpoint **out);

/** Local: what changes from step to step, arrays aside. */
void fr_describe_progress(const fr_task *task, fr_checkpoint_task *out);

#endif
