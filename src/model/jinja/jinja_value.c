/* Values of a rendering: how they are made, compared and iterated, with the meaning that they have in Python.
 *
 * A value is a tag and a pointer. Lists, dicts and texts lie in the machine's arena, whose size is limited, and everything that
 * could take long counts steps (fr_jinja_charge): so a template cannot use more memory or time than its limits, whatever it
 * does. Growing a list or a dict leaves the old memory in the arena until the rendering ends, which at most doubles it.
 *
 * Dicts are arrays in order of insertion, searched from the front: those of templates have few keys, and each comparison is
 * charged. What Python would do with a mix of types that templates do not need is refused, never guessed. */
#define _GNU_SOURCE /* memmem */
#include "model/jinja/jinja_value.h"

#include "base/print.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef fr_jinja_machine machine;
typedef fr_jinja_value value;

/* Scanning so many bytes takes about as long as evaluating a node. */
enum { BYTES_A_STEP = 64, MESSAGE_BYTES = 512 };

fr_status fr_jinja_fail(fr_jinja_machine *m, const char *format, ...)
{
    char what[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return FR_FAIL(m->ctx, FR_ERR_UNSUPPORTED, "line %d: %s", m->line, what);
}

fr_status fr_jinja_charge(fr_jinja_machine *m, size_t bytes)
{
    m->steps += 1 + (int64_t)(bytes / BYTES_A_STEP);
    return m->steps <= m->max_steps
               ? FR_OK
               : fr_jinja_fail(m, "the template takes more than %lld steps",
                               (long long)m->max_steps);
}

fr_status fr_jinja_enter(fr_jinja_machine *m)
{
    FR_TRY(fr_jinja_charge(m, 0));
    return ++m->depth <= FR_JINJA_MAX_DEPTH
               ? FR_OK
               : fr_jinja_fail(
                     m, "the template nests calls and expressions deeper than %d",
                     FR_JINJA_MAX_DEPTH);
}

/* ---- made --------------------------------------------------------------------------------- */

fr_jinja_value fr_jinja_undefined(fr_text name)
{
    return (value){.type = FR_JINJA_IS_UNDEFINED, .as.text = name};
}

fr_jinja_value fr_jinja_none(void)
{
    return (value){.type = FR_JINJA_IS_NONE};
}

fr_jinja_value fr_jinja_bool(bool truth)
{
    return (value){.type = FR_JINJA_IS_BOOL, .as.whole = truth ? 1 : 0};
}

fr_jinja_value fr_jinja_int(int64_t whole)
{
    return (value){.type = FR_JINJA_IS_INT, .as.whole = whole};
}

fr_jinja_value fr_jinja_float(double fraction)
{
    return (value){.type = FR_JINJA_IS_FLOAT, .as.fraction = fraction};
}

fr_jinja_value fr_jinja_string(fr_text text)
{
    return (value){.type = FR_JINJA_IS_STRING, .as.text = text};
}

fr_jinja_value fr_jinja_word(const char *text)
{
    return fr_jinja_string((fr_text){text, strlen(text)});
}

bool fr_jinja_is_text(const fr_jinja_value *v, const char *text)
{
    return v->type == FR_JINJA_IS_STRING && fr_text_is(v->as.text, text);
}

const char *fr_jinja_type_name(const fr_jinja_value *v)
{
    static const char *const NAMES[] = {[FR_JINJA_IS_UNDEFINED] = "an undefined value",
                                        [FR_JINJA_IS_NONE] = "none",
                                        [FR_JINJA_IS_BOOL] = "a boolean",
                                        [FR_JINJA_IS_INT] = "a whole number",
                                        [FR_JINJA_IS_FLOAT] = "a real number",
                                        [FR_JINJA_IS_STRING] = "a string",
                                        [FR_JINJA_IS_LIST] = "a list",
                                        [FR_JINJA_IS_DICT] = "a dict",
                                        [FR_JINJA_IS_NAMESPACE] = "a namespace",
                                        [FR_JINJA_IS_LOOP] = "the loop",
                                        [FR_JINJA_IS_MACRO] = "a macro",
                                        [FR_JINJA_IS_FUNCTION] = "a function",
                                        [FR_JINJA_IS_METHOD] = "a method"};
    return NAMES[v->type];
}

/* Makes sure that one more than `n` items fit; *data moves when it grows. */
static fr_status grow(machine *m, int64_t n, int64_t *capacity, size_t size, void *data)
{
    void *old = NULL;
    void *grown = NULL;
    if (n < *capacity) {
        return FR_OK;
    }
    int64_t wider = *capacity > 0 ? 2 * *capacity : 4;
    FR_TRY(fr_jinja_new(&m->arena, m->line, (size_t)wider * size, &grown));
    memcpy(&old, data, sizeof old);
    if (n > 0) {
        memcpy(grown, old, (size_t)n * size);
    }
    memcpy(data, &grown, sizeof grown);
    *capacity = wider;
    return FR_OK;
}

fr_status fr_jinja_list_new(fr_jinja_machine *m, fr_jinja_form form,
                            fr_jinja_value *out)
{
    fr_jinja_items *made = NULL;
    FR_TRY(fr_jinja_new(&m->arena, m->line, sizeof *made, &made));
    made->form = form;
    *out = (value){.type = FR_JINJA_IS_LIST, .as.list = made};
    return FR_OK;
}

fr_status fr_jinja_list_add(fr_jinja_machine *m, fr_jinja_value *list,
                            fr_jinja_value item)
{
    fr_jinja_items *to = list->as.list;
    FR_TRY(fr_jinja_charge(m, sizeof item));
    FR_TRY(grow(m, to->n, &to->capacity, sizeof item, &to->items));
    to->items[to->n++] = item;
    return FR_OK;
}

fr_status fr_jinja_two(fr_jinja_machine *m, fr_jinja_value a, fr_jinja_value b,
                       fr_jinja_value *out)
{
    FR_TRY(fr_jinja_list_new(m, FR_JINJA_A_TUPLE, out));
    FR_TRY(fr_jinja_list_add(m, out, a));
    return fr_jinja_list_add(m, out, b);
}

fr_status fr_jinja_dict_new(fr_jinja_machine *m, fr_jinja_value *out)
{
    fr_jinja_dict *made = NULL;
    FR_TRY(fr_jinja_new(&m->arena, m->line, sizeof *made, &made));
    *out = (value){.type = FR_JINJA_IS_DICT, .as.dict = made};
    return FR_OK;
}

/* Python cannot hash lists and dicts. A tuple could be a key, but no known template needs that. */
static fr_status check_key(machine *m, const value *key)
{
    return key->type == FR_JINJA_IS_LIST || key->type == FR_JINJA_IS_DICT
               ? fr_jinja_fail(m, "%s cannot be the key of a dict",
                               fr_jinja_type_name(key))
               : FR_OK;
}

fr_status fr_jinja_dict_find(fr_jinja_machine *m, const fr_jinja_dict *dict,
                             fr_jinja_value key, fr_jinja_value **out)
{
    *out = NULL;
    FR_TRY(check_key(m, &key));
    for (int64_t i = 0; i < dict->n; i++) {
        bool same = false;
        FR_TRY(fr_jinja_equal(m, &dict->pairs[i].key, &key, &same));
        if (same) {
            *out = &dict->pairs[i].value;
            return FR_OK;
        }
    }
    return FR_OK;
}

fr_status fr_jinja_dict_set(fr_jinja_machine *m, fr_jinja_dict *dict,
                            fr_jinja_value key, fr_jinja_value v)
{
    value *there = NULL;
    FR_TRY(fr_jinja_dict_find(m, dict, key, &there));
    if (there == NULL) {
        FR_TRY(grow(m, dict->n, &dict->capacity, sizeof *dict->pairs, &dict->pairs));
        dict->pairs[dict->n++] = (fr_jinja_pair){key, v};
    } else {
        *there = v;
    }
    return FR_OK;
}

/* ---- compared ----------------------------------------------------------------------------- */

static bool is_number(const value *v)
{
    return v->type == FR_JINJA_IS_BOOL || v->type == FR_JINJA_IS_INT ||
           v->type == FR_JINJA_IS_FLOAT;
}

static double real_of(const value *v)
{
    return v->type == FR_JINJA_IS_FLOAT ? v->as.fraction : (double)v->as.whole;
}

/* A generator is true even if it has no items: Python cannot know that before it is iterated. */
bool fr_jinja_truth(const fr_jinja_value *v)
{
    switch (v->type) {
    case FR_JINJA_IS_UNDEFINED:
    case FR_JINJA_IS_NONE:
        return false;
    case FR_JINJA_IS_BOOL:
    case FR_JINJA_IS_INT:
        return v->as.whole != 0;
    case FR_JINJA_IS_FLOAT:
        return v->as.fraction < 0 || v->as.fraction > 0;
    case FR_JINJA_IS_STRING:
        return v->as.text.bytes > 0;
    case FR_JINJA_IS_LIST:
        return v->as.list->n > 0 || v->as.list->form == FR_JINJA_A_GENERATOR;
    case FR_JINJA_IS_DICT:
        return v->as.dict->n > 0;
    default:
        return true;
    }
}

static fr_status equal_lists(machine *m, const fr_jinja_items *a,
                             const fr_jinja_items *b, bool *out)
{
    if (a == b) {
        *out = true;
        return FR_OK;
    }
    if (a->form > FR_JINJA_A_TUPLE || b->form > FR_JINJA_A_TUPLE) {
        return fr_jinja_fail(m, "a range, a view or a generator cannot be compared");
    }
    *out = a->form == b->form && a->n == b->n;
    for (int64_t i = 0; *out && i < a->n; i++) {
        FR_TRY(fr_jinja_equal(m, &a->items[i], &b->items[i], out));
    }
    return FR_OK;
}

/* The order of the keys does not matter. */
static fr_status equal_dicts(machine *m, const fr_jinja_dict *a, const fr_jinja_dict *b,
                             bool *out)
{
    *out = a->n == b->n;
    for (int64_t i = 0; *out && i < a->n; i++) {
        value *other = NULL;
        FR_TRY(fr_jinja_dict_find(m, b, a->pairs[i].key, &other));
        *out = other != NULL;
        if (other != NULL) {
            FR_TRY(fr_jinja_equal(m, &a->pairs[i].value, other, out));
        }
    }
    return FR_OK;
}

static bool same_text(fr_text a, fr_text b)
{
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

static fr_status equal_alike(machine *m, const value *a, const value *b, bool *out)
{
    switch (a->type) {
    case FR_JINJA_IS_STRING:
        FR_TRY(fr_jinja_charge(m, a->as.text.bytes));
        *out = same_text(a->as.text, b->as.text);
        return FR_OK;
    case FR_JINJA_IS_LIST:
        return equal_lists(m, a->as.list, b->as.list, out);
    case FR_JINJA_IS_DICT:
        return equal_dicts(m, a->as.dict, b->as.dict, out);
    case FR_JINJA_IS_UNDEFINED:
    case FR_JINJA_IS_NONE:
        *out = true;
        return FR_OK;
    case FR_JINJA_IS_NAMESPACE:
        *out = a->as.dict == b->as.dict;
        return FR_OK;
    case FR_JINJA_IS_FUNCTION:
        *out = same_text(a->as.text, b->as.text);
        return FR_OK;
    default:
        return fr_jinja_fail(m, "%s cannot be compared", fr_jinja_type_name(a));
    }
}

fr_status fr_jinja_equal(fr_jinja_machine *m, const fr_jinja_value *a,
                         const fr_jinja_value *b, bool *out)
{
    FR_TRY(fr_jinja_enter(m));
    *out = false;
    if (is_number(a) && is_number(b)) {
        bool whole = a->type != FR_JINJA_IS_FLOAT && b->type != FR_JINJA_IS_FLOAT;
        *out = whole ? a->as.whole == b->as.whole
                     : !(real_of(a) < real_of(b)) && !(real_of(a) > real_of(b));
    } else if (a->type == b->type) {
        FR_TRY(equal_alike(m, a, b, out));
    }
    m->depth--;
    return FR_OK;
}

/* The order of UTF-8 bytes is that of code points, which is Python's. */
fr_status fr_jinja_order(fr_jinja_machine *m, const fr_jinja_value *a,
                         const fr_jinja_value *b, int *out)
{
    if (is_number(a) && is_number(b)) {
        bool whole = a->type != FR_JINJA_IS_FLOAT && b->type != FR_JINJA_IS_FLOAT;
        *out = whole ? (a->as.whole > b->as.whole) - (a->as.whole < b->as.whole)
                     : (real_of(a) > real_of(b)) - (real_of(a) < real_of(b));
        return FR_OK;
    }
    if (a->type == FR_JINJA_IS_STRING && b->type == FR_JINJA_IS_STRING) {
        fr_text x = a->as.text;
        fr_text y = b->as.text;
        FR_TRY(fr_jinja_charge(m, x.bytes));
        int order = memcmp(x.data, y.data, x.bytes < y.bytes ? x.bytes : y.bytes);
        *out = order != 0 ? (order > 0) - (order < 0)
                          : (x.bytes > y.bytes) - (x.bytes < y.bytes);
        return FR_OK;
    }
    return fr_jinja_fail(m, "ordering %s and %s is not supported",
                         fr_jinja_type_name(a), fr_jinja_type_name(b));
}

fr_status fr_jinja_contains(fr_jinja_machine *m, const fr_jinja_value *whole,
                            const fr_jinja_value *part, bool *out)
{
    *out = false;
    if (whole->type == FR_JINJA_IS_STRING) {
        fr_text text = whole->as.text;
        if (part->type != FR_JINJA_IS_STRING) {
            return fr_jinja_fail(m, "%s cannot be looked for in a string",
                                 fr_jinja_type_name(part));
        }
        FR_TRY(fr_jinja_charge(m, text.bytes));
        *out = memmem(text.data, text.bytes, part->as.text.data, part->as.text.bytes) !=
               NULL;
        return FR_OK;
    }
    if (whole->type == FR_JINJA_IS_DICT) {
        value *found = NULL;
        FR_TRY(fr_jinja_dict_find(m, whole->as.dict, *part, &found));
        *out = found != NULL;
        return FR_OK;
    }
    fr_jinja_items *items = NULL;
    FR_TRY(fr_jinja_walk(m, whole, &items));
    for (int64_t i = 0; !*out && i < items->n; i++) {
        FR_TRY(fr_jinja_equal(m, &items->items[i], part, out));
    }
    return FR_OK;
}

/* ---- walked ------------------------------------------------------------------------------- */

/* Lead bytes of UTF-8: Python counts characters, not bytes. */
static int64_t count_characters(fr_text text)
{
    int64_t n = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        n += (text.data[i] & 0xC0) != 0x80;
    }
    return n;
}

static fr_status walk_string(machine *m, fr_text text, value *out)
{
    uint32_t code = 0;
    for (size_t i = 0, step = 0; i < text.bytes; i += step) {
        step = fr_utf8_next(text.data + i, text.bytes - i, &code);
        step = step > 0 ? step : 1;
        FR_TRY(
            fr_jinja_list_add(m, out, fr_jinja_string((fr_text){text.data + i, step})));
    }
    return FR_OK;
}

/* A generator gives its items once and is empty from then on. A dict gives its keys, a string its characters. */
fr_status fr_jinja_walk(fr_jinja_machine *m, const fr_jinja_value *v,
                        fr_jinja_items **out)
{
    value made;
    if (v->type == FR_JINJA_IS_LIST) {
        fr_jinja_items *list = v->as.list;
        if (list->form != FR_JINJA_A_GENERATOR || !list->is_spent) {
            list->is_spent = true;
            *out = list;
            return FR_OK;
        }
    } else if (v->type != FR_JINJA_IS_STRING && v->type != FR_JINJA_IS_DICT &&
               v->type != FR_JINJA_IS_UNDEFINED) {
        return fr_jinja_fail(m, "%s cannot be iterated", fr_jinja_type_name(v));
    }
    FR_TRY(fr_jinja_list_new(m, FR_JINJA_A_LIST, &made));
    if (v->type == FR_JINJA_IS_STRING) {
        FR_TRY(walk_string(m, v->as.text, &made));
    }
    for (int64_t i = 0; v->type == FR_JINJA_IS_DICT && i < v->as.dict->n; i++) {
        FR_TRY(fr_jinja_list_add(m, &made, v->as.dict->pairs[i].key));
    }
    *out = made.as.list;
    return FR_OK;
}

fr_status fr_jinja_length(fr_jinja_machine *m, const fr_jinja_value *v, int64_t *out)
{
    switch (v->type) {
    case FR_JINJA_IS_UNDEFINED:
        *out = 0;
        return FR_OK;
    case FR_JINJA_IS_STRING:
        FR_TRY(fr_jinja_charge(m, v->as.text.bytes));
        *out = count_characters(v->as.text);
        return FR_OK;
    case FR_JINJA_IS_DICT:
        *out = v->as.dict->n;
        return FR_OK;
    case FR_JINJA_IS_LIST:
        if (v->as.list->form != FR_JINJA_A_GENERATOR) {
            *out = v->as.list->n;
            return FR_OK;
        }
        return fr_jinja_fail(m, "a generator has no length");
    case FR_JINJA_IS_LOOP:
        *out = v->as.loop->items->n;
        return FR_OK;
    default:
        return fr_jinja_fail(m, "%s has no length", fr_jinja_type_name(v));
    }
}

fr_status fr_jinja_scope_new(fr_jinja_machine *m, fr_jinja_scope *outer,
                             fr_jinja_scope **out)
{
    FR_TRY(fr_jinja_new(&m->arena, m->line, sizeof **out, out));
    (*out)->outer = outer;
    return FR_OK;
}
