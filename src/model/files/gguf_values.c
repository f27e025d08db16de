#include "base/mem.h"
#include "model/files/gguf_impl.h"
#include "model/files/names.h"

#include <stdlib.h>
#include <string.h>

const fr_gguf_value *fr_gguf_find(const fr_gguf *gguf, const char *key)
{
    const fr_gguf_pair *pair = fr_names_find(gguf->pair_index, gguf->n_pairs, key);
    return pair != NULL ? &pair->value : NULL;
}

int64_t fr_gguf_n_tensors(const fr_gguf *gguf)
{
    return gguf->n_tensors;
}

const fr_gguf_tensor *fr_gguf_tensor_at(const fr_gguf *gguf, int64_t index)
{
    return &gguf->tensors[index];
}

const fr_gguf_tensor *fr_gguf_find_tensor(const fr_gguf *gguf, const char *name)
{
    return fr_names_find(gguf->tensor_index, gguf->n_tensors, name);
}

/* Bytes of a value as it lies in the file; parsing has stepped over all of it. */
static size_t value_bytes(const fr_gguf_value *value)
{
    size_t item = fr_gguf_item_bytes(value->item_type);
    size_t bytes = item * (size_t)value->count;
    for (uint64_t i = 0; item == 0 && i < value->count; i++) {
        bytes += sizeof(uint64_t) + (size_t)fr_gguf_load_u64(value->data + bytes);
    }
    return bytes;
}

bool fr_gguf_same_value(const fr_gguf_value *a, const fr_gguf_value *b)
{
    if (a->type != b->type || a->item_type != b->item_type || a->count != b->count) {
        return false;
    }
    size_t bytes = value_bytes(a);
    return bytes == value_bytes(b) && memcmp(a->data, b->data, bytes) == 0;
}

const char *fr_gguf_path(const fr_gguf *gguf)
{
    return gguf->path;
}

static bool is_signed(fr_gguf_type type)
{
    return type == FR_GGUF_I8 || type == FR_GGUF_I16 || type == FR_GGUF_I32 ||
           type == FR_GGUF_I64;
}

static bool is_integer(fr_gguf_type type)
{
    return is_signed(type) || type == FR_GGUF_U8 || type == FR_GGUF_U16 ||
           type == FR_GGUF_U32 || type == FR_GGUF_U64;
}

/* One integer item, sign-extended; false if it does not fit int64. */
static bool load_integer(fr_gguf_type type, const uint8_t *at, int64_t *out)
{
    uint64_t bits = 0;
    size_t bytes = fr_gguf_item_bytes(type);
    memcpy(&bits, at, bytes);
    /* Flipping the sign bit and subtracting it extends the sign over the upper bytes. */
    uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
    if (!is_signed(type)) {
        *out = (int64_t)(bits & INT64_MAX);
        return bits <= INT64_MAX;
    }
    uint64_t extended = (bits ^ sign) - sign;
    memcpy(out, &extended, sizeof extended);
    return true;
}

bool fr_gguf_get_int(const fr_gguf *gguf, const char *key, int64_t *out)
{
    int64_t found = 0;
    const fr_gguf_value *value = fr_gguf_find(gguf, key);
    if (value == NULL || !is_integer(value->type) ||
        !load_integer(value->type, value->data, &found)) {
        return false;
    }
    *out = found;
    return true;
}

/* One item of any type of numbers; false if it is of another type or does not fit int64. */
static bool load_real(fr_gguf_type type, const uint8_t *at, double *out)
{
    int64_t integer = 0;
    float single = 0.0F;
    if (type == FR_GGUF_F32) {
        memcpy(&single, at, sizeof single);
        *out = (double)single;
        return true;
    }
    if (type == FR_GGUF_F64) {
        memcpy(out, at, sizeof *out);
        return true;
    }
    if (is_integer(type) && load_integer(type, at, &integer)) {
        *out = (double)integer;
        return true;
    }
    return false;
}

bool fr_gguf_get_real(const fr_gguf *gguf, const char *key, double *out)
{
    const fr_gguf_value *value = fr_gguf_find(gguf, key);
    return value != NULL && load_real(value->type, value->data, out);
}

