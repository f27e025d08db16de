/* Values as JSON, written as Python's json.dumps does, and taken from what the caller gives. */
#include "base/print.h"
#include "model/jinja/jinja_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef fr_jinja_machine machine;
typedef fr_jinja_value value;

/* Where JSON is written. */
typedef struct json_writer {
    machine *m;
    fr_jinja_writer *w;
    const fr_jinja_json *how;
    int level;
} json_writer;

static fr_status put_value(json_writer *j, const value *v);

static fr_status put(json_writer *j, fr_text text)
{
    return fr_jinja_write(j->m, j->w, text.data, text.bytes);
}

static fr_status put_word(json_writer *j, const char *word)
{
    return put(j, (fr_text){word, strlen(word)});
}

/* A character as an escape; those beyond 16 bits as two. */
static fr_status put_escape(json_writer *j, uint32_t code)
{
    enum { CAPACITY = 16, TWO = 0x10000 };
    static const char NAMES[] = "bfnrt\"\\";
    static const char MEANT[] = "\b\f\n\r\t\"\\";
    char shown[CAPACITY];
    const char *known = code != 0 && code < 0x80 ? strchr(MEANT, (int)code) : NULL;
    if (known != NULL) {
        (void)snprintf(shown, sizeof shown, "\\%c", NAMES[known - MEANT]);
    } else if (code < TWO) {
        (void)snprintf(shown, sizeof shown, "\\u%04x", (unsigned)code);
    } else {
        (void)snprintf(shown, sizeof shown, "\\u%04x\\u%04x",
                       (unsigned)(0xD800 + ((code - TWO) >> 10)),
                       (unsigned)(0xDC00 + ((code - TWO) & 0x3FF)));
    }
    return put_word(j, shown);
}

/* Quotes, backslashes and control characters are escaped; with `ascii` all that is not printable ASCII. */
static fr_status put_string(json_writer *j, fr_text text)
{
    size_t from = 0;
    FR_TRY(put_word(j, "\""));
    for (size_t i = 0, step = 0; i < text.bytes; i += step) {
        uint32_t code = 0;
        step = fr_utf8_next(text.data + i, text.bytes - i, &code);
        if (step == 0) {
            return fr_jinja_fail(j->m, "a text that is not UTF-8 cannot be JSON");
        }
        if (code >= 0x20 && code != '"' && code != '\\' &&
            (code < 0x7F || !j->how->ascii)) {
            continue;
        }
        FR_TRY(put(j, (fr_text){text.data + from, i - from}));
        FR_TRY(put_escape(j, code));
        from = i + step;
    }
    FR_TRY(put(j, (fr_text){text.data + from, text.bytes - from}));
    return put_word(j, "\"");
}

/* What stands before a member or the closing bracket: the separator and, with an indent, a line break and blanks. */
static fr_status put_line(json_writer *j, bool more)
{
    FR_TRY(put(j, more ? j->how->between : (fr_text){"", 0}));
    if (j->how->indent < 0) {
        return FR_OK;
    }
    FR_TRY(put_word(j, "\n"));
    for (int i = 0; i < j->how->indent * j->level; i++) {
        FR_TRY(put_word(j, " "));
    }
    return FR_OK;
}

static fr_status put_list(json_writer *j, const fr_jinja_items *list)
{
    if (list->form > FR_JINJA_A_TUPLE) {
        return fr_jinja_fail(
            j->m, "a range, a view or a generator cannot be written as JSON");
    }
    FR_TRY(put_word(j, "["));
    j->level++;
    for (int64_t i = 0; i < list->n; i++) {
        FR_TRY(put_line(j, i > 0));
        FR_TRY(put_value(j, &list->items[i]));
    }
    j->level--;
    if (list->n > 0) {
        FR_TRY(put_line(j, false));
    }
    return put_word(j, "]");
}

