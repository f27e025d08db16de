/* From Oniguruma's regular expressions (Ruby's syntax, the default of Hugging Face's tokenizers) to PCRE2's.
 *
 * One pass copies the expression item by item. What both write and mean alike is copied; what they mean differently is
 * rewritten; all else is refused by name, so nothing changes its meaning silently. The differences that matter:
 *   \s \S        PCRE2 also counts U+180E as space: \s becomes a class (WHITE)
 *   \w \W \b \B  PCRE2 leaves out marks: written with a class (WORD)
 *   \h \v        a hexadecimal digit and U+000B; other things in PCRE2
 *   ^ $ (?m:)    begin and end of each line, which PCRE2_MULTILINE gives; (?m:) is PCRE2's (?s:)
 *   {n,m}+       repeated once more or more often, not possessive
 *   [a[bc]]      a class in a class, joined with it
 *   [a&&[^b]]    the characters of `a` that are not in `b`
 *   \p{Han}      a script; PCRE2's \p{Han} has also the characters that are used with it (Script_Extensions)
 *   (...)        need not capture, since what refers to groups is refused */
#include "base/mem.h"
#include "model/files/names.h"
#include "model/text/bytes.h"
#include "model/text/pattern_impl.h"

#include <stdlib.h>
#include <string.h>

#define WHITE "\\t-\\r\\x{20}\\x{85}\\p{Z}"
#define WORD                                                                           \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}"        \
    "\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}"
/* Outside of classes Oniguruma looks Latin-1 up in a table that also has its fractions and superscripts. */
#define WORD_ALONE WORD "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}"

/* The state of one translation. */
typedef struct work {
    fr_ctx *ctx;
    const char *path;
    fr_text in;
    size_t at;
    fr_bytes out;
    size_t atom;   /* where in `out` the item begins that a quantifier would repeat */
    int depth;     /* of groups */
    size_t *opens; /* [in.bytes + 1], where in `out` each open group begins */
} work;

static fr_status refuse(const work *w, const char *what, size_t from, size_t bytes)
{
    size_t left = w->in.bytes - from;
    return FR_FAIL(
        w->ctx, FR_ERR_UNSUPPORTED,
        "%s: the regular expression '%s' has %s ('%s' at byte %zu), which is "
        "not supported. Give rows as token ids (source_ids, target_ids)",
        w->path, fr_show(w->in).text, what,
        fr_show((fr_text){w->in.data + from, bytes < left ? bytes : left}).text, from);
}

static bool sees(const work *w, const char *word)
{
    size_t bytes = strlen(word);
    return w->in.bytes - w->at >= bytes && memcmp(w->in.data + w->at, word, bytes) == 0;
}

static fr_status put(work *w, const char *text)
{
    return fr_bytes_add(w->ctx, &w->out, text, strlen(text));
}

static fr_status copy(work *w, size_t bytes)
{
    FR_TRY(fr_bytes_add(w->ctx, &w->out, w->in.data + w->at, bytes));
    w->at += bytes;
    return FR_OK;
}

