#include "model/files/hf_json.h"

#include "base/file.h"
#include "base/file_kind.h"
#include "base/json_size.h"
#include "model/files/names.h"

#include <string.h>

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
    if (fits) {
        *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    }
    fr_map_close(&map);
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
