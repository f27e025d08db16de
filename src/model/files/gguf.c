/*
 * Parse the directory of a GGUF file.
 *
 * This file owns the walk over the header: it fills the handle's pairs, tensors and their indexes. Typed access to the
 * values is in gguf_values.c; models in several files are put together in gguf_split.c.
 *
 * A file is: magic, u32 version, u64 number of tensors, u64 number of pairs; the pairs (key, u32 type, value); the
 * directory (name, u32 number of dimensions, u64 each, u32 type, u64 offset); padding to the alignment; tensor data.
 * A string is a u64 length and its bytes. An array is a u32 item type, a u64 count and the items.
 *
 * The walk reads them once, from front to back. Offsets become addresses only after the last entry of the
 * directory, because the data starts behind it. Overlaps are looked for last, when all addresses are known.
 *
 * What always holds: a cursor's `at` never exceeds `bytes`. Every length is compared with what is left of the file, as
 * `length > bytes - at`, which cannot overflow, before it is used or anything is allocated for it. A damaged or hostile
 * file therefore costs no more memory than its own size justifies. Names and values are views into the mapping, so
 * that opening a file of any size reads only its header.
 */
#include "model/files/gguf.h"

#include "base/file_kind.h"
#include "base/mem.h"
#include "device/quant.h"
#include "model/files/gguf_impl.h"
#include "model/files/names.h"

#include <stdlib.h>
#include <string.h>

/* The fewest bytes that one pair (length 8, type 4, value 1) and one tensor (length 8, dimensions 4 + 8, type 4,
 * offset 8) can take in the file. Counts are compared with them before anything is allocated. */
enum { MIN_PAIR_BYTES = 13, MIN_TENSOR_BYTES = 32 };
/* Several times what any known file has. A pair takes 72 bytes of memory; a tensor takes 250, with its source and
 * indexes. The limits thus keep a hostile directory near 200 MB. */
enum { MAX_PAIRS = 1 << 20, MAX_TENSORS = FR_GGUF_MAX_TENSORS };
/* The format sets the default alignment and the number of dimensions. An alignment above 1 MiB is of no use to a
 * tensor, so it is taken for damage. */
enum { DEFAULT_ALIGNMENT = 32, MAX_ALIGNMENT = 1 << 20, MAX_DIMS = 4 };

/* Reading position in a file; `at` never exceeds `bytes`. */
typedef struct cursor {
    fr_ctx *ctx;
    const char *path;
    const uint8_t *data;
    size_t bytes;
    size_t at;
} cursor;

uint64_t fr_gguf_load_u64(const uint8_t *at)
{
    uint64_t value = 0;
    memcpy(&value, at, sizeof value);
    return value;
}

