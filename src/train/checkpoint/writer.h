/*
 * writer.h - a thread that writes checkpoints while training goes on.
 *
 * Writes happen one after another in the order in which they were added, each atomically and synced as checkpoint.h
 * says. The HDF5 library is not thread-safe: while writes are pending no other thread may read or write a
 * checkpoint. One thread, the owner, makes all calls.
 *
 * The thread blocks all signals, has a context of its own, and runs at a lower priority than the owner, because it shares
 * the cores with the threads that compute.
 */
#ifndef FR_TRAIN_CHECKPOINT_WRITER_H
#define FR_TRAIN_CHECKPOINT_WRITER_H

#include "train/checkpoint/checkpoint.h"

typedef struct fr_writer fr_writer;

/** One write, as it is added and as it is taken back. */
typedef struct fr_write {
    const char *name;          /* of the file, a constant; NULL: fr_checkpoint_save */
    int64_t step;              /* of fr_checkpoint_save */
    fr_checkpoint *checkpoint; /* belongs to the writer from add to take */
    double seconds; /* that writing took, and of processor time; set by the writer */
    double cpu_seconds;
} fr_write;

/** Limit of the writes that it holds, from add to take: one in progress and one that waits. Each
 * holds a copy of all prefixes in memory. */
enum { FR_WRITER_PLACES = 2 };

/**
 * Start the thread.
 * @param folder  the run folder; copied
 * @param keep    as in fr_checkpoint_save
 * @return FR_OK; FR_ERR_NO_MEMORY; FR_ERR_INTERNAL (no thread)
 */
FR_MUST_CHECK fr_status fr_writer_create(fr_ctx *ctx, const char *folder, int64_t keep,
                                         fr_writer **out);

/** Wait for every write that was added, end the thread, destroy the checkpoints that were not taken back. Accepts a
 * pointer to NULL; sets the pointer to NULL. */
void fr_writer_destroy(fr_writer **writer);

/** Whether another write can be added. */
bool fr_writer_has_room(const fr_writer *writer);

/** Whether no write is waiting, in progress, or to be taken back. */
bool fr_writer_is_empty(const fr_writer *writer);

/** Add a write and return at once. There must be room. */
void fr_writer_add(fr_writer *writer, const fr_write *write);

/**
 * Take back the oldest finished write, if there is one.
 * @return FR_OK; the failure of that write, with its message in the owner's context. After a failure nothing more is
 *         written, and all later writes come back with the same failure.
 */
FR_MUST_CHECK fr_status fr_writer_take(fr_writer *writer, fr_write *out, bool *taken);

/** Sleep until a write can be taken back, at most `ms` milliseconds. */
void fr_writer_rest(fr_writer *writer, int64_t ms);

#endif
