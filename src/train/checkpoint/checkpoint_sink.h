/*
 * checkpoint_sink.h - receives a checkpoint's content while it is written: one sink makes the index, another the HDF5 tree.
 *
 * Private to checkpoint_*.c. checkpoint_write.c walks over the content once for each sink, so both hold the same. The
 * index comes first, but offsets of arrays are known only to the HDF5 sink: the index leaves blanks, and the HDF5 sink
 * fills them.
 */
#ifndef FR_TRAIN_CHECKPOINT_CHECKPOINT_SINK_H
#define FR_TRAIN_CHECKPOINT_CHECKPOINT_SINK_H

#include "base/h5.h"
#include "train/checkpoint/checkpoint_impl.h"

typedef struct fr_sink {
    fr_ctx *ctx;
    fr_h5 *h5;             /* NULL: this sink makes the index */
    struct fr_sink *index; /* of an HDF5 sink: the index whose blanks it fills */
    char object[FR_H5_PATH_BYTES]; /* group that receives attributes */
    int64_t n_arrays;              /* received so far */
    /* of an index: */
    char *text;
    size_t bytes;
    size_t capacity;
    size_t line;      /* start of the current line */
    bool has_members; /* the current attributes have a member */
    size_t *blanks;   /* [n_arrays] position in the text of each blank */
    int64_t n_blanks; /* allocated */
} fr_sink;

/** Begin a group and its attributes. fr_sink_end ends the attributes. */
FR_MUST_CHECK fr_status fr_sink_begin(fr_sink *sink, const char *path);
FR_MUST_CHECK fr_status fr_sink_end(fr_sink *sink);

FR_MUST_CHECK fr_status fr_sink_integer(fr_sink *sink, const char *name, int64_t value);
FR_MUST_CHECK fr_status fr_sink_text(fr_sink *sink, const char *name, const char *text);
FR_MUST_CHECK fr_status fr_sink_fields(fr_sink *sink, const fr_field *fields,
                                       int n_fields, const void *owner);

/** A group without attributes, which only the HDF5 tree has. */
FR_MUST_CHECK fr_status fr_sink_group(fr_sink *sink, const char *path);
/** The groups that hold the arrays of a task. */
FR_MUST_CHECK fr_status fr_sink_groups(fr_sink *sink, const fr_checkpoint_task *task);

FR_MUST_CHECK fr_status fr_sink_array(fr_sink *sink, const fr_stored_array *array);

void fr_sink_fini(fr_sink *sink);

#endif
