/* Cuts a template into tokens, as jinja2's lexer does with trim_blocks and lstrip_blocks.
 *
 * The lexer is outside of a tag (lexer->tag is 0) or inside of one ('{' or '%'). Outside, lex_outside returns the text up to
 * the next tag, and notes in `pending` that the tag begins here; the next call steps into it (begin_tag). Comments and raw
 * blocks never become the inside of a tag: they return a text, empty for a comment.
 *
 * White space around tags is decided in two places. cut_text decides what the text before a tag loses: with '-' all white
 * space at its end, and for a {% or {# that stands alone at the beginning of its line the blanks before it (lstrip_blocks).
 * close_tag decides what is skipped behind a tag: with '-' all white space, else one newline (trim_blocks), but not behind
 * {{ }}. A '+' turns both off. at_line_start remembers a newline that close_tag took, since the next text does not show it any more.
 *
 * A tag ends only outside of brackets, so `n_open` and `open` follow them. */
#define _GNU_SOURCE /* memrchr */
#include "model/jinja/jinja_tree.h"

#include "base/print.h"

#include <stdlib.h>
#include <string.h>

static size_t left(const fr_jinja_lexer *lexer)
{
    return (size_t)(lexer->end - lexer->at);
}

/* NUL beyond the end, so that looking ahead needs no check of its own. */
static char at(const fr_jinja_lexer *lexer, size_t i)
{
    return i < left(lexer) ? lexer->at[i] : '\0';
}

static bool at_text(const fr_jinja_lexer *lexer, const char *text)
{
    size_t bytes = strlen(text);
    return bytes <= left(lexer) && memcmp(lexer->at, text, bytes) == 0;
}

/* The only place that moves on, so that lines are always counted. */
static void advance(fr_jinja_lexer *lexer, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        lexer->line += lexer->at[i] == '\n';
    }
    lexer->at += bytes;
}

static fr_status fail(const fr_jinja_lexer *lexer, const char *what)
{
    return FR_FAIL(lexer->arena->ctx, FR_ERR_UNSUPPORTED, "line %d: %s", lexer->line,
                   what);
}

static fr_status check_utf8(fr_jinja_arena *arena, const char *text, size_t bytes)
{
    uint32_t code = 0;
    int32_t line = 1;
    for (size_t i = 0, step = 0; i < bytes; i += step) {
        step = fr_utf8_next(text + i, bytes - i, &code);
        line += text[i] == '\n';
        if (step == 0) {
            return FR_FAIL(arena->ctx, FR_ERR_UNSUPPORTED,
                           "line %d: the template is not UTF-8", line);
        }
    }
    return FR_OK;
}

/* Works on a copy with every line end as \n; one newline at the very end is dropped, as in jinja2. */
fr_status fr_jinja_lex_open(fr_jinja_arena *arena, const char *text, size_t bytes,
                            fr_jinja_lexer *out)
{
    char *copy = NULL;
    size_t n = 0;
    if (bytes > FR_JINJA_MAX_SOURCE) {
        return FR_FAIL(arena->ctx, FR_ERR_UNSUPPORTED,
                       "the template has %zu bytes; at most %d are supported", bytes,
                       FR_JINJA_MAX_SOURCE);
    }
    FR_TRY(check_utf8(arena, text, bytes));
    FR_TRY(fr_jinja_new(arena, 1, bytes + 1, &copy));
    for (size_t i = 0; i < bytes; i++) {
        bool joined = text[i] == '\r' && i + 1 < bytes && text[i + 1] == '\n';
        if (!joined) {
            copy[n++] = text[i];
            copy[n - 1] = text[i] == '\r' ? '\n' : text[i];
        }
    }
    n -= n > 0 && copy[n - 1] == '\n';
    *out = (fr_jinja_lexer){.arena = arena,
                            .at = copy,
                            .begin = copy,
                            .end = copy + n,
                            .line = 1,
                            .at_line_start = true};
    return FR_OK;
}

/* ---- text between tags -------------------------------------------------------------------- */

