/*
 * Most lines are read once, strictly. A line that the JSON library refuses is copied; in the copy every number that it
 * refuses is overwritten within its own bytes by one that it accepts ("tame"), so offsets in the copy and in the line are
 * the same. Then the members that are used are checked as strictly as in the first reading, against the line.
 * Writing goes over the text of the line itself, member by member, and never through numbers.
 */
#include "train/data/row_json.h"

#include "base/json_size.h"
#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- tokens --------------------------------------------------------------------------------- */

/* The byte behind the string that begins at `at`, or `end`. */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++) {
        at += *at == '\\' && at + 1 < end;
    }
    return at < end ? at + 1 : end;
}

/* Bytes of the word without quotes (number, true, NaN ...) at `at`; 0 if none begins here. */
static size_t word_bytes(const char *at, const char *end)
{
    const char *from = at;
    while (at < end && *at != '\0' && strchr(" \t\r\n,:[]{}\"", *at) == NULL) {
        at++;
    }
    return (size_t)(at - from);
}

static bool word_is(const char *at, size_t bytes, const char *word)
{
    return bytes == strlen(word) && memcmp(at, word, bytes) == 0;
}

static bool is_nonfinite(const char *at, size_t bytes)
{
    return word_is(at, bytes, "NaN") || word_is(at, bytes, "Infinity") ||
           word_is(at, bytes, "-Infinity");
}

static bool is_number(const char *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (at[i] == '\0' || strchr("0123456789+-.eE", at[i]) == NULL) {
            return false;
        }
    }
    return bytes > 0;
}

/* ---- a copy that jansson reads -------------------------------------------------------------- */

static void overwrite(char *at, size_t bytes, const char *with)
{
    size_t n = strlen(with);
    memcpy(at, with, n);
    memset(at + n, ' ', bytes - n);
}

/* Overwrite a number that jansson refuses, within its own bytes. The text ends with a NUL. The shortest such numbers have
 * 19 digits (2^63) or 5 characters (1e400): shorter ones are fine. */
static void tame_word(char *at, size_t bytes)
{
    enum { LONG_INT = 19, LONG_REAL = 5 };
    if (is_nonfinite(at, bytes)) {
        overwrite(at, bytes, "0.5");
        return;
    }
    if (bytes < LONG_REAL || !is_number(at, bytes)) {
        return;
    }
    bool whole = memchr(at, '.', bytes) == NULL && memchr(at, 'e', bytes) == NULL &&
                 memchr(at, 'E', bytes) == NULL;
    char *end = NULL;
    errno = 0;
    if (whole && bytes >= LONG_INT) {
        long long value = strtoll(at, &end, 10);
        if (errno == ERANGE) {
            overwrite(at, bytes, value < 0 ? "-1" : "9223372036854775807");
        }
    } else if (!whole && !isfinite(strtod(at, &end))) {
        overwrite(at, bytes, "1e99");
    }
}

/* The value of "\\uXXXX" at `at`, -1 if none begins there. */
static long escape_at(const char *at, const char *end)
{
    enum { ESCAPE = 6, DIGITS = 4 };
    char digits[DIGITS + 1] = "";
    if (end - at < ESCAPE || at[0] != '\\' || at[1] != 'u') {
        return -1;
    }
    memcpy(digits, at + 2, DIGITS);
    return strspn(digits, "0123456789abcdefABCDEF") == DIGITS ? strtol(digits, NULL, 16)
                                                              : -1;
}

/* Bytes of the character at `at` of a string; a surrogate pair of escapes is one character. Sets `half` for half a pair. */
static size_t character_bytes(const char *at, const char *end, bool *half)
{
    enum { ESCAPE = 6, HIGH = 0xD800, LOW = 0xDC00, BEHIND = 0xE000 };
    long code = escape_at(at, end);
    *half = false;
    if (code < 0) {
        return *at == '\\' && at + 1 < end ? 2 : 1;
    }
    long next = escape_at(at + ESCAPE, end);
    if (code >= HIGH && code < LOW && next >= LOW && next < BEHIND) {
        return 2 * (size_t)ESCAPE;
    }
    *half = code >= HIGH && code < BEHIND;
    return ESCAPE;
}

