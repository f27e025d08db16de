#include "base/json_object.h"

#include "base/json_size.h"
#include "base/mem.h"

#include <string.h>

fr_status fr_json_object_read(fr_ctx *ctx, const char *where, const char *text,
                              json_t **out)
{
    json_error_t error;
    size_t bytes = strlen(text);
    *out = NULL;
    if (!fr_json_fits(text, bytes)) {
        return FR_FAIL(ctx, FR_ERR_CONFIG, "%s: " FR_JSON_TOO_LARGE, where);
    }
    json_t *parsed = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(parsed)) {
        fr_status status =
            FR_FAIL(ctx, FR_ERR_CONFIG,
                    "%s must be an object such as {\"enable_thinking\": false}: %s",
                    where, parsed != NULL ? "it is a list" : error.text);
        json_decref(parsed);
        return status;
    }
    *out = parsed;
    return FR_OK;
}

fr_status fr_json_object_write(fr_ctx *ctx, const json_t *object, char **out)
{
    *out = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    return fr_check_memory(ctx, *out != NULL, sizeof *object);
}
