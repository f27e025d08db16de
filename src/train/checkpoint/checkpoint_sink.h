/*
 * checkpoint_sink.h - where a checkpoint's content goes while it is written: first its index, then its HDF5 tree.
 *
 * Layer L4, private to checkpoint*.c. Both are told the same things in the same order by one walk, so they say the same.
 * Places of arrays are known only to the second: the index keeps room for them, which the second fills.
 */
#ifndef FR_TRAIN_CHECKPOINT_CHECKPOINT_SINK_H
#define FR_TRAIN_CHECKPOINT_CHECKPOINT_SINK_H

#include "base/h5.h"
#include "train/checkpoint/checkpoint_impl.h"

typedef struct fr_sink {
    fr_ctx *ctx;
    fr_h5 *h5;                     /* NULL: this sink is an index */
    struct fr_sink *index;         /* of an HDF5 sink: whose room it fills */
    char object[FR_H5_PATH_BYTES]; /* group that attributes go to */
    int64_t n_arrays;              /* told so far */
    /* an index: */
    char *text;
    size_t bytes;
    size_t capacity;
    size_t line;      /* where the line at hand began */
    bool has_members; /* of the attributes at hand */
    size_t *rooms;    /* [n_arrays] where in the text a place goes */
    int64_t n_rooms;  /* allocated */
} fr_sink;

/** Begin a group and its attributes; fr_sink_end ends the attributes. */
FR_MUST_CHECK fr_status fr_sink_begin(fr_sink *sink, const char *path);
FR_MUST_CHECK fr_status fr_sink_end(fr_sink *sink);

FR_MUST_CHECK fr_status fr_sink_integer(fr_sink *sink, const char *name, int64_t value);
FR_MUST_CHECK fr_status fr_sink_text(fr_sink *sink, const char *name, const char *text);
FR_MUST_CHECK fr_status fr_sink_fields(fr_sink *sink, const fr_field *fields,
                                       int n_fields, const void *owner);

/** A group without attributes: in the tree alone. */
FR_MUST_CHECK fr_status fr_sink_group(fr_sink *sink, const char *path);
/** The groups that a task's arrays lie in. */
FR_MUST_CHECK fr_status fr_sink_groups(fr_sink *sink, const fr_checkpoint_task *task);

FR_MUST_CHECK fr_status fr_sink_array(fr_sink *sink, const fr_stored_array *array);

void fr_sink_fini(fr_sink *sink);

#endif
