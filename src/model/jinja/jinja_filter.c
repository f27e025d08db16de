/* Filters of one value, and the table of all filters.
 *
 * Each filter checks its arguments itself and refuses what it does not know: with an argument that is ignored, the text
 * would silently differ from jinja2's. Texts are made in the arena, so their size is limited like that of all values.
 * Filters that iterate are in jinja_filter_list.c, those that a method does as well (case, replace, strip) in
 * jinja_method.c.
 */
#include "model/jinja/jinja_call.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef fr_jinja_machine machine;
typedef fr_jinja_value value;
typedef fr_jinja_filter_call call;

fr_status fr_jinja_filter_arguments(const fr_jinja_filter_call *c)
{
    return fr_jinja_fail(c->m, "the arguments of the filter '%.*s' are not supported",
                         (int)c->name.bytes, c->name.data);
}

fr_status fr_jinja_filter_given(const fr_jinja_filter_call *c, const char *const *names,
                                const fr_jinja_value *given[])
{
    const fr_jinja_arguments *a = c->arguments;
    int n = 0;
    int n_named = 0;
    for (; names[n] != NULL; n++) {
        bool named = fr_jinja_argument(a, -1, names[n]) != NULL;
        given[n] = fr_jinja_argument(a, n, names[n]);
        given[n] =
            given[n] != NULL && given[n]->type == FR_JINJA_IS_NONE ? NULL : given[n];
        if (named && n < a->n) { /* twice */
            return fr_jinja_filter_arguments(c);
        }
        n_named += named;
    }
    return a->n > n || a->n_named != n_named ? fr_jinja_filter_arguments(c) : FR_OK;
}

/* No argument but those that are named or stand before `most`. */
static fr_status check_arguments(const call *c, int max, const char *name)
{
    const fr_jinja_arguments *a = c->arguments;
    int known = name != NULL && fr_jinja_argument(a, -1, name) != NULL ? 1 : 0;
    return a->n > max || a->n_named != known ? fr_jinja_filter_arguments(c) : FR_OK;
}

/* A string is passed on as it is, so that markup stays markup. */
static fr_status to_string(const call *c)
{
    fr_text text;
    FR_TRY(check_arguments(c, 0, NULL));
    if (c->input->type == FR_JINJA_IS_STRING) {
        *c->out = *c->input;
        return FR_OK;
    }
    FR_TRY(fr_jinja_str(c->m, c->input, &text));
    *c->out = fr_jinja_string(text);
    return FR_OK;
}

static fr_status make_safe(const call *c)
{
    FR_TRY(to_string(c));
    c->out->is_markup = true;
    return FR_OK;
}

static fr_status trim(const call *c)
{
    fr_text text;
    const value *set = fr_jinja_argument(c->arguments, 0, "chars");
    FR_TRY(check_arguments(c, 1, "chars"));
    FR_TRY(fr_jinja_str(c->m, c->input, &text));
    bool given = set != NULL && set->type != FR_JINJA_IS_NONE;
    if (given && set->type != FR_JINJA_IS_STRING) {
        return fr_jinja_filter_arguments(c);
    }
    FR_TRY(fr_jinja_strip_set(c->m, &text, given ? set->as.text : (fr_text){NULL, 0},
                              true, true));
    *c->out = fr_jinja_string(text);
    c->out->is_markup = c->input->is_markup;
    return FR_OK;
}

static fr_status measure(const call *c)
{
    int64_t n = 0;
    FR_TRY(check_arguments(c, 0, NULL));
    FR_TRY(fr_jinja_length(c->m, c->input, &n));
    *c->out = fr_jinja_int(n);
    return FR_OK;
}

/* The fallback stands for undefined alone, with boolean=true for every false value. */
static fr_status use_default(const call *c)
{
    const value *fallback = fr_jinja_argument(c->arguments, 0, "default_value");
    const value *falsy = fr_jinja_argument(c->arguments, 1, "boolean");
    bool use = c->input->type == FR_JINJA_IS_UNDEFINED ||
               (falsy != NULL && fr_jinja_truth(falsy) && !fr_jinja_truth(c->input));
    *c->out = !use ? *c->input : fallback != NULL ? *fallback : fr_jinja_word("");
    return c->arguments->n > 2 ? fr_jinja_filter_arguments(c) : FR_OK;
}

static fr_status change_case(const call *c)
{
    fr_text text;
    FR_TRY(check_arguments(c, 0, NULL));
    FR_TRY(fr_jinja_str(c->m, c->input, &text));
    return fr_jinja_set_case(c->m, text, c->name, c->out);
}

