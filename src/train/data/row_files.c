/*
 * What kind of file is this? JSON lines, one JSON list and tables are read; all else is named. The checks go from certain to likely: packed and binary files by
 * their first bytes (check_kind), then by the first character: an object may be JSON lines, or go over several lines; a
 * list never is a row; anything else may be a table whose first two lines have as many columns. A broken row must not be
 * taken for a file of another kind, so in doubt the file passes and the reader of rows reports the line.
 */
#define _POSIX_C_SOURCE 200809L
#include "train/data/row_files.h"

#include "base/file_kind.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The beginning of a file. */
typedef struct look {
    fr_ctx *ctx;
    const char *path;
    const char *text; /* behind a byte order mark */
    size_t bytes;     /* to inspect */
} look;

/* Bytes of the longest key that is repeated in a jq command, and the letters that such a key may have. Users copy the
 * command into a shell, where other characters could mean something else. */
enum { SHOWN_KEY = 40 };
static const char KEY_LETTERS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_-";

/* A JSON value, of which only the end is checked. */
typedef struct value {
    /* offset behind the value; 0: it does not end within the bytes to inspect */
    size_t end;
    bool has_line; /* it contains a line end where JSON may have one */
    /* offset of the key of its first list of objects, behind the quote; 0: none */
    size_t key;
    size_t key_bytes;
} value;

