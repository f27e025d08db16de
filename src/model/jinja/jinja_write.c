/* Writes values as Python's str and repr do. What Python would write in a way that depends on its version or its
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
