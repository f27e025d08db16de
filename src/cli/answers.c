/* Answers on their way to the output, in the order of calls: open, begin, write for each row, end, close.
 *
 * open    looks at the output. A regular file, or none, is replaced at the end: its record is locked, and what OUT.part
 *         holds is weighed against --resume and --overwrite. Anything else is opened and written directly.
 * begin   compares the record and every kept line with what would be written now (go_on), or starts new files
 *         (begin_anew).
 * write   appends one whole line by one call and remembers in `whole` how many bytes are whole lines; a line that
 *         failed half way is cut off.
 * end     renames OUT.part to OUT.
 * close   keeps OUT.part if it holds answers, else removes it, and removes a record that has no answers.
 *
 * What always holds: OUT.part never exists beside another generation's record, since the record is written and synced
 * first; every line but the last is whole, so a kill at any moment leaves answers that a resume can keep; and answers
 * are removed only with --overwrite.
 */
#define _POSIX_C_SOURCE 200809L
#include "cli/answers.h"

#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/print.h"
#include "cli/path_ending.h"
#include "cli/row_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* TEXT_BYTES holds a message with a long path. A generation that was just ended may hold its lock a little longer, so
 * an output that is held is waited for before that is an error. */
enum { TEXT_BYTES = 8192, LOCK_SECONDS = 10 };

struct fr_answers {
    fr_ctx *ctx;
    fr_answers_params params;
    const fr_tokenizer *tokenizer;
    bool is_idle;   /* not rank 0: touches no file */
    FILE *direct;   /* NULL: OUT.part */
    char *part;     /* its path */
    char *info;     /* of the record */
    fr_lock *lock;  /* of the record */
    int file;       /* OUT.part; -1: not open */
    off_t whole;    /* its bytes that are whole lines */
    int64_t n_rows; /* all, once begun */
    int64_t n_written;
    char farewell[TEXT_BYTES]; /* "": nothing to continue from yet */
};

/* ---- existing files ------------------------------------------------------------------------ */

/* Whether the output is a regular file or does not exist: it is then written to OUT.part and replaced at the end. */
static fr_status look_at_output(fr_ctx *ctx, const char *path, bool *is_replaced)
{
    struct stat info;
    *is_replaced = false;
    if (lstat(path, &info) != 0) {
        *is_replaced = errno == ENOENT;
    } else if (S_ISDIR(info.st_mode)) {
        return FR_FAIL(ctx, FR_ERR_IO,
                       "cannot write to %s: it is a folder; give a file in it", path);
    } else {
        *is_replaced = S_ISREG(info.st_mode);
    }
    return FR_OK;
}

/* Bytes of the kept record, FR_RECORD_BYTES at most; no record is that long. */
static size_t read_record(const fr_answers *a, char out[FR_RECORD_BYTES])
{
    ssize_t n = pread(fr_lock_file(a->lock), out, FR_RECORD_BYTES, 0);
    return n > 0 ? (size_t)n : 0;
}

/* Whether the locked file is a record, which may be overwritten and removed. */
static bool record_is_ours(const fr_answers *a, bool *is_empty)
{
    char kept[FR_RECORD_BYTES];
    size_t bytes = read_record(a, kept);
    *is_empty = bytes == 0;
    return fr_record_is_ours(kept, bytes);
}

static fr_status count_lines(const fr_answers *a, int64_t *n)
{
    fr_map map;
    *n = 0;
    FR_TRY(fr_map_open(a->ctx, a->part, &map));
    for (size_t i = 0; i < map.bytes; i++) {
        *n += map.data[i] == '\n';
    }
    fr_map_close(&map);
    return FR_OK;
}

/* Nothing that may be somebody's answers is replaced without --overwrite: neither a file without a record nor lines
 * that --resume could keep. An empty file holds nothing to lose. */
