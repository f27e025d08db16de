/*
 * JSON in place: steps over values, walks through objects and arrays, and turns single values into C types.
 *
 * The skip functions check the grammar. Each gets where a piece begins and gives the place behind it, or NULL where
 * the text is broken. The walk functions use them to hand out one member or element at a time, as pieces that point
 * into the text. So every piece that a caller gets has already passed the grammar, and the functions that convert
 * values rely on it: an escape, for example, is known to be complete.
 *
 * There is no tree, because headers may hold a hundred thousand entries that are each looked at once. There is no
 * recursion, because the text comes from outside and its depth must not decide about the stack.
 */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Space alone: json.h lists what is accepted of JSON. A tab or newline ends as a syntax error. */
static const char *skip_space(const char *at, const char *end)
{
    while (at < end && *at == ' ') {
        at++;
    }
    return at;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Value of a hexadecimal digit, -1 for anything else. */
static int hex_value(char c)
{
    return is_digit(c)              ? c - '0'
           : (c >= 'a' && c <= 'f') ? c - 'a' + 10
           : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                    : -1;
}

/* ---- stepping over a value: behind it, or NULL where the text is not JSON --------------------- */

static const char *skip_escape(const char *at, const char *end)
{
    static const char SHORT[] = "\"\\/bfnrt";
    enum { HEX_DIGITS = 4 };
    if (at == end) {
        return NULL;
    }
    if (*at != 'u') {
        return memchr(SHORT, *at, sizeof SHORT - 1) != NULL ? at + 1 : NULL;
    }
    at++;
    for (int i = 0; i < HEX_DIGITS; i++, at++) {
        if (at == end || hex_value(*at) < 0) {
            return NULL;
        }
    }
    return at;
}

/* `at` is behind the opening quote. */
static const char *skip_string(const char *at, const char *end)
{
    while (at != NULL && at < end && *at != '"') {
        if (*at < ' ' || *at > '~') {
            return NULL;
        }
        at = *at == '\\' ? skip_escape(at + 1, end) : at + 1;
    }
    return at != NULL && at < end ? at + 1 : NULL;
}

/* At least one digit must be there. */
static const char *skip_digits(const char *at, const char *end)
{
    const char *first = at;
    while (at < end && is_digit(*at)) {
        at++;
    }
    return at > first ? at : NULL;
}

/* A leading zero must stand alone before the point, as JSON demands. */
static const char *skip_number(const char *at, const char *end)
{
    at += *at == '-' ? 1 : 0;
    bool zero = at < end && *at == '0';
    at = zero ? at + 1 : skip_digits(at, end);
    if (at != NULL && at < end && *at == '.') {
        at = skip_digits(at + 1, end);
    }
    if (at != NULL && at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-') ? 1 : 0;
        at = skip_digits(at, end);
    }
    return at;
}

/* What follows a word is checked by the caller, which expects a comma or a bracket there. */
static const char *skip_word(const char *at, const char *end)
{
    static const char *const WORDS[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        size_t length = strlen(WORDS[i]);
        if ((size_t)(end - at) >= length && memcmp(at, WORDS[i], length) == 0) {
            return at + length;
        }
    }
    return NULL;
}

/* A string, number or word. */
static const char *skip_plain(const char *at, const char *end)
{
    return *at == '"'                      ? skip_string(at + 1, end)
           : (*at == '-' || is_digit(*at)) ? skip_number(at, end)
                                           : skip_word(at, end);
}

/* "key": of an object. */
static const char *skip_key(const char *at, const char *end)
{
    at = skip_space(at, end);
    at = at < end && *at == '"' ? skip_string(at + 1, end) : NULL;
    at = at != NULL ? skip_space(at, end) : NULL;
    return at != NULL && at < end && *at == ':' ? skip_space(at + 1, end) : NULL;
}

/* An object or array, without recursion: `closing` are the brackets that are open. */
static const char *skip_nested(const char *at, const char *end)
{
    char closing[FR_JSON_DEPTH];
    int depth = 0;
    do {
        /* a value begins here */
        bool opens = *at == '{' || *at == '[';
        if (opens && depth == FR_JSON_DEPTH) {
            return NULL;
        }
        if (opens) {
            closing[depth++] = *at == '{' ? '}' : ']';
            at = skip_space(at + 1, end);
        } else {
            at = skip_plain(at, end);
            at = at != NULL ? skip_space(at, end) : NULL;
        }
        /* brackets may close, an empty one at once; else a comma comes, but not behind a bracket that opens */
        bool empty = opens;
        while (at != NULL && at < end && depth > 0 && *at == closing[depth - 1]) {
            depth--;
            at = depth > 0 ? skip_space(at + 1, end) : at + 1;
            empty = false;
        }
        if (at == NULL || depth == 0) {
            return at;
        }
        if (!empty) {
            at = at < end && *at == ',' ? skip_space(at + 1, end) : NULL;
        }
        if (at != NULL && closing[depth - 1] == '}') {
            at = skip_key(at, end);
        }
    } while (at != NULL && at < end);
    return NULL;
}

static const char *skip_value(const char *at, const char *end)
{
    if (at == end) {
        return NULL;
    }
    return *at == '{' || *at == '[' ? skip_nested(at, end) : skip_plain(at, end);
}

/* ---- walking --------------------------------------------------------------------------------- */

/* Only the first byte is looked at here; errors inside show while the members are walked. */
bool fr_json_enter(fr_json value, char open, fr_json_walk *out)
{
    if (value.bytes == 0 || value.text[0] != open) {
        return false;
    }
    *out = (fr_json_walk){.next = value.text + 1,
                          .end = value.text + value.bytes,
                          .close = open == '{' ? '}' : ']'};
    return true;
}

/* To where the next key or value begins; false at the end, with `ended` where it is a good one. */
static bool advance(fr_json_walk *walk)
{
    const char *at = skip_space(walk->next, walk->end);
    if (walk->ended || at == walk->end) {
        return false;
    }
    if (*at == walk->close) {
        walk->next = walk->end;
        walk->ended = at + 1 == walk->end;
        return false;
    }
    if (walk->started) {
        if (*at != ',') {
            return false;
        }
        at = skip_space(at + 1, walk->end);
    }
    walk->started = true;
    walk->next = at;
    return at < walk->end;
}

/* On an error the walk is moved to its end, so that each later call gives false as well, with `ended` still false. */
static bool take_value(fr_json_walk *walk, const char *at, fr_json *value)
{
    const char *behind = skip_value(at, walk->end);
    if (behind == NULL) {
        walk->next = walk->end;
        return false;
    }
    *value = (fr_json){at, (size_t)(behind - at)};
    walk->next = behind;
    return true;
}

/* A key with an escape is refused: keys are compared byte by byte, and two spellings of one key could then hide a
 * duplicate. */
bool fr_json_member(fr_json_walk *walk, fr_json *key, fr_json *value)
{
    if (!advance(walk)) {
        return false;
    }
    const char *first = walk->next + 1;
    const char *at = skip_key(walk->next, walk->end);
    if (at == NULL) {
        walk->next = walk->end;
        return false;
    }
    const char *quote = memchr(first, '"', (size_t)(at - first));
    *key = (fr_json){first, (size_t)(quote - first)};
    if (memchr(first, '\\', key->bytes) != NULL) {
        walk->next = walk->end;
        return false;
    }
    return take_value(walk, at, value);
}

bool fr_json_element(fr_json_walk *walk, fr_json *value)
{
    return advance(walk) && take_value(walk, walk->next, value);
}

/* ---- values ---------------------------------------------------------------------------------- */

bool fr_json_is(fr_json piece, const char *text)
{
    /* stops at the first difference, because keys are compared with whole tables of names */
    return strncmp(text, piece.text, piece.bytes) == 0 && text[piece.bytes] == '\0';
}

/* Refuses leading zeros and everything that is not a digit, so a number has one spelling. */
bool fr_json_u64(fr_json value, uint64_t *out)
{
    uint64_t number = 0;
    *out = 0;
    if (value.bytes == 0 || (value.bytes > 1 && value.text[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < value.bytes; i++) {
        uint64_t digit = (uint64_t)(unsigned char)value.text[i] - '0';
        if (!is_digit(value.text[i]) || number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = 10 * number + digit;
    }
    *out = number;
    return true;
}

bool fr_json_i64(fr_json value, int64_t *out)
{
    bool negative = value.bytes > 0 && value.text[0] == '-';
    fr_json digits = {value.text + (negative ? 1 : 0),
                      value.bytes - (negative ? 1 : 0)};
    uint64_t size = 0;
    *out = 0;
    if (!fr_json_u64(digits, &size) ||
        size > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return false;
    }
    /* the lowest number has no positive counterpart */
    *out = !negative ? (int64_t)size : size > 0 ? -(int64_t)(size - 1) - 1 : 0;
    return true;
}

static const char SHORT_NAMES[] = "\"\\/bfnrt";
static const char SHORT_BYTES[] = "\"\\/\b\f\n\r\t";

/* The byte that an escape stands for, 0 where it is none; `*at` is behind the backslash, then behind the escape. */
static unsigned take_escape(const char **at)
{
    unsigned code = 0;
    char name = *(*at)++;
    if (name != 'u') {
        const char *found = memchr(SHORT_NAMES, name, sizeof SHORT_NAMES - 1);
        return (unsigned char)SHORT_BYTES[found - SHORT_NAMES];
    }
    for (int i = 0; i < 4; i++) {
        code = 16 * code + (unsigned)hex_value(*(*at)++);
    }
    return code <= UINT8_MAX ? code : 0;
}

/* The result never holds a NUL of its own, so its length is that of the C string. */
bool fr_json_text(fr_json value, char *out)
{
    if (value.bytes < 2 || value.text[0] != '"') {
        return false;
    }
    const char *at = value.text + 1;
    const char *end = value.text + value.bytes - 1;
    while (at < end) {
        unsigned code = (unsigned char)*at++;
        if (code == '\\') {
            code = take_escape(&at);
        }
        if (code == 0) {
            return false;
        }
        *out++ = (char)(unsigned char)code;
    }
    *out = '\0';
    return true;
}

/* Letter of the short escape of a byte, 0 where it has none ('/' needs none). */
static char short_name(char c)
{
    const char *found =
        c != '/' ? memchr(SHORT_BYTES, c, sizeof SHORT_BYTES - 1) : NULL;
    return found != NULL ? SHORT_NAMES[found - SHORT_BYTES] : '\0';
}

/* Must count as fr_json_quote writes: two quotes, then 1, 2 (short escape) or 6 (\u00XX) for each byte. */
size_t fr_json_quoted_bytes(const char *text)
{
    size_t bytes = 2;
    for (; *text != '\0'; text++) {
        bytes += short_name(*text) != '\0' ? 2 : *text < ' ' || *text > '~' ? 6 : 1;
    }
    return bytes;
}

/* Bytes above 0x7e become U+007F to U+00FF: any bytes come back unchanged through fr_json_text, whatever their
 * encoding. */
char *fr_json_quote(const char *text, char *out)
{
    static const char DIGITS[] = "0123456789abcdef";
    *out++ = '"';
    for (; *text != '\0'; text++) {
        unsigned code = (unsigned char)*text;
        char name = short_name(*text);
        if (name != '\0') {
            *out++ = '\\';
            *out++ = name;
        } else if (code < ' ' || code > '~') {
            memcpy(out, "\\u00", 4);
            out[4] = DIGITS[code / 16];
            out[5] = DIGITS[code % 16];
            out += 6;
        } else {
            *out++ = *text;
        }
    }
    *out++ = '"';
    return out;
}

/* The program keeps the locale C, so the point is a point. */
const char *fr_json_number(double value, char out[FR_JSON_NUMBER_BYTES])
{
    if (isfinite(value)) {
        (void)snprintf(out, FR_JSON_NUMBER_BYTES, "%.9g", value);
    } else {
        (void)snprintf(out, FR_JSON_NUMBER_BYTES, "null");
    }
    return out;
}