/* Replace halves of surrogate pairs, which Python writes although they are not characters, by U+FFFD. */
static void tame_string(char *at, const char *end)
{
    bool half = false;
    for (size_t step = 0; at < end; at += step) {
        step = character_bytes(at, end, &half);
        if (half) {
            memcpy(at, "\\ufffd", step);
        }
    }
}

static bool has_half(const char *at, size_t bytes)
{
    const char *end = at + bytes;
    bool half = false;
    while (at < end && !half) {
        at += character_bytes(at, end, &half);
    }
    return half;
}

static void tame(char *text, size_t bytes)
{
    char *end = text + bytes;
    for (char *at = text; at < end;) {
        size_t step = word_bytes(at, end);
        if (*at == '"') {
            step = (size_t)(skip_string(at, end) - at);
            tame_string(at, at + step);
        } else {
            tame_word(at, step);
        }
        at += step > 0 ? step : 1;
    }
}

/* ---- members ---------------------------------------------------------------------------------- */

typedef struct piece {
    const char *at;
    size_t bytes;
} piece;

/* The value that begins at `at`; the text is valid JSON. */
static piece take_value(const char *at, const char *end)
{
    const char *from = at;
    int64_t depth = 0;
    do {
        if (*at == '"') {
            at = skip_string(at, end);
            continue;
        }
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        size_t word = word_bytes(at, end);
        at += word > 0 ? word : 1;
    } while (at < end && depth > 0);
    return (piece){from, (size_t)(at - from)};
}

static const char *skip_space(const char *at, const char *end, const char *space)
{
    while (at < end && *at != '\0' && strchr(space, *at) != NULL) {
        at++;
    }
    return at;
}

/* The next member of an object in valid JSON; *at starts behind its '{'. False at the end. */
static bool next_member(const char **at, const char *end, piece *key, piece *value)
{
    const char *from = skip_space(*at, end, " \t\r\n,");
    if (from >= end || *from != '"') {
        return false;
    }
    const char *behind = skip_string(from, end);
    *key = (piece){from, (size_t)(behind - from)};
    behind = skip_space(behind, end, " \t\r\n:");
    if (behind >= end) {
        return false;
    }
    *value = take_value(behind, end);
    *at = value->at + value->bytes;
    return true;
}

static const char *first_member(const char *text, const char *end)
{
    const char *open = memchr(text, '{', (size_t)(end - text));
    return open != NULL ? open + 1 : end;
}

/* A key with its escapes resolved; NULL if there is no memory or it contains half a surrogate pair. */
static json_t *decode_key(piece key)
{
    return json_loadb(key.at, key.bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

static bool key_is(const json_t *key, const char *name)
{
    size_t bytes = json_string_length(key);
    return bytes == strlen(name) && memcmp(json_string_value(key), name, bytes) == 0;
}

/* ---- reading ------------------------------------------------------------------------------------ */

static fr_status fail_json(fr_ctx *ctx, fr_place place, const char *what)
{
    return FR_FAIL(ctx, FR_ERR_DATA, "%s:%lld: broken JSON: %s", place.name,
                   (long long)place.line, what);
}

/* Index of the key among the names, or -1. */
static int find_name(const json_t *key, const char *const *names)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (key_is(key, names[i])) {
            return i;
        }
    }
    return -1;
}

