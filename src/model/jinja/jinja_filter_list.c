/* Filters that iterate their value: join, list, items, first and last, map, select and reject.
 *
 * Python gives generators for map, select, reject and items. Here they are lists that are computed at once; their form,
 * FR_JINJA_A_GENERATOR, keeps them from uses that a generator does not have.
 */
#include "model/jinja/jinja_call.h"

#include <string.h>

typedef fr_jinja_machine machine;
typedef fr_jinja_value value;
typedef fr_jinja_filter_call call;

fr_status fr_jinja_member(fr_jinja_machine *m, const fr_jinja_value *of, fr_text path,
                          fr_jinja_value *out)
{
    value found = *of;
    for (size_t from = 0; from <= path.bytes;) {
        size_t to = from;
        bool number = true;
        int64_t index = 0;
        /* fewer than ten digits, so that the index cannot overflow; longer ones are a name */
        while (to < path.bytes && path.data[to] != '.') {
            char c = path.data[to++];
            number = number && c >= '0' && c <= '9' && to - from < 10;
            index = number ? index * 10 + (c - '0') : 0;
        }
        value whole = found;
        value key = number && to > from
                        ? fr_jinja_int(index)
                        : fr_jinja_string((fr_text){path.data + from, to - from});
        FR_TRY(fr_jinja_item(m, &whole, &key, &found));
        from = to + 1;
    }
    *out = found;
    return FR_OK;
}

/* Items are written one by one into one text: no text per item is kept. */
fr_status fr_jinja_join(const fr_jinja_filter_call *c)
{
    const value *between = fr_jinja_argument(c->arguments, 0, "d");
    const value *member = fr_jinja_argument(c->arguments, 1, "attribute");
    fr_text separator = {"", 0};
    fr_jinja_items *items = NULL;
    fr_jinja_writer w = {0};
    if (between != NULL) {
        FR_TRY(fr_jinja_str(c->m, between, &separator));
    }
    if (member != NULL && member->type != FR_JINJA_IS_STRING) {
        return fr_jinja_filter_arguments(c);
    }
    FR_TRY(fr_jinja_walk(c->m, c->input, &items));
    for (int64_t i = 0; i < items->n; i++) {
        value item = items->items[i];
        if (member != NULL) {
            FR_TRY(fr_jinja_member(c->m, &items->items[i], member->as.text, &item));
        }
        FR_TRY(fr_jinja_write(c->m, &w, separator.data, i > 0 ? separator.bytes : 0));
        FR_TRY(fr_jinja_write_value(c->m, &w, &item));
    }
    return fr_jinja_written(c->m, &w, c->out);
}

/* A new list even of a list: the copy has the form of a list, whatever was iterated. */
fr_status fr_jinja_make_list(const fr_jinja_filter_call *c)
{
    fr_jinja_items *items = NULL;
    FR_TRY(fr_jinja_walk(c->m, c->input, &items));
    FR_TRY(fr_jinja_list_new(c->m, FR_JINJA_A_LIST, c->out));
    for (int64_t i = 0; i < items->n; i++) {
        FR_TRY(fr_jinja_list_add(c->m, c->out, items->items[i]));
    }
    return FR_OK;
}

/* An undefined value has no items, as in jinja2; other types are an error there too. */
fr_status fr_jinja_items_of(const fr_jinja_filter_call *c)
{
    FR_TRY(fr_jinja_list_new(c->m, FR_JINJA_A_GENERATOR, c->out));
    if (c->input->type == FR_JINJA_IS_UNDEFINED) {
        return FR_OK;
    }
    if (c->input->type != FR_JINJA_IS_DICT) {
        return fr_jinja_fail(c->m, "%s does not have items",
                             fr_jinja_type_name(c->input));
    }
    const fr_jinja_dict *dict = c->input->as.dict;
    for (int64_t i = 0; i < dict->n; i++) {
        value pair;
        FR_TRY(fr_jinja_two(c->m, dict->pairs[i].key, dict->pairs[i].value, &pair));
        FR_TRY(fr_jinja_list_add(c->m, c->out, pair));
    }
    return FR_OK;
}

fr_status fr_jinja_end_of(const fr_jinja_filter_call *c)
{
    fr_jinja_items *items = NULL;
    bool last = fr_text_is(c->name, "last");
    if (c->input->type == FR_JINJA_IS_LIST &&
        c->input->as.list->form == FR_JINJA_A_GENERATOR) {
        return fr_jinja_fail(c->m,
                             "the first or last item of a generator is not supported");
    }
    FR_TRY(fr_jinja_walk(c->m, c->input, &items));
    *c->out = items->n > 0 ? items->items[last ? items->n - 1 : 0]
                           : fr_jinja_undefined(c->name);
    return FR_OK;
}

