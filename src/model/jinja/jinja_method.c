/* Methods of strings and dicts, as Python has them.
 *
 * A method is found in two steps: jinja_access.c makes a method value when a template names one, fr_jinja_call_method
 * looks up its type and name in METHODS. A method that Python has and METHODS lacks is refused only when it is called.
 *
 * Texts are bytes of UTF-8. Searches for whole texts can work on bytes, since no character's bytes occur inside another
 * character; where single characters count (strip_set), they are cut by their lead bytes. What scans a text
 * charges its bytes.
 */
#define _GNU_SOURCE /* memmem */
#include "model/jinja/jinja_call.h"

#include <string.h>

typedef fr_jinja_machine machine;
typedef fr_jinja_value value;

/* One call of a method. */
typedef struct call {
    machine *m;
    const value *self;
    fr_text name;
    const fr_jinja_arguments *arguments;
    value *out;
} call;

static fr_status fail_arguments(const call *c)
{
    return fr_jinja_fail(c->m, "the arguments of the method '%.*s' are not supported",
                         (int)c->name.bytes, c->name.data);
}

/* At most `most` positional arguments, none by name. */
static fr_status check_arguments(const call *c, int min, int max)
{
    return c->arguments->n < min || c->arguments->n > max || c->arguments->n_named > 0
               ? fail_arguments(c)
               : FR_OK;
}

/* Argument `i`, a string; NULL data: left out or None. */
static fr_status text_argument(const call *c, int i, fr_text *out)
{
    const value *v = fr_jinja_argument(c->arguments, i, NULL);
    *out = (fr_text){NULL, 0};
    if (v == NULL || v->type == FR_JINJA_IS_NONE) {
        return FR_OK;
    }
    if (v->type != FR_JINJA_IS_STRING) {
        return fail_arguments(c);
    }
    *out = v->as.text;
    return FR_OK;
}

/* A part of a markup text is markup as well. */
static fr_status give_text(const call *c, fr_text text)
{
    *c->out = fr_jinja_string(text);
    c->out->is_markup = c->self->is_markup;
    return FR_OK;
}

/* ---- ends --------------------------------------------------------------------------------- */

/* Bytes of the character at the end or beginning of a text if it is one of a set. */
static size_t member_at_end(fr_text text, bool right, fr_text set)
{
    for (size_t i = 0; i < set.bytes;) {
        /* bytes of one character of the set: a lead byte and its continuation bytes */
        size_t step = 1;
        while (i + step < set.bytes && (set.data[i + step] & 0xC0) == 0x80) {
            step++;
        }
        if (step <= text.bytes && memcmp(text.data + (right ? text.bytes - step : 0),
                                         set.data + i, step) == 0) {
            return step;
        }
        i += step;
    }
    return 0;
}

fr_status fr_jinja_strip_set(fr_jinja_machine *m, fr_text *text, fr_text set, bool left,
                             bool right)
{
    size_t step = 0;
    FR_TRY(fr_jinja_charge(m, text->bytes));
    if (set.data == NULL) {
        *text = fr_jinja_strip(*text, left, right);
        return FR_OK;
    }
    while (left && text->bytes > 0 && (step = member_at_end(*text, false, set)) > 0) {
        FR_TRY(fr_jinja_charge(m, set.bytes));
        *text = (fr_text){text->data + step, text->bytes - step};
    }
    while (right && text->bytes > 0 && (step = member_at_end(*text, true, set)) > 0) {
        FR_TRY(fr_jinja_charge(m, set.bytes));
        text->bytes -= step;
    }
    return FR_OK;
}

/* Without an argument, or with None, white space is taken off, else the characters of the argument. */
static fr_status strip(const call *c)
{
    fr_text set;
    fr_text text = c->self->as.text;
    FR_TRY(check_arguments(c, 0, 1));
    FR_TRY(text_argument(c, 0, &set));
    FR_TRY(fr_jinja_strip_set(c->m, &text, set, !fr_text_is(c->name, "rstrip"),
                              !fr_text_is(c->name, "lstrip")));
    return give_text(c, text);
}

static bool has_end(fr_text text, fr_text end, bool right)
{
    return end.bytes <= text.bytes &&
           memcmp(text.data + (right ? text.bytes - end.bytes : 0), end.data,
                  end.bytes) == 0;
}