size_t fr_gguf_item_bytes(fr_gguf_type type)
{
    static const uint8_t BYTES[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return BYTES[type];
}

/* `what` names the part of the file that is cut off. */
static fr_status fail_short(const cursor *c, const char *what)
{
    return FR_FAIL(
        c->ctx, FR_ERR_FORMAT,
        "%s: the file ends at byte %zu inside %s; it is truncated or damaged", c->path,
        c->bytes, what);
}

static fr_status read_bytes(cursor *c, void *out, size_t bytes, const char *what)
{
    if (bytes > c->bytes - c->at) {
        return fail_short(c, what);
    }
    memcpy(out, c->data + c->at, bytes);
    c->at += bytes;
    return FR_OK;
}

/* A view into the file. */
static fr_status read_text(cursor *c, const char *what, fr_text *out)
{
    uint64_t length = 0;
    size_t place = c->at;
    FR_TRY(read_bytes(c, &length, sizeof length, what));
    if (length > c->bytes - c->at) {
        return FR_FAIL(c->ctx, FR_ERR_FORMAT,
                       "%s: %s at byte %zu has length %llu, but %zu bytes are left",
                       c->path, what, place, (unsigned long long)length,
                       c->bytes - c->at);
    }
    *out = (fr_text){(const char *)c->data + c->at, (size_t)length};
    c->at += (size_t)length;
    return FR_OK;
}

static fr_status read_type(cursor *c, const char *what, fr_gguf_type *out)
{
    uint32_t number = 0;
    size_t place = c->at;
    FR_TRY(read_bytes(c, &number, sizeof number, what));
    if (number > FR_GGUF_F64) {
        return FR_FAIL(c->ctx, FR_ERR_FORMAT,
                       "%s: %s at byte %zu is %u, must be 0 to %d", c->path, what,
                       place, (unsigned)number, (int)FR_GGUF_F64);
    }
    *out = (fr_gguf_type)number;
    return FR_OK;
}

/* Step over `count` items, all checked to lie in the file. */
static fr_status skip_items(cursor *c, fr_gguf_type type, uint64_t count, fr_text key)
{
    size_t item = fr_gguf_item_bytes(type);
    size_t min = item > 0 ? item : sizeof(uint64_t);
    if (count > (c->bytes - c->at) / min) {
        return FR_FAIL(c->ctx, FR_ERR_FORMAT,
                       "%s: value of %s at byte %zu has %llu items of at least %zu "
                       "bytes, but %zu bytes are left",
                       c->path, fr_show(key).text, c->at, (unsigned long long)count,
                       min, c->bytes - c->at);
    }
    if (item > 0) {
        c->at += (size_t)count * item;
        return FR_OK;
    }
    fr_text text;
    for (uint64_t i = 0; i < count; i++) {
        FR_TRY(read_text(c, "a string of the metadata", &text));
    }
    return FR_OK;
}

/* No known file nests arrays, and refusing them keeps the walk free of recursion. */
static fr_status read_array(cursor *c, fr_text key, fr_gguf_value *value)
{
    size_t place = c->at;
    FR_TRY(read_type(c, "an item type", &value->item_type));
    if (value->item_type == FR_GGUF_ARRAY) {
        return FR_FAIL(c->ctx, FR_ERR_UNSUPPORTED,
                       "%s: value of %s at byte %zu is an array of arrays; supported: "
                       "arrays of scalars and of strings",
                       c->path, fr_show(key).text, place);
    }
    FR_TRY(read_bytes(c, &value->count, sizeof value->count, "an array length"));
    value->data = c->data + c->at;
    return skip_items(c, value->item_type, value->count, key);
}

static fr_status read_value(cursor *c, fr_text key, fr_gguf_value *value)
{
    FR_TRY(read_type(c, "a value type", &value->type));
    value->item_type = value->type;
    value->count = 1;
    value->data = c->data + c->at;
    if (value->type == FR_GGUF_ARRAY) {
        return read_array(c, key, value);
    }
    FR_TRY(skip_items(c, value->type, 1, key));
    if (value->type == FR_GGUF_BOOL && *value->data > 1) {
        return FR_FAIL(c->ctx, FR_ERR_FORMAT,
                       "%s: truth value of %s at byte %zu is %d, must be 0 or 1",
                       c->path, fr_show(key).text, c->at - 1, (int)*value->data);
    }
    return FR_OK;
}

/* A name that occurs twice is refused, because readers would differ in which entry they use. */
static fr_status check_names(const cursor *c, const char *what,
                             const fr_text *const *index, int64_t count)
{
    const fr_text *twice = fr_names_duplicate(index, count);
    if (twice == NULL) {
        return FR_OK;
    }
    const uint8_t *at = (const uint8_t *)twice->data;
    return FR_FAIL(c->ctx, FR_ERR_FORMAT, "%s: %s %s occurs twice (byte %zu)", c->path,
                   what, fr_show(*twice).text, (size_t)(at - c->data));
}

static fr_status read_pairs(cursor *c, uint64_t count, fr_gguf *gguf)
{
    if (count > (c->bytes - c->at) / MIN_PAIR_BYTES || count > MAX_PAIRS) {
        return FR_FAIL(c->ctx, FR_ERR_FORMAT,
                       "%s: %llu metadata pairs (byte 16) do not fit the file of %zu "
                       "bytes or are more than %d",
                       c->path, (unsigned long long)count, c->bytes, MAX_PAIRS);
    }
    FR_TRY(fr_alloc(c->ctx, (int64_t)count, sizeof *gguf->pairs, &gguf->pairs));
    for (gguf->n_pairs = 0; gguf->n_pairs < (int64_t)count; gguf->n_pairs++) {
        fr_gguf_pair *pair = &gguf->pairs[gguf->n_pairs];
        FR_TRY(read_text(c, "a key", &pair->key));
        FR_TRY(read_value(c, pair->key, &pair->value));
    }
    FR_TRY(fr_names_sort(c->ctx, gguf->pairs, gguf->n_pairs, sizeof *gguf->pairs,
                         &gguf->pair_index));
    return check_names(c, "key", gguf->pair_index, gguf->n_pairs);
}

static fr_status fail_tensor(const cursor *c, const fr_gguf_tensor *tensor,
                             size_t place, const char *what)
{
    return FR_FAIL(c->ctx, FR_ERR_FORMAT, "%s: tensor %s at byte %zu %s", c->path,
                   fr_show(tensor->name).text, place, what);
}

/* Dimensions beyond n_dims stay 1, so that sizes are products of all four. */
static fr_status read_dims(cursor *c, size_t place, fr_gguf_tensor *tensor)
{
    uint32_t n_dims = 0;
    FR_TRY(read_bytes(c, &n_dims, sizeof n_dims, "a number of dimensions"));
    if (n_dims < 1 || n_dims > MAX_DIMS) {
        return FR_FAIL(c->ctx, FR_ERR_FORMAT,
                       "%s: tensor %s at byte %zu has %u dimensions, must be 1 to %d",
                       c->path, fr_show(tensor->name).text, place, (unsigned)n_dims,
                       MAX_DIMS);
    }
    tensor->n_dims = (int)n_dims;
    for (int d = 0; d < MAX_DIMS; d++) {
        uint64_t size = 1;
        if (d < tensor->n_dims) {
            FR_TRY(read_bytes(c, &size, sizeof size, "a dimension"));
        }
        if (size == 0 || size > INT64_MAX) {
            return FR_FAIL(
                c->ctx, FR_ERR_FORMAT,
                "%s: dimension %d of tensor %s at byte %zu is %llu, must be at "
                "least 1 and fit int64",
                c->path, d, fr_show(tensor->name).text, place,
                (unsigned long long)size);
        }
        tensor->ne[d] = (int64_t)size;
    }
    return FR_OK;
}

/* Bytes of the tensor from its type and dimensions. */
static fr_status size_tensor(const cursor *c, size_t place, fr_gguf_tensor *tensor)
{
    const fr_quant_type *type = fr_quant_find(tensor->type);
    int64_t n = 1;
    int64_t bytes = 0;
    if (type == NULL) {
        return FR_FAIL(c->ctx, FR_ERR_UNSUPPORTED,
                       "%s: tensor %s at byte %zu has type number %u, supported: %s",
                       c->path, fr_show(tensor->name).text, place,
                       (unsigned)tensor->type, fr_quant_supported(true).text);
    }
    for (int d = 0; d < MAX_DIMS; d++) {
        if (!fr_mul_i64(n, tensor->ne[d], &n)) {
            return fail_tensor(c, tensor, place, "has a shape that overflows");
        }
    }
    if (tensor->ne[0] % type->block != 0) {
        return FR_FAIL(c->ctx, FR_ERR_FORMAT,
                       "%s: tensor %s at byte %zu has rows of %lld elements, not a "
                       "multiple of the %d of a %s block",
                       c->path, fr_show(tensor->name).text, place,
                       (long long)tensor->ne[0], type->block, type->name);
    }
    if (!fr_mul_i64(n / type->block, type->bytes, &bytes)) {
        return fail_tensor(c, tensor, place, "has a size that overflows");
    }
    tensor->bytes = (size_t)bytes;
    return FR_OK;
}

/* The offsets are relative to a data section whose start is known only after the last entry. */
static fr_status read_tensors(cursor *c, fr_gguf *gguf, uint64_t *offsets)
{
    for (int64_t i = 0; i < gguf->n_tensors; i++) {
        fr_gguf_tensor *tensor = &gguf->tensors[i];
        size_t place = c->at;
        FR_TRY(read_text(c, "a tensor name", &tensor->name));
        FR_TRY(read_dims(c, place, tensor));
        FR_TRY(read_bytes(c, &tensor->type, sizeof tensor->type, "a tensor type"));
        FR_TRY(read_bytes(c, &offsets[i], sizeof offsets[i], "a tensor offset"));
        FR_TRY(size_tensor(c, place, tensor));
    }
    FR_TRY(fr_names_sort(c->ctx, gguf->tensors, gguf->n_tensors, sizeof *gguf->tensors,
                         &gguf->tensor_index));
    return check_names(c, "tensor", gguf->tensor_index, gguf->n_tensors);
}

static fr_status find_alignment(const cursor *c, const fr_gguf *gguf, size_t *out)
{
    int64_t alignment = 0;
    const fr_gguf_value *value = fr_gguf_find(gguf, "general.alignment");
    *out = DEFAULT_ALIGNMENT;
    if (value == NULL) {
        return FR_OK;
    }
    if (!fr_gguf_get_int(gguf, "general.alignment", &alignment) || alignment < 1 ||
        alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) != 0) {
        return FR_FAIL(
            c->ctx, FR_ERR_FORMAT,
            "%s: general.alignment at byte %zu must be a power of two from 1 "
            "to %d",
            c->path, (size_t)(value->data - c->data), MAX_ALIGNMENT);
    }
    *out = (size_t)alignment;
    return FR_OK;
}

