/* Items, attributes and slices of values, found as jinja2's sandbox finds them.
 *
 * jinja2 looks for value.name among attributes first and then among items, and for value['name'] the other way round. So a
 * method's name can hide a dict's key. The tables below list the methods of Python's types, also those that are not
 * supported: a template that tests for one or calls it must not see "undefined" where Python has a method. */
#include "model/jinja/jinja_value.h"

#include "base/print.h"

#include <string.h>

typedef fr_jinja_machine machine;
typedef fr_jinja_value value;

/* The attributes of Python's types, without names with underscores; each stands between blanks. */
static const char OF_STRING[] =
    " capitalize casefold center count encode endswith expandtabs find format "
    "format_map index isalnum isalpha isascii isdecimal isdigit isidentifier islower "
    "isnumeric isprintable isspace istitle isupper join ljust lower lstrip maketrans "
    "partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit "
    "rstrip split splitlines startswith strip swapcase title translate upper zfill ";
static const char OF_DICT[] =
    " clear copy fromkeys get items keys pop popitem setdefault update values ";
static const char OF_LIST[] =
    " append clear copy count extend index insert pop remove reverse sort ";
static const char OF_TUPLE[] = " count index ";
static const char OF_RANGE[] = " count index start step stop ";
static const char OF_VIEW[] = " mapping isdisjoint ";
static const char OF_GENERATOR[] =
    " close send throw gi_code gi_frame gi_running gi_suspended gi_yieldfrom ";
static const char OF_NUMBER[] =
    " as_integer_ratio bit_count bit_length conjugate denominator from_bytes fromhex "
    "hex imag is_integer numerator real to_bytes ";

