/*
 * Escapes and braces of texts that people write (written.h has the rules).
 *
 * Both directions copy the text from left to right. A backslash takes one or two bytes. At a run of '{' find_construct
 * looks for a name and the '}' behind it; all of this together is a construct, and it is read or written as a whole.
 * Braces that enclose no name are plain text.
 *
 * Let `pairs` be the smaller number of braces on the two sides of a name. Fields need an odd number and other names an
 * even one: {{name}} is the text {name}, {{{source}}} is the field source in braces, and {name} and {{source}} are
 * mistakes. Surplus braces on one side are plain text and stay. In the text that is read, a field in braces has
 * (pairs + 1) / 2 of them, another name pairs / 2; writing is the inverse. Reading never lengthens a text, and writing
 * at most doubles it; the sizes of the buffers rely on both.
 */
#include "train/config/written.h"

#include "base/mem.h"
#include "base/options.h"

#include <stdlib.h>
#include <string.h>

/* Braces around a name, as they are written. */
typedef struct construct {
    const char *name;
    size_t name_bytes;
    size_t before; /* braces to the left, with no blank between them */
    size_t after;
    size_t blanks; /* on both sides of the name, together */
    size_t bytes;
} construct;

/* What people call the two fields of a row. */
typedef struct field_word {
    const char *word;
    const char *field;
} field_word;

static const field_word WORDS[] = {
    {"source", "source"},     {"target", "target"},   {"input", "source"},
    {"prompt", "source"},     {"question", "source"}, {"instruction", "source"},
    {"context", "source"},    {"document", "source"}, {"article", "source"},
    {"text", "source"},       {"src", "source"},      {"query", "source"},
    {"output", "target"},     {"answer", "target"},   {"response", "target"},
    {"completion", "target"}, {"label", "target"},    {"summary", "target"},
    {"tgt", "target"},
};

/* Bytes of an unknown name that a message repeats; longer than any name in WORDS. */
enum { SHOWN_NAME = 40 };

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool in_name(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == '-';
}

/* Whether `text`, which begins with '{', begins with a name in braces. If not, its `before` braces are plain text. */
static bool find_construct(const char *text, construct *out)
{
    *out = (construct){.before = strspn(text, "{")};
    const char *at = text + out->before;
    out->blanks = strspn(at, " ");
    at += out->blanks;
    out->name = at;
    for (; in_name(*at); at++) {
        out->name_bytes++;
    }
    size_t blanks = strspn(at, " ");
    out->blanks += blanks;
    at += blanks;
    out->after = strspn(at, "}");
    out->bytes = (size_t)(at - text) + out->after;
    return is_letter(*out->name) && out->after > 0;
}

static bool is_field(const construct *c)
{
    static const char *const FIELDS[] = {"source", "target"};
    bool found = false;
    for (size_t i = 0; i < sizeof FIELDS / sizeof FIELDS[0]; i++) {
        found = found || (strlen(FIELDS[i]) == c->name_bytes &&
                          strncmp(FIELDS[i], c->name, c->name_bytes) == 0);
    }
    return found;
}

/* For a field the fault is blanks or doubled braces. For another name the message proposes the field that is usually
 * meant by the nearest word of WORDS. */
static fr_status fail_name(fr_ctx *ctx, const char *where, const construct *c)
{
    char name[SHOWN_NAME + 1];
    size_t bytes = c->name_bytes < SHOWN_NAME ? c->name_bytes : SHOWN_NAME;
    memcpy(name, c->name, bytes);
    name[bytes] = '\0';
    if (is_field(c)) {
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "%s holds the field %s %s; write {%s}, or {{{%s}}} for the "
                       "field in braces",
                       where, name, c->blanks > 0 ? "with blanks" : "in two braces",
                       name, name);
    }
    const char *word =
        fr_nearest_word(name, WORDS, sizeof WORDS / sizeof WORDS[0], sizeof WORDS[0]);
    const char *near = NULL;
    for (size_t i = 0; word != NULL && i < sizeof WORDS / sizeof WORDS[0]; i++) {
        near = WORDS[i].word == word ? WORDS[i].field : near;
    }
    return FR_FAIL(ctx, FR_ERR_CONFIG,
                   "%s holds {%s}, but a row has only the fields {source} and "
                   "{target}%s%s%s (write {{%s}} for the text itself)",
                   where, name, near != NULL ? "; did you mean {" : "",
                   near != NULL ? near : "", near != NULL ? "}?" : "", name);
}