#define FAIL_FILE(l, ...) fail_file((l), __LINE__, __VA_ARGS__)
static fr_status fail_file(const look *l, int line, const char *what)
{
    return fr_fail_at(l->ctx, FR_ERR_DATA, __FILE__, line, "%s: is %s", l->path, what);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t skip_spaces(const look *l, size_t at)
{
    while (at < l->bytes && is_space(l->text[at])) {
        at++;
    }
    return at;
}

/* Offset behind the string whose quote is at `at`; 0 if the line ends first. */
static size_t skip_string(const look *l, size_t at)
{
    at++;
    while (at < l->bytes && l->text[at] != '"' && l->text[at] != '\n') {
        at += l->text[at] == '\\' ? 2 : 1;
    }
    return at < l->bytes && l->text[at] == '\n' ? 0 : at + 1;
}

/* Whether the value goes on behind the line end at `at`. A broken row can end anywhere, so a bracket, comma or colon must
 * stand beside the line end. */
static bool goes_on(const look *l, size_t at)
{
    size_t next = skip_spaces(l, at);
    while (at > 0 && is_space(l->text[at])) {
        at--;
    }
    return strchr("{[,:", l->text[at]) != NULL ||
           (next < l->bytes && l->text[next] != '\0' &&
            strchr("}],", l->text[next]) != NULL);
}

/* If the list at `at` holds objects, keep the key before it: the string from `first` to `end`. */
static void note_list(const look *l, size_t at, size_t first, size_t end, value *v)
{
    size_t next = skip_spaces(l, at + 1);
    if (v->key == 0 && end > first && next < l->bytes && l->text[next] == '{') {
        v->key = first;
        v->key_bytes = end - first;
    }
}

/* Find the end of the object or list that begins at `at`. Only strings, brackets and line ends are looked at, so broken
 * JSON may pass. The first line end decides: unless the value goes on behind it, the line is one broken row, and the
 * search ends without a result. */
static value find_end(const look *l, size_t at)
{
    value v = {0};
    size_t depth = 0;
    size_t first =
        0; /* of the last string of the outermost object, within its quotes */
    size_t end = 0;
    while (at < l->bytes) {
        char c = l->text[at];
        if (c == '"') {
            size_t behind = skip_string(l, at);
            if (behind == 0) {
                return v;
            }
            first = depth == 1 ? at + 1 : first;
            end = depth == 1 ? behind - 1 : end;
            at = behind;
            continue;
        }
        if (c == '[' && depth == 1) {
            note_list(l, at, first, end, &v);
        }
        if (c == '\n' && !v.has_line) {
            v.has_line = goes_on(l, at);
            if (!v.has_line) {
                return v;
            }
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        at++;
        if (depth == 0) {
            v.end = at;
            return v;
        }
    }
    return v;
}

/* Check what follows the first value on its line. */
static fr_status check_behind(const look *l, const value *v)
{
    if (v->end == 0) {
        return FR_OK;
    }
    size_t next = skip_spaces(l, v->end);
    const char *between = l->text + v->end;
    if (next == l->bytes || memchr(between, '\n', next - v->end) != NULL) {
        return FR_OK;
    }
    if (l->text[next] == ',') {
        return FAIL_FILE(l, "JSON objects with commas between them; put each on a line "
                            "of its own without a comma, e.g. with sed 's/,$//'");
    }
    if (l->text[next] != '{') {
        return FR_OK;
    }
    return memchr(between, '\r', next - v->end) != NULL
               ? FAIL_FILE(l, "text whose lines end with carriage returns alone; write "
                              "it again with tr '\\r' '\\n'")
               : FAIL_FILE(l, "several JSON objects on one line; put each on "
                              "a line of its own, e.g. with jq -c . FILE >rows.jsonl");
}

/* An object over several lines: several such objects, one that wraps a list of rows, or one row written over lines. */
static fr_status fail_object(const look *l, const value *v)
{
    char text[512];
    size_t next = v->end > 0 ? skip_spaces(l, v->end) : l->bytes;
    if (v->end > 0 && next < l->bytes) {
        return FAIL_FILE(l, "JSON objects over several lines each; write each on one "
                            "line, e.g. with jq -c . FILE >rows.jsonl");
    }
    if (v->key_bytes == 0 || v->key_bytes > SHOWN_KEY ||
        strspn(l->text + v->key, KEY_LETTERS) < v->key_bytes) {
        return FAIL_FILE(l, "one JSON object over several lines; write one object a "
                            "line, e.g. with jq -c . FILE >rows.jsonl");
    }
    (void)snprintf(text, sizeof text,
                   "one JSON object that holds a list in \"%.*s\"; write one object a "
                   "line, e.g. with jq -c '.[\"%.*s\"][]' FILE >rows.jsonl",
                   (int)v->key_bytes, l->text + v->key, (int)v->key_bytes,
                   l->text + v->key);
    return FAIL_FILE(l, text);
}

/* A file that begins with an object on one line passes, unless a comma or another object follows on that line. */
static fr_status check_object(const look *l, size_t at)
{
    size_t next = skip_spaces(l, at + 1);
    if (next < l->bytes && l->text[next] == '\'') {
        return FAIL_FILE(l,
                         "in Python's notation, with ' instead of \"; write rows with "
                         "json.dumps, one object a line");
    }
    value v = find_end(l, at);
    return v.has_line ? fail_object(l, &v) : check_behind(l, &v);
}

/* A list is never a row: which kind of list is it? One of objects is a file of rows. */
static fr_status check_list(const look *l, size_t at, bool *is_list)
{
    value v = find_end(l, at);
    size_t first = skip_spaces(l, at + 1);
    size_t next = v.end > 0 ? skip_spaces(l, v.end) : l->bytes;
    char begins = first < l->bytes ? l->text[first] : '\0';
    if (next < l->bytes && l->text[next] == '[') {
        return FAIL_FILE(l, "one JSON list a line; a row is an object: where each list "
                            "holds messages, jq -c '{messages: .}' FILE >rows.jsonl");
    }
    if (begins != '{' && !(begins == ']' && next == l->bytes)) {
        return v.end > 0 && strchr("[\"]", begins) != NULL
                   ? FAIL_FILE(l, "a JSON list, but not of objects; write one object a "
                                  "line")
                   : FR_OK;
    }
    *is_list = true;
    return FR_OK;
}

/* Number of `c` in the line outside quotes. */
static size_t count_in_line(const char *line, size_t bytes, char c)
{
    size_t n = 0;
    bool quoted = false;
    for (size_t i = 0; i < bytes && line[i] != '\n'; i++) {
        quoted = quoted != (line[i] == '"');
        n += !quoted && line[i] == c;
    }
    return n;
}

/* What stands between the columns, if the first two lines have the same number of them; '\0': no table. */
static char find_delimiter(const look *l, size_t at)
{
    static const char BETWEEN[] = "\t,;";
    const char *line = l->text + at;
    size_t left = l->bytes - at;
    const char *end = memchr(line, '\n', left);
    size_t length = end != NULL ? (size_t)(end - line) + 1 : left;
    for (size_t i = 0; BETWEEN[i] != '\0' && length < left; i++) {
        size_t n = count_in_line(line, length, BETWEEN[i]);
        if (n > 0 && n == count_in_line(line + length, left - length, BETWEEN[i])) {
            return BETWEEN[i];
        }
    }
    return '\0';
}

/* What stands between the columns of a file that is a table by its name: what the header has. */
static char delimiter_of_header(const look *l, size_t at)
{
    static const char BETWEEN[] = ",;\t";
    for (size_t i = 0; BETWEEN[i] != '\0'; i++) {
        if (count_in_line(l->text + at, l->bytes - at, BETWEEN[i]) > 0) {
            return BETWEEN[i];
        }
    }
    return ',';
}

/* Whether the name ends so, in small letters or capitals. */
static bool is_called(const char *path, const char *ending)
{
    size_t n = strlen(path);
    size_t bytes = strlen(ending);
    return n > bytes && strcasecmp(path + n - bytes, ending) == 0;
}

int64_t fr_rows_ending(const char *path)
{
    return is_called(path, ".csv")   ? FR_FORM_CSV
           : is_called(path, ".tsv") ? FR_FORM_TSV
                                     : 0;
}

/* The name says that a file is a table; without such a name its first two lines do. */
static fr_rows_kind find_table(const look *l, size_t at)
{
    int64_t ending = fr_rows_ending(l->path);
    char c = ending == FR_FORM_TSV   ? '\t'
             : ending == FR_FORM_CSV ? delimiter_of_header(l, at)
                                     : find_delimiter(l, at);
    return (fr_rows_kind){c == '\0' ? 0 : c == '\t' ? FR_FORM_TSV : FR_FORM_CSV, c};
}

/* A safetensors file begins with the length of its header in eight bytes, then the header. */
static bool is_safetensors(const char *bytes, size_t n)
{
    return n > 8 && bytes[8] == '{' && memcmp(bytes + 4, "\0\0\0\0", 4) == 0;
}

/* In UTF-16 every other byte of ASCII text is zero. */
static bool is_wide(const char *bytes, size_t n)
{
    return n >= 4 && ((bytes[0] == '\0' && bytes[2] == '\0' && bytes[1] != '\0') ||
                      (bytes[1] == '\0' && bytes[3] == '\0' && bytes[0] != '\0'));
}

/* Files that are not text are named by their first bytes. For weights the remedy of base/file_kind.h would be about
 * models, so it is replaced by one about rows. */
static fr_status check_kind(const look *l, const char *bytes, size_t n)
{
    const char *kind = fr_file_kind(bytes, n);
    if (kind != NULL) {
        char text[512];
        const char *remedy = strchr(kind, ';');
        bool of_weights = remedy != NULL && strstr(remedy, "weights") != NULL;
        (void)snprintf(text, sizeof text, "%.*s%s",
                       (int)(of_weights ? (size_t)(remedy - kind) : strlen(kind)), kind,
                       of_weights ? "; give what is in it as JSON, one object a line"
                       : remedy == NULL ? "; give rows as JSON, one object a line"
                                        : "");
        return FAIL_FILE(l, text);
    }
    if (is_safetensors(bytes, n)) {
        return FAIL_FILE(l, "a safetensors file; give rows as JSON, one object a line");
    }
    return is_wide(bytes, n) ? FAIL_FILE(l, "text in UTF-16; write it as UTF-8")
                             : FR_OK;
}

/* Binary files are recognised before a byte order mark is skipped: their signatures begin at the first byte. */
fr_status fr_rows_check_file(fr_ctx *ctx, const char *path, const void *bytes, size_t n,
                             fr_rows_kind *out)
{
    bool is_list = false;
    *out = (fr_rows_kind){0};
    static const char MARK[] = "\xef\xbb\xbf";
    size_t looked = n < FR_ROWS_LOOK_BYTES ? n : FR_ROWS_LOOK_BYTES;
    look l = {ctx, path, bytes, looked};
    FR_TRY(check_kind(&l, bytes, looked));
    if (l.bytes >= sizeof MARK - 1 && memcmp(l.text, MARK, sizeof MARK - 1) == 0) {
        l.text += sizeof MARK - 1;
        l.bytes -= sizeof MARK - 1;
    }
    size_t at = skip_spaces(&l, 0);
    if (at == l.bytes) {
        return FR_OK;
    }
    if (l.text[at] == '{') {
        return check_object(&l, at);
    }
    if (l.text[at] == '[') {
        FR_TRY(check_list(&l, at, &is_list));
        out->form = is_list ? FR_FORM_LIST : 0;
        return FR_OK;
    }
    *out = find_table(&l, at);
    return FR_OK;
}
