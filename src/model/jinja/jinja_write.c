/* Writes values as Python's str, repr and json.dumps do. What Python would write in a way that depends on its version or its
 * tables of characters is refused. */
#include "model/jinja/jinja_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef fr_jinja_machine machine;
typedef fr_jinja_value value;
typedef fr_jinja_writer writer;

/* The longest number is a float of 17 digits with sign, point and exponent; 64 bytes leave ample space. */
enum { NUMBER_BYTES = 64 };

/* Doubles, so that writing piece by piece copies each byte a few times at most; the old text stays in the arena. */
fr_status fr_jinja_write(fr_jinja_machine *m, fr_jinja_writer *w, const char *text,
                         size_t bytes)
{
    FR_TRY(fr_jinja_charge(m, bytes));
    if (w->capacity - w->bytes < bytes || w->text == NULL) {
        size_t wider = 2 * w->capacity + bytes + 32;
        char *grown = NULL;
        FR_TRY(fr_jinja_new(&m->arena, m->line, wider, &grown));
        if (w->bytes > 0) {
            memcpy(grown, w->text, w->bytes);
        }
        w->text = grown;
        w->capacity = wider;
    }
    memcpy(w->text + w->bytes, text, bytes);
    w->bytes += bytes;
    return FR_OK;
}

/* Also for an empty text, so that a string always has an address. */
fr_status fr_jinja_written(fr_jinja_machine *m, fr_jinja_writer *w, fr_jinja_value *out)
{
    FR_TRY(fr_jinja_write(m, w, "", 0));
    *out = fr_jinja_string((fr_text){w->text, w->bytes});
    return FR_OK;
}

static fr_status write_word(machine *m, writer *w, const char *word)
{
    return fr_jinja_write(m, w, word, strlen(word));
}

static fr_status write_whole(machine *m, writer *w, int64_t whole)
{
    char text[NUMBER_BYTES];
    (void)snprintf(text, sizeof text, "%lld", (long long)whole);
    return write_word(m, w, text);
}

/* The shortest digits that give the number back, as Python's repr places them. */
static fr_status write_float(machine *m, writer *w, double v)
{
    /* 17 digits tell any two doubles apart; between 1e-4 and 1e16 Python writes no exponent */
    enum { DIGITS = 17, MIN_EXPONENT = -4, MAX_EXPONENT = 16 };
    char text[NUMBER_BYTES];
    int digits = 0;
    if (!isfinite(v)) {
        return write_word(m, w, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
    }
    do {
        (void)snprintf(text, sizeof text, "%.*e", digits, v);
    } while (memcmp(&(double){strtod(text, NULL)}, &v, sizeof v) != 0 &&
             digits++ < DIGITS);
    int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent >= MIN_EXPONENT && exponent < MAX_EXPONENT) {
        int decimals = digits - exponent > 1 ? digits - exponent : 1;
        (void)snprintf(text, sizeof text, "%.*f", decimals, v);
    }
    return write_word(m, w, text);
}

/* ---- str and repr ------------------------------------------------------------------------- */

static fr_status write_repr(machine *m, writer *w, const value *v);

/* Python's repr of a string: double quotes only if there are single quotes and no double ones. Which characters beyond
 * ASCII are printable depends on Python's version, so they are refused. */
static fr_status write_quoted(machine *m, writer *w, fr_text text)
{
    bool single = memchr(text.data, '\'', text.bytes) != NULL;
    bool twofold = memchr(text.data, '"', text.bytes) != NULL;
    const char *quote = single && !twofold ? "\"" : "'";
    FR_TRY(write_word(m, w, quote));
    for (size_t i = 0; i < text.bytes; i++) {
        unsigned char c = (unsigned char)text.data[i];
        char shown[8] = {(char)c, '\0'};
        if (c >= 0x80) {
            return fr_jinja_fail(
                m, "a list or dict of strings that are not ASCII cannot be written");
        }
        if (c == '\\' || c == (unsigned char)quote[0]) {
            (void)snprintf(shown, sizeof shown, "\\%c", c);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            (void)snprintf(shown, sizeof shown, "\\%c",
                           c == '\n'   ? 'n'
                           : c == '\r' ? 'r'
                                       : 't');
        } else if (c < 0x20 || c == 0x7F) {
            (void)snprintf(shown, sizeof shown, "\\x%02x", c);
        }
        FR_TRY(write_word(m, w, shown));
    }
    return write_word(m, w, quote);
}