static char *put(char *to, const char *text, size_t bytes)
{
    memcpy(to, text, bytes);
    return to + bytes;
}

/* The name in this many braces. */
static char *put_construct(char *to, const construct *c, size_t before, size_t after)
{
    memset(to, '{', before);
    to = put(to + before, c->name, c->name_bytes);
    memset(to, '}', after);
    return to + after;
}

/* \n, \t and \\ at `text`, a backslash; returns the bytes taken. */
static size_t unescape(const char *text, char *out)
{
    char next = text[1];
    *out = next == 'n' ? '\n' : next == 't' ? '\t' : '\\';
    return next == 'n' || next == 't' || next == '\\' ? 2 : 1;
}

fr_status fr_written_read(fr_ctx *ctx, const char *written, char **out)
{
    FR_TRY(fr_copy_string(ctx, written, out));
    char *to = *out;
    while (*written != '\0') {
        if (*written == '\\') {
            written += unescape(written, to++);
        } else {
            *to++ = *written++;
        }
    }
    *to = '\0';
    return FR_OK;
}

/* Read the braces at *from. The result is never longer than what is read, so that *to has room for it. */
static fr_status read_construct(fr_ctx *ctx, const char *where, const char **from,
                                char **to)
{
    construct c;
    if (!find_construct(*from, &c) || (c.blanks > 0 && !is_field(&c))) {
        *to = put(*to, *from, c.before);
        *from += c.before;
        return FR_OK;
    }
    size_t pairs = c.before < c.after ? c.before : c.after;
    bool doubled = pairs % 2 == 0;
    if (c.blanks > 0 || doubled == is_field(&c)) {
        return fail_name(ctx, where, &c);
    }
    size_t kept = (pairs + 1) / 2;
    *to = put_construct(*to, &c, c.before - pairs + kept, c.after - pairs + kept);
    *from += c.bytes;
    return FR_OK;
}

static fr_status read_template(fr_ctx *ctx, const char *where, const char *from,
                               char *to)
{
    while (*from != '\0') {
        if (*from == '{') {
            FR_TRY(read_construct(ctx, where, &from, &to));
        } else if (*from == '\\') {
            from += unescape(from, to++);
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
    return FR_OK;
}

fr_status fr_written_read_template(fr_ctx *ctx, const char *where, const char *written,
                                   char **out)
{
    char *text = NULL;
    *out = NULL;
    FR_TRY(fr_copy_string(ctx, written, &text));
    fr_status status = read_template(ctx, where, written, text);
    if (status == FR_OK) {
        *out = text;
    } else {
        free(text);
    }
    return status;
}

/* Write the braces at *from so that reading gives them back. */
static void write_construct(const char **from, char **to)
{
    construct c;
    if (!find_construct(*from, &c) || c.blanks > 0) {
        *to = put(*to, *from, c.before);
        *from += c.before;
        return;
    }
    size_t pairs = c.before < c.after ? c.before : c.after;
    size_t more = pairs - (is_field(&c) ? 1 : 0);
    *to = put_construct(*to, &c, c.before + more, c.after + more);
    *from += c.bytes;
}

/* Twice the length is enough: a backslash doubles, and a construct gets at most as many new braces as it has. */
static fr_status write_text(fr_ctx *ctx, const char *text, bool is_template, char **out)
{
    FR_TRY(fr_alloc(ctx, 2 * (int64_t)strlen(text) + 1, 1, out));
    char *to = *out;
    while (*text != '\0') {
        if (*text == '{' && is_template) {
            write_construct(&text, &to);
            continue;
        }
        if (*text == '\\') {
            *to++ = '\\';
        }
        *to++ = *text++;
    }
    *to = '\0';
    return FR_OK;
}

fr_status fr_written_write(fr_ctx *ctx, const char *text, char **out)
{
    return write_text(ctx, text, false, out);
}

fr_status fr_written_write_template(fr_ctx *ctx, const char *text, char **out)
{
    return write_text(ctx, text, true, out);
}