/* Turn offsets into addresses; the data section starts at the next multiple of the alignment. */
static fr_status place_tensors(const cursor *c, fr_gguf *gguf, const uint64_t *offsets)
{
    size_t alignment = 0;
    FR_TRY(find_alignment(c, gguf, &alignment));
    if (gguf->n_tensors == 0) {
        return FR_OK;
    }
    size_t padding = (alignment - c->at % alignment) % alignment;
    if (padding > c->bytes - c->at) {
        return fail_short(c, "the padding before the tensor data");
    }
    size_t start = c->at + padding;
    for (int64_t i = 0; i < gguf->n_tensors; i++) {
        fr_gguf_tensor *tensor = &gguf->tensors[i];
        size_t capacity = c->bytes - start;
        size_t place = (size_t)((const uint8_t *)tensor->name.data - c->data);
        if (offsets[i] % alignment != 0) {
            return FR_FAIL(c->ctx, FR_ERR_FORMAT,
                           "%s: tensor %s at byte %zu has offset %llu, not a multiple "
                           "of the alignment %zu",
                           c->path, fr_show(tensor->name).text, place,
                           (unsigned long long)offsets[i], alignment);
        }
        if (offsets[i] > capacity || tensor->bytes > capacity - (size_t)offsets[i]) {
            return FR_FAIL(c->ctx, FR_ERR_FORMAT,
                           "%s: tensor %s at byte %zu has offset %llu and %zu bytes, "
                           "outside the %zu bytes of tensor data; the file is "
                           "truncated or damaged",
                           c->path, fr_show(tensor->name).text, place,
                           (unsigned long long)offsets[i], tensor->bytes, capacity);
        }
        tensor->data = c->data + start + offsets[i];
    }
    return FR_OK;
}