/* One end, or a tuple of some. */
static fr_status compare_end(const call *c)
{
    bool right = fr_text_is(c->name, "endswith");
    FR_TRY(check_arguments(c, 1, 1));
    const value *ends = &c->arguments->values[0];
    bool tuple =
        ends->type == FR_JINJA_IS_LIST && ends->as.list->form == FR_JINJA_A_TUPLE;
    int64_t n = tuple ? ends->as.list->n : 1;
    bool found = false;
    for (int64_t i = 0; i < n; i++) {
        const value *end = tuple ? &ends->as.list->items[i] : ends;
        if (end->type != FR_JINJA_IS_STRING) {
            return fail_arguments(c);
        }
        FR_TRY(fr_jinja_charge(c->m, end->as.text.bytes));
        found = found || has_end(c->self->as.text, end->as.text, right);
    }
    *c->out = fr_jinja_bool(found);
    return FR_OK;
}

/* ---- pieces ------------------------------------------------------------------------------- */

/* Put text[from, to) on the list. */
static fr_status add_piece(const call *c, fr_text text, size_t from, size_t to)
{
    value piece = fr_jinja_string((fr_text){text.data + from, to - from});
    piece.is_markup = c->self->is_markup;
    return fr_jinja_list_add(c->m, c->out, piece);
}

/* Python's split() without a separator: runs of white space count as one, and empty pieces do not occur. */
static fr_status split_at_spaces(const call *c, int64_t max)
{
    fr_text text = fr_jinja_strip(c->self->as.text, true, false);
    size_t i = 0;
    while (i < text.bytes) {
        size_t step = 0;
        size_t from = i;
        if (max-- == 0) {
            return add_piece(c, text, from, text.bytes);
        }
        while (i < text.bytes && fr_jinja_space(text.data + i, text.bytes - i) == 0) {
            i++;
        }
        FR_TRY(add_piece(c, text, from, i));
        while ((step = fr_jinja_space(text.data + i, text.bytes - i)) > 0) {
            i += step;
        }
    }
    return FR_OK;
}

/* Every occurrence separates, so pieces may be empty; there is always at least one. */
static fr_status split_at_text(const call *c, fr_text separator, int64_t max)
{
    fr_text text = c->self->as.text;
    size_t from = 0;
    const char *found = NULL;
    if (separator.bytes == 0) {
        return fail_arguments(c);
    }
    while (max-- != 0 && (found = memmem(text.data + from, text.bytes - from,
                                         separator.data, separator.bytes)) != NULL) {
        size_t to = (size_t)(found - text.data);
        FR_TRY(add_piece(c, text, from, to));
        from = to + separator.bytes;
    }
    return add_piece(c, text, from, text.bytes);
}

/* At most `max` times; negative: without limit. */
static fr_status count_argument(const call *c, int i, const char *name, int64_t *out)
{
    const value *v = fr_jinja_argument(c->arguments, i, name);
    *out = -1;
    if (v != NULL && v->type != FR_JINJA_IS_INT) {
        return fail_arguments(c);
    }
    *out = v != NULL && v->as.whole >= 0 ? v->as.whole : -1;
    return FR_OK;
}

/* The count may come by position or as maxsplit, never both and nothing else by name. */
static fr_status split(const call *c)
{
    fr_text separator;
    int64_t max = -1;
    FR_TRY(fr_jinja_charge(c->m, c->self->as.text.bytes));
    FR_TRY(text_argument(c, 0, &separator));
    FR_TRY(count_argument(c, 1, "maxsplit", &max));
    if (c->arguments->n > 2 ||
        c->arguments->n_named !=
            (c->arguments->n < 2 &&
             fr_jinja_argument(c->arguments, -1, "maxsplit") != NULL)) {
        return fail_arguments(c);
    }
    FR_TRY(fr_jinja_list_new(c->m, FR_JINJA_A_LIST, c->out));
    return separator.data == NULL ? split_at_spaces(c, max)
                                  : split_at_text(c, separator, max);
}

/* `change` is the old and the new text; `max` replacements at most, negative: all. */
fr_status fr_jinja_replace(fr_jinja_machine *m, fr_text text, const fr_text change[2],
                           int64_t max, fr_jinja_value *out)
{
    fr_jinja_writer w = {0};
    size_t from = 0;
    const char *found = NULL;
    FR_TRY(fr_jinja_charge(m, text.bytes));
    if (change[0].bytes == 0) {
        return fr_jinja_fail(m, "replacing an empty text is not supported");
    }
    while (max-- != 0 && (found = memmem(text.data + from, text.bytes - from,
                                         change[0].data, change[0].bytes)) != NULL) {
        size_t to = (size_t)(found - text.data);
        FR_TRY(fr_jinja_write(m, &w, text.data + from, to - from));
        FR_TRY(fr_jinja_write(m, &w, change[1].data, change[1].bytes));
        from = to + change[0].bytes;
    }
    FR_TRY(fr_jinja_write(m, &w, text.data + from, text.bytes - from));
    return fr_jinja_written(m, &w, out);
}

