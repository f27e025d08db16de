/*
 * writer.h - a thread that writes checkpoints while training goes on.
 *
 * Layer L4; uses checkpoint. Writes happen one after another in the order in which they were added, each as
 * checkpoint.h says: whole, to stay, old ones dropped. The HDF5 library serves one thread at a time: while writes are
 * under way nobody else may read or write a checkpoint. All calls are made by one thread, the owner.
 *
 * The thread blocks all signals, runs at a lower priority than the owner's (it shares the cores with those that
 * compute) and has a context of its own.
 */
#ifndef FR_TRAIN_CHECKPOINT_WRITER_H
#define FR_TRAIN_CHECKPOINT_WRITER_H

#include "train/checkpoint/checkpoint.h"

typedef struct fr_writer fr_writer;

/** One write, as it is added and as it comes back. */
typedef struct fr_write {
    const char *
        name; /* of the file, a constant; NULL: checkpoint-STEP.h5, `latest`, and drop old ones */
    int64_t step;              /* for its name */
    fr_checkpoint *checkpoint; /* the writer's from add to take */
    double seconds;            /* of the writer: filled in, as is the next */
    double cpu_seconds;
} fr_write;

/** How many writes it holds at most: one under way and one that waits; those not taken back count. */
enum { FR_WRITER_PLACES = 2 };

/**
 * Start the thread.
 * @param folder  the run folder; copied
 * @param keep    as in fr_checkpoint_save
 * @return FR_OK; FR_ERR_NO_MEMORY; FR_ERR_INTERNAL (no thread)
 */
FR_MUST_CHECK fr_status fr_writer_create(fr_ctx *ctx, const char *folder, int64_t keep,
                                         fr_writer **out);

/** Wait for every write that was added, end the thread, destroy the checkpoints that were not taken back. Accepts NULL
 * inside, nulls the pointer. */
void fr_writer_destroy(fr_writer **writer);

/** Whether another write can be added. */
bool fr_writer_has_room(const fr_writer *writer);

/** Whether there is nothing to write and nothing to take back. */
bool fr_writer_is_empty(const fr_writer *writer);

/** Add a write and return at once. There must be room. */
void fr_writer_add(fr_writer *writer, const fr_write *write);

/**
 * Take back the oldest write that is over, if there is one.
 * @return FR_OK; what made that write fail, with its message in the owner's context. After a failure nothing more
 *         is written and the later writes come back with the same failure.
 */
FR_MUST_CHECK fr_status fr_writer_take(fr_writer *writer, fr_write *out, bool *taken);

/** Sleep until there is something to take back, `ms` milliseconds at most. */
void fr_writer_rest(fr_writer *writer, int64_t ms);

#endif