/* Arguments behind the first `n`. */
static fr_jinja_arguments behind(const fr_jinja_arguments *arguments, int n)
{
    return (fr_jinja_arguments){.n = arguments->n - n,
                                .n_named = arguments->n_named,
                                .values = arguments->values + n,
                                .named = arguments->named};
}

/* The items that map and the selecting filters iterate; a false value has none. */
static fr_status walk_if_true(const call *c, fr_jinja_items **out)
{
    value none;
    if (fr_jinja_truth(c->input)) {
        return fr_jinja_walk(c->m, c->input, out);
    }
    FR_TRY(fr_jinja_list_new(c->m, FR_JINJA_A_LIST, &none));
    *out = none.as.list;
    return FR_OK;
}

/* map(attribute='name'), or map('filter', ...). */
fr_status fr_jinja_map(const fr_jinja_filter_call *c)
{
    const value *member = fr_jinja_argument(c->arguments, -1, "attribute");
    const value *fallback = fr_jinja_argument(c->arguments, -1, "default");
    bool by_filter = c->arguments->n > 0;
    const value *how = by_filter ? &c->arguments->values[0] : member;
    fr_jinja_items *items = NULL;
    if (how == NULL || how->type != FR_JINJA_IS_STRING ||
        (!by_filter && c->arguments->n_named != (fallback != NULL ? 2 : 1))) {
        return fr_jinja_filter_arguments(c);
    }
    FR_TRY(walk_if_true(c, &items));
    FR_TRY(fr_jinja_list_new(c->m, FR_JINJA_A_GENERATOR, c->out));
    for (int64_t i = 0; i < items->n; i++) {
        value made;
        if (by_filter) {
            fr_jinja_arguments rest = behind(c->arguments, 1);
            FR_TRY(fr_jinja_filter(c->m, how->as.text, &items->items[i], &rest, &made));
        } else {
            FR_TRY(fr_jinja_member(c->m, &items->items[i], how->as.text, &made));
            made = made.type == FR_JINJA_IS_UNDEFINED && fallback != NULL ? *fallback
                                                                          : made;
        }
        FR_TRY(fr_jinja_list_add(c->m, c->out, made));
    }
    return FR_OK;
}

/* Whether an item passes: the test named at argument `at`, or its truth. */
static fr_status passes(const call *c, const value *item, int at, bool *out)
{
    if (at >= c->arguments->n) {
        *out = fr_jinja_truth(item);
        return FR_OK;
    }
    const value *test = &c->arguments->values[at];
    if (test->type != FR_JINJA_IS_STRING) {
        return fr_jinja_filter_arguments(c);
    }
    fr_jinja_arguments rest = behind(c->arguments, at + 1);
    return fr_jinja_test(c->m, test->as.text, item, &rest, out);
}

/* select, reject, and those that look at a member of each item. */
fr_status fr_jinja_select(const fr_jinja_filter_call *c)
{
    static const char BY_MEMBER[] = "attr";
    /* "select" and "selectattr" keep what passes, "reject" and "rejectattr" the others */
    bool wanted = c->name.data[0] == 's';
    bool by_member = memcmp(c->name.data + c->name.bytes - 4, BY_MEMBER, 4) == 0;
    const value *path = by_member ? fr_jinja_argument(c->arguments, 0, NULL) : NULL;
    fr_jinja_items *items = NULL;
    if (by_member && (path == NULL || path->type != FR_JINJA_IS_STRING)) {
        return fr_jinja_filter_arguments(c);
    }
    FR_TRY(walk_if_true(c, &items));
    FR_TRY(fr_jinja_list_new(c->m, FR_JINJA_A_GENERATOR, c->out));
    for (int64_t i = 0; i < items->n; i++) {
        value looked_at = items->items[i];
        bool passed = false;
        if (by_member) {
            FR_TRY(fr_jinja_member(c->m, &items->items[i], path->as.text, &looked_at));
        }
        FR_TRY(passes(c, &looked_at, by_member ? 1 : 0, &passed));
        if (passed == wanted) {
            FR_TRY(fr_jinja_list_add(c->m, c->out, items->items[i]));
        }
    }
    return FR_OK;
}
