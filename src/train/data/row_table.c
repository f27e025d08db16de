/*
 * libcsv takes bytes and calls back at the end of each field and each row. It is given one line at a time, in pieces, so
 * after each piece at most one row is complete, and a quote that is never closed is found before it fills the memory.
 * The first row gives the columns' names, already written as JSON; every other row becomes {"NAME":"FIELD",...}.
 *
 * Strict: a quote within a field that does not begin with one is an error. What was meant cannot be known, and a guess would
 * join rows. After such an error the table is at its end.
 */
#include "train/data/row_table.h"

#include "base/mem.h"
#include "base/print.h"
#include "model/text/bytes.h"

#include <csv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 4096, PIECE = 65536 };

/* What is wrong with the row that is being read; the first finding counts. */
typedef enum row_fault { NO_FAULT, HAS_NUL, NOT_UTF8, TOO_MANY } row_fault;

struct fr_row_table {
    fr_ctx *ctx;
    const char *path;
    struct csv_parser parser;
    bool has_parser;
    const char *next;
    size_t left;
    int64_t line; /* of the byte at `next` */
    /* the row that is being read */
    int64_t first_line;
    bool is_open;
    bool is_done;
    size_t used; /* bytes of the file */
    int64_t n_fields;
    row_fault fault;
    fr_status status; /* of memory, within a callback */
    fr_bytes json;
    /* the columns: their names as JSON one after another, and where each ends */
    int64_t n_columns; /* 0 while the first row is read */
    fr_bytes names;
    size_t *ends;
    bool skips_first; /* the first column has no name */
};

/* ---- writing JSON ------------------------------------------------------------------------------ */

static fr_status add_string(fr_ctx *ctx, fr_bytes *to, const char *text, size_t n)
{
    FR_TRY(fr_bytes_add(ctx, to, "\"", 1));
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        char escape[8];
        if (c >= ' ' && c != '"' && c != '\\') {
            continue;
        }
        int length = snprintf(escape, sizeof escape, "\\u%04x", c);
        FR_TRY(fr_bytes_add(ctx, to, text + from, i - from));
        FR_TRY(fr_bytes_add(ctx, to, escape, (size_t)length));
        from = i + 1;
    }
    FR_TRY(fr_bytes_add(ctx, to, text + from, n - from));
    return fr_bytes_add(ctx, to, "\"", 1);
}

static row_fault fault_of(const char *text, size_t n)
{
    uint32_t code = 0;
    if (memchr(text, '\0', n) != NULL) {
        return HAS_NUL;
    }
    for (size_t at = 0; at < n;) {
        size_t step = fr_utf8_next(text + at, n - at, &code);
        if (step == 0) {
            return NOT_UTF8;
        }
        at += step;
    }
    return NO_FAULT;
}

/* ---- what libcsv calls ---------------------------------------------------------------------------- */

static fr_status add_name(fr_row_table *t, const char *text, size_t n)
{
    t->skips_first = t->skips_first || (t->n_fields == 1 && n == 0);
    FR_TRY(add_string(t->ctx, &t->names, text, n));
    t->ends[t->n_fields - 1] = t->names.count;
    return FR_OK;
}

static fr_status add_value(fr_row_table *t, const char *text, size_t n)
{
    int64_t column = t->n_fields - 1;
    size_t begin = column == 0 ? 0 : t->ends[column - 1];
    if (column == 0 && t->skips_first) {
        return FR_OK;
    }
    FR_TRY(fr_bytes_add(t->ctx, &t->json, t->json.count > 1 ? "," : "",
                        t->json.count > 1 ? 1 : 0));
    FR_TRY(
        fr_bytes_add(t->ctx, &t->json, t->names.data + begin, t->ends[column] - begin));
    FR_TRY(fr_bytes_add(t->ctx, &t->json, ":", 1));
    return add_string(t->ctx, &t->json, text, n);
}

static void take_field(void *text, size_t n, void *data)
{
    fr_row_table *t = data;
    const char *from = n > 0 ? text : "";
    int64_t most = t->n_columns > 0 ? t->n_columns : MAX_COLUMNS;
    t->n_fields++;
    if (t->fault == NO_FAULT) {
        t->fault = t->n_fields > most ? TOO_MANY : fault_of(from, n);
    }
    if (t->fault == NO_FAULT && t->status == FR_OK) {
        t->status = t->n_columns > 0 ? add_value(t, from, n) : add_name(t, from, n);
    }
}