/* Steps over the end of a tag and the white space behind it that belongs to it. */
static void close_tag(fr_jinja_lexer *lexer, size_t bytes, bool strips, bool trims)
{
    advance(lexer, bytes);
    if (strips) {
        size_t step = 0;
        while ((step = fr_jinja_space(lexer->at, left(lexer))) > 0) {
            advance(lexer, step);
        }
    } else if (trims && at(lexer, 0) == '\n') {
        advance(lexer, 1);
    }
    lexer->at_line_start = lexer->at[-1] == '\n';
}

/* The text before a tag, without the white space that belongs to the tag. */
static fr_text cut_text(const fr_jinja_lexer *lexer, fr_text text, char kind, char sign)
{
    if (sign == '-') {
        return fr_jinja_strip(text, false, true);
    }
    if (sign == '+' || kind == '{') {
        return text;
    }
    const char *newline = text.bytes > 0 ? memrchr(text.data, '\n', text.bytes) : NULL;
    size_t kept = newline != NULL ? (size_t)(newline + 1 - text.data) : 0;
    fr_text rest = {text.data + kept, text.bytes - kept};
    if ((kept > 0 || lexer->at_line_start) &&
        fr_jinja_strip(rest, true, false).bytes == 0) {
        text.bytes = kept;
    }
    return text;
}

static char sign_at(const fr_jinja_lexer *lexer, size_t i)
{
    char sign = at(lexer, i);
    return sign == '-' || sign == '+' ? sign : '\0';
}

/* Bytes of a whole tag of one word, such as "{%- raw %}", that begins here; 0 if there is none. *last: the sign at its end. */
static size_t word_tag(const fr_jinja_lexer *lexer, const char *word, char *last)
{
    size_t i = 2;
    size_t step = 0;
    size_t bytes = strlen(word);
    if (!at_text(lexer, "{%")) {
        return 0;
    }
    i += sign_at(lexer, i) != '\0';
    while ((step = fr_jinja_space(lexer->at + i, left(lexer) - i)) > 0) {
        i += step;
    }
    if (left(lexer) - i < bytes || memcmp(lexer->at + i, word, bytes) != 0) {
        return 0;
    }
    i += bytes;
    while ((step = fr_jinja_space(lexer->at + i, left(lexer) - i)) > 0) {
        i += step;
    }
    *last = sign_at(lexer, i);
    i += *last != '\0';
    return at(lexer, i) == '%' && at(lexer, i + 1) == '}' ? i + 2 : 0;
}

/* Reads "{% raw %}...{% endraw %}"; *out is the text between. */
static fr_status lex_raw(fr_jinja_lexer *lexer, size_t opening, bool strips,
                         fr_text *out)
{
    char last = '\0';
    close_tag(lexer, opening, strips, false);
    const char *from = lexer->at;
    while (left(lexer) > 0) {
        size_t closing = at(lexer, 0) == '{' ? word_tag(lexer, "endraw", &last) : 0;
        if (closing > 0) {
            fr_text text = {from, (size_t)(lexer->at - from)};
            *out = cut_text(lexer, text, '%', sign_at(lexer, 2));
            close_tag(lexer, closing, last == '-', last == '\0');
            return FR_OK;
        }
        advance(lexer, 1);
    }
    return fail(lexer, "a raw block is not closed");
}

static fr_status skip_comment(fr_jinja_lexer *lexer)
{
    advance(lexer, sign_at(lexer, 2) != '\0' ? 3 : 2);
    while (left(lexer) > 0) {
        char sign = sign_at(lexer, 0);
        size_t skipped = sign != '\0' ? 1 : 0;
        if (at(lexer, skipped) == '#' && at(lexer, skipped + 1) == '}') {
            close_tag(lexer, skipped + 2, sign == '-', sign == '\0');
            return FR_OK;
        }
        advance(lexer, 1);
    }
    return fail(lexer, "a comment is not closed");
}

static bool at_tag(const fr_jinja_lexer *lexer)
{
    char kind = at(lexer, 1);
    return at(lexer, 0) == '{' && (kind == '{' || kind == '%' || kind == '#');
}