static fr_status replace(const call *c)
{
    const value *from = fr_jinja_argument(c->arguments, 0, "old");
    const value *to = fr_jinja_argument(c->arguments, 1, "new");
    fr_text text;
    if (from == NULL || to == NULL || c->arguments->n + c->arguments->n_named != 2) {
        return fr_jinja_filter_arguments(c);
    }
    fr_text change[2];
    FR_TRY(fr_jinja_str(c->m, c->input, &text));
    FR_TRY(fr_jinja_str(c->m, from, &change[0]));
    FR_TRY(fr_jinja_str(c->m, to, &change[1]));
    return fr_jinja_replace(c->m, text, change, -1, c->out);
}

/* Two strings, in a tuple or a list. */
static fr_status take_separators(const call *c, const value *pair, fr_jinja_json *how)
{
    bool is_pair = pair->type == FR_JINJA_IS_LIST &&
                   pair->as.list->form <= FR_JINJA_A_TUPLE && pair->as.list->n == 2 &&
                   pair->as.list->items[0].type == FR_JINJA_IS_STRING &&
                   pair->as.list->items[1].type == FR_JINJA_IS_STRING;
    if (!is_pair) {
        return fr_jinja_filter_arguments(c);
    }
    how->between = pair->as.list->items[0].as.text;
    how->after_key = pair->as.list->items[1].as.text;
    return FR_OK;
}

/* With the arguments that transformers gives the filter. */
static fr_status to_json(const call *c)
{
    static const char *const NAMES[] = {"ensure_ascii", "indent", "separators",
                                        "sort_keys", NULL};
    enum { ASCII, INDENT, SEPARATORS, SORTED, N_NAMES };
    enum {
        MAX_INDENT = 16
    }; /* templates use 2 or 4; bounds what one value can write */
    const value *given[N_NAMES];
    fr_jinja_json how = {.indent = -1, .between = {", ", 2}, .after_key = {": ", 2}};
    fr_jinja_writer w = {0};
    FR_TRY(fr_jinja_filter_given(c, NAMES, given));
    how.ascii = given[ASCII] != NULL && fr_jinja_truth(given[ASCII]);
    how.sort_keys = given[SORTED] != NULL && fr_jinja_truth(given[SORTED]);
    if (given[INDENT] != NULL) {
        if (given[INDENT]->type != FR_JINJA_IS_INT || given[INDENT]->as.whole < 0 ||
            given[INDENT]->as.whole > MAX_INDENT) {
            return fr_jinja_filter_arguments(c);
        }
        how.indent = (int)given[INDENT]->as.whole;
        how.between.bytes = 1; /* no blank at the end of a line */
    }
    if (given[SEPARATORS] != NULL) {
        FR_TRY(take_separators(c, given[SEPARATORS], &how));
    }
    FR_TRY(fr_jinja_write_json(c->m, &w, c->input, &how));
    return fr_jinja_written(c->m, &w, c->out);
}

/* Of a string that is a plain decimal number. Others are 0, as in jinja2, but refused if Python might read a number. */
static fr_status whole_of_text(const call *c, fr_text text)
{
    enum { CAPACITY = 24 }; /* a sign, the digits of 64 bits, and NUL */
    char digits[CAPACITY];
    char *end = NULL;
    text = fr_jinja_strip(text, true, true);
    if (text.bytes >= CAPACITY) {
        return fr_jinja_fail(c->m, "a long text cannot be made a number");
    }
    memcpy(digits, text.data, text.bytes);
    digits[text.bytes] = '\0';
    errno = 0;
    long long whole = strtoll(digits, &end, 10);
    if (text.bytes == 0 || end == digits) {
        bool plain = text.bytes == 0 || strpbrk(digits, "0123456789.nNiI") == NULL;
        *c->out = fr_jinja_int(0);
        return plain
                   ? FR_OK
                   : fr_jinja_fail(c->m, "making this text a number is not supported");
    }
    *c->out = fr_jinja_int(whole);
    return *end == '\0' && errno == 0
               ? FR_OK
               : fr_jinja_fail(c->m, "making this text a number is not supported");
}