static fr_status write_list(machine *m, writer *w, const fr_jinja_items *list)
{
    bool tuple = list->form == FR_JINJA_A_TUPLE;
    if (list->form > FR_JINJA_A_TUPLE) {
        return fr_jinja_fail(m, "a range, a view or a generator cannot be written");
    }
    FR_TRY(write_word(m, w, tuple ? "(" : "["));
    for (int64_t i = 0; i < list->n; i++) {
        FR_TRY(write_word(m, w, i > 0 ? ", " : ""));
        FR_TRY(write_repr(m, w, &list->items[i]));
    }
    /* (1,) is a tuple, (1) would be a number */
    FR_TRY(write_word(m, w, tuple && list->n == 1 ? "," : ""));
    return write_word(m, w, tuple ? ")" : "]");
}

static fr_status write_dict(machine *m, writer *w, const fr_jinja_dict *dict)
{
    FR_TRY(write_word(m, w, "{"));
    for (int64_t i = 0; i < dict->n; i++) {
        FR_TRY(write_word(m, w, i > 0 ? ", " : ""));
        FR_TRY(write_repr(m, w, &dict->pairs[i].key));
        FR_TRY(write_word(m, w, ": "));
        FR_TRY(write_repr(m, w, &dict->pairs[i].value));
    }
    return write_word(m, w, "}");
}

static fr_status write_plain(machine *m, writer *w, const value *v)
{
    switch (v->type) {
    case FR_JINJA_IS_UNDEFINED:
        return FR_OK;
    case FR_JINJA_IS_NONE:
        return write_word(m, w, "None");
    case FR_JINJA_IS_BOOL:
        return write_word(m, w, v->as.whole != 0 ? "True" : "False");
    case FR_JINJA_IS_INT:
        return write_whole(m, w, v->as.whole);
    case FR_JINJA_IS_FLOAT:
        return write_float(m, w, v->as.fraction);
    case FR_JINJA_IS_STRING:
        return fr_jinja_write(m, w, v->as.text.data, v->as.text.bytes);
    case FR_JINJA_IS_LIST:
        return write_list(m, w, v->as.list);
    case FR_JINJA_IS_DICT:
        return write_dict(m, w, v->as.dict);
    default:
        return fr_jinja_fail(m, "%s cannot be written", fr_jinja_type_name(v));
    }
}

static fr_status write_repr(machine *m, writer *w, const value *v)
{
    FR_TRY(fr_jinja_enter(m));
    if (v->type == FR_JINJA_IS_UNDEFINED || v->is_markup) {
        return fr_jinja_fail(m, "a list or dict with an undefined value, or with a "
                                "result of the filter safe, cannot be written");
    }
    FR_TRY(v->type == FR_JINJA_IS_STRING ? write_quoted(m, w, v->as.text)
                                         : write_plain(m, w, v));
    m->depth--;
    return FR_OK;
}

fr_status fr_jinja_write_value(fr_jinja_machine *m, fr_jinja_writer *w,
                               const fr_jinja_value *v)
{
    FR_TRY(fr_jinja_enter(m));
    FR_TRY(write_plain(m, w, v));
    m->depth--;
    return FR_OK;
}

/* A string is returned without a copy. */
fr_status fr_jinja_str(fr_jinja_machine *m, const fr_jinja_value *v, fr_text *out)
{
    writer w = {.text = NULL};
    if (v->type == FR_JINJA_IS_STRING) {
        *out = v->as.text;
        return FR_OK;
    }
    value written;
    FR_TRY(fr_jinja_write_value(m, &w, v));
    FR_TRY(fr_jinja_written(m, &w, &written));
    *out = written.as.text;
    return FR_OK;
}

/* ---- JSON --------------------------------------------------------------------------------- */