static fr_status check_part(const fr_answers *a, bool has_record)
{
    struct stat info;
    int64_t n = 0;
    if (lstat(a->part, &info) != 0 || a->params.overwrite) {
        return FR_OK;
    }
    if (!S_ISREG(info.st_mode) || (!has_record && info.st_size > 0)) {
        return FR_FAIL(a->ctx, FR_ERR_ARG,
                       "%s exists without %s, the record that says what it holds; move "
                       "it away, or replace it with --overwrite",
                       a->part, a->info);
    }
    FR_TRY(count_lines(a, &n));
    if (n > 0 && !a->params.resume) {
        return FR_FAIL(a->ctx, FR_ERR_ARG,
                       "%s holds %lld answers of an unfinished generation; continue "
                       "after them with --resume, or start again with --overwrite",
                       a->part, (long long)n);
    }
    return FR_OK;
}

static fr_status open_part(fr_answers *a)
{
    char what[TEXT_BYTES];
    bool is_empty = false;
    FR_TRY(fr_path_with_ending(a->ctx, a->params.path, ".part", &a->part));
    FR_TRY(fr_path_with_ending(a->ctx, a->part, ".info", &a->info));
    (void)snprintf(what, sizeof what, "output %s", a->params.path);
    FR_TRY(fr_lock_take_removable(a->ctx, a->info, what, LOCK_SECONDS, &a->lock));
    if (!record_is_ours(a, &is_empty)) {
        return FR_FAIL(a->ctx, FR_ERR_ARG,
                       "%s exists and is not a record of answers; move it away, or "
                       "give another output",
                       a->info);
    }
    FR_TRY(check_part(a, !is_empty));
    if (a->params.resume && !fr_file_exists(a->part)) {
        fr_log(a->ctx, FR_LOG_INFO, "%s does not exist: starting with the first row",
               a->part);
    }
    return FR_OK;
}

static fr_status open_output(fr_answers *a)
{
    const char *path = a->params.path;
    bool is_replaced = false;
    if (path != NULL) {
        FR_TRY(look_at_output(a->ctx, path, &is_replaced));
    }
    if (is_replaced) {
        return open_part(a);
    }
    if (a->params.resume) {
        return FR_FAIL(a->ctx, FR_ERR_ARG,
                       "--resume needs --output FILE with a regular file: %s keeps no "
                       "answers to continue from",
                       path != NULL ? path : "standard output");
    }
    a->direct = stdout;
    return path != NULL ? fr_file_open_output(a->ctx, path, &a->direct) : FR_OK;
}

fr_status fr_answers_open(fr_ctx *ctx, const fr_answers_params *params,
                          fr_answers **out)
{
    fr_answers *a = NULL;
    *out = NULL;
    if (params->resume && (params->overwrite || params->is_text)) {
        return FR_FAIL(ctx, FR_ERR_ARG, "%s",
                       params->overwrite
                           ? "give --resume or --overwrite, not both"
                           : "--resume continues with rows; it needs --input");
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof *a, &a));
    a->ctx = ctx;
    a->params = *params;
    a->is_idle = fr_ctx_rank(ctx) != 0;
    a->file = -1;
    *out = a;
    return a->is_idle ? FR_OK : open_output(a);
}

/* ---- beginning ------------------------------------------------------------------------------ */

/* The rows as they will be written, with a zero after each. */
static fr_status add_rows(const fr_answers *a, fr_digest *digest)
{
    for (int64_t i = 0; i < a->n_rows && !a->params.is_text; i++) {
        char *row = NULL;
        size_t bytes = 0;
        FR_TRY(a->params.row(a->params.user, i, &row, &bytes));
        fr_status status = fr_digest_add(a->ctx, digest, row, bytes);
        free(row);
        FR_TRY(status);
        FR_TRY(fr_digest_add(a->ctx, digest, "", 1));
    }
    return FR_OK;
}

static fr_status record_rows(const fr_answers *a, fr_record *record)
{
    uint8_t out[FR_DIGEST_BYTES];
    fr_digest *digest = NULL;
    FR_TRY(fr_digest_create(a->ctx, &digest));
    fr_status status = add_rows(a, digest);
    if (status == FR_OK) {
        status = fr_digest_end(a->ctx, digest, out);
    }
    fr_digest_destroy(&digest);
    if (status == FR_OK) {
        fr_record_add_digest(record, "--input", out);
    }
    return status;
}

static fr_status fail_part(const fr_answers *a, const char *action)
{
    return FR_FAIL(a->ctx, FR_ERR_IO, "cannot %s %s: %s", action, a->part,
                   strerror(errno));
}

