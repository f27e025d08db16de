#include "model/files/hf_json.h"

#include "base/file.h"
#include "base/file_kind.h"
#include "base/json_size.h"
#include "base/mem.h"
#include "model/files/names.h"

#include <stdlib.h>
#include <string.h>

/* Length of the whole number at the start of `text`; 0: it is not one. */
static size_t whole_digits(const char *text, size_t bytes)
{
    size_t n = 0;
    while (n < bytes && text[n] >= '0' && text[n] <= '9') {
        n++;
    }
    bool is_real = n < bytes && (text[n] == '.' || text[n] == 'e' || text[n] == 'E');
    return is_real ? 0 : n;
}

/* Whole numbers that no 64-bit integer holds become reals, by an exponent in the place of their last two digits. */
static void widen(char *text, size_t bytes)
{
    enum { HELD_DIGITS = 18 };
    bool quoted = false;
    for (size_t at = 0; at < bytes; at++) {
        size_t digits = quoted ? 0 : whole_digits(text + at, bytes - at);
        if (text[at] == '"') {
            quoted = !quoted;
        } else if (quoted && text[at] == '\\') {
            at++;
        } else if (digits > HELD_DIGITS) {
            memcpy(text + at + digits - 2, "e2", 2);
        }
        at += digits > 0 ? digits - 1 : 0;
    }
}

/* tokenizer_config.json writes "no limit" as model_max_length 1e30, with all its digits, which jansson refuses. */
static fr_status parse(fr_ctx *ctx, const char *text, size_t bytes, json_error_t *error,
                       json_t **out)
{
    *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, error);
    if (*out != NULL || json_error_code(error) != json_error_numeric_overflow) {
        return FR_OK;
    }
    char *copy = NULL;
    FR_TRY(fr_alloc(ctx, (int64_t)bytes, 1, &copy));
    memcpy(copy, text, bytes);
    widen(copy, bytes);
    *out = json_loadb(copy, bytes, JSON_REJECT_DUPLICATES, error);
    free(copy);
    return FR_OK;
}

fr_status fr_hf_load(fr_ctx *ctx, const char *path, json_t **out)
{
    static const char BOM[] = "\xef\xbb\xbf"; /* as some editors put in front */
    fr_map map = {0};
    json_error_t error;
    *out = NULL;
    FR_TRY(fr_map_open(ctx, path, &map));
    const char *text = map.data != NULL ? (const char *)map.data : "";
    size_t bytes = map.bytes;
    if (bytes >= sizeof BOM - 1 && memcmp(text, BOM, sizeof BOM - 1) == 0) {
        text += sizeof BOM - 1;
        bytes -= sizeof BOM - 1;
    }
    const char *kind = fr_file_kind(text, bytes);
    bool fits = fr_json_fits(text, bytes);
    fr_status status = fits ? parse(ctx, text, bytes, &error, out) : FR_OK;
    fr_map_close(&map);
    FR_TRY(status);
    if (*out == NULL && kind != NULL) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: not JSON: it is %s", path, kind);
    }
    if (!fits) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED, "%s: " FR_JSON_TOO_LARGE, path);
    }
    if (*out == NULL) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s:%d: not valid JSON: %s", path,
                       error.line, fr_show(fr_text_of(error.text)).text);
    }
    return FR_OK;
}

const json_t *fr_hf_get(const fr_hf_fields *fields, const char *name)
{
    const json_t *value = json_object_get(fields->object, name);
    return json_is_null(value) ? NULL : value;
}

static fr_status fail_type(const fr_hf_fields *fields, const char *name,
                           const char *wanted)
{
    return FR_FAIL(fields->ctx, FR_ERR_FORMAT, "%s: %s must be %s", fields->path, name,
                   wanted);
}

fr_status fr_hf_count(const fr_hf_fields *fields, const char *name, bool required,
                      int64_t *out)
{
    const json_t *value = fr_hf_get(fields, name);
    if (value == NULL && required) {
        return FR_FAIL(fields->ctx, FR_ERR_FORMAT, "%s: %s is missing", fields->path,
                       name);
    }
    if (value == NULL) {
        return FR_OK;
    }
    if (!json_is_integer(value)) {
        return fail_type(fields, name, "an integer");
    }
    *out = json_integer_value(value);
    return FR_OK;
}

fr_status fr_hf_real(const fr_hf_fields *fields, const char *name, double *out)
{
    const json_t *value = fr_hf_get(fields, name);
    if (value == NULL) {
        return FR_OK;
    }
    if (!json_is_number(value)) {
        return fail_type(fields, name, "a number");
    }
    *out = json_number_value(value);
    return FR_OK;
}

fr_status fr_hf_flag(const fr_hf_fields *fields, const char *name, bool *out)
{
    const json_t *value = fr_hf_get(fields, name);
    if (value == NULL) {
        return FR_OK;
    }
    if (!json_is_boolean(value)) {
        return fail_type(fields, name, "true or false");
    }
    *out = json_is_true(value);
    return FR_OK;
}

fr_status fr_hf_text(const fr_hf_fields *fields, const char *name, const char **out)
{
    const json_t *value = fr_hf_get(fields, name);
    if (value == NULL) {
        return FR_OK;
    }
    if (!json_is_string(value)) {
        return fail_type(fields, name, "a string");
    }
    *out = json_string_value(value);
    return FR_OK;
}
