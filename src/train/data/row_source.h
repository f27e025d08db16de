/*
 * row_source.h - the rows of a data file one after another, each as the text of a JSON object, whatever kind of file it is:
 * JSON lines, one JSON list of objects, or a table (CSV, TSV) whose first row names the columns.
 *
 * Memory is bounded by one row: the caller maps or reads the file, and nothing of it is kept.
 */
#ifndef FR_TRAIN_DATA_ROW_SOURCE_H
#define FR_TRAIN_DATA_ROW_SOURCE_H

#include "base/ctx.h"
#include "train/data/row_shape.h"

/** Bytes that one row of a list or a table may have: more means that a quote is not closed. */
enum { FR_ROW_MAX_BYTES = 8 << 20 };

typedef struct fr_row_source fr_row_source;

/** One row. */
typedef struct fr_row_text {
    const char *text; /* until the next one is taken; NULL: there is none left */
    size_t bytes;
    int64_t line; /* where it begins, from 1 */
    /* FR_ERR_DATA: this row alone cannot be read; the context says why */
    fr_status status;
} fr_row_text;

/**
 * @param text   the whole file; stays until the source is closed
 * @return FR_OK; FR_ERR_DATA: not a file of rows (fr_rows_check_file), or a table without usable names of columns
 */
FR_MUST_CHECK fr_status fr_row_source_open(fr_ctx *ctx, const char *path,
                                           const char *text, size_t bytes,
                                           fr_row_source **out);
void fr_row_source_close(fr_row_source **source);

/** The kind of file: FR_FORM_LIST, FR_FORM_CSV or FR_FORM_TSV; 0: JSON lines. */
int64_t fr_row_source_kind(const fr_row_source *source);
/** Whether the text of a row is lost when the next one is taken, rather than when the source is closed. */
bool fr_row_source_is_brief(const fr_row_source *source);

/** @return FR_OK; FR_ERR_DATA "FILE:LINE: ...": the rest of the file cannot be read: a list or a quote is not closed ... */
FR_MUST_CHECK fr_status fr_row_source_next(fr_row_source *source, fr_row_text *out);

#endif
