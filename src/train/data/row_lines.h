/*
 * row_lines.h - walks over the lines of a file of rows, and keeps account of rows that cannot be used.
 *
 * A bad row is named by file and line. The user chooses whether it is an error (`stop`) or is left out (`skip`). In both
 * cases the following rows are read too, so that one run shows all that must be repaired.
 */
#ifndef FR_TRAIN_DATA_ROW_LINES_H
#define FR_TRAIN_DATA_ROW_LINES_H

#include "base/ctx.h"

#include <stddef.h>

/** The rest of a text of lines. */
typedef struct fr_row_lines {
    const char *next;
    size_t left;
    int64_t line; /* number of the line taken last, from 1 */
} fr_row_lines;

/** All lines of a text, without its byte order mark. */
fr_row_lines fr_row_lines_of(const char *text, size_t bytes);
/** The next line that is not blank, with its end; false after the last. */
bool fr_row_lines_next(fr_row_lines *lines, const char **line, size_t *bytes);

/** Rows that cannot be used. Zero-initialise except for `skip`; release with fr_bad_rows_fini. */
typedef struct fr_bad_rows {
    bool skip;
    int64_t n;
    char *first; /* message of the first one; owned */
} fr_bad_rows;

/**
 * Call with the `status` of reading a row. FR_ERR_DATA is cleared from the context, logged and counted. With `skip` there
 * may be any number of bad rows, and the first 20 are logged; without, the 20th ends the reading.
 * @return FR_OK; any other status unchanged; FR_ERR_DATA once there are too many bad rows
 */
FR_MUST_CHECK fr_status fr_bad_rows_add(fr_ctx *ctx, fr_bad_rows *bad,
                                        fr_status status);
/** At the end of a file: FR_OK, or with `stop` FR_ERR_DATA naming the bad rows. */
FR_MUST_CHECK fr_status fr_bad_rows_end(fr_ctx *ctx, const fr_bad_rows *bad,
                                        const char *path);
void fr_bad_rows_fini(fr_bad_rows *bad);

/** Warn, on rank 0, about rows that are left out, and about rows with a source that the template does not use. */
void fr_row_report(const fr_ctx *ctx, const char *path, int64_t n_unusable,
                   int64_t n_unused);

/** Put "PATH:LINE: " ("PATH: " if line is 0) before the context's message unless it already begins so: functions that
 * read parts of a row do not know the line. The status stays. */
void fr_row_add_place(fr_ctx *ctx, const char *path, int64_t line);

#endif
