#include "model/files/safetensors_out.h"

#include "base/mem.h"
#include "model/files/names.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, ALIGNMENT = 8 };
/* leaves room for the header in 63 bits */
#define MAX_BYTES (INT64_MAX / 2)
static const char METADATA[] = "__metadata__";

/* A file that is being made: its header as JSON, and the bytes that the tensors take so far. */
typedef struct builder {
    fr_ctx *ctx;
    json_t *header;
    int64_t bytes;
} builder;

static fr_status fail(const builder *b, const fr_safetensor_out *tensor,
                      const char *what)
{
    return FR_FAIL(b->ctx, FR_ERR_ARG, "tensor %s cannot be written: %s",
                   fr_show(fr_text_of(tensor->name)).text, what);
}

static fr_status add_shape(const builder *b, const fr_safetensor_out *tensor,
                           json_t *shape, int64_t *bytes)
{
    *bytes = sizeof(float);
    if (tensor->n_dims < 0 || tensor->n_dims > FR_SAFETENSOR_MAX_DIMS) {
        return fail(b, tensor, "it has too many dimensions; at most 8 are allowed");
    }
    for (int d = 0; d < tensor->n_dims; d++) {
        if (!fr_mul_i64(*bytes, tensor->shape[d], bytes)) {
            return fail(b, tensor, "its shape is negative or too large");
        }
        FR_TRY(fr_check_memory(
            b->ctx, json_array_append_new(shape, json_integer(tensor->shape[d])) == 0,
            sizeof *tensor));
    }
    return FR_OK;
}

/* Of a tensor whose shape was checked. */
static size_t data_bytes(const fr_safetensor_out *tensor)
{
    size_t bytes = sizeof(float);
    for (int d = 0; d < tensor->n_dims; d++) {
        bytes *= (size_t)tensor->shape[d];
    }
    return bytes;
}

static fr_status add_tensor(builder *b, const fr_safetensor_out *tensor)
{
    int64_t bytes = 0;
    json_t *shape = json_array();
    fr_status status = fr_check_memory(b->ctx, shape != NULL, sizeof *tensor);
    if (status == FR_OK) {
        status = add_shape(b, tensor, shape, &bytes);
    }
    if (status == FR_OK && bytes > MAX_BYTES - b->bytes) {
        status = fail(b, tensor, "the file would be too large");
    }
    if (status == FR_OK && json_object_get(b->header, tensor->name) != NULL) {
        status = fail(b, tensor, "its name is taken; choose another one");
    }
    if (status != FR_OK) {
        json_decref(shape);
        return status;
    }
    json_t *entry =
        json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", shape,
                  "data_offsets", (json_int_t)b->bytes, (json_int_t)(b->bytes + bytes));
    FR_TRY(fr_check_memory(b->ctx, entry != NULL, sizeof *tensor));
    if (json_object_set_new(b->header, tensor->name, entry) != 0) {
        return fail(b, tensor, "its name is not valid UTF-8; choose another one");
    }
    b->bytes += bytes;
    return FR_OK;
}

/* The header is padded with spaces, as JSON allows, so that readers can use the data in place. */
static fr_status lay_out(const builder *b, const fr_safetensor_out *tensors, int64_t n,
                         uint8_t **image, size_t *bytes)
{
    char *text = json_dumps(b->header, JSON_COMPACT);
    FR_TRY(fr_check_memory(b->ctx, text != NULL, (size_t)n * sizeof *tensors));
    size_t used = strlen(text);
    uint64_t padded = (used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    size_t start = LENGTH_BYTES + (size_t)padded;
    fr_status status = fr_alloc(b->ctx, (int64_t)start + b->bytes, 1, image);
    if (status == FR_OK) {
        uint8_t *next = *image;
        memcpy(next, &padded, LENGTH_BYTES);
        memset(next + LENGTH_BYTES, ' ', (size_t)padded);
        memcpy(next + LENGTH_BYTES, text, used);
        next += start;
        for (int64_t i = 0; i < n; i++) {
            size_t own = data_bytes(&tensors[i]);
            memcpy(next, tensors[i].data, own);
            next += own;
        }
        *bytes = start + (size_t)b->bytes;
    }
    free(text);
    return status;
}

fr_status fr_safetensors_image(fr_ctx *ctx, const fr_safetensor_out *tensors, int64_t n,
                               uint8_t **image, size_t *bytes)
{
    builder b = {.ctx = ctx,
                 .header = json_pack("{s:{s:s}}", METADATA, "format", "pt")};
    *image = NULL;
    *bytes = 0;
    fr_status status = fr_check_memory(ctx, b.header != NULL, sizeof *tensors);
    for (int64_t i = 0; status == FR_OK && i < n; i++) {
        status = add_tensor(&b, &tensors[i]);
    }
    if (status == FR_OK) {
        status = lay_out(&b, tensors, n, image, bytes);
    }
    json_decref(b.header);
    return status;
}
