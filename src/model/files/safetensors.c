/*
 * Parse and check the directory of one safetensors file.
 *
 * This file owns the handle: the mapping, the parsed JSON header, which holds the names, and the table of tensors with
 * its index. The order of events is:
 *
 *   1. The header's length is read and compared with the file and the format's limit.
 *   2. base/json_size.h bounds the memory that the header's JSON would take, and jansson parses it.
 *   3. Each entry becomes a tensor: its dtype, its shape, and a span that has exactly the bytes of both.
 *   4. The tensors are sorted by the start of their data. Each must start where the one before ends, and the last must
 *      end with the file.
 *
 * What always holds: no tensor's bytes are used before step 3 has compared its span with the file. Sizes are multiplied
 * only after a check that the product fits. Step 4 is what the format asks for. It refuses files whose tensors share
 * bytes, or that carry bytes that no tensor names, because both are signs of damage.
 */
#include "model/files/safetensors.h"

#include "base/file.h"
#include "base/file_kind.h"
#include "base/json_size.h"
#include "base/mem.h"
#include "model/files/names.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The format itself limits the header to 100 MB; a u64 length comes before it. */
enum { MAX_HEADER_BYTES = 100000000, LENGTH_BYTES = 8 };

struct fr_safetensors {
    char *path;
    fr_map map;     /* {NULL, 0} when the bytes are borrowed */
    json_t *header; /* owns the names */
    fr_safetensor *tensors;
    int64_t n_tensors;
    const fr_text **index;
};

/* What the checks of one directory need. */
typedef struct reader {
    fr_ctx *ctx;
    const char *path;
    const uint8_t *data; /* start of the tensor data */
    size_t bytes;
} reader;

/* Types that GGUF does not have. They cannot be weights, but files hold other tensors of them (token ids, masks). */
static size_t other_type_bytes(const char *name, const char **shown)
{
    static const struct {
        const char *name;
        size_t bytes;
    } TYPES[] = {
        {"U64", 8},     {"U32", 4},         {"U16", 2},         {"U8", 1},
        {"F8_E4M3", 1}, {"F8_E5M2", 1},     {"BOOL", 1},        {"F8_E8M0", 1},
        {"C64", 8},     {"F8_E4M3FNUZ", 1}, {"F8_E5M2FNUZ", 1},
    };
    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        if (strcmp(TYPES[i].name, name) == 0) {
            *shown = TYPES[i].name;
            return TYPES[i].bytes;
        }
    }
    return 0;
}

/* Both formats use the same names for types of single elements, so device/quant.c knows their sizes. */
static bool find_type(const char *name, fr_safetensor *out)
{
    const fr_quant_type *type = fr_quant_find_name(name);
    if (type == NULL || type->block > 1) {
        out->item_bytes = other_type_bytes(name, &out->dtype);
        return out->item_bytes > 0;
    }
    out->type = type;
    out->dtype = type->name;
    out->item_bytes = type->bytes;
    return true;
}

/* `what` is the rest of the sentence that "tensor NAME" begins. */
static fr_status fail_tensor(const reader *r, const fr_safetensor *tensor,
                             const char *what)
{
    return FR_FAIL(r->ctx, FR_ERR_FORMAT, "%s: tensor %s %s", r->path,
                   fr_show(tensor->name).text, what);
}

static fr_status read_dtype(const reader *r, const json_t *entry, fr_safetensor *out)
{
    const char *name = json_string_value(json_object_get(entry, "dtype"));
    if (name == NULL) {
        return fail_tensor(r, out, "lacks the text dtype");
    }
    if (!find_type(name, out)) {
        return FR_FAIL(
            r->ctx, FR_ERR_FORMAT,
            "%s: tensor %s has the unknown dtype %s; supported: weights as %s", r->path,
            fr_show(out->name).text, fr_show(fr_text_of(name)).text,
            fr_quant_supported(false).text);
    }
    return FR_OK;
}

/* JSON integers are int64 here; larger ones are a parse error. */
static fr_status read_shape(const reader *r, const json_t *entry, fr_safetensor *out)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape)) {
        return fail_tensor(r, out, "lacks the list shape");
    }
    if (json_array_size(shape) > FR_SAFETENSOR_MAX_DIMS) {
        return FR_FAIL(r->ctx, FR_ERR_FORMAT,
                       "%s: tensor %s has %zu dimensions, at most %d are supported",
                       r->path, fr_show(out->name).text, json_array_size(shape),
                       FR_SAFETENSOR_MAX_DIMS);
    }
    out->n_dims = (int)json_array_size(shape);
    out->n = 1;
    for (int d = 0; d < out->n_dims; d++) {
        const json_t *size = json_array_get(shape, (size_t)d);
        if (!json_is_integer(size) || json_integer_value(size) < 0) {
            return fail_tensor(
                r, out, "has a dimension that is not a non-negative whole number");
        }
        out->shape[d] = json_integer_value(size);
        if (!fr_mul_i64(out->n, out->shape[d], &out->n)) {
            return fail_tensor(r, out, "has a shape that overflows");
        }
    }
    return FR_OK;
}

