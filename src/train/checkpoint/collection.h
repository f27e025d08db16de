/*
 * collection.h - changes to a file of prefixes that belong to one base: `forerun prefix`.
 *
 * A collection is a fr_checkpoint whose tasks have neither moments nor an MLP. After a failure the collection is as it was. After
 * a change it is no longer the file of one run, so it has neither `config` nor `layout`.
 */
#ifndef FR_TRAIN_CHECKPOINT_COLLECTION_H
#define FR_TRAIN_CHECKPOINT_COLLECTION_H

#include "train/checkpoint/checkpoint.h"

/** FR_ERR_CHECKPOINT if a task has moments or an MLP: a run may go on from this file, and no command changes it. */
FR_MUST_CHECK fr_status fr_collection_check(fr_ctx *ctx, const char *path,
                                            const fr_checkpoint *checkpoint);

/** An empty collection for the base of `like`, which must name it. FR_ERR_CHECKPOINT if it does not. */
FR_MUST_CHECK fr_status fr_collection_create(fr_ctx *ctx, const char *like_path,
                                             const fr_checkpoint *like,
                                             fr_checkpoint **out);

/** Where a task comes from. */
typedef struct fr_collection_source {
    const char *path; /* of its file, for messages */
    fr_checkpoint *file;
    int64_t index; /* of the task in it */
} fr_collection_source;

/**
 * Move a task from its file to the end of the collection; what only training needs is freed. `isa` and `arithmetic` stay if both
 * files have the same.
 * @param path          of the collection, for messages
 * @param name          its name there; NULL: the name that it has
 * @param[out] trained  whether moments or an MLP were left out
 * @return FR_OK, and the task in `source` is empty: only destroy that file;
 *         FR_ERR_CHECKPOINT (another base: what differs is named); FR_ERR_ARG (the name is invalid or taken)
 */
FR_MUST_CHECK fr_status fr_collection_add(fr_ctx *ctx, fr_checkpoint *collection,
                                          const char *path,
                                          const fr_collection_source *source,
                                          const char *name, bool *trained);

/** Some tasks of a collection, by their names. */
typedef struct fr_collection_names {
    const char *const *names;
    int64_t n;
} fr_collection_names;

/** Remove tasks; a name may come twice. FR_ERR_CHECKPOINT if there is no such task; FR_ERR_ARG if none would be left. */
FR_MUST_CHECK fr_status fr_collection_remove(fr_ctx *ctx, fr_checkpoint *collection,
                                             const char *path,
                                             const fr_collection_names *which);

/** Rename a task. FR_ERR_CHECKPOINT if there is no such task; FR_ERR_ARG if the new name is invalid or taken. */
FR_MUST_CHECK fr_status fr_collection_rename(fr_ctx *ctx, fr_checkpoint *collection,
                                             const char *path, const char *old_name,
                                             const char *new_name);

/**
 * Add a task with the mean of the keys and values of two or more tasks, summed in f64 in the order of the names and rounded once.
 * Shape, layers, window, rows and template must be equal. What training claims of a task (progress, losses, seed, digests
 * of data) is as in a task that has not begun.
 * @return FR_OK; FR_ERR_CHECKPOINT (no such task); FR_ERR_SHAPE (tasks that differ: what is named); FR_ERR_ARG (fewer
 *         than two, one twice, the new name is invalid or taken)
 */
FR_MUST_CHECK fr_status fr_collection_average(fr_ctx *ctx, fr_checkpoint *collection,
                                              const char *path,
                                              const fr_collection_names *which,
                                              const char *name);

/** Leave out what tells of the training's texts, data and machine: `config`, `layout`, `base_path` and `isa` of the file, `init`,
 * `data_digest` and `valid_digest` of each task. What use needs stays, the templates among it. */
void fr_collection_strip(fr_checkpoint *collection);

#endif