/* Where JSON is written: `indent` < 0 on one line. */
typedef struct json_writer {
    machine *m;
    writer *w;
    int indent;
    int level;
} json_writer;

static fr_status put_value(json_writer *j, const value *v);

/* As json.dumps with ensure_ascii=False: only quotes, backslashes and control characters are escaped. */
static fr_status put_string(json_writer *j, fr_text text)
{
    static const char NAMES[] = "bfnrt\"\\";
    static const char MEANT[] = "\b\f\n\r\t\"\\";
    size_t from = 0;
    FR_TRY(write_word(j->m, j->w, "\""));
    for (size_t i = 0; i < text.bytes; i++) {
        unsigned char c = (unsigned char)text.data[i];
        char shown[8];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        const char *known = c != '\0' ? strchr(MEANT, c) : NULL;
        (void)snprintf(shown, sizeof shown, known != NULL ? "\\%c" : "\\u%04x",
                       known != NULL ? (unsigned)NAMES[known - MEANT] : (unsigned)c);
        FR_TRY(fr_jinja_write(j->m, j->w, text.data + from, i - from));
        FR_TRY(write_word(j->m, j->w, shown));
        from = i + 1;
    }
    FR_TRY(fr_jinja_write(j->m, j->w, text.data + from, text.bytes - from));
    return write_word(j->m, j->w, "\"");
}

/* What separates members: ", " on one line, else a line break and the indent; json.dumps leaves no blank at an end. */
static fr_status put_line(json_writer *j, bool more)
{
    if (j->indent < 0) {
        return write_word(j->m, j->w, more ? ", " : "");
    }
    FR_TRY(write_word(j->m, j->w, more ? ",\n" : "\n"));
    for (int i = 0; i < j->indent * j->level; i++) {
        FR_TRY(write_word(j->m, j->w, " "));
    }
    return FR_OK;
}

static fr_status put_list(json_writer *j, const fr_jinja_items *list)
{
    if (list->form > FR_JINJA_A_TUPLE) {
        return fr_jinja_fail(
            j->m, "a range, a view or a generator cannot be written as JSON");
    }
    FR_TRY(write_word(j->m, j->w, "["));
    j->level++;
    for (int64_t i = 0; i < list->n; i++) {
        FR_TRY(put_line(j, i > 0));
        FR_TRY(put_value(j, &list->items[i]));
    }
    j->level--;
    if (list->n > 0) {
        FR_TRY(put_line(j, false));
    }
    return write_word(j->m, j->w, "]");
}

static fr_status put_dict(json_writer *j, const fr_jinja_dict *dict)
{
    FR_TRY(write_word(j->m, j->w, "{"));
    j->level++;
    for (int64_t i = 0; i < dict->n; i++) {
        const value *key = &dict->pairs[i].key;
        FR_TRY(put_line(j, i > 0));
        if (key->type != FR_JINJA_IS_STRING) {
            return fr_jinja_fail(j->m,
                                 "a dict with %s as a key cannot be written as JSON",
                                 fr_jinja_type_name(key));
        }
        FR_TRY(put_string(j, key->as.text));
        FR_TRY(write_word(j->m, j->w, ": "));
        FR_TRY(put_value(j, &dict->pairs[i].value));
    }
    j->level--;
    if (dict->n > 0) {
        FR_TRY(put_line(j, false));
    }
    return write_word(j->m, j->w, "}");
}

static fr_status put_plain(json_writer *j, const value *v)
{
    switch (v->type) {
    case FR_JINJA_IS_NONE:
        return write_word(j->m, j->w, "null");
    case FR_JINJA_IS_BOOL:
        return write_word(j->m, j->w, v->as.whole != 0 ? "true" : "false");
    case FR_JINJA_IS_INT:
        return write_whole(j->m, j->w, v->as.whole);
    case FR_JINJA_IS_FLOAT:
        return isfinite(v->as.fraction)
                   ? write_float(j->m, j->w, v->as.fraction)
                   : fr_jinja_fail(j->m,
                                   "an infinite number cannot be written as JSON");
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
                              const fr_jinja_value *v, int indent)
{
    json_writer j = {m, w, indent, 0};
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