/* Puts a replacement and moves behind what it replaces. */
static fr_status swap(work *w, size_t bytes, const char *text)
{
    w->at += bytes;
    return put(w, text);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int hex_digits(const work *w, size_t from, int most)
{
    int n = 0;
    while (n < most && from + (size_t)n < w->in.bytes &&
           is_hex(w->in.data[from + (size_t)n])) {
        n++;
    }
    return n;
}

/* \x{...}, \uHHHH, and \xHH below 0x80 (above, Oniguruma takes it as a byte). */
static fr_status take_number(work *w)
{
    size_t from = w->at + 2;
    bool braces =
        w->in.data[w->at + 1] == 'x' && from < w->in.bytes && w->in.data[from] == '{';
    from += braces ? 1 : 0;
    int n = hex_digits(w, from, braces ? 6 : w->in.data[w->at + 1] == 'u' ? 4 : 2);
    size_t end = from + (size_t)n;
    bool closed = !braces || (end < w->in.bytes && w->in.data[end] == '}');
    bool is_byte =
        !braces && w->in.data[w->at + 1] == 'x' && (n != 2 || w->in.data[from] >= '8');
    if (n == 0 || !closed || is_byte || (w->in.data[w->at + 1] == 'u' && n != 4)) {
        return refuse(w, "a number of a character", w->at, 6);
    }
    FR_TRY(put(w, "\\x{"));
    FR_TRY(fr_bytes_add(w->ctx, &w->out, w->in.data + from, (size_t)n));
    w->at = end + (braces ? 1 : 0);
    return put(w, "}");
}

/* A general category has one or two letters; any longer name must be that of a script. */
static fr_status take_property(work *w)
{
    size_t from = w->at + 3;
    const char *end = from <= w->in.bytes && w->in.data[w->at + 2] == '{'
                          ? memchr(w->in.data + from, '}', w->in.bytes - from)
                          : NULL;
    if (end == NULL) {
        return refuse(w, "a property without braces", w->at, 4);
    }
    size_t bytes = (size_t)(end - w->in.data) - from;
    bool negated = bytes > 0 && w->in.data[from] == '^';
    from += negated ? 1 : 0;
    bytes -= negated ? 1 : 0;
    for (size_t i = 0; i < bytes; i++) {
        if (!is_letter(w->in.data[from + i]) && w->in.data[from + i] != '_') {
            bytes = 0;
        }
    }
    if (bytes == 0) {
        return refuse(w, "a property that is not a name", w->at, 16);
    }
    negated = negated != (w->in.data[w->at + 1] == 'P');
    FR_TRY(put(w, negated ? "\\P{" : "\\p{"));
    FR_TRY(put(w, bytes > 2 ? "sc:" : ""));
    FR_TRY(fr_bytes_add(w->ctx, &w->out, w->in.data + from, bytes));
    w->at = (size_t)(end - w->in.data) + 1;
    return put(w, "}");
}

/* Escapes that stand for classes; `inside` a class only their contents are written. */
static fr_status take_class_escape(work *w, bool inside, bool *taken)
{
    static const struct {
        char letter;
        const char *outside;
        const char *inside; /* NULL: not supported there */
    } CLASSES[] = {{'s', "[" WHITE "]", WHITE},
                   {'S', "[^" WHITE "]", "\\S\\x{180E}"},
                   {'w', "[" WORD_ALONE "]", WORD},
                   {'W', "[^" WORD_ALONE "]", NULL},
                   {'d', "\\d", "\\d"},
                   {'D', "\\D", "\\D"},
                   {'h', "[0-9a-fA-F]", "0-9a-fA-F"},
                   {'H', "[^0-9a-fA-F]", NULL},
                   {'b',
                    "(?:(?<=[" WORD_ALONE "])(?![" WORD_ALONE "])|(?<![" WORD_ALONE
                    "])(?=[" WORD_ALONE "]))",
                    NULL},
                   {'B',
                    "(?:(?<=[" WORD_ALONE "])(?=[" WORD_ALONE "])|(?<![" WORD_ALONE
                    "])(?![" WORD_ALONE "]))",
                    NULL},
                   {'A', "\\A", NULL},
                   {'z', "\\z", NULL},
                   {'Z', "\\Z", NULL}};
    for (size_t i = 0; i < sizeof CLASSES / sizeof *CLASSES; i++) {
        const char *text = inside ? CLASSES[i].inside : CLASSES[i].outside;
        if (CLASSES[i].letter == w->in.data[w->at + 1] && text != NULL) {
            *taken = true;
            return swap(w, 2, text);
        }
    }
    return FR_OK;
}

static fr_status take_escape(work *w, bool inside)
{
    bool taken = false;
    if (w->at + 1 >= w->in.bytes) {
        return refuse(w, "a backslash at its end", w->at, 1);
    }
    char letter = w->in.data[w->at + 1];
    FR_TRY(take_class_escape(w, inside, &taken));
    if (taken) {
        return FR_OK;
    }
    if (letter == 'p' || letter == 'P') {
        return take_property(w);
    }
    if (letter == 'x' || letter == 'u') {
        return take_number(w);
    }
    if (letter == 'v') {
        return swap(w, 2, "\\x{B}");
    }
    if (letter != '\0' && strchr("nrtfae", letter) != NULL) {
        return copy(w, 2);
    }
    if (is_letter(letter) || is_digit(letter)) {
        return refuse(w, "an escape", w->at, 2);
    }
    return (unsigned char)letter >= 0x80 ? swap(w, 1, "") : copy(w, 2);
}

/* A bracket that is left out must not make a range of the characters beside it. */
static bool touches_hyphen(const work *w)
{
    return w->in.data[w->at - 1] == '-' ||
           (w->at + 1 < w->in.bytes && w->in.data[w->at + 1] == '-');
}

/* The inside of a class, up to its closing bracket. A class in it is joined unless it is negated. */
static fr_status take_members(work *w)
{
    int depth = 1;
    while (w->at < w->in.bytes) {
        char c = w->in.data[w->at];
        if (c == '\\') {
            FR_TRY(take_escape(w, true));
        } else if (c == ']' && depth == 1) {
            return FR_OK;
        } else if (sees(w, "&&") || sees(w, "[^") || sees(w, "[:") || sees(w, "[]") ||
                   ((c == '[' || c == ']') && touches_hyphen(w))) {
            return refuse(w, "a class in a class", w->at, 2);
        } else if (c == '[' || c == ']') {
            depth += c == '[' ? 1 : -1;
            w->at++;
        } else {
            FR_TRY(copy(w, 1));
        }
    }
    return refuse(w, "a class without an end", w->at, 0);
}

/* Whether the class at `at` ends in "&&[^...]]"; *cut is where that begins. The first "&&" counts. */
static bool has_exception(const work *w, size_t *cut)
{
    int depth = 0;
    for (size_t i = w->at; i < w->in.bytes; i++) {
        char c = w->in.data[i];
        if (c == '\\') {
            i++;
        } else if (c == '[') {
            depth++;
        } else if (c == ']' && --depth == 0) {
            return false;
        } else if (c == '&' && depth == 1 && w->in.bytes - i >= 4 &&
                   memcmp(w->in.data + i, "&&[^", 4) == 0) {
            *cut = i;
            return true;
        }
    }
    return false;
}

/* [...] and [^...]. */
static fr_status take_plain_class(work *w)
{
    FR_TRY(copy(w, sees(w, "[^") ? 2 : 1));
    if (sees(w, "]")) {
        return refuse(w, "an empty class", w->at - 1, 2);
    }
    FR_TRY(take_members(w));
    return copy(w, 1);
}

/* [A&&[^B]] becomes (?:(?![B])[A]). */
static fr_status take_exception(work *w, size_t cut)
{
    size_t from = w->at;
    size_t end = w->in.bytes;
    FR_TRY(put(w, "(?:(?!["));
    w->at = cut + 4;
    FR_TRY(take_members(w));
    w->at++;
    if (!sees(w, "]") || w->in.data[from + 1] == '^') {
        return refuse(w, "a class in a class", cut, 4);
    }
    end = w->at + 1;
    FR_TRY(put(w, "])["));
    w->at = from + 1;
    /* the part before "&&" is read as if the class ended there */
    fr_text whole = w->in;
    w->in.bytes = cut;
    while (w->at < cut) {
        if (w->in.data[w->at] == '[' || w->in.data[w->at] == ']') {
            return refuse(w, "a class in a class", w->at, 1);
        }
        FR_TRY(w->in.data[w->at] == '\\' ? take_escape(w, true) : copy(w, 1));
    }
    w->in = whole;
    w->at = end;
    return put(w, "])");
}

static fr_status take_class(work *w)
{
    size_t cut = 0;
    return has_exception(w, &cut) ? take_exception(w, cut) : take_plain_class(w);
}

/* Options inside a group "(?im-x:" that both have, with Ruby's m as PCRE2's s. Without ':' they would hold to the end of the
 * group, in Ruby over alternatives in another way than in PCRE2, but for the beginning of the expression. */
static fr_status take_options(work *w)
{
    size_t from = w->at;
    FR_TRY(copy(w, 2));
    while (sees(w, "i") || sees(w, "m") || sees(w, "-")) {
        FR_TRY(sees(w, "m") ? swap(w, 1, "s") : copy(w, 1));
    }
    bool is_start = from == 0 && sees(w, ")");
    if (!sees(w, ":") && !is_start) {
        return refuse(w, "a kind of group", from, 4);
    }
    w->depth -= is_start ? 1 : 0;
    return copy(w, 1);
}

/* Skips the name of a named group; its closing bracket is the next '>'. */
static fr_status take_group(work *w)
{
    static const char *const SAME[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    w->opens[w->depth++] = w->out.count;
    for (size_t i = 0; i < sizeof SAME / sizeof *SAME; i++) {
        if (sees(w, SAME[i])) {
            return copy(w, strlen(SAME[i]));
        }
    }
    if (sees(w, "(?<")) {
        const char *end = memchr(w->in.data + w->at, '>', w->in.bytes - w->at);
        if (end == NULL) {
            return refuse(w, "a name without an end", w->at, 8);
        }
        w->at = (size_t)(end - w->in.data) + 1;
        return put(w, "(?:");
    }
    if (sees(w, "(?i") || sees(w, "(?m") || sees(w, "(?-")) {
        return take_options(w);
    }
    if (sees(w, "(?") || sees(w, "(*")) {
        return refuse(w, "a kind of group", w->at, 4);
    }
    return swap(w, 1, "(?:");
}

/* {n}, {n,}, {,m}, {n,m}; any other brace is a character. A plus behind repeats the whole. */
static fr_status take_interval(work *w)
{
    size_t end = w->at + 1;
    size_t comma = 0;
    size_t n_digits = 0;
    for (; end < w->in.bytes &&
           (is_digit(w->in.data[end]) || (w->in.data[end] == ',' && comma == 0));
         end++) {
        comma = w->in.data[end] == ',' ? end : comma;
        n_digits += w->in.data[end] != ',';
    }
    if (end >= w->in.bytes || w->in.data[end] != '}' || n_digits == 0) {
        w->atom = w->out.count;
        return swap(w, 1, "\\{");
    }
    bool repeated = end + 1 < w->in.bytes && w->in.data[end + 1] == '+';
    bool lazy = end + 1 < w->in.bytes && w->in.data[end + 1] == '?';
    if (lazy && comma == 0) {
        return refuse(w, "a lazy count", w->at, end + 2 - w->at);
    }
    FR_TRY(put(w, comma == w->at + 1 ? "{0" : "{"));
    w->at++;
    FR_TRY(copy(w, end + 1 - w->at));
    if (repeated) {
        static const char OPEN[] = "(?:";
        size_t moved = w->out.count - w->atom;
        FR_TRY(put(w, OPEN));
        memmove(w->out.data + w->atom + 3, w->out.data + w->atom, moved);
        memcpy(w->out.data + w->atom, OPEN, 3);
        return swap(w, 1, ")+");
    }
    return lazy ? copy(w, 1) : FR_OK;
}

/* One item outside of classes. */
static fr_status take_item(work *w)
{
    char c = w->in.data[w->at];
    if (c == '{') {
        return take_interval(w);
    }
    if (c == '*' || c == '+' || c == '?' || c == '|') {
        return copy(w, 1);
    }
    if (c == '(') {
        return take_group(w);
    }
    if (c == ')') {
        if (w->depth == 0) {
            return refuse(w, "a closing bracket too many", w->at, 1);
        }
        w->atom = w->opens[--w->depth];
        return copy(w, 1);
    }
    w->atom = w->out.count;
    if (c == '\\') {
        return take_escape(w, false);
    }
    if (c == '[') {
        return take_class(w);
    }
    /* the bytes of one character are one item */
    FR_TRY(copy(w, 1));
    while (w->at < w->in.bytes && ((unsigned char)w->in.data[w->at] & 0xC0) == 0x80) {
        FR_TRY(copy(w, 1));
    }
    return FR_OK;
}

fr_status fr_pattern_translate(fr_ctx *ctx, const char *path, fr_text regex, char **out,
                               size_t *bytes)
{
    work w = {.ctx = ctx, .path = path, .in = regex};
    *out = NULL;
    *bytes = 0;
    fr_status status =
        fr_alloc(ctx, (int64_t)regex.bytes + 1, sizeof *w.opens, &w.opens);
    while (status == FR_OK && w.at < w.in.bytes) {
        status = take_item(&w);
    }
    if (status == FR_OK) {
        *bytes = w.out.count;
        status = fr_bytes_add(ctx, &w.out, "", 1);
    }
    free(w.opens);
    if (status != FR_OK) {
        fr_bytes_fini(&w.out);
        return status;
    }
    *out = w.out.data;
    return FR_OK;
}
