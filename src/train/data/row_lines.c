/*
 * The lines of a file of rows, and the account of rows that cannot be used.
 *
 * fr_row_lines points into the text of the file and copies nothing. Blank lines are passed over but counted, so that
 * messages name the lines that an editor shows.
 *
 * A row that cannot be used arrives as FR_ERR_DATA with its message in the context. The account takes the message out
 * of the context, logs it, and lets the reading go on. With `skip` that is all. Without it the other rows are read only
 * to find more faults: at the end, or at the MAX_NAMED-th bad row, the first message becomes the error. Any status
 * other than FR_ERR_DATA is not the fault of a row and ends the reading at once.
 */
#include "train/data/row_lines.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 20 messages fit on a screen: enough to see what is wrong with a file. WHY_BYTES holds the longest message, with a
 * remedy and a command; a longer one is cut. */
enum { MAX_NAMED = 20, WHY_BYTES = 1024 };

fr_row_lines fr_row_lines_of(const char *text, size_t bytes)
{
    static const char MARK[] = "\xEF\xBB\xBF";
    size_t mark = bytes >= sizeof MARK - 1 && memcmp(text, MARK, sizeof MARK - 1) == 0
                      ? sizeof MARK - 1
                      : 0;
    return (fr_row_lines){text + mark, bytes - mark, 0};
}

/* A NUL is not blank: strchr would find it as the end of its list. Such a line reaches the reader, which reports it. */
static bool is_blank(const char *line, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (line[i] == '\0' || strchr(" \t\r\n", line[i]) == NULL) {
            return false;
        }
    }
    return true;
}

bool fr_row_lines_next(fr_row_lines *lines, const char **line, size_t *bytes)
{
    while (lines->left > 0) {
        const char *end = memchr(lines->next, '\n', lines->left);
        *line = lines->next;
        *bytes = end != NULL ? (size_t)(end - lines->next) + 1 : lines->left;
        lines->next += *bytes;
        lines->left -= *bytes;
        lines->line++;
        if (!is_blank(*line, *bytes)) {
            return true;
        }
    }
    return false;
}

/* Log one row that cannot be used. With `skip` their number has no limit, so one more line ends the messages. */
static void name_row(const fr_ctx *ctx, const fr_bad_rows *bad, const char *why)
{
    if (bad->n <= MAX_NAMED) {
        fr_log(ctx, FR_LOG_WARN, "%s%s", why, bad->skip ? "; the row is left out" : "");
    }
    if (bad->skip && bad->n == MAX_NAMED + 1) {
        fr_log(ctx, FR_LOG_WARN,
               "more than %d rows cannot be used; the others are not named", MAX_NAMED);
    }
}

/* Without `skip` the first bad row is not logged at once: if it stays the only one, fr_bad_rows_end reports it as the
 * error itself, and it is not said twice. With the second one both are logged. The message is copied before the
 * context is cleared, since the context owns it. */
fr_status fr_bad_rows_add(fr_ctx *ctx, fr_bad_rows *bad, fr_status status)
{
    char why[WHY_BYTES];
    if (status != FR_ERR_DATA) {
        return status;
    }
    (void)snprintf(why, sizeof why, "%s", fr_ctx_error(ctx));
    fr_ctx_clear_error(ctx);
    bad->n++;
    if (bad->n == 1) {
        FR_TRY(fr_copy_string(ctx, why, &bad->first));
    }
    if (bad->skip) {
        name_row(ctx, bad, why);
        return FR_OK;
    }
    if (bad->n == 2) {
        name_row(ctx, bad, bad->first);
    }
    if (bad->n >= 2) {
        name_row(ctx, bad, why);
    }
    return bad->n < MAX_NAMED
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_DATA,
                         "%s; at least %d rows cannot be used (see above)", bad->first,
                         MAX_NAMED);
}

fr_status fr_bad_rows_end(fr_ctx *ctx, const fr_bad_rows *bad, const char *path)
{
    if (bad->n == 0 || bad->skip) {
        return FR_OK;
    }
    return bad->n == 1 ? FR_FAIL(ctx, FR_ERR_DATA, "%s", bad->first)
                       : FR_FAIL(ctx, FR_ERR_DATA,
                                 "%s; of %s %lld rows cannot be used (see above)",
                                 bad->first, path, (long long)bad->n);
}

void fr_bad_rows_fini(fr_bad_rows *bad)
{
    free(bad->first);
    bad->first = NULL;
}

void fr_row_report(const fr_ctx *ctx, const char *path, int64_t n_unusable,
                   int64_t n_unused)
{
    if (n_unusable > 0) {
        fr_log(ctx, FR_LOG_WARN, "%s: rows that cannot be used and are left out: %lld",
               path, (long long)n_unusable);
    }
    if (n_unused > 0) {
        fr_log(ctx, FR_LOG_WARN,
               "%s: rows with a \"source\" that the template does not use: %lld; "
               "add {source} to the template to use it",
               path, (long long)n_unused);
    }
}

/* Functions below a row fail with a place or without; a message that begins with the path already has one. */
void fr_row_add_place(fr_ctx *ctx, const char *path, int64_t line)
{
    char why[WHY_BYTES];
    const char *said = fr_ctx_error(ctx);
    size_t length = strlen(path);
    if (strncmp(said, path, length) == 0 && said[length] == ':') {
        return;
    }
    (void)snprintf(why, sizeof why, "%s", said);
    fr_status status = fr_ctx_error_status(ctx);
    fr_ctx_clear_error(ctx);
    if (line == 0) {
        (void)FR_FAIL(ctx, status, "%s: %s", path, why);
    } else {
        (void)FR_FAIL(ctx, status, "%s:%lld: %s", path, (long long)line, why);
    }
}