/* The record is on the disk before OUT.part exists: OUT.part is never beside another generation's record. */
static fr_status begin_anew(fr_answers *a, const fr_record *record)
{
    int info = fr_lock_file(a->lock);
    struct stat before;
    if (unlink(a->part) != 0 && errno != ENOENT) {
        return fail_part(a, "replace");
    }
    if (ftruncate(info, 0) != 0 || lseek(info, 0, SEEK_SET) != 0 ||
        !fr_write_whole(info, record->text, record->bytes) || fsync(info) != 0) {
        return FR_FAIL(a->ctx, FR_ERR_IO, "cannot write to %s: %s", a->info,
                       strerror(errno));
    }
    a->file = fr_open_own(a->part, O_WRONLY | O_EXCL);
    if (a->file < 0) {
        return fail_part(a, "create");
    }
    if (stat(a->params.path, &before) ==
        0) { /* the new file is as readable as the one that it replaces */
        (void)fchmod(a->file, before.st_mode & 0777);
    }
    return FR_OK;
}

static fr_status scan_part(fr_answers *a, fr_answers_found *found)
{
    fr_map map;
    FR_TRY(fr_map_open(a->ctx, a->part, &map));
    fr_status status = fr_answers_scan(a->ctx, &a->params, a->tokenizer, a->n_rows,
                                       (const char *)map.data, map.bytes, found);
    fr_map_close(&map);
    return status;
}

/* The record and all kept lines are checked before the file is opened for writing: a refusal leaves it as it is. */
static fr_status go_on(fr_answers *a, const fr_record *record)
{
    char kept[FR_RECORD_BYTES];
    fr_answers_found found;
    size_t bytes = read_record(a, kept);
    FR_TRY(fr_record_check(a->ctx, a->part, kept, bytes, record));
    FR_TRY(scan_part(a, &found));
    a->n_written =
        found.n_kept; /* set before it is open: a file with answers is never removed */
    a->file = fr_open_own(a->part, O_WRONLY);
    if (a->file < 0) {
        return fail_part(a, "open");
    }
    a->whole = (off_t)found.kept_bytes;
    if (ftruncate(a->file, a->whole) != 0 || lseek(a->file, 0, SEEK_END) != a->whole) {
        return fail_part(a, "cut");
    }
    fr_log(a->ctx, FR_LOG_INFO,
           "%s holds the answers to %lld of %lld rows: continuing after them", a->part,
           (long long)found.n_kept, (long long)a->n_rows);
    if (found.n_lines > found.n_kept) {
        fr_log(a->ctx, FR_LOG_WARN,
               "%s: its last line was damaged; that row is computed again", a->part);
    }
    return FR_OK;
}

static void prepare_farewell(fr_answers *a)
{
    char shown[TEXT_BYTES / 2];
    fr_escape(a->part, shown, sizeof shown);
    (void)snprintf(a->farewell, sizeof a->farewell,
                   "the answers so far are in %s: the same command with --resume "
                   "continues after them\n",
                   shown);
}

