/*
 * row_lines.h - a file of rows line by line, and the rows of it that cannot be used.
 *
 * Layer L4. A bad row is named by file and line. Whether it ends the reading (`stop`) or is left out (`skip`) is the
 * user's choice; in either case the others are looked at first, so that one look shows what is to be mended.
 */
#ifndef FR_TRAIN_DATA_ROW_LINES_H
#define FR_TRAIN_DATA_ROW_LINES_H

#include "base/ctx.h"

#include <stddef.h>

/** What is left of a text of lines. */
typedef struct fr_row_lines {
    const char *next;
    size_t left;
    int64_t line; /* number of the line taken last, from 1 */
} fr_row_lines;

/** Begin; a byte order mark is stepped over. */
fr_row_lines fr_row_lines_of(const char *text, size_t bytes);
/** The next line that is not blank, with its end; false after the last. */
bool fr_row_lines_next(fr_row_lines *lines, const char **line, size_t *bytes);

/** Rows that could not be used. Zero-initialise, with `skip` as wished; release with fr_bad_rows_fini. */
typedef struct fr_bad_rows {
    bool skip;
    int64_t n;
    char *first; /* what was said of the first one; owned */
} fr_bad_rows;

/**
 * After a row was read with `status`: FR_ERR_DATA is taken out of the context, named in the log and counted. With `skip`
 * any number of them, of which the first are named; else so many that a glance shows them.
 * @return FR_OK; any other status as it came; FR_ERR_DATA once there are too many to go on
 */
FR_MUST_CHECK fr_status fr_bad_rows_add(fr_ctx *ctx, fr_bad_rows *bad,
                                        fr_status status);
/** At the end of a file: FR_OK, or with `stop` FR_ERR_DATA naming the bad rows. */
FR_MUST_CHECK fr_status fr_bad_rows_end(fr_ctx *ctx, const fr_bad_rows *bad,
                                        const char *path);
void fr_bad_rows_fini(fr_bad_rows *bad);

/** Warn, on rank 0, of rows of the file that are left out, and of rows with a source that the template has no place for. */
void fr_row_report(const fr_ctx *ctx, const char *path, int64_t n_unusable,
                   int64_t n_unused);

/** Put "PATH:LINE: " ("PATH: " where line is 0) before what the context says unless it begins so: what reads a row's
 * parts knows no lines. The status stays. */
void fr_row_add_place(fr_ctx *ctx, const char *path, int64_t line);

#endif
