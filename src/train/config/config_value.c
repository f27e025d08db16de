/*
 * One value: what a key allows, and from text to a field.
 *
 * fr_config_set_value is the only function that stores a user's value. The file, --set, the defaults and the sweep all call
 * it, so all of them have the same rules. It decides by the key's type; a failure leaves the field of a text as it was.
 * Numbers are decimal without leading zeros, because YAML 1.1 would read 010 as octal.
 * Texts must be UTF-8. Names and paths have no control characters, since terminals and scripts read them too; prose may have
 * them and knows escapes (written.h). The keys of the section init exclude each other, so setting one discards the others.
 * config_print.c is the inverse.
 */
#include "base/print.h"
#include "train/config/config_impl.h"

#include "base/date.h"
#include "base/json_object.h"
#include "base/mem.h"
#include "train/config/written.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int count_choices(const fr_config_key *key)
{
    int n = 0;
    while (n < FR_MAX_CHOICES && key->choices[n] != NULL) {
        n++;
    }
    return n;
}

static void describe_real(const fr_config_key *key, char out[FR_ALLOWED_BYTES])
{
    (void)snprintf(out, FR_ALLOWED_BYTES, "a number %s %g and %s %g%s",
                   (key->open_ends & FR_OPEN_LOW) != 0 ? "above" : "from", key->low,
                   (key->open_ends & FR_OPEN_HIGH) != 0 ? "below" : "up to", key->high,
                   key->automatic ? ", or auto" : "");
}

static void describe_choices(const fr_config_key *key, char out[FR_ALLOWED_BYTES])
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < count_choices(key) && used < FR_ALLOWED_BYTES; i++) {
        used += (size_t)snprintf(out + used, FR_ALLOWED_BYTES - used, "%s%s",
                                 i > 0 ? ", " : "", key->choices[i]);
    }
}

void fr_config_allowed(const fr_config_key *key, char out[FR_ALLOWED_BYTES])
{
    switch (key->type) {
    case FR_KEY_INT:
        (void)snprintf(out, FR_ALLOWED_BYTES, "a whole number from %.0f to %.0f%s",
                       key->low, key->high,
                       key->no_number   ? ", auto or none"
                       : key->automatic ? ", or auto"
                                        : "");
        break;
    case FR_KEY_SEED:
        (void)snprintf(out, FR_ALLOWED_BYTES, "a whole number from 0 to %llu%s",
                       (unsigned long long)UINT64_MAX - key->automatic,
                       key->automatic ? ", or auto" : "");
        break;
    case FR_KEY_REAL:
        describe_real(key, out);
        break;
    case FR_KEY_BOOL:
        (void)snprintf(out, FR_ALLOWED_BYTES, "true or false");
        break;
    case FR_KEY_TRUE:
        (void)snprintf(out, FR_ALLOWED_BYTES, "true");
        break;
    case FR_KEY_CHOICE:
        describe_choices(key, out);
        break;
    case FR_KEY_TEXT:
    default:
        if (key->choices[0] != NULL) {
            describe_choices(key, out);
        } else {
            (void)snprintf(out, FR_ALLOWED_BYTES, "%s",
                           key->is_list                ? "a list of names"
                           : key->form == FR_TEXT_MAP  ? "a map"
                           : key->form == FR_TEXT_DATE ? FR_DATE_FORM
                                                       : "text");
        }
        break;
    }
}

static fr_status fail_value(fr_ctx *ctx, const fr_config_key *key, const char *where,
                            const fr_scalar *value)
{
    enum { SHOWN = 60 };
    char allowed[FR_ALLOWED_BYTES];
    const char *hint = "";
    fr_config_allowed(key, allowed);
    if (value->quoted && key->type != FR_KEY_TEXT && key->type != FR_KEY_CHOICE) {
        hint = "; write it without quotes";
    } else if (key->type == FR_KEY_BOOL || key->type == FR_KEY_TRUE) {
        hint = "; yes, no, on and off are not allowed";
    }
    return FR_FAIL(ctx, FR_ERR_CONFIG, "%s is %s%.*s%s, must be %s%s%s", where,
                   value->quoted ? "\"" : "", SHOWN, value->text,
                   value->quoted ? "\"" : "", key->choices[0] != NULL ? "one of " : "",
                   allowed, hint);
}

/* Decimal digits alone, no leading zero (YAML 1.1 would read it as octal). */
static bool is_whole(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n > 0 && text[n] == '\0' && (n == 1 || text[0] != '0');
}