static void end_row(int end, void *data)
{
    (void)end;
    ((fr_row_table *)data)->is_done = true;
}

static int is_no_space(unsigned char c)
{
    (void)c;
    return 0;
}

/* ---- reading a row --------------------------------------------------------------------------------- */

#define FAIL_AT(t, ...) FR_FAIL((t)->ctx, FR_ERR_DATA, __VA_ARGS__)

/* The next piece: up to the end of its line, at most PIECE bytes. */
static size_t piece_of(const fr_row_table *t)
{
    size_t n = 0;
    while (n < t->left && n < PIECE && t->next[n] != '\n' && t->next[n] != '\r') {
        n++;
    }
    return n < t->left && n < PIECE ? n + 1 : n;
}

/* Lines end with "\n", "\r\n" or "\r". */
static bool ends_line(const fr_row_table *t, size_t n)
{
    char last = t->next[n - 1];
    return last == '\n' || (last == '\r' && (n == t->left || t->next[n] != '\n'));
}

static fr_status check_parser(fr_row_table *t, bool good)
{
    if (good) {
        return t->status;
    }
    int64_t line = t->line;
    t->left = 0;
    if (csv_error(&t->parser) != CSV_EPARSE) {
        return fr_check_memory(t->ctx, false, t->used);
    }
    return FAIL_AT(t,
                   "%s:%lld: a quote stands within a field, or something behind its "
                   "end, in the row that "
                   "begins on line %lld; put the field in quotes and write each quote "
                   "in it twice",
                   t->path, (long long)line, (long long)t->first_line);
}

static fr_status take_piece(fr_row_table *t)
{
    size_t n = piece_of(t);
    bool blank = n == 1 && (*t->next == '\n' || *t->next == '\r');
    if (!t->is_open) {
        t->first_line = t->line;
        t->used = 0;
    }
    t->is_open = t->is_open || !blank;
    t->used += n;
    size_t taken = csv_parse(&t->parser, t->next, n, take_field, end_row, t);
    FR_TRY(check_parser(t, taken == n));
    t->line += ends_line(t, n);
    t->next += n;
    t->left -= n;
    if (!t->is_done && t->used > FR_ROW_MAX_BYTES) {
        t->left = 0;
        return FAIL_AT(t,
                       "%s:%lld: the row has more than %d MiB; perhaps a quote is not "
                       "closed",
                       t->path, (long long)t->first_line, FR_ROW_MAX_BYTES >> 20);
    }
    return FR_OK;
}

static fr_status end_table(fr_row_table *t)
{
    if (!t->is_open) {
        return FR_OK;
    }
    bool good = csv_fini(&t->parser, take_field, end_row, t) == 0;
    if (!good && csv_error(&t->parser) == CSV_EPARSE) {
        t->is_open = false;
        return FAIL_AT(t,
                       "%s:%lld: a quote in this row is not closed before the end of "
                       "the file; close it, or write each quote within a field twice",
                       t->path, (long long)t->first_line);
    }
    t->is_done = true;
    return check_parser(t, good);
}

/* Reads up to the end of a row; is_done stays false at the end of the file. */
static fr_status read_row(fr_row_table *t)
{
    t->is_open = t->is_done = false;
    t->n_fields = 0;
    t->fault = NO_FAULT;
    t->json.count = 0;
    FR_TRY(fr_bytes_add(t->ctx, &t->json, "{", 1));
    while (!t->is_done && t->left > 0) {
        FR_TRY(take_piece(t));
    }
    return t->is_done ? FR_OK : end_table(t);
}

static fr_status check_row(const fr_row_table *t)
{
    if (t->fault == HAS_NUL || t->fault == NOT_UTF8) {
        return FAIL_AT(t, "%s:%lld: a field %s", t->path, (long long)t->first_line,
                       t->fault == HAS_NUL
                           ? "holds a NUL character; remove it"
                           : "is not UTF-8 text; save the file as UTF-8");
    }
    if (t->n_fields != t->n_columns) {
        return FAIL_AT(t,
                       "%s:%lld: the row has %lld fields, and the header names %lld "
                       "columns; put fields with separators in quotes",
                       t->path, (long long)t->first_line, (long long)t->n_fields,
                       (long long)t->n_columns);
    }
    return FR_OK;
}

