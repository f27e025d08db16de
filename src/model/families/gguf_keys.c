#include "model/families/gguf_keys.h"

#include <stdio.h>

fr_gguf_key fr_gguf_key_of(const char *architecture, const char *name)
{
    fr_gguf_key key = {{0}};
    (void)snprintf(key.text, sizeof key.text, "%s.%s", architecture, name);
    return key;
}

bool fr_gguf_has(const fr_gguf_fields *fields, const char *name)
{
    fr_gguf_key key = fr_gguf_key_of(fields->architecture, name);
    return fr_gguf_find(fields->gguf, key.text) != NULL;
}

static fr_status fail(const fr_gguf_fields *f, const char *name, const char *wanted)
{
    return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: %s is %s, must be %s",
                   fr_gguf_path(f->gguf), fr_gguf_key_of(f->architecture, name).text,
                   fr_gguf_has(f, name) ? "of another type" : "missing", wanted);
}

fr_status fr_gguf_count(const fr_gguf_fields *fields, const char *name, bool required,
                        int64_t *out)
{
    fr_gguf_key key = fr_gguf_key_of(fields->architecture, name);
    if (fr_gguf_get_int(fields->gguf, key.text, out) ||
        (!required && !fr_gguf_has(fields, name))) {
        return FR_OK;
    }
    return fail(fields, name, "an integer");
}

fr_status fr_gguf_real(const fr_gguf_fields *fields, const char *name, bool required,
                       double *out)
{
    fr_gguf_key key = fr_gguf_key_of(fields->architecture, name);
    if (fr_gguf_get_real(fields->gguf, key.text, out) ||
        (!required && !fr_gguf_has(fields, name))) {
        return FR_OK;
    }
    return fail(fields, name, "a number");
}

fr_status fr_gguf_flag(const fr_gguf_fields *fields, const char *name, bool required,
                       bool *out)
{
    fr_gguf_key key = fr_gguf_key_of(fields->architecture, name);
    if (fr_gguf_get_bool(fields->gguf, key.text, out) ||
        (!required && !fr_gguf_has(fields, name))) {
        return FR_OK;
    }
    return fail(fields, name, "true or false");
}