/* The span must be inside the data and exactly as long as shape and dtype say. */
static fr_status read_offsets(const reader *r, const json_t *entry, fr_safetensor *out)
{
    const json_t *pair = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(pair, 0);
    const json_t *last = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_integer(first) ||
        !json_is_integer(last)) {
        return fail_tensor(r, out, "lacks data_offsets [begin, end]");
    }
    int64_t begin = json_integer_value(first);
    int64_t end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > r->bytes) {
        return FR_FAIL(r->ctx, FR_ERR_FORMAT,
                       "%s: tensor %s has data_offsets [%lld, %lld], outside the %zu "
                       "bytes of data; the file is truncated or damaged",
                       r->path, fr_show(out->name).text, (long long)begin,
                       (long long)end, r->bytes);
    }
    int64_t bytes = 0;
    if (!fr_mul_i64(out->n, (int64_t)out->item_bytes, &bytes) || bytes != end - begin) {
        return FR_FAIL(r->ctx, FR_ERR_FORMAT,
                       "%s: tensor %s has %lld elements of %zu bytes, but data_offsets "
                       "span %lld bytes",
                       r->path, fr_show(out->name).text, (long long)out->n,
                       out->item_bytes, (long long)(end - begin));
    }
    out->data = r->data + begin;
    out->bytes = (size_t)bytes;
    return FR_OK;
}

static fr_status read_entry(const reader *r, const char *name, const json_t *entry,
                            fr_safetensor *out)
{
    out->name = fr_text_of(name);
    if (!json_is_object(entry)) {
        return fail_tensor(r, out, "is not a JSON object");
    }
    FR_TRY(read_dtype(r, entry, out));
    FR_TRY(read_shape(r, entry, out));
    return read_offsets(r, entry, out);
}

static int compare_places(const void *a, const void *b)
{
    const fr_safetensor *const *x = a;
    const fr_safetensor *const *y = b;
    int order = ((*x)->data > (*y)->data) - ((*x)->data < (*y)->data);
    /* Tensors without elements come before the one that starts at the same byte. */
    return order != 0 ? order
                      : ((*x)->bytes > (*y)->bytes) - ((*x)->bytes < (*y)->bytes);
}

/* In the order of their data, each tensor starts where the one before ends. */
static fr_status check_places(const reader *r, const fr_safetensor *tensors, int64_t n)
{
    const fr_safetensor **sorted = NULL;
    const uint8_t *next = r->data;
    fr_status status = fr_alloc(r->ctx, n, sizeof *sorted, &sorted);
    for (int64_t i = 0; status == FR_OK && i < n; i++) {
        sorted[i] = &tensors[i];
    }
    if (status == FR_OK) {
        qsort(sorted, (size_t)n, sizeof *sorted, compare_places);
    }
    for (int64_t i = 0; status == FR_OK && i < n; i++) {
        if (sorted[i]->data != next) {
            status = fail_tensor(r, sorted[i],
                                 sorted[i]->data < next
                                     ? "overlaps the one before it"
                                     : "leaves a hole in the data before it");
        }
        next = sorted[i]->data + sorted[i]->bytes;
    }
    if (status == FR_OK && next != r->data + r->bytes) {
        status =
            FR_FAIL(r->ctx, FR_ERR_FORMAT, "%s: %zu bytes of data belong to no tensor",
                    r->path, (size_t)(r->data + r->bytes - next));
    }
    free(sorted);
    return status;
}

/* The count of entries is bounded by the header's length, so the table may be allocated at once. */
static fr_status read_directory(const reader *r, fr_safetensors *file)
{
    const char *name = NULL;
    json_t *entry = NULL;
    if (!json_is_object(file->header)) {
        return FR_FAIL(r->ctx, FR_ERR_FORMAT, "%s: the header is not a JSON object",
                       r->path);
    }
    int64_t count = (int64_t)json_object_size(file->header);
    FR_TRY(fr_alloc(r->ctx, count, sizeof *file->tensors, &file->tensors));
    json_object_foreach(file->header, name, entry)
    {
        if (strcmp(name, "__metadata__") != 0) {
            FR_TRY(read_entry(r, name, entry, &file->tensors[file->n_tensors]));
            file->n_tensors++;
        }
    }
    FR_TRY(check_places(r, file->tensors, file->n_tensors));
    return fr_names_sort(r->ctx, file->tensors, file->n_tensors, sizeof *file->tensors,
                         &file->index);
}

