/*
 * collection_impl.h - what collection.c and collection_average.c share.
 */
#ifndef FR_TRAIN_CHECKPOINT_COLLECTION_IMPL_H
#define FR_TRAIN_CHECKPOINT_COLLECTION_IMPL_H

#include "train/checkpoint/collection.h"

/** Leave out `config` and `layout`: they describe the run that wrote the file, and its tasks. */
void fr_collection_forget_run(fr_checkpoint *collection);

/** FR_ERR_ARG unless `name` keeps the rule and no task has it. */
FR_MUST_CHECK fr_status fr_collection_check_name(fr_ctx *ctx,
                                                 const fr_checkpoint *collection,
                                                 const char *path, const char *name);

/** Place in the collection of each name, [which->n]; the caller frees. FR_ERR_CHECKPOINT if there is no such task. */
FR_MUST_CHECK fr_status fr_collection_find(fr_ctx *ctx, const fr_checkpoint *collection,
                                           const char *path,
                                           const fr_collection_names *which,
                                           int64_t **out);

/** Room for one more task behind the others; n_tasks stays. How many tasks a file may hold is the writer's to
 * check. */
FR_MUST_CHECK fr_status fr_collection_make_room(fr_ctx *ctx, fr_checkpoint *collection);

/** Whether both know the epsilon of their base's norms, and differ. */
bool fr_collection_norms_differ(const fr_checkpoint_task *a,
                                const fr_checkpoint_task *b);

#endif