static fr_status replace(const call *c)
{
    fr_text change[2];
    int64_t max = -1;
    FR_TRY(check_arguments(c, 2, 3));
    FR_TRY(text_argument(c, 0, &change[0]));
    FR_TRY(text_argument(c, 1, &change[1]));
    FR_TRY(count_argument(c, 2, NULL, &max));
    if (change[0].data == NULL || change[1].data == NULL || c->self->is_markup) {
        return fail_arguments(c);
    }
    return fr_jinja_replace(c->m, c->self->as.text, change, max, c->out);
}

/* ---- fields ---- */

/* What stands for a field of a format: a name or a number without anything behind it; numbers are all written or all left out. */
static fr_status find_field(const call *c, fr_text field, int *next, const value **out)
{
    const fr_jinja_arguments *a = c->arguments;
    int index = 0;
    *out = NULL;
    for (size_t i = 0; i < field.bytes && index >= 0; i++) {
        bool digit = field.data[i] >= '0' && field.data[i] <= '9' && i < 4;
        index = digit ? 10 * index + (field.data[i] - '0') : -1;
    }
    if (field.bytes == 0) {
        index = (*next)++;
    }
    if (index >= 0 && index < a->n) {
        *out = &a->values[index];
    }
    for (int i = 0; index < 0 && i < a->n_named; i++) {
        fr_text key = a->named[i].key.as.text;
        if (key.bytes == field.bytes && memcmp(key.data, field.data, key.bytes) == 0) {
            *out = &a->named[i].value;
        }
    }
    return *out != NULL
               ? FR_OK
               : fr_jinja_fail(c->m, "the field '{%.*s}' is not supported",
                               field.bytes < 40 ? (int)field.bytes : 40, field.data);
}

/* Bytes of a field with its braces, whose name goes to `name`; 0: it does not end. */
static size_t read_field(fr_text text, fr_text *name)
{
    const char *end = memchr(text.data, '}', text.bytes);
    if (end == NULL) {
        return 0;
    }
    *name = (fr_text){text.data + 1, (size_t)(end - text.data) - 1};
    return name->bytes + 2;
}

/* Python's format, for fields without attributes, conversions and widths. */
static fr_status format(const call *c)
{
    const fr_text text = c->self->as.text;
    fr_jinja_writer w = {0};
    int next = 0;
    bool numbered = false;
    if (c->self->is_markup) {
        return fail_arguments(c);
    }
    for (size_t i = 0, step = 0; i < text.bytes; i += step) {
        const fr_text rest = {text.data + i, text.bytes - i};
        bool brace = rest.data[0] == '{' || rest.data[0] == '}';
        bool twice = brace && rest.bytes > 1 && rest.data[1] == rest.data[0];
        fr_text name = {NULL, 0};
        const value *field = NULL;
        step = twice ? 2 : 1;
        if (!brace || twice) {
            FR_TRY(fr_jinja_write(c->m, &w, rest.data, 1));
            continue;
        }
        step = rest.data[0] == '{' ? read_field(rest, &name) : 0;
        if (step == 0) {
            return fr_jinja_fail(c->m, "a brace of a format stands alone");
        }
        numbered = numbered || (name.bytes > 0 && name.data[0] <= '9');
        FR_TRY(find_field(c, name, &next, &field));
        if (numbered && next > 0) {
            return fr_jinja_fail(c->m, "some fields of a format are numbered, not all");
        }
        FR_TRY(fr_jinja_write_value(c->m, &w, field));
    }
    return fr_jinja_written(c->m, &w, c->out);
}

/* ---- letters ------------------------------------------------------------------------------ */

/* ASCII alone: other letters would need Python's tables, which differ between its versions. `capitalize` also lowers
 * what follows the first letter. */
