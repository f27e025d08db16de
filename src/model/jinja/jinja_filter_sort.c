/* Filters that order or compare: sort, dictsort, unique, min and max.
 *
 * Each item gets a key, which is the item, its member or, of a dict, its key or value; texts are compared in lower case unless
 * case_sensitive says otherwise. Sorting is Python's: stable, also in reverse, and what cannot be ordered is refused.
 */
#include "model/jinja/jinja_call.h"

#include <string.h>

typedef fr_jinja_machine machine;
typedef fr_jinja_value value;
typedef fr_jinja_filter_call call;

/* An item with what it is compared by. */
typedef struct keyed {
    value key;
    value item;
} keyed;

static fr_status new_keyed(machine *m, int64_t n, keyed **out)
{
    return fr_jinja_new(&m->arena, m->line, ((size_t)n + 1) * sizeof **out, out);
}

/* Merges two sorted halves; of equal keys those of the first half stay in front. */
static fr_status merge(machine *m, const keyed *from, int64_t half, int64_t n,
                       bool reverse, keyed *to)
{
    int64_t a = 0;
    int64_t b = half;
    for (int64_t i = 0; i < n; i++) {
        int order = 0;
        FR_TRY(fr_jinja_charge(m, 0));
        if (a < half && b < n) {
            FR_TRY(fr_jinja_order(m, &from[a].key, &from[b].key, &order));
        }
        bool first = b == n || (a < half && (reverse ? order >= 0 : order <= 0));
        to[i] = first ? from[a++] : from[b++];
    }
    return FR_OK;
}

/* From pairs to the whole, by turns in two arrays. A single item is never compared, as in Python. */
static fr_status sort(machine *m, keyed *items, int64_t n, bool reverse, keyed **out)
{
    keyed *from = items;
    keyed *to = NULL;
    FR_TRY(new_keyed(m, n, &to));
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t at = 0; at < n; at += 2 * width) {
            int64_t left = n - at < 2 * width ? n - at : 2 * width;
            FR_TRY(merge(m, from + at, left < width ? left : width, left, reverse,
                         to + at));
        }
        keyed *sorted = to;
        to = from;
        from = sorted;
    }
    *out = from;
    return FR_OK;
}

/* What an item is compared by. */
static fr_status make_key(const call *c, const value *attribute, bool case_sensitive,
                          const value *item, value *out)
{
    static const fr_text LOWER = {"lower", sizeof "lower" - 1};
    *out = *item;
    if (attribute != NULL && attribute->type == FR_JINJA_IS_INT) {
        FR_TRY(fr_jinja_item(c->m, item, attribute, out));
    } else if (attribute != NULL) {
        FR_TRY(fr_jinja_member(c->m, item, attribute->as.text, out));
    }
    return !case_sensitive && out->type == FR_JINJA_IS_STRING
               ? fr_jinja_set_case(c->m, out->as.text, LOWER, out)
               : FR_OK;
}

/* The items of the filter's value with their keys. Several attributes, separated by commas, are refused. */
static fr_status take_items(const call *c, const value *attribute,
                            const value *case_sensitive, keyed **out, int64_t *n)
{
    fr_jinja_items *items = NULL;
    bool names_one =
        attribute == NULL || attribute->type == FR_JINJA_IS_INT ||
        (attribute->type == FR_JINJA_IS_STRING &&
         memchr(attribute->as.text.data, ',', attribute->as.text.bytes) == NULL);
    if (!names_one) {
        return fr_jinja_filter_arguments(c);
    }
    FR_TRY(fr_jinja_walk(c->m, c->input, &items));
    FR_TRY(new_keyed(c->m, items->n, out));
    for (int64_t i = 0; i < items->n; i++) {
        (*out)[i].item = items->items[i];
        FR_TRY(make_key(c, attribute,
                        case_sensitive != NULL && fr_jinja_truth(case_sensitive),
                        &items->items[i], &(*out)[i].key));
    }
    *n = items->n;
    return FR_OK;
}

static fr_status give_list(const call *c, const keyed *items, int64_t n)
{
    FR_TRY(fr_jinja_list_new(c->m, FR_JINJA_A_LIST, c->out));
    for (int64_t i = 0; i < n; i++) {
        FR_TRY(fr_jinja_list_add(c->m, c->out, items[i].item));
    }
    return FR_OK;
}

fr_status fr_jinja_sort(const fr_jinja_filter_call *c)
{
    static const char *const NAMES[] = {"reverse", "case_sensitive", "attribute", NULL};
    const value *given[3];
    keyed *items = NULL;
    int64_t n = 0;
    FR_TRY(fr_jinja_filter_given(c, NAMES, given));
    FR_TRY(take_items(c, given[2], given[1], &items, &n));
    FR_TRY(sort(c->m, items, n, given[0] != NULL && fr_jinja_truth(given[0]), &items));
    return give_list(c, items, n);
}