/* Enters the tag that begins here; a raw block returns its text, a comment an empty text. */
static fr_status begin_tag(fr_jinja_lexer *lexer, fr_jinja_token *out)
{
    char last = '\0';
    char kind = at(lexer, 1);
    size_t raw = word_tag(lexer, "raw", &last);
    lexer->pending = '\0';
    if (raw > 0 && last != '+') {
        out->kind = FR_JINJA_DATA;
        return lex_raw(lexer, raw, last == '-', &out->text);
    }
    if (kind == '#') {
        out->kind = FR_JINJA_DATA;
        out->text = (fr_text){lexer->at, 0};
        return skip_comment(lexer);
    }
    lexer->tag = kind;
    out->kind = kind == '{' ? FR_JINJA_OUTPUT_BEGIN : FR_JINJA_TAG_BEGIN;
    advance(lexer, sign_at(lexer, 2) != '\0' ? 3 : 2);
    return FR_OK;
}

static fr_status lex_outside(fr_jinja_lexer *lexer, fr_jinja_token *out)
{
    if (lexer->pending != '\0') {
        return begin_tag(lexer, out);
    }
    const char *from = lexer->at;
    while (left(lexer) > 0 && !at_tag(lexer)) {
        advance(lexer, 1);
    }
    out->text = (fr_text){from, (size_t)(lexer->at - from)};
    if (left(lexer) == 0) {
        out->kind = out->text.bytes > 0 ? FR_JINJA_DATA : FR_JINJA_END;
        return FR_OK;
    }
    out->text = cut_text(lexer, out->text, at(lexer, 1), sign_at(lexer, 2));
    out->kind = FR_JINJA_DATA;
    lexer->pending = at(lexer, 1);
    return FR_OK;
}

/* ---- inside of a tag ---------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static fr_status lex_string(fr_jinja_lexer *lexer, fr_jinja_token *out)
{
    char quote = at(lexer, 0);
    size_t n = 1;
    size_t kept = 0;
    char *text = NULL;
    while (n < left(lexer) && at(lexer, n) != quote) {
        n += at(lexer, n) == '\\' ? 2 : 1;
    }
    if (n >= left(lexer)) {
        return fail(lexer, "a string is not closed");
    }
    FR_TRY(fr_jinja_new(lexer->arena, lexer->line, n + 1, &text));
    for (size_t i = 1; i < n;) {
        size_t written = 1;
        size_t read = 1;
        if (at(lexer, i) != '\\') {
            text[kept] = at(lexer, i++);
        } else {
            read = fr_jinja_escape((fr_text){lexer->at + i + 1, n - i - 1}, text + kept,
                                   &written);
            i += 1 + read;
        }
        kept += written;
        if (read == 0) {
            return fail(lexer, "an escape in a string is not supported");
        }
    }
    out->kind = FR_JINJA_TEXT;
    out->text = (fr_text){text, kept};
    advance(lexer, n + 1);
    return FR_OK;
}

static size_t count_digits(const fr_jinja_lexer *lexer, size_t from)
{
    size_t n = 0;
    while (is_digit(at(lexer, from + n))) {
        n++;
    }
    return n;
}

/* Decimal numbers; a fraction must have digits on both sides of its point. */
static fr_status lex_number(fr_jinja_lexer *lexer, fr_jinja_token *out)
{
    enum { MAX_DIGITS = 18, CAPACITY = 64 }; /* 18 digits fit into 64 bits */
    char text[CAPACITY];
    size_t whole = count_digits(lexer, 0);
    size_t n = whole;
    /* in a.0.1 the second number is an index, not the fraction 0.1 */
    bool behind_point = lexer->at > lexer->begin && lexer->at[-1] == '.';
    if (!behind_point && at(lexer, n) == '.' && is_digit(at(lexer, n + 1))) {
        n += 1 + count_digits(lexer, n + 1);
    }
    if (!behind_point && (at(lexer, n) == 'e' || at(lexer, n) == 'E')) {
        size_t sign = sign_at(lexer, n + 1) != '\0' ? 1 : 0;
        size_t digits = count_digits(lexer, n + 1 + sign);
        n += digits > 0 ? 1 + sign + digits : 0;
    }
    if ((whole == n && whole > MAX_DIGITS) || n >= CAPACITY ||
        is_letter(at(lexer, n)) || (whole == n && whole > 1 && at(lexer, 0) == '0')) {
        return fail(lexer, "a number is too long, or its form is not supported");
    }
    memcpy(text, lexer->at, n);
    text[n] = '\0';
    out->kind = whole == n ? FR_JINJA_WHOLE : FR_JINJA_FRACTION;
    out->whole = whole == n ? strtoll(text, NULL, 10) : 0;
    out->fraction = strtod(text, NULL);
    advance(lexer, n);
    return FR_OK;
}

