/*
 * row_files.h - what a data file is that is no JSON lines, and what a row is that has none of the known forms.
 *
 * Layer L4; uses base. People give the file that they have, in the form in which others publish it. What is said ends
 * with the way out; docs/data.md has the same commands.
 */
#ifndef FR_TRAIN_DATA_ROW_FILES_H
#define FR_TRAIN_DATA_ROW_FILES_H

#include "base/ctx.h"

/** Bytes of a file that are looked at. */
enum { FR_ROWS_LOOK_BYTES = 65536 };

/**
 * Look at the beginning of a data file of `n` bytes. Never refuses one whose first row is a JSON object on one line;
 * what is not told here the reader of rows tells by line.
 * @return FR_OK; FR_ERR_DATA "PATH: is ...": packed, a pointer, a table, a list, an object over several lines, ...
 */
FR_MUST_CHECK fr_status fr_rows_check_file(fr_ctx *ctx, const char *path,
                                           const void *bytes, size_t n);

/** What a row with these top-level keys is and how it becomes one of ours, as what follows "FILE:LINE: "; NULL: no form
 * that is known. */
const char *fr_rows_form_hint(const char *const *keys, size_t n);

/** The forms that the hint knows, for tests and documents: name of form number `index` and the jq program in its hint;
 * false past the last. */
bool fr_rows_form(size_t index, const char **name, const char **program);

#endif
