/*
 * checkpoint_index.h - reads the index of a file line by line, and the attributes in its lines.
 *
 * Private to checkpoint_*.c. Every failure is FR_ERR_CHECKPOINT and names the file and the line or object.
 */
#ifndef FR_TRAIN_CHECKPOINT_CHECKPOINT_INDEX_H
#define FR_TRAIN_CHECKPOINT_CHECKPOINT_INDEX_H

#include "train/checkpoint/checkpoint_impl.h"

typedef struct fr_index {
    fr_ctx *ctx;
    const char *path; /* of the file */
    const char *next; /* line */
    const char *end;
    int64_t line;      /* number of the current line */
    fr_json_walk walk; /* over the current line, behind its path */
} fr_index;

/** Limit of the fields in all tables of one object. */
enum { FR_MAX_FIELDS = 64 };

/** A table of attributes and the struct that they fill. A list of tables ends with an empty one. */
typedef struct fr_index_table {
    const fr_field *fields;
    int n;
    void *owner;
    bool may_lack;       /* all of them are optional */
    bool may_lack_texts; /* texts are optional */
} fr_index_table;

/** "FILE: PLACE WHAT; restore ..." */
fr_status fr_index_fail(const fr_index *index, const char *place, const char *what);
fr_status fr_index_fail_line(const fr_index *index, const char *what);
fr_status fr_index_fail_attribute(const fr_index *index, const char *object,
                                  fr_json name, const char *what);

/** Take the next line, which must be of `kind` ("group" or "array") for `object`. Lines of other kinds, which a newer
 * minor version may have added, are skipped. */
FR_MUST_CHECK fr_status fr_index_take(fr_index *index, const char *kind,
                                      const char *object);

/** Find n members of the current line by name. Each must appear once; others are skipped. */
FR_MUST_CHECK fr_status fr_index_members(fr_index *index, const char *const *names,
                                         int n, fr_json *out);

/** Take a group's line and its attributes. Texts belong to the owners of the tables, also on failure. */
FR_MUST_CHECK fr_status fr_index_attributes(fr_index *index, const char *object,
                                            const fr_index_table *tables);

/** At the end: only lines that a newer minor version added may follow. */
FR_MUST_CHECK fr_status fr_index_rest(fr_index *index);

#endif
