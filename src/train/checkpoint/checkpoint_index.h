/*
 * checkpoint_index.h - the lines of a file's index, one taken after the other, and the attributes in them.
 *
 * Layer L4, private to checkpoint*.c. Every failure is FR_ERR_CHECKPOINT and names the file and the line or place.
 */
#ifndef FR_TRAIN_CHECKPOINT_CHECKPOINT_INDEX_H
#define FR_TRAIN_CHECKPOINT_CHECKPOINT_INDEX_H

#include "train/checkpoint/checkpoint_impl.h"

typedef struct fr_index {
    fr_ctx *ctx;
    const char *path; /* of the file, for messages */
    const char *next; /* line */
    const char *end;
    int64_t line;      /* number of the line taken last */
    fr_json_walk walk; /* of that line, behind its path */
} fr_index;

/** Most fields of the tables of one object. */
enum { FR_MAX_FIELDS = 64 };

/** Some of an object's attributes and the struct that they go to; a list of tables ends with an empty one. */
typedef struct fr_index_table {
    const fr_field *fields;
    int n;
    void *owner;
    bool may_lack;       /* any of them */
    bool may_lack_texts; /* those that are texts */
} fr_index_table;

/** "FILE: PLACE WHAT; restore ..." */
fr_status fr_index_fail(const fr_index *index, const char *place, const char *what);
fr_status fr_index_fail_line(const fr_index *index, const char *what);
fr_status fr_index_fail_attribute(const fr_index *index, const char *object,
                                  fr_json name, const char *what);

/** Take the line of `kind` ("group" or "array") for `object`, stepping over lines that a newer minor version may have
 * added: those whose first key is neither. */
FR_MUST_CHECK fr_status fr_index_take(fr_index *index, const char *kind,
                                      const char *object);

/** Find n members of the line at hand by their names, each there once; others are stepped over. */
FR_MUST_CHECK fr_status fr_index_members(fr_index *index, const char *const *names,
                                         int n, fr_json *out);

/** Take a group's line and its attributes. Texts belong to their owners also on failure. */
FR_MUST_CHECK fr_status fr_index_attributes(fr_index *index, const char *object,
                                            const fr_index_table *tables);

/** Nothing may follow but lines that a newer minor version added. */
FR_MUST_CHECK fr_status fr_index_rest(fr_index *index);

#endif