/* As int() of Python: fractions are cut off. Values of other types give 0, jinja2's default. */
static fr_status to_whole(const call *c)
{
    /* below 2^53 = 9.007e15, so each whole number up to here is exact as a double */
    const double MAX = 9e15;
    FR_TRY(check_arguments(c, 0, NULL));
    switch (c->input->type) {
    case FR_JINJA_IS_INT:
    case FR_JINJA_IS_BOOL:
        *c->out = fr_jinja_int(c->input->as.whole);
        return FR_OK;
    case FR_JINJA_IS_FLOAT:
        *c->out = fr_jinja_int((int64_t)fmin(fmax(c->input->as.fraction, -MAX), MAX));
        return fabs(c->input->as.fraction) < MAX
                   ? FR_OK
                   : fr_jinja_fail(c->m, "a number is too large");
    case FR_JINJA_IS_STRING:
        return whole_of_text(c, c->input->as.text);
    case FR_JINJA_IS_UNDEFINED:
        return fr_jinja_fail(c->m, "an undefined value cannot be made a number");
    default:
        *c->out = fr_jinja_int(0);
        return FR_OK;
    }
}

/* Python's splitlines also splits at other characters than newlines. */
static bool has_odd_lines(fr_text text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if ((c >= 0x0B && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c >= 0x80) {
            return true;
        }
    }
    return false;
}

/* Lines after the first get blanks, empty lines do not, as in jinja2. More blanks than BLANKS holds are refused. */
static fr_status indent(const call *c)
{
    static const char BLANKS[] = "                                ";
    const value *width = fr_jinja_argument(c->arguments, 0, "width");
    const value *first = fr_jinja_argument(c->arguments, 1, "first");
    fr_text text;
    fr_jinja_writer w = {0};
    size_t blanks = 4;
    FR_TRY(fr_jinja_str(c->m, c->input, &text));
    if (width != NULL && width->type == FR_JINJA_IS_INT && width->as.whole >= 0) {
        blanks = (size_t)width->as.whole;
    } else if (width != NULL) {
        blanks = sizeof BLANKS;
    }
    if (c->arguments->n > 2 || blanks >= sizeof BLANKS || has_odd_lines(text) ||
        fr_jinja_argument(c->arguments, -1, "blank") != NULL) {
        return fr_jinja_filter_arguments(c);
    }
    bool starts = first != NULL && fr_jinja_truth(first);
    FR_TRY(fr_jinja_write(c->m, &w, BLANKS, starts ? blanks : 0));
    for (size_t i = 0; i < text.bytes; i++) {
        bool line = i > 0 && text.data[i - 1] == '\n' && text.data[i] != '\n';
        FR_TRY(fr_jinja_write(c->m, &w, BLANKS, line ? blanks : 0));
        FR_TRY(fr_jinja_write(c->m, &w, text.data + i, 1));
    }
    return fr_jinja_written(c->m, &w, c->out);
}

typedef struct filter {
    const char *name;
    fr_status (*call)(const call *c);
} filter;

/* Several names may share a function, which then reads the name it was called by. */
static const filter FILTERS[] = {{"string", to_string},
                                 {"safe", make_safe},
                                 {"trim", trim},
                                 {"length", measure},
                                 {"count", measure},
                                 {"default", use_default},
                                 {"d", use_default},
                                 {"upper", change_case},
                                 {"lower", change_case},
                                 {"capitalize", change_case},
                                 {"replace", replace},
                                 {"tojson", to_json},
                                 {"int", to_whole},
                                 {"indent", indent},
                                 {"join", fr_jinja_join},
                                 {"list", fr_jinja_make_list},
                                 {"dictsort", fr_jinja_dictsort},
                                 {"sort", fr_jinja_sort},
                                 {"unique", fr_jinja_unique},
                                 {"min", fr_jinja_extreme},
                                 {"max", fr_jinja_extreme},
                                 {"items", fr_jinja_items_of},
                                 {"first", fr_jinja_end_of},
                                 {"last", fr_jinja_end_of},
                                 {"map", fr_jinja_map},
                                 {"select", fr_jinja_select},
                                 {"reject", fr_jinja_select},
                                 {"selectattr", fr_jinja_select},
                                 {"rejectattr", fr_jinja_select}};

fr_status fr_jinja_filter(fr_jinja_machine *m, fr_text name,
                          const fr_jinja_value *input,
                          const fr_jinja_arguments *arguments, fr_jinja_value *out)
{
    enum { SHOWN = 60 };
    call c = {m, name, input, arguments, out};
    FR_TRY(fr_jinja_charge(m, 0));
    for (size_t i = 0; i < sizeof FILTERS / sizeof *FILTERS; i++) {
        if (fr_text_is(name, FILTERS[i].name)) {
            return FILTERS[i].call(&c);
        }
    }
    return fr_jinja_fail(m, "the filter '%.*s' is not supported",
                         name.bytes < SHOWN ? (int)name.bytes : SHOWN, name.data);
}