fr_status fr_answers_begin(fr_answers *answers, const fr_tokenizer *tokenizer,
                           const fr_record *record, int64_t n_rows, int64_t *n_kept)
{
    fr_answers *a = answers;
    fr_record whole = *record;
    int64_t n_lines = 0;
    *n_kept = 0;
    a->tokenizer = tokenizer;
    a->n_rows = n_rows;
    if (a->is_idle || a->direct != NULL) {
        return FR_OK;
    }
    FR_TRY(record_rows(a, &whole));
    if (a->params.resume && fr_file_exists(a->part)) {
        FR_TRY(count_lines(a, &n_lines));
    }
    FR_TRY(n_lines > 0 ? go_on(a, &whole) : begin_anew(a, &whole));
    if (!a->params.is_text) {
        prepare_farewell(a);
    }
    *n_kept = a->n_written;
    return FR_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

static const char *name_of(const fr_answers *a)
{
    return a->part != NULL          ? a->part
           : a->params.path != NULL ? a->params.path
                                    : "standard output";
}

static fr_answer_form form_of(const fr_answers *a)
{
    return (fr_answer_form){a->tokenizer, a->params.stops, a->params.n_stops};
}

static fr_status write_text(fr_answers *a, const fr_ids *ids)
{
    const fr_answer_form form = form_of(a);
    char *text = NULL;
    size_t bytes = 0;
    FR_TRY(fr_answer_text(a->ctx, &form, ids, &text, &bytes));
    FILE *out = a->direct;
    fr_status status = FR_OK;
    if (out != NULL) {
        status = fr_write_text(a->ctx, out, name_of(a), text, bytes);
    } else if (text != NULL) {
        status = fr_write_line(a->ctx, a->file, name_of(a), text, bytes);
    }
    free(text);
    return status;
}

/* If the line cannot be written whole, for example on a full disk, the file is cut back to its last whole line. */
static fr_status write_row(fr_answers *a, int64_t index, const fr_ids *ids)
{
    const fr_answer_form form = form_of(a);
    char *row = NULL;
    char *line = NULL;
    size_t row_bytes = 0;
    size_t bytes = 0;
    FR_TRY(a->params.row(a->params.user, index, &row, &row_bytes));
    fr_status status =
        fr_answer_line(a->ctx, &form, row, row_bytes, ids, &line, &bytes);
    if (status == FR_OK) {
        status = fr_write_line(a->ctx, a->direct != NULL ? fileno(a->direct) : a->file,
                               name_of(a), line, bytes);
    }
    if (status == FR_OK && a->direct == NULL) {
        a->whole += (off_t)bytes + 1;
    } else if (a->direct == NULL && ftruncate(a->file, a->whole) != 0) {
        fr_log(a->ctx, FR_LOG_WARN, "the last line of %s may be incomplete", a->part);
    }
    free(row);
    free(line);
    return status;
}

fr_status fr_answers_write(fr_answers *answers, int64_t index, const fr_ids *ids)
{
    fr_answers *a = answers;
    if (a->is_idle) {
        return FR_OK;
    }
    FR_TRY(a->params.is_text ? write_text(a, ids) : write_row(a, index, ids));
    a->n_written++;
    return FR_OK;
}

/* ---- the end -------------------------------------------------------------------------------- */

fr_status fr_answers_end(fr_answers *answers)
{
    fr_answers *a = answers;
    if (a->is_idle || a->direct != NULL) {
        return FR_OK;
    }
    FR_TRY(fr_file_put(a->ctx, a->file, a->part, a->params.path));
    (void)close(a->file);
    a->file = -1;
    a->farewell[0] = '\0';
    return FR_OK;
}

const char *fr_answers_farewell(const fr_answers *answers)
{
    return answers->n_written > 0 && answers->farewell[0] != '\0' ? answers->farewell
                                                                  : NULL;
}

/* A generation that failed: keep its answers; remove the file if it has none. */
static void leave_part(const fr_answers *a)
{
    (void)close(a->file);
    if (a->n_written == 0 || a->params.is_text) {
        (void)unlink(a->part);
    }
    if (!fr_file_exists(a->part)) { /* or it was renamed, and something later failed */
        return;
    }
    fr_log(a->ctx, FR_LOG_INFO,
           "%s holds the answers to %lld of %lld rows: the same command with --resume "
           "continues after them",
           a->part, (long long)a->n_written, (long long)a->n_rows);
}

/* Remove a record without answers, unless the file is not a record. */
static void leave_record(fr_answers *a)
{
    bool is_empty = false;
    struct stat part;
    if (record_is_ours(a, &is_empty) &&
        (is_empty || (lstat(a->part, &part) != 0 && errno == ENOENT))) {
        (void)unlink(a->info);
    }
    fr_lock_release(&a->lock);
}

fr_status fr_answers_close(fr_answers **answers)
{
    fr_answers *a = *answers;
    fr_status status = FR_OK;
    *answers = NULL;
    if (a == NULL) {
        return FR_OK;
    }
    if (a->file >= 0) {
        leave_part(a);
    }
    if (a->lock != NULL) {
        leave_record(a);
    }
    if (a->direct != NULL && a->direct != stdout && fclose(a->direct) != 0) {
        status = FR_FAIL(a->ctx, FR_ERR_IO, "cannot write to %s: %s", name_of(a),
                         strerror(errno));
    }
    free(a->part);
    free(a->info);
    free(a);
    return status;
}
