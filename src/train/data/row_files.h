/*
 * row_files.h - recognises kinds of data files, and rows in forms that other projects publish.
 *
 * People give the file that they have. What cannot be read as it is, is named, and the message ends with a command that
 * converts it; docs/data.md has the same commands.
 */
#ifndef FR_TRAIN_DATA_ROW_FILES_H
#define FR_TRAIN_DATA_ROW_FILES_H

#include "train/data/row_shape.h"

/** Bytes at the beginning of a file that are inspected: enough for a first row of ordinary length, and cheap. */
enum { FR_ROWS_LOOK_BYTES = 65536 };

/** Which kind of file of rows. */
typedef struct fr_rows_kind {
    int64_t form;   /* FR_FORM_LIST, FR_FORM_CSV, FR_FORM_TSV; 0: JSON lines */
    char delimiter; /* of a table */
} fr_rows_kind;

/**
 * Inspect the beginning of a data file of `n` bytes. Never refuses a file whose first row is a JSON object on one line;
 * the reader of rows reports everything else by line.
 * @return FR_OK; FR_ERR_DATA "PATH: is ...": packed, a pointer, an object over several lines, ...
 */
FR_MUST_CHECK fr_status fr_rows_check_file(fr_ctx *ctx, const char *path,
                                           const void *bytes, size_t n,
                                           fr_rows_kind *out);

/** What the name of a file says of its kind: FR_FORM_CSV, FR_FORM_TSV, or 0. */
int64_t fr_rows_ending(const char *path);

/** Message for a row with these top-level keys: its form and the command that converts it, to follow "FILE:LINE: ".
 * NULL: no known form. */
const char *fr_rows_form_hint(const char *const *keys, size_t n);

/** Form number `index` that fr_rows_form_hint knows: its name and the jq program in its hint; false past the last. For
 * the test that docs/data.md lists every form. */
bool fr_rows_form(size_t index, const char **name, const char **program);

#endif