static int compare_places(const void *a, const void *b)
{
    const fr_gguf_tensor *const *x = a;
    const fr_gguf_tensor *const *y = b;
    return ((*x)->data > (*y)->data) - ((*x)->data < (*y)->data);
}

/* Bytes that two tensors share are a sign of damage: no writer makes them. */
static fr_status check_overlap(const cursor *c, const fr_gguf *gguf)
{
    const fr_gguf_tensor **sorted = NULL;
    fr_status status = fr_alloc(c->ctx, gguf->n_tensors, sizeof *sorted, &sorted);
    for (int64_t i = 0; status == FR_OK && i < gguf->n_tensors; i++) {
        sorted[i] = &gguf->tensors[i];
    }
    if (status == FR_OK) {
        qsort(sorted, (size_t)gguf->n_tensors, sizeof *sorted, compare_places);
    }
    for (int64_t i = 1; status == FR_OK && i < gguf->n_tensors; i++) {
        if (sorted[i]->data < sorted[i - 1]->data + sorted[i - 1]->bytes) {
            status = FR_FAIL(
                c->ctx, FR_ERR_FORMAT, "%s: tensors %s and %s overlap at byte %zu",
                c->path, fr_show(sorted[i - 1]->name).text,
                fr_show(sorted[i]->name).text, (size_t)(sorted[i]->data - c->data));
        }
    }
    free(sorted);
    return status;
}