static bool parse_int(const fr_config_key *key, const char *text, int64_t *out)
{
    if (key->automatic && strcmp(text, "auto") == 0) {
        *out = FR_AUTO;
        return true;
    }
    if (key->no_number && strcmp(text, "none") == 0) {
        *out = FR_NONE;
        return true;
    }
    if (!is_whole(text)) {
        return false;
    }
    errno = 0;
    *out = strtoll(text, NULL, 10);
    return errno == 0 && (double)*out >= key->low && (double)*out <= key->high;
}

static bool parse_seed(const fr_config_key *key, const char *text, uint64_t *out)
{
    if (key->automatic && strcmp(text, "auto") == 0) {
        *out = FR_SEED_AUTO;
        return true;
    }
    if (!is_whole(text)) {
        return false;
    }
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == 0 && !(key->automatic && *out == FR_SEED_AUTO);
}

/* Sign, digits with at most one point, exponent: neither hex nor inf nor nan. */
static bool is_decimal(const char *text)
{
    text += *text == '-' || *text == '+';
    size_t whole = strspn(text, "0123456789");
    text += whole;
    size_t point = *text == '.';
    size_t fraction = strspn(text + point, "0123456789");
    text += point + fraction;
    if (whole + fraction == 0) {
        return false;
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        size_t digits = strspn(text, "0123456789");
        return digits > 0 && text[digits] == '\0';
    }
    return *text == '\0';
}

static bool parse_real(const fr_config_key *key, const char *text, double *out)
{
    if (key->automatic && strcmp(text, "auto") == 0) {
        *out = FR_AUTO_REAL;
        return true;
    }
    if (!is_decimal(text)) {
        return false;
    }
    double value = strtod(text, NULL);
    bool high_enough =
        (key->open_ends & FR_OPEN_LOW) != 0 ? value > key->low : value >= key->low;
    bool low_enough =
        (key->open_ends & FR_OPEN_HIGH) != 0 ? value < key->high : value <= key->high;
    *out = value + 0.0; /* -0 becomes 0, so that equal settings are written alike */
    return high_enough && low_enough;
}

static int find_choice(const fr_config_key *key, const char *text)
{
    for (int i = 0; i < count_choices(key); i++) {
        if (strcmp(key->choices[i], text) == 0) {
            return i;
        }
    }
    return -1;
}

/* A choice lies in an enum or, where there are two, in a bool; the field's size tells which. */
static void store_choice(const fr_config_key *key, int choice, void *field)
{
    unsigned as_enum = (unsigned)choice;
    bool as_bool = choice != 0;
    _Static_assert(sizeof(fr_precision) == sizeof as_enum &&
                       sizeof(fr_rate_schedule) == sizeof as_enum &&
                       sizeof(fr_optimizer_kind) == sizeof as_enum &&
                       sizeof(fr_long_rows) == sizeof as_enum,
                   "choices are stored as unsigned int");
    memcpy(field, key->bytes == sizeof as_bool ? (void *)&as_bool : (void *)&as_enum,
           key->bytes);
}

/* All texts of one object become one text, so that a resume compares what they mean. */
static fr_status read_map(fr_ctx *ctx, const char *where, const char *text, char **out)
{
    json_t *object = NULL;
    FR_TRY(fr_json_object_read(ctx, where, text, &object));
    fr_status status = fr_json_object_write(ctx, object, out);
    json_decref(object);
    return status;
}

/* Read a text's escapes, if its form has any. */
static fr_status read_text(fr_ctx *ctx, const fr_config_key *key, const char *where,
                           const fr_scalar *value, char **out)
{
    struct tm date;
    if (key->form == FR_TEXT_MAP) {
        return read_map(ctx, where, value->text, out);
    }
    if (key->form == FR_TEXT_DATE) {
        return fr_date_read(value->text, &date) ? fr_copy_string(ctx, value->text, out)
                                                : fail_value(ctx, key, where, value);
    }
    if (key->form == FR_TEXT_NAME || value->as_it_stands) {
        return fr_copy_string(ctx, value->text, out);
    }
    return key->form == FR_TEXT_TEMPLATE
               ? fr_written_read_template(ctx, where, value->text, out)
               : fr_written_read(ctx, value->text, out);
}