/* A member that is used must be unique, and so must all members within it. */
static fr_status check_member(fr_ctx *ctx, fr_place place, piece key, piece value,
                              const char *const *used, uint64_t *seen)
{
    json_error_t error;
    json_t *name = decode_key(key);
    FR_TRY(fr_check_memory(ctx, name != NULL, key.bytes));
    int at = find_name(name, used);
    json_decref(name);
    if (at < 0) {
        return FR_OK;
    }
    if ((*seen >> at & 1U) != 0) {
        return FR_FAIL(ctx, FR_ERR_DATA,
                       "%s:%lld: \"%s\" is a duplicate object key; keep one",
                       place.name, (long long)place.line, used[at]);
    }
    *seen |= (uint64_t)1 << at;
    json_t *strict =
        json_loadb(value.at, value.bytes,
                   JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (strict == NULL) {
        return fail_json(ctx, place, error.text);
    }
    json_decref(strict);
    return FR_OK;
}

/* `line`: the original of `copy`. */
static fr_status check_members(fr_ctx *ctx, fr_place place, piece copy,
                               const char *line, const char *const *used)
{
    const char *end = copy.at + copy.bytes;
    const char *at = first_member(copy.at, end);
    uint64_t seen = 0;
    for (piece key, value; next_member(&at, end, &key, &value);) {
        uint64_t before = seen;
        FR_TRY(check_member(ctx, place, key, value, used, &seen));
        if (seen != before && has_half(line + (value.at - copy.at), value.bytes)) {
            return fail_json(ctx, place, "half of a surrogate pair is not a character");
        }
    }
    return FR_OK;
}

/* The second reading, from a copy. */
static fr_status read_tamed(fr_ctx *ctx, fr_place place, const char *text, size_t bytes,
                            const char *const *used, json_t **out)
{
    json_error_t error;
    char *copy = NULL;
    FR_TRY(fr_alloc(ctx, (int64_t)bytes + 1, 1, &copy));
    memcpy(copy, text, bytes);
    tame(copy, bytes);
    *out = json_loadb(copy, bytes, JSON_ALLOW_NUL, &error);
    fr_status status =
        *out == NULL ? fail_json(ctx, place, error.text)
        : !json_is_object(*out)
            ? FR_OK
            : check_members(ctx, place, (piece){copy, bytes}, text, used);
    free(copy);
    return status;
}

fr_status fr_row_json_read(fr_ctx *ctx, fr_place place, const char *text, size_t bytes,
                           const char *const *used, json_t **out)
{
    json_error_t error;
    *out = NULL;
    if (!fr_json_fits(text, bytes)) {
        return FR_FAIL(ctx, FR_ERR_DATA, "%s:%lld: " FR_JSON_TOO_LARGE, place.name,
                       (long long)place.line);
    }
    *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    fr_status status = FR_OK;
    if (*out == NULL && json_error_code(&error) == json_error_out_of_memory) {
        return fr_check_memory(ctx, false, bytes);
    }
    if (*out == NULL) {
        status = read_tamed(ctx, place, text, bytes, used, out);
    }
    if (status == FR_OK && !json_is_object(*out)) {
        status = FR_FAIL(ctx, FR_ERR_DATA, "%s:%lld: a row must be a JSON object",
                         place.name, (long long)place.line);
    }
    if (status != FR_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------ */

static char *put(char *to, const char *from, size_t bytes)
{
    memcpy(to, from, bytes);
    return to + bytes;
}

static char *put_value(char *to, piece value)
{
    const char *end = value.at + value.bytes;
    for (const char *at = value.at; at < end;) {
        size_t step = word_bytes(at, end);
        if (*at == '"') {
            step = (size_t)(skip_string(at, end) - at);
        }
        step += step == 0;
        bool is_end = *at == '\n' || *at == '\r'; /* of a line: the output is one */
        to = is_nonfinite(at, step) ? put(to, "null", 4)
             : is_end               ? put(to, " ", 1)
                                    : put(to, at, step);
        at += step;
    }
    return to;
}

static char *put_member(char *to, piece key, piece value, const char *const *left_out)
{
    json_t *name = decode_key(key); /* NULL: it cannot equal a name */
    bool is_written = name == NULL || find_name(name, left_out) < 0;
    json_decref(name);
    if (is_written) {
        to = put(to, ",", to[-1] == '{' ? 0 : 1);
        to = put(to, key.at, key.bytes);
        to = put(to, ":", 1);
        to = put_value(to, value);
    }
    return to;
}

fr_status fr_row_json_write(fr_ctx *ctx, const char *text, size_t bytes,
                            const char *const *left_out, char **out, size_t *out_bytes)
{
    const char *end = text + bytes;
    const char *at = first_member(text, end);
    /* a third more, because each "NaN" becomes "null" */
    FR_TRY(fr_alloc(ctx, (int64_t)(bytes + bytes / 3 + 8), 1, out));
    char *to = put(*out, "{", 1);
    for (piece key, value; next_member(&at, end, &key, &value);) {
        to = put_member(to, key, value, left_out);
    }
    to = put(to, "}", 1);
    *to = '\0';
    *out_bytes = (size_t)(to - *out);
    return FR_OK;
}
