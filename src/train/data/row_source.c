/*
 * One of three walks over the text of a file: lines (row_lines.c), the elements of a list, the rows of a table
 * (row_table.c).
 *
 * An element of a list goes to the comma or bracket behind it; only strings and brackets are looked at, so what is wrong
 * within an element is told by whoever reads its JSON, as with a line. A string that does not end on its line is wrong
 * in any case; it ends the reading, because nobody knows where the next element begins.
 */
#include "train/data/row_source.h"

#include "base/mem.h"
#include "train/data/row_files.h"
#include "train/data/row_lines.h"
#include "train/data/row_table.h"

#include <stdlib.h>
#include <string.h>

struct fr_row_source {
    fr_ctx *ctx;
    const char *path;
    fr_rows_kind kind;
    fr_row_lines lines;  /* of JSON lines; of a list: what is left of it */
    bool is_past_first;  /* of a list */
    bool is_over;        /* of a list: behind its end */
    fr_row_table *table; /* NULL: not a table */
};

#define FAIL_LIST(s, ...) fail_list((s), __LINE__, "" __VA_ARGS__)

static fr_status fail_list(fr_row_source *s, int source_line, const char *what)
{
    s->is_over = true;
    return fr_fail_at(s->ctx, FR_ERR_DATA, __FILE__, source_line, "%s:%lld: %s",
                      s->path, (long long)s->lines.line, what);
}

/* Takes n bytes of a list. */
static void take(fr_row_lines *l, size_t n)
{
    l->next += n;
    l->left -= n;
}

static void skip_space(fr_row_lines *l)
{
    while (l->left > 0 && *l->next != '\0' && strchr(" \t\r\n", *l->next) != NULL) {
        l->line += *l->next == '\n';
        take(l, 1);
    }
}

/* Takes the string that begins here; false if it does not end on its line. */
static bool take_string(fr_row_lines *l)
{
    take(l, 1);
    while (l->left > 0 && *l->next != '"' && *l->next != '\n') {
        take(l, *l->next == '\\' && l->left > 1 && l->next[1] != '\n' ? 2 : 1);
    }
    bool ends = l->left > 0 && *l->next == '"';
    take(l, ends ? 1 : 0);
    return ends;
}

static fr_status take_element(fr_row_source *s, fr_row_text *out)
{
    fr_row_lines *l = &s->lines;
    const char *from = l->next;
    int64_t depth = 0;
    out->line = l->line;
    while (l->left > 0 && (depth > 0 || (*l->next != ',' && *l->next != ']'))) {
        if (*l->next == '"') {
            if (!take_string(l) && l->left > 0) {
                return FAIL_LIST(s, "a text does not end on its line; close it with a "
                                    "quote, and write line ends in it as \\n");
            }
            continue;
        }
        depth += *l->next == '{' || *l->next == '[';
        depth -= *l->next == '}' || *l->next == ']';
        l->line += *l->next == '\n';
        take(l, 1);
        if (l->next - from > FR_ROW_MAX_BYTES) {
            return FAIL_LIST(s,
                             "the row that ends here is too large; perhaps a bracket "
                             "is not closed");
        }
    }
    if (l->left == 0) {
        return FAIL_LIST(s, "the file ends within its list; perhaps it was cut short");
    }
    *out = (fr_row_text){from, (size_t)(l->next - from), out->line, FR_OK};
    if (out->bytes == 0) {
        out->status =
            FR_FAIL(s->ctx, FR_ERR_DATA, "%s:%lld: a comma without a row; remove it",
                    s->path, (long long)out->line);
    }
    return FR_OK;
}

/* Behind the end of the list nothing may stand. */
static fr_status end_list(fr_row_source *s)
{
    take(&s->lines, 1);
    skip_space(&s->lines);
    if (s->lines.left > 0) {
        return FAIL_LIST(s,
                         "something stands behind the end of the list; give one list "
                         "of all rows, or one row a line");
    }
    s->is_over = true;
    return FR_OK;
}

/* The list stands at its first element, at the comma behind one, or at its end. */
static fr_status next_element(fr_row_source *s, fr_row_text *out)
{
    fr_row_lines *l = &s->lines;
    if (s->is_over) {
        return FR_OK;
    }
    skip_space(l);
    if (l->left == 0) {
        return FAIL_LIST(s, "the file ends within its list; perhaps it was cut short");
    }
    if (*l->next == ']') {
        return end_list(s);
    }
    if (s->is_past_first) {
        take(l, 1); /* take_element ends at a comma or the end */
        skip_space(l);
    }
    s->is_past_first = true;
    return take_element(s, out);
}

static void open_list(fr_row_source *s)
{
    s->lines.line = 1;
    skip_space(&s->lines);
    take(&s->lines, 1); /* its bracket: row_files.c has seen it */
}

fr_status fr_row_source_open(fr_ctx *ctx, const char *path, const char *text,
                             size_t bytes, fr_row_source **out)
{
    fr_rows_kind kind;
    fr_row_source *s = NULL;
    *out = NULL;
    FR_TRY(fr_rows_check_file(ctx, path, text, bytes, &kind));
    FR_TRY(fr_alloc(ctx, 1, sizeof *s, &s));
    *s = (fr_row_source){
        .ctx = ctx, .path = path, .kind = kind, .lines = fr_row_lines_of(text, bytes)};
    fr_status status = FR_OK;
    if (kind.form == FR_FORM_LIST) {
        open_list(s);
    } else if (kind.form != 0) {
        const fr_text table = {s->lines.next, s->lines.left};
        status = fr_row_table_open(ctx, path, table, kind.delimiter, &s->table);
    }
    if (status != FR_OK) {
        fr_row_source_close(&s);
    }
    *out = s;
    return status;
}

void fr_row_source_close(fr_row_source **source)
{
    if (*source != NULL) {
        fr_row_table_close(&(*source)->table);
        free(*source);
        *source = NULL;
    }
}

int64_t fr_row_source_kind(const fr_row_source *source)
{
    return source->kind.form;
}

bool fr_row_source_is_brief(const fr_row_source *source)
{
    return source->table != NULL;
}

fr_status fr_row_source_next(fr_row_source *s, fr_row_text *out)
{
    *out = (fr_row_text){0};
    if (s->table != NULL) {
        return fr_row_table_next(s->table, out);
    }
    if (s->kind.form == FR_FORM_LIST) {
        return next_element(s, out);
    }
    if (fr_row_lines_next(&s->lines, &out->text, &out->bytes)) {
        out->line = s->lines.line;
    } else {
        out->text = NULL;
    }
    return FR_OK;
}