/* A list of tuples of a key and its value. */
fr_status fr_jinja_dictsort(const fr_jinja_filter_call *c)
{
    static const char *const NAMES[] = {"case_sensitive", "by", "reverse", NULL};
    const value *given[3];
    keyed *items = NULL;
    FR_TRY(fr_jinja_filter_given(c, NAMES, given));
    bool by_value = given[1] != NULL && fr_jinja_is_text(given[1], "value");
    if (given[1] != NULL && !by_value && !fr_jinja_is_text(given[1], "key")) {
        return fr_jinja_filter_arguments(c);
    }
    if (c->input->type != FR_JINJA_IS_DICT) {
        return fr_jinja_fail(c->m, "%s cannot be sorted as a dict",
                             fr_jinja_type_name(c->input));
    }
    const fr_jinja_dict *dict = c->input->as.dict;
    FR_TRY(new_keyed(c->m, dict->n, &items));
    for (int64_t i = 0; i < dict->n; i++) {
        const fr_jinja_pair *pair = &dict->pairs[i];
        FR_TRY(fr_jinja_two(c->m, pair->key, pair->value, &items[i].item));
        FR_TRY(make_key(c, NULL, given[0] != NULL && fr_jinja_truth(given[0]),
                        by_value ? &pair->value : &pair->key, &items[i].key));
    }
    FR_TRY(sort(c->m, items, dict->n, given[2] != NULL && fr_jinja_truth(given[2]),
                &items));
    return give_list(c, items, dict->n);
}

fr_status fr_jinja_sorted(fr_jinja_machine *m, const fr_jinja_dict *dict,
                          fr_jinja_pair **out)
{
    keyed *items = NULL;
    FR_TRY(new_keyed(m, dict->n, &items));
    for (int64_t i = 0; i < dict->n; i++) {
        items[i] = (keyed){dict->pairs[i].key, dict->pairs[i].value};
    }
    FR_TRY(sort(m, items, dict->n, false, &items));
    FR_TRY(fr_jinja_new(&m->arena, m->line, ((size_t)dict->n + 1) * sizeof **out, out));
    for (int64_t i = 0; i < dict->n; i++) {
        (*out)[i] = (fr_jinja_pair){items[i].key, items[i].item};
    }
    return FR_OK;
}

/* The first of equal items. Python keeps keys in a set, which takes no lists and no dicts. */
fr_status fr_jinja_unique(const fr_jinja_filter_call *c)
{
    static const char *const NAMES[] = {"case_sensitive", "attribute", NULL};
    const value *given[2];
    keyed *items = NULL;
    int64_t n = 0;
    int64_t kept = 0;
    FR_TRY(fr_jinja_filter_given(c, NAMES, given));
    FR_TRY(take_items(c, given[1], given[0], &items, &n));
    FR_TRY(fr_jinja_list_new(c->m, FR_JINJA_A_GENERATOR, c->out));
    for (int64_t i = 0; i < n; i++) {
        bool seen = false;
        if (items[i].key.type == FR_JINJA_IS_LIST ||
            items[i].key.type == FR_JINJA_IS_DICT) {
            return fr_jinja_fail(c->m, "unique of lists or dicts is not supported");
        }
        for (int64_t k = 0; k < kept && !seen; k++) {
            FR_TRY(fr_jinja_charge(c->m, 0));
            FR_TRY(fr_jinja_equal(c->m, &items[k].key, &items[i].key, &seen));
        }
        if (!seen) {
            items[kept++] = items[i];
            FR_TRY(fr_jinja_list_add(c->m, c->out, items[i].item));
        }
    }
    return FR_OK;
}

/* min and max: the first of equal ones; undefined if there is none. */
fr_status fr_jinja_extreme(const fr_jinja_filter_call *c)
{
    static const char *const NAMES[] = {"case_sensitive", "attribute", NULL};
    int wanted = fr_text_is(c->name, "min") ? -1 : 1;
    const value *given[2];
    keyed *items = NULL;
    int64_t n = 0;
    int64_t found = 0;
    FR_TRY(fr_jinja_filter_given(c, NAMES, given));
    FR_TRY(take_items(c, given[1], given[0], &items, &n));
    for (int64_t i = 1; i < n; i++) {
        int order = 0;
        FR_TRY(fr_jinja_charge(c->m, 0));
        FR_TRY(fr_jinja_order(c->m, &items[i].key, &items[found].key, &order));
        found = order == wanted ? i : found;
    }
    *c->out = n > 0 ? items[found].item : fr_jinja_undefined(c->name);
    return FR_OK;
}