fr_status fr_jinja_set_case(fr_jinja_machine *m, fr_text text, fr_text how,
                            fr_jinja_value *out)
{
    bool upper = fr_text_is(how, "upper");
    bool capital = fr_text_is(how, "capitalize");
    char *made = NULL;
    FR_TRY(fr_jinja_charge(m, text.bytes));
    FR_TRY(fr_jinja_new(&m->arena, m->line, text.bytes + 1, &made));
    for (size_t i = 0; i < text.bytes; i++) {
        char letter = text.data[i];
        bool raise = upper || (capital && i == 0);
        if ((letter & 0x80) != 0) {
            return fr_jinja_fail(m,
                                 "'%.*s' of letters that are not ASCII is not "
                                 "supported",
                                 (int)how.bytes, how.data);
        }
        if (raise && letter >= 'a' && letter <= 'z') {
            letter = (char)(letter - 'a' + 'A');
        } else if (!raise && letter >= 'A' && letter <= 'Z') {
            letter = (char)(letter - 'A' + 'a');
        }
        made[i] = letter;
    }
    *out = fr_jinja_string((fr_text){made, text.bytes});
    return FR_OK;
}

static fr_status set_case(const call *c)
{
    FR_TRY(check_arguments(c, 0, 0));
    FR_TRY(fr_jinja_set_case(c->m, c->self->as.text, c->name, c->out));
    c->out->is_markup = c->self->is_markup;
    return FR_OK;
}

/* ---- dicts -------------------------------------------------------------------------------- */

/* A missing key gives the default, or None: unlike item access, which gives undefined. */
static fr_status get(const call *c)
{
    value *found = NULL;
    FR_TRY(check_arguments(c, 1, 2));
    FR_TRY(fr_jinja_dict_find(c->m, c->self->as.dict, c->arguments->values[0], &found));
    *c->out = found != NULL          ? *found
              : c->arguments->n == 2 ? c->arguments->values[1]
                                     : fr_jinja_none();
    return FR_OK;
}

/* A dict's view in Python follows later changes; here dicts do not change, so a copy is the same. */
static fr_status view(const call *c)
{
    const fr_jinja_dict *dict = c->self->as.dict;
    FR_TRY(check_arguments(c, 0, 0));
    FR_TRY(fr_jinja_list_new(c->m, FR_JINJA_A_VIEW, c->out));
    for (int64_t i = 0; i < dict->n; i++) {
        value item =
            fr_text_is(c->name, "keys") ? dict->pairs[i].key : dict->pairs[i].value;
        if (fr_text_is(c->name, "items")) {
            FR_TRY(fr_jinja_two(c->m, dict->pairs[i].key, dict->pairs[i].value, &item));
        }
        FR_TRY(fr_jinja_list_add(c->m, c->out, item));
    }
    return FR_OK;
}

/* The supported methods of each type. */
typedef struct method {
    fr_jinja_type type;
    const char *name;
    fr_status (*call)(const call *c);
} method;

static const method METHODS[] = {{FR_JINJA_IS_STRING, "strip", strip},
                                 {FR_JINJA_IS_STRING, "lstrip", strip},
                                 {FR_JINJA_IS_STRING, "rstrip", strip},
                                 {FR_JINJA_IS_STRING, "startswith", compare_end},
                                 {FR_JINJA_IS_STRING, "endswith", compare_end},
                                 {FR_JINJA_IS_STRING, "split", split},
                                 {FR_JINJA_IS_STRING, "replace", replace},
                                 {FR_JINJA_IS_STRING, "format", format},
                                 {FR_JINJA_IS_STRING, "upper", set_case},
                                 {FR_JINJA_IS_STRING, "lower", set_case},
                                 {FR_JINJA_IS_STRING, "capitalize", set_case},
                                 {FR_JINJA_IS_DICT, "get", get},
                                 {FR_JINJA_IS_DICT, "items", view},
                                 {FR_JINJA_IS_DICT, "keys", view},
                                 {FR_JINJA_IS_DICT, "values", view}};

fr_status fr_jinja_call_method(fr_jinja_machine *m, const fr_jinja_method *called,
                               const fr_jinja_arguments *arguments, fr_jinja_value *out)
{
    call c = {m, &called->self, called->name, arguments, out};
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++) {
        if (METHODS[i].type == called->self.type &&
            fr_text_is(called->name, METHODS[i].name)) {
            return METHODS[i].call(&c);
        }
    }
    return fr_jinja_fail(m, "the method '%.*s' of %s is not supported",
                         (int)called->name.bytes, called->name.data,
                         fr_jinja_type_name(&called->self));
}