/* The whole text is checked before the field changes, so that a failure leaves the old text. */
static fr_status set_text(fr_ctx *ctx, const fr_config_key *key, const char *where,
                          const fr_scalar *value, char **field)
{
    if (key->choices[0] != NULL && find_choice(key, value->text) < 0) {
        return fail_value(ctx, key, where, value);
    }
    for (size_t at = 0; at < value->bytes;) {
        uint32_t code = 0;
        size_t step = fr_utf8_next(value->text + at, value->bytes - at, &code);
        if (step == 0) {
            return FR_FAIL(
                ctx, FR_ERR_CONFIG,
                "%s: byte %zu of the text is not UTF-8; save the file as UTF-8", where,
                at + 1);
        }
        if (fr_is_control(code) && key->form == FR_TEXT_NAME) {
            return FR_FAIL(
                ctx, FR_ERR_CONFIG,
                "%s holds the control character U+%04X at byte %zu; names and "
                "paths must not hold any",
                where, (unsigned)code, at + 1);
        }
        at += step;
    }
    char *copy = NULL;
    FR_TRY(read_text(ctx, key, where, value, &copy));
    free(*field);
    *field = copy;
    return FR_OK;
}

/* A new init replaces the previous one, which may own the text. */
static void choose_init(fr_task_config *task, fr_init_kind init)
{
    free(task->prefix.text);
    task->prefix.text = NULL;
    task->prefix.random_std = 0.0;
    task->prefix.init = init;
}

/* What YAML reads as null. A quoted "null" is a text. A quoted empty text counts as no value too. */
static bool is_null(const fr_scalar *value)
{
    static const char *const NULLS[] = {"", "~", "null", "Null", "NULL"};
    bool found = false;
    for (size_t i = 0; i < sizeof NULLS / sizeof NULLS[0]; i++) {
        found = found || strcmp(value->text, NULLS[i]) == 0;
    }
    return found && (!value->quoted || value->bytes == 0);
}

/* Store a number or a bool; false if the key does not allow the text. */
static bool set_plain(const fr_config_key *key, const fr_scalar *value, void *field)
{
    bool yes = strcmp(value->text, "true") == 0;
    int choice = 0;
    switch (key->type) {
    case FR_KEY_INT:
        return !value->quoted && parse_int(key, value->text, field);
    case FR_KEY_SEED:
        return !value->quoted && parse_seed(key, value->text, field);
    case FR_KEY_REAL:
        return !value->quoted && parse_real(key, value->text, field);
    case FR_KEY_BOOL:
        memcpy(field, &yes, sizeof yes);
        return !value->quoted && (yes || strcmp(value->text, "false") == 0);
    case FR_KEY_TRUE:
        return !value->quoted && yes;
    case FR_KEY_CHOICE:
        choice = find_choice(key, value->text);
        if (choice >= 0) {
            store_choice(key, choice, field);
        }
        return choice >= 0;
    case FR_KEY_TEXT:
    default:
        return false;
    }
}

fr_status fr_config_set_value(fr_ctx *ctx, const fr_config_key *key, const char *where,
                              const fr_scalar *value, fr_key_owner owner)
{
    char allowed[FR_ALLOWED_BYTES];
    if (strlen(value->text) != value->bytes) {
        return FR_FAIL(ctx, FR_ERR_CONFIG, "%s holds a NUL character; remove it",
                       where);
    }
    if (is_null(value)) {
        fr_config_allowed(key, allowed);
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "%s has no value, must be %s; leave the key out for its default",
                       where, allowed);
    }
    if (key->section == FR_SECTION_INIT) {
        choose_init(owner.task, key->init);
    }
    if (key->section == FR_SECTION_CHAT) {
        owner.task->chat = true;
    }
    void *field = fr_key_field(owner, key);
    if (key->type == FR_KEY_TEXT) {
        return set_text(ctx, key, where, value, field);
    }
    return set_plain(key, value, field) ? FR_OK : fail_value(ctx, key, where, value);
}

fr_status fr_config_set_defaults(fr_ctx *ctx, fr_key_owner owner)
{
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        const fr_config_key *key = &FR_CONFIG_KEYS[i];
        const char *text = key->default_text;
        if (text != NULL && fr_key_field(owner, key) != NULL) {
            fr_scalar value = {text, strlen(text), false, false};
            FR_TRY(fr_config_set_value(ctx, key, key->name, &value, owner));
        }
    }
    return FR_OK;
}

void fr_config_clear_inits(fr_key_lines *lines)
{
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        if (FR_CONFIG_KEYS[i].section == FR_SECTION_INIT) {
            lines->of[i] = 0;
        }
    }
}