/* Length of the header; checked to lie in the file. */
static fr_status read_length(fr_ctx *ctx, const char *path, const uint8_t *data,
                             size_t bytes, size_t *out)
{
    uint64_t length = 0;
    if (bytes < LENGTH_BYTES) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: this is not a safetensors file: it has only %zu bytes",
                       path, bytes);
    }
    memcpy(&length, data, sizeof length);
    const char *kind = fr_file_kind(data, bytes);
    bool fits = length <= MAX_HEADER_BYTES && length <= bytes - LENGTH_BYTES;
    /* A file of another kind is recognised first: its first bytes would be read as a length. */
    if (kind != NULL && (!fits || length == 0 || data[LENGTH_BYTES] != '{')) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: this is not a safetensors file: it is %s", path, kind);
    }
    if (!fits) {
        return FR_FAIL(
            ctx, FR_ERR_FORMAT,
            "%s: the header length is %llu, must be at most %d and within the "
            "file of %zu bytes; the file is truncated or not a safetensors file",
            path, (unsigned long long)length, MAX_HEADER_BYTES, bytes);
    }
    *out = (size_t)length;
    return FR_OK;
}

/* The parser bounds the nesting and refuses bad UTF-8, NUL in names and a name twice. */
static fr_status parse_header(fr_ctx *ctx, const char *path, const uint8_t *data,
                              size_t bytes, json_t **out)
{
    json_error_t error;
    if (!fr_json_fits((const char *)data, bytes)) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: the header: " FR_JSON_TOO_LARGE, path);
    }
    *out = json_loadb((const char *)data, bytes, JSON_REJECT_DUPLICATES, &error);
    if (*out != NULL) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: the header is not valid JSON (byte %d: %s)",
                   path, LENGTH_BYTES + error.position,
                   fr_show(fr_text_of(error.text)).text);
}

fr_status fr_safetensors_parse(fr_ctx *ctx, const char *path, const uint8_t *data,
                               size_t bytes, fr_safetensors **out)
{
    fr_safetensors *file = NULL;
    size_t length = 0;
    *out = NULL;
    FR_TRY(read_length(ctx, path, data, bytes, &length));
    FR_TRY(fr_alloc(ctx, 1, sizeof *file, &file));
    const uint8_t *start = data + LENGTH_BYTES + length;
    reader r = {ctx, path, start, bytes - LENGTH_BYTES - length};
    fr_status status = fr_copy_string(ctx, path, &file->path);
    if (status == FR_OK) {
        status = parse_header(ctx, path, data + LENGTH_BYTES, length, &file->header);
    }
    if (status == FR_OK) {
        status = read_directory(&r, file);
    }
    if (status != FR_OK) {
        fr_safetensors_close(&file);
    }
    *out = file;
    return status;
}

fr_status fr_safetensors_open(fr_ctx *ctx, const char *path, fr_safetensors **out)
{
    fr_map map = {0};
    *out = NULL;
    FR_TRY(fr_map_open(ctx, path, &map));
    fr_status status = fr_safetensors_parse(ctx, path, map.data, map.bytes, out);
    if (status == FR_OK) {
        (*out)->map = map;
    } else {
        fr_map_close(&map);
    }
    return status;
}

void fr_safetensors_close(fr_safetensors **file)
{
    fr_safetensors *f = *file;
    if (f == NULL) {
        return;
    }
    fr_map_close(&f->map);
    json_decref(f->header);
    free(f->path);
    free(f->tensors);
    free(f->index);
    free(f);
    *file = NULL;
}

void fr_safetensors_release(const fr_safetensors *file)
{
    fr_map_release(&file->map);
}

fr_stamp fr_safetensors_stamp(const fr_safetensors *file)
{
    return file->map.stamp;
}

const char *fr_safetensors_path(const fr_safetensors *file)
{
    return file->path;
}

int64_t fr_safetensors_n_tensors(const fr_safetensors *file)
{
    return file->n_tensors;
}

const fr_safetensor *fr_safetensors_tensor_at(const fr_safetensors *file, int64_t index)
{
    return &file->tensors[index];
}

const fr_safetensor *fr_safetensors_find(const fr_safetensors *file, const char *name)
{
    return fr_names_find(file->index, file->n_tensors, name);
}