/* Brackets must match here already, since a tag ends only where none is open. */
static fr_status match_bracket(fr_jinja_lexer *lexer, char c)
{
    static const char OPEN[] = "([{";
    static const char CLOSE[] = ")]}";
    const char *closing = strchr(CLOSE, c);
    if (strchr(OPEN, c) != NULL) {
        if (lexer->n_open == FR_JINJA_MAX_NESTING) {
            return fail(lexer, "brackets are nested too deep");
        }
        lexer->open[lexer->n_open++] = c;
    } else if (closing != NULL) {
        if (lexer->n_open == 0 ||
            lexer->open[lexer->n_open - 1] != OPEN[closing - CLOSE]) {
            return fail(lexer, "a closing bracket lacks its opening one");
        }
        lexer->n_open--;
    }
    return FR_OK;
}

static fr_status lex_sign(fr_jinja_lexer *lexer, fr_jinja_token *out)
{
    static const char *const PAIRS[] = {"//", "**", "==", "!=", ">=", "<="};
    char c = at(lexer, 0);
    out->kind = FR_JINJA_SIGN;
    for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) {
        if (at_text(lexer, PAIRS[i])) {
            out->op = FR_JINJA_OP(PAIRS[i][0], PAIRS[i][1]);
            advance(lexer, 2);
            return FR_OK;
        }
    }
    if (c == '\0' || strchr("+-/*%~[](){}><=.:|,;", c) == NULL) {
        return FR_FAIL(lexer->arena->ctx, FR_ERR_UNSUPPORTED,
                       "line %d: the character 0x%02x is not allowed in a tag",
                       lexer->line, (unsigned)(unsigned char)c);
    }
    FR_TRY(match_bracket(lexer, c));
    out->op = c;
    advance(lexer, 1);
    return FR_OK;
}

/* Whether the tag ends here; if so, steps over its end. */
static bool lex_tag_end(fr_jinja_lexer *lexer, fr_jinja_token *out)
{
    char sign = sign_at(lexer, 0);
    bool output = lexer->tag == '{';
    size_t skipped = sign == '-' || (sign == '+' && !output) ? 1 : 0;
    char first = output ? '}' : '%';
    if (lexer->n_open > 0 || at(lexer, skipped) != first ||
        at(lexer, skipped + 1) != '}') {
        return false;
    }
    out->kind = output ? FR_JINJA_OUTPUT_END : FR_JINJA_TAG_END;
    close_tag(lexer, skipped + 2, sign == '-', skipped == 0 && !output);
    lexer->tag = '\0';
    return true;
}

static fr_status lex_inside(fr_jinja_lexer *lexer, fr_jinja_token *out)
{
    size_t step = 0;
    while (left(lexer) > 0 && !lex_tag_end(lexer, out)) {
        out->line = lexer->line;
        char c = at(lexer, 0);
        if ((step = fr_jinja_space(lexer->at, left(lexer))) > 0) {
            advance(lexer, step);
            continue;
        }
        if (c == '\'' || c == '"') {
            return lex_string(lexer, out);
        }
        if (is_digit(c)) {
            return lex_number(lexer, out);
        }
        if (!is_letter(c)) {
            return lex_sign(lexer, out);
        }
        while (is_letter(at(lexer, step)) || is_digit(at(lexer, step))) {
            step++;
        }
        out->kind = FR_JINJA_WORD;
        out->text = (fr_text){lexer->at, step};
        advance(lexer, step);
        return FR_OK;
    }
    if (out->kind == FR_JINJA_OUTPUT_END || out->kind == FR_JINJA_TAG_END) {
        return FR_OK;
    }
    return fail(lexer, "a tag is not closed");
}

fr_status fr_jinja_lex(fr_jinja_lexer *lexer, fr_jinja_token *out)
{
    *out = (fr_jinja_token){.kind = FR_JINJA_END, .line = lexer->line};
    return lexer->tag != '\0' ? lex_inside(lexer, out) : lex_outside(lexer, out);
}