static bool has_word(const char *words, fr_text name)
{
    const char *word = words + 1;
    for (const char *end; (end = strchr(word, ' ')) != NULL; word = end + 1) {
        if ((size_t)(end - word) == name.bytes &&
            memcmp(word, name.data, name.bytes) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_method(const fr_jinja_value *v, fr_text name)
{
    static const char *const OF_FORMS[] = {[FR_JINJA_A_LIST] = OF_LIST,
                                           [FR_JINJA_A_TUPLE] = OF_TUPLE,
                                           [FR_JINJA_A_RANGE] = OF_RANGE,
                                           [FR_JINJA_A_VIEW] = OF_VIEW,
                                           [FR_JINJA_A_GENERATOR] = OF_GENERATOR};
    switch (v->type) {
    case FR_JINJA_IS_STRING:
        return has_word(OF_STRING, name);
    case FR_JINJA_IS_DICT:
        return has_word(OF_DICT, name);
    case FR_JINJA_IS_LIST:
        return has_word(OF_FORMS[v->as.list->form], name);
    case FR_JINJA_IS_BOOL:
    case FR_JINJA_IS_INT:
    case FR_JINJA_IS_FLOAT:
        return has_word(OF_NUMBER, name);
    default:
        return false;
    }
}

/* Bytes of a name for a message, which must not grow with the template. */
static int shown(fr_text text)
{
    enum { MAX = 60 };
    return text.bytes < MAX ? (int)text.bytes : MAX;
}

static fr_status make_method(machine *m, const value *self, fr_text name, value *out)
{
    static const char CHANGING[] =
        " append clear extend insert pop popitem remove reverse setdefault sort "
        "update ";
    fr_jinja_method *made = NULL;
    if (has_word(CHANGING, name)) {
        return fr_jinja_fail(
            m, "the method '%.*s' changes its value, which a template may not do",
            shown(name), name.data);
    }
    FR_TRY(fr_jinja_new(&m->arena, m->line, sizeof *made, &made));
    *made = (fr_jinja_method){*self, name};
    *out = (value){.type = FR_JINJA_IS_METHOD, .as.method = made};
    return FR_OK;
}

static fr_status loop_attribute(machine *m, const fr_jinja_loop *loop, fr_text name,
                                value *out)
{
    int64_t i = loop->index;
    int64_t n = loop->items->n;
    if (fr_text_is(name, "index")) {
        *out = fr_jinja_int(i + 1);
    } else if (fr_text_is(name, "index0")) {
        *out = fr_jinja_int(i);
    } else if (fr_text_is(name, "revindex")) {
        *out = fr_jinja_int(n - i);
    } else if (fr_text_is(name, "revindex0")) {
        *out = fr_jinja_int(n - i - 1);
    } else if (fr_text_is(name, "first")) {
        *out = fr_jinja_bool(i == 0);
    } else if (fr_text_is(name, "last")) {
        *out = fr_jinja_bool(i == n - 1);
    } else if (fr_text_is(name, "length")) {
        *out = fr_jinja_int(n);
    } else if (fr_text_is(name, "previtem")) {
        *out = i > 0 ? loop->items->items[i - 1] : fr_jinja_undefined(name);
    } else if (fr_text_is(name, "nextitem")) {
        *out = i < n - 1 ? loop->items->items[i + 1] : fr_jinja_undefined(name);
    } else {
        return fr_jinja_fail(m, "loop.%.*s is not supported", shown(name), name.data);
    }
    return FR_OK;
}

/* Python's getattr; *found is false if there is no such attribute. */
static fr_status own_attribute(machine *m, const value *v, fr_text name, bool *found,
                               value *out)
{
    *found = true;
    if (name.bytes > 1 && name.data[0] == '_' && name.data[1] == '_') {
        return fr_jinja_fail(m, "the attribute '%.*s' is not allowed", shown(name),
                             name.data);
    }
    switch (v->type) {
    case FR_JINJA_IS_UNDEFINED:
        return fr_jinja_fail(
            m, "'%.*s' is undefined and does not have an attribute '%.*s'",
            shown(v->as.text), v->as.text.data, shown(name), name.data);
    case FR_JINJA_IS_LOOP:
        return loop_attribute(m, v->as.loop, name, out);
    case FR_JINJA_IS_MACRO:
    case FR_JINJA_IS_FUNCTION:
    case FR_JINJA_IS_METHOD:
        return fr_jinja_fail(m, "the attribute '%.*s' of %s is not supported",
                             shown(name), name.data, fr_jinja_type_name(v));
    default:
        *found = has_method(v, name);
        return *found ? make_method(m, v, name, out) : FR_OK;
    }
}

/* The value of a key of a dict or namespace. */
static fr_status find_key(machine *m, const value *v, value key, bool *found,
                          value *out)
{
    value *there = NULL;
    *found = false;
    if (v->type == FR_JINJA_IS_DICT || v->type == FR_JINJA_IS_NAMESPACE) {
        FR_TRY(fr_jinja_dict_find(m, v->as.dict, key, &there));
        *found = there != NULL;
        *out = there != NULL ? *there : *out;
    }
    return FR_OK;
}

/* value.name: attributes, then keys. */
fr_status fr_jinja_attribute(fr_jinja_machine *m, const fr_jinja_value *v, fr_text name,
                             fr_jinja_value *out)
{
    bool found = false;
    value result = fr_jinja_undefined(name);
    FR_TRY(own_attribute(m, v, name, &found, &result));
    if (!found) {
        FR_TRY(find_key(m, v, fr_jinja_string(name), &found, &result));
    }
    *out = result;
    return FR_OK;
}

/* Character `index` of a text. */
static fr_text character_at(fr_text text, int64_t index)
{
    uint32_t code = 0;
    size_t step = 0;
    for (size_t i = 0; i < text.bytes; i += step) {
        step = fr_utf8_next(text.data + i, text.bytes - i, &code);
        step = step > 0 ? step : 1;
        if (index-- == 0) {
            return (fr_text){text.data + i, step};
        }
    }
    return (fr_text){text.data, 0};
}

static bool is_sequence(const value *v)
{
    return v->type == FR_JINJA_IS_STRING ||
           (v->type == FR_JINJA_IS_LIST && v->as.list->form <= FR_JINJA_A_RANGE);
}

/* Negative indexes count from the end. Beyond the ends *out stays undefined, where Python would raise. */
static fr_status indexed(machine *m, const value *v, int64_t index, value *out)
{
    int64_t n = 0;
    FR_TRY(fr_jinja_length(m, v, &n));
    index = index < 0 ? index + n : index;
    if (index < 0 || index >= n) {
        return FR_OK;
    }
    *out = v->type == FR_JINJA_IS_LIST
               ? v->as.list->items[index]
               : fr_jinja_string(character_at(v->as.text, index));
    return FR_OK;
}

/* value[key]: items, then attributes. */
fr_status fr_jinja_item(fr_jinja_machine *m, const fr_jinja_value *v,
                        const fr_jinja_value *key, fr_jinja_value *out)
{
    static const fr_text NO_NAME = {"item", sizeof "item" - 1};
    bool named = key->type == FR_JINJA_IS_STRING;
    bool found = false;
    value result = fr_jinja_undefined(named ? key->as.text : NO_NAME);
    if (v->type == FR_JINJA_IS_UNDEFINED) {
        return fr_jinja_fail(m, "'%.*s' is undefined and does not have items",
                             shown(v->as.text), v->as.text.data);
    }
    if (is_sequence(v) &&
        (key->type == FR_JINJA_IS_INT || key->type == FR_JINJA_IS_BOOL)) {
        FR_TRY(indexed(m, v, key->as.whole, &result));
    } else if (v->type == FR_JINJA_IS_DICT || (named && !is_sequence(v))) {
        FR_TRY(find_key(m, v, *key, &found, &result));
    }
    if (named && !found) {
        FR_TRY(own_attribute(m, v, key->as.text, &found, &result));
    }
    *out = result;
    return FR_OK;
}

/* ---- slices ------------------------------------------------------------------------------- */

static fr_status slice_part(machine *m, const value *part, int64_t missing,
                            int64_t *out)
{
    *out = missing;
    if (part == NULL || part->type == FR_JINJA_IS_NONE) {
        return FR_OK;
    }
    if (part->type != FR_JINJA_IS_INT && part->type != FR_JINJA_IS_BOOL) {
        return fr_jinja_fail(m, "%s cannot be a bound of a slice",
                             fr_jinja_type_name(part));
    }
    *out = part->as.whole;
    return FR_OK;
}

/* Clamps a bound as Python does, between `least` and `most`. */
static int64_t clamp(int64_t end, int64_t n, int64_t min, int64_t max)
{
    end = end < 0 ? end + n : end;
    return end < min ? min : end > max ? max : end;
}

/* Character by character: they differ in bytes. */
static fr_status slice_text(machine *m, fr_text text, const int64_t range[3],
                            value *out)
{
    value characters = fr_jinja_string(text);
    fr_jinja_items *items = NULL;
    fr_jinja_writer writer = {0};
    FR_TRY(fr_jinja_walk(m, &characters, &items));
    for (int64_t i = range[0]; range[2] > 0 ? i < range[1] : i > range[1];
         i += range[2]) {
        fr_text one = items->items[i].as.text;
        FR_TRY(fr_jinja_write(m, &writer, one.data, one.bytes));
    }
    return fr_jinja_written(m, &writer, out);
}

fr_status fr_jinja_slice(fr_jinja_machine *m, const fr_jinja_value *v,
                         const fr_jinja_value *const parts[3], fr_jinja_value *out)
{
    enum {
        LARGEST_STEP = 1 << 30
    }; /* more than any length: sums with an index stay within 64 bits */
    int64_t n = 0;
    int64_t range[3];
    if (!is_sequence(v)) {
        return fr_jinja_fail(m, "a slice cannot be taken of %s", fr_jinja_type_name(v));
    }
    FR_TRY(fr_jinja_length(m, v, &n));
    FR_TRY(slice_part(m, parts[2], 1, &range[2]));
    if (range[2] == 0 || range[2] > LARGEST_STEP || range[2] < -LARGEST_STEP) {
        return fr_jinja_fail(m, "the step of a slice is 0 or too large");
    }
    bool forth = range[2] > 0;
    FR_TRY(slice_part(m, parts[0], forth ? 0 : INT64_MAX, &range[0]));
    FR_TRY(slice_part(m, parts[1], forth ? INT64_MAX : -n - 1, &range[1]));
    range[0] = clamp(range[0], n, forth ? 0 : -1, forth ? n : n - 1);
    range[1] = clamp(range[1], n, forth ? 0 : -1, forth ? n : n - 1);
    if (v->type == FR_JINJA_IS_STRING) {
        FR_TRY(slice_text(m, v->as.text, range, out));
        out->is_markup = v->is_markup;
        return FR_OK;
    }
    const fr_jinja_items *list = v->as.list;
    FR_TRY(fr_jinja_list_new(m, list->form, out));
    for (int64_t i = range[0]; forth ? i < range[1] : i > range[1]; i += range[2]) {
        FR_TRY(fr_jinja_list_add(m, out, list->items[i]));
    }
    return FR_OK;
}