fr_status fr_row_table_next(fr_row_table *t, fr_row_text *out)
{
    *out = (fr_row_text){0};
    FR_TRY(read_row(t));
    if (!t->is_done) {
        return FR_OK;
    }
    FR_TRY(fr_bytes_add(t->ctx, &t->json, "}", 1));
    *out = (fr_row_text){t->json.data, t->json.count, t->first_line, FR_OK};
    out->status = check_row(t);
    return FR_OK;
}

/* ---- the header -------------------------------------------------------------------------------------- */

static fr_text name_of(const fr_row_table *t, int64_t column)
{
    size_t begin = column == 0 ? 0 : t->ends[column - 1];
    return (fr_text){t->names.data + begin, t->ends[column] - begin};
}

static int compare_names(const void *a, const void *b)
{
    const fr_text *x = a;
    const fr_text *y = b;
    size_t n = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = memcmp(x->data, y->data, n);
    return order != 0 ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Equal names stand side by side once they are sorted. */
static fr_status check_twice(fr_row_table *t)
{
    enum { SHOWN = 60 };
    fr_text *names = NULL;
    FR_TRY(fr_alloc(t->ctx, t->n_columns, sizeof *names, &names));
    for (int64_t i = 0; i < t->n_columns; i++) {
        names[i] = name_of(t, i);
    }
    qsort(names, (size_t)t->n_columns, sizeof *names, compare_names);
    fr_status status = FR_OK;
    for (int64_t i = 1; i < t->n_columns && status == FR_OK; i++) {
        if (compare_names(&names[i - 1], &names[i]) == 0) {
            int shown = names[i].bytes < SHOWN ? (int)names[i].bytes : SHOWN;
            status = FAIL_AT(t,
                             "%s:%lld: two columns have the name %.*s; give each its "
                             "own",
                             t->path, (long long)t->first_line, shown, names[i].data);
        }
    }
    free(names);
    return status;
}

static fr_status check_header(fr_row_table *t)
{
    if (!t->is_done) {
        return FAIL_AT(t, "%s: holds no rows", t->path);
    }
    if (t->fault == TOO_MANY) {
        return FAIL_AT(t, "%s:%lld: the header names more than %d columns", t->path,
                       (long long)t->first_line, MAX_COLUMNS);
    }
    t->n_columns = t->n_fields;
    FR_TRY(check_row(t));
    for (int64_t i = 1; i < t->n_columns; i++) {
        if (name_of(t, i).bytes == strlen("\"\"")) {
            return FAIL_AT(t,
                           "%s:%lld: column %lld has no name; the first row must name "
                           "the columns",
                           t->path, (long long)t->first_line, (long long)i + 1);
        }
    }
    return check_twice(t);
}

static fr_status open_table(fr_row_table *t, char delimiter)
{
    /* by which a field's memory grows: by the library's 128 bytes a long one would be copied thousands of times */
    enum { BLOCK_BYTES = 1 << 16 };
    FR_TRY(fr_alloc(t->ctx, MAX_COLUMNS, sizeof *t->ends, &t->ends));
    t->has_parser = csv_init(&t->parser, CSV_STRICT | CSV_STRICT_FINI) == 0;
    FR_TRY(fr_check_memory(t->ctx, t->has_parser, sizeof t->parser));
    csv_set_delim(&t->parser, (unsigned char)delimiter);
    csv_set_space_func(&t->parser, is_no_space);
    csv_set_blk_size(&t->parser, BLOCK_BYTES);
    FR_TRY(read_row(t));
    return check_header(t);
}

fr_status fr_row_table_open(fr_ctx *ctx, const char *path, fr_text text, char delimiter,
                            fr_row_table **out)
{
    *out = NULL;
    fr_row_table *t = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *t, &t));
    t->ctx = ctx;
    t->path = path;
    t->next = text.data;
    t->left = text.bytes;
    t->line = 1;
    fr_status status = open_table(t, delimiter);
    if (status != FR_OK) {
        fr_row_table_close(&t);
    }
    *out = t;
    return status;
}

void fr_row_table_close(fr_row_table **table)
{
    fr_row_table *t = *table;
    if (t != NULL) {
        if (t->has_parser) {
            csv_free(&t->parser);
        }
        fr_bytes_fini(&t->json);
        fr_bytes_fini(&t->names);
        free(t->ends);
        free(t);
        *table = NULL;
    }
}