bool fr_gguf_get_bool(const fr_gguf *gguf, const char *key, bool *out)
{
    const fr_gguf_value *value = fr_gguf_find(gguf, key);
    if (value == NULL || value->type != FR_GGUF_BOOL) {
        return false;
    }
    *out = *value->data != 0;
    return true;
}

bool fr_gguf_get_text(const fr_gguf *gguf, const char *key, fr_text *out)
{
    const fr_gguf_value *value = fr_gguf_find(gguf, key);
    if (value == NULL || value->type != FR_GGUF_STRING) {
        return false;
    }
    *out = (fr_text){(const char *)value->data + sizeof(uint64_t),
                     (size_t)fr_gguf_load_u64(value->data)};
    return true;
}

static const fr_gguf_value *find_array(const fr_gguf *gguf, const char *key)
{
    const fr_gguf_value *value = fr_gguf_find(gguf, key);
    return value != NULL && value->type == FR_GGUF_ARRAY ? value : NULL;
}

static fr_status fail_array(fr_ctx *ctx, const fr_gguf *gguf, const char *key,
                            const char *wanted)
{
    const char *found = fr_gguf_find(gguf, key) != NULL ? "of another type" : "missing";
    return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: %s is %s, must be an array of %s",
                   gguf->path, key, found, wanted);
}

fr_status fr_gguf_get_texts(fr_ctx *ctx, const fr_gguf *gguf, const char *key,
                            fr_text **out, int64_t *n)
{
    const fr_gguf_value *value = find_array(gguf, key);
    *out = NULL;
    *n = 0;
    if (value == NULL || value->item_type != FR_GGUF_STRING) {
        return fail_array(ctx, gguf, key, "strings");
    }
    /* Parsing has stepped over every string, so count and lengths hold. */
    FR_TRY(fr_alloc(ctx, (int64_t)value->count, sizeof **out, out));
    const uint8_t *at = value->data;
    for (uint64_t i = 0; i < value->count; i++) {
        size_t length = (size_t)fr_gguf_load_u64(at);
        (*out)[i] = (fr_text){(const char *)at + sizeof(uint64_t), length};
        at += sizeof(uint64_t) + length;
    }
    *n = (int64_t)value->count;
    return FR_OK;
}

fr_status fr_gguf_get_ints(fr_ctx *ctx, const fr_gguf *gguf, const char *key,
                           int64_t **out, int64_t *n)
{
    const fr_gguf_value *value = find_array(gguf, key);
    *out = NULL;
    *n = 0;
    if (value == NULL || !is_integer(value->item_type)) {
        return fail_array(ctx, gguf, key, "integers");
    }
    FR_TRY(fr_alloc(ctx, (int64_t)value->count, sizeof **out, out));
    size_t bytes = fr_gguf_item_bytes(value->item_type);
    for (uint64_t i = 0; i < value->count; i++) {
        if (!load_integer(value->item_type, value->data + i * bytes, &(*out)[i])) {
            free(*out);
            *out = NULL;
            return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: item %llu of %s does not fit int64",
                           gguf->path, (unsigned long long)i, key);
        }
    }
    *n = (int64_t)value->count;
    return FR_OK;
}

fr_status fr_gguf_get_reals(fr_ctx *ctx, const fr_gguf *gguf, const char *key,
                            double **out, int64_t *n)
{
    const fr_gguf_value *value = find_array(gguf, key);
    *out = NULL;
    *n = 0;
    if (value == NULL) {
        return fail_array(ctx, gguf, key, "numbers");
    }
    FR_TRY(fr_alloc(ctx, (int64_t)value->count, sizeof **out, out));
    size_t bytes = fr_gguf_item_bytes(value->item_type);
    for (uint64_t i = 0; i < value->count; i++) {
        if (!load_real(value->item_type, value->data + i * bytes, &(*out)[i])) {
            free(*out);
            *out = NULL;
            return fail_array(ctx, gguf, key, "numbers");
        }
    }
    *n = (int64_t)value->count;
    return FR_OK;
}