static fr_status read_directory(cursor *c, uint64_t count, fr_gguf *gguf)
{
    uint64_t *offsets = NULL;
    if (count > (c->bytes - c->at) / MIN_TENSOR_BYTES || count > MAX_TENSORS) {
        return FR_FAIL(c->ctx, FR_ERR_FORMAT,
                       "%s: %llu tensors (byte 8) do not fit the file of %zu bytes or "
                       "are more than %d",
                       c->path, (unsigned long long)count, c->bytes, MAX_TENSORS);
    }
    gguf->n_tensors = (int64_t)count;
    FR_TRY(fr_alloc(c->ctx, gguf->n_tensors, sizeof *gguf->tensors, &gguf->tensors));
    fr_status status = fr_alloc(c->ctx, gguf->n_tensors, sizeof *offsets, &offsets);
    if (status == FR_OK) {
        status = read_tensors(c, gguf, offsets);
    }
    if (status == FR_OK) {
        status = place_tensors(c, gguf, offsets);
    }
    if (status == FR_OK) {
        status = check_overlap(c, gguf);
    }
    free(offsets);
    return status;
}

/* Version 1 has 32-bit lengths. A version with its bytes swapped is a big-endian file. */
static fr_status read_header(cursor *c, uint64_t *n_tensors, uint64_t *n_pairs)
{
    char magic[4] = {0};
    uint32_t version = 0;
    FR_TRY(read_bytes(c, magic, sizeof magic, "the header"));
    const char *kind = fr_file_kind(c->data, c->bytes);
    if (memcmp(magic, "GGUF", sizeof magic) != 0 && kind != NULL) {
        return FR_FAIL(c->ctx, FR_ERR_FORMAT, "%s: this is not a GGUF file: it is %s",
                       c->path, kind);
    }
    if (memcmp(magic, "GGUF", sizeof magic) != 0) {
        return FR_FAIL(
            c->ctx, FR_ERR_FORMAT,
            "%s: this is not a GGUF file (it does not start with GGUF); give "
            "a GGUF file or a Hugging Face folder",
            c->path);
    }
    FR_TRY(read_bytes(c, &version, sizeof version, "the header"));
    if (version != 2 && version != 3) {
        return FR_FAIL(c->ctx, FR_ERR_UNSUPPORTED,
                       "%s: GGUF version %u%s, supported: 2 and 3", c->path,
                       (unsigned)version,
                       (version & 0xffffU) == 0 ? " (a big-endian file)" : "");
    }
    FR_TRY(read_bytes(c, n_tensors, sizeof *n_tensors, "the header"));
    return read_bytes(c, n_pairs, sizeof *n_pairs, "the header");
}

fr_status fr_gguf_parse(fr_ctx *ctx, const char *path, const uint8_t *data,
                        size_t bytes, fr_gguf **out)
{
    cursor c = {ctx, path, data, bytes, 0};
    fr_gguf *gguf = NULL;
    uint64_t n_tensors = 0;
    uint64_t n_pairs = 0;
    *out = NULL;
    FR_TRY(read_header(&c, &n_tensors, &n_pairs));
    FR_TRY(fr_alloc(ctx, 1, sizeof *gguf, &gguf));
    fr_status status = fr_copy_string(ctx, path, &gguf->path);
    if (status == FR_OK) {
        status = read_pairs(&c, n_pairs, gguf);
    }
    if (status == FR_OK) {
        status = read_directory(&c, n_tensors, gguf);
    }
    if (status != FR_OK) {
        fr_gguf_close(&gguf);
    }
    *out = gguf;
    return status;
}

fr_status fr_gguf_open_file(fr_ctx *ctx, const char *path, fr_gguf **out)
{
    fr_map map = {0};
    *out = NULL;
    FR_TRY(fr_map_open(ctx, path, &map));
    fr_status status = fr_gguf_parse(ctx, path, map.data, map.bytes, out);
    if (status == FR_OK) {
        (*out)->map = map;
    } else {
        fr_map_close(&map);
    }
    return status;
}

void fr_gguf_close(fr_gguf **gguf)
{
    fr_gguf *g = *gguf;
    if (g == NULL) {
        return;
    }
    for (int64_t i = 0; i < g->n_others; i++) {
        fr_gguf_close(&g->others[i]);
    }
    free(g->others);
    fr_map_close(&g->map);
    free(g->path);
    free(g->pairs);
    free(g->pair_index);
    free(g->tensors);
    free(g->tensor_index);
    free(g);
    *gguf = NULL;
}