static fr_status put_dict(json_writer *j, const fr_jinja_dict *dict)
{
    fr_jinja_pair *pairs = dict->pairs;
    for (int64_t i = 0; i < dict->n; i++) {
        if (pairs[i].key.type != FR_JINJA_IS_STRING) {
            return fr_jinja_fail(j->m,
                                 "a dict with %s as a key cannot be written as JSON",
                                 fr_jinja_type_name(&pairs[i].key));
        }
    }
    if (j->how->sort_keys) {
        FR_TRY(fr_jinja_sorted(j->m, dict, &pairs));
    }
    FR_TRY(put_word(j, "{"));
    j->level++;
    for (int64_t i = 0; i < dict->n; i++) {
        FR_TRY(put_line(j, i > 0));
        FR_TRY(put_string(j, pairs[i].key.as.text));
        FR_TRY(put(j, j->how->after_key));
        FR_TRY(put_value(j, &pairs[i].value));
    }
    j->level--;
    if (dict->n > 0) {
        FR_TRY(put_line(j, false));
    }
    return put_word(j, "}");
}

static fr_status put_plain(json_writer *j, const value *v)
{
    switch (v->type) {
    case FR_JINJA_IS_NONE:
        return put_word(j, "null");
    case FR_JINJA_IS_BOOL:
        return put_word(j, v->as.whole != 0 ? "true" : "false");
    case FR_JINJA_IS_FLOAT:
        if (!isfinite(v->as.fraction)) {
            return fr_jinja_fail(j->m, "an infinite number cannot be written as JSON");
        }
        return fr_jinja_write_value(j->m, j->w, v);
    case FR_JINJA_IS_INT:
        return fr_jinja_write_value(j->m, j->w, v);
    case FR_JINJA_IS_STRING:
        return put_string(j, v->as.text);
    case FR_JINJA_IS_LIST:
        return put_list(j, v->as.list);
    case FR_JINJA_IS_DICT:
        return put_dict(j, v->as.dict);
    default:
        return fr_jinja_fail(j->m, "%s cannot be written as JSON",
                             fr_jinja_type_name(v));
    }
}

static fr_status put_value(json_writer *j, const value *v)
{
    FR_TRY(fr_jinja_enter(j->m));
    FR_TRY(put_plain(j, v));
    j->m->depth--;
    return FR_OK;
}

fr_status fr_jinja_write_json(fr_jinja_machine *m, fr_jinja_writer *w,
                              const fr_jinja_value *v, const fr_jinja_json *how)
{
    json_writer j = {m, w, how, 0};
    return put_value(&j, v);
}

/* Texts stay views into `json`, which must outlive the rendering. */
fr_status fr_jinja_from_json(fr_jinja_machine *m, json_t *json, fr_jinja_value *out)
{
    FR_TRY(fr_jinja_enter(m));
    if (json_is_object(json)) {
        FR_TRY(fr_jinja_dict_new(m, out));
        for (void *at = json_object_iter(json); at != NULL;
             at = json_object_iter_next(json, at)) {
            value member;
            FR_TRY(fr_jinja_from_json(m, json_object_iter_value(at), &member));
            FR_TRY(fr_jinja_dict_set(m, out->as.dict,
                                     fr_jinja_word(json_object_iter_key(at)), member));
        }
    } else if (json_is_array(json)) {
        FR_TRY(fr_jinja_list_new(m, FR_JINJA_A_LIST, out));
        for (size_t i = 0; i < json_array_size(json); i++) {
            value item;
            FR_TRY(fr_jinja_from_json(m, json_array_get(json, i), &item));
            FR_TRY(fr_jinja_list_add(m, out, item));
        }
    } else if (json_is_string(json)) {
        *out = fr_jinja_string(
            (fr_text){json_string_value(json), json_string_length(json)});
    } else if (json_is_integer(json)) {
        *out = fr_jinja_int(json_integer_value(json));
    } else if (json_is_real(json)) {
        *out = fr_jinja_float(json_real_value(json));
    } else {
        *out =
            json_is_boolean(json) ? fr_jinja_bool(json_is_true(json)) : fr_jinja_none();
    }
    m->depth--;
    return FR_OK;
}
