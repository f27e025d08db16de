/*
 * One sink is either the index (text, one JSON object a line) or the HDF5 tree; each function writes to whichever it is.
 * docs/format-checkpoint.md describes both.
 */
#include "train/checkpoint/checkpoint_sink.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Width of an offset in the index, padded with spaces: the length of the index must not depend on the offsets, which
 * are known only after the index has its size. 16 digits are enough for any file. */
enum { OFFSET_DIGITS = 16 };

/* ---- the index's text --------------------------------------------------------------------------- */

/* Make room for `bytes` more and a NUL. FR_ERR_ARG beyond the limits that a reader accepts. */
static fr_status reserve(fr_sink *sink, size_t bytes)
{
    enum { FIRST_CAPACITY = 4096 };
    if (bytes > FR_MAX_LINE || sink->bytes - sink->line + bytes > FR_MAX_LINE ||
        sink->bytes + bytes > FR_MAX_INDEX) {
        return FR_FAIL(sink->ctx, FR_ERR_ARG,
                       "%s does not fit into a file: its index may have %d bytes for "
                       "one object and "
                       "%d in all; shorten the config or store fewer tasks",
                       sink->object, FR_MAX_LINE, FR_MAX_INDEX);
    }
    if (sink->bytes + bytes < sink->capacity) {
        return FR_OK;
    }
    size_t capacity = 2 * sink->capacity + bytes + FIRST_CAPACITY;
    char *text = realloc(sink->text, capacity);
    FR_TRY(fr_check_memory(sink->ctx, text != NULL, capacity));
    sink->text = text;
    sink->capacity = capacity;
    return FR_OK;
}

/* Append formatted text of less than MAX bytes: a path and a few words. Longer texts go through add_quoted. */
static fr_status add(fr_sink *sink, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static fr_status add(fr_sink *sink, const char *format, ...)
{
    enum { MAX = 2 * FR_H5_PATH_BYTES };
    va_list arguments;
    FR_TRY(reserve(sink, MAX));
    va_start(arguments, format);
    int length = vsnprintf(sink->text + sink->bytes, MAX, format, arguments);
    va_end(arguments);
    sink->bytes += (size_t)length;
    return FR_OK;
}

/* Begin a member of the current object: a comma unless it is the first one, then its name. */
static fr_status add_name(fr_sink *sink, const char *name)
{
    const char *comma = sink->has_members ? "," : "";
    sink->has_members = true;
    return add(sink, "%s\"%s\":", comma, name);
}

static fr_status add_quoted(fr_sink *sink, const char *name, const char *text)
{
    FR_TRY(add_name(sink, name));
    FR_TRY(reserve(sink, fr_json_quoted_bytes(text)));
    sink->bytes = (size_t)(fr_json_quote(text, sink->text + sink->bytes) - sink->text);
    return FR_OK;
}

/* ---- groups and attributes ---------------------------------------------------------------------- */

/* The root of an HDF5 file exists from the start; every other group is made here. */
fr_status fr_sink_begin(fr_sink *sink, const char *path)
{
    (void)snprintf(sink->object, sizeof sink->object, "%s", path);
    sink->has_members = false;
    if (sink->h5 == NULL) {
        return add(sink, "{\"group\":\"%s\",\"attributes\":{", path);
    }
    return strcmp(path, "/") == 0 ? FR_OK : fr_h5_make_group(sink->h5, path);
}

static fr_status end_line(fr_sink *sink, const char *text)
{
    FR_TRY(add(sink, "%s\n", text));
    sink->line = sink->bytes;
    return FR_OK;
}

fr_status fr_sink_end(fr_sink *sink)
{
    return sink->h5 == NULL ? end_line(sink, "}}") : FR_OK;
}

fr_status fr_sink_integer(fr_sink *sink, const char *name, int64_t value)
{
    if (sink->h5 != NULL) {
        return fr_h5_write_i64(sink->h5, sink->object, name, value);
    }
    FR_TRY(add_name(sink, name));
    return add(sink, "%" PRId64, value);
}

fr_status fr_sink_text(fr_sink *sink, const char *name, const char *text)
{
    return sink->h5 != NULL ? fr_h5_write_text(sink->h5, sink->object, name, text)
                            : add_quoted(sink, name, text);
}

/* The next functions copy a member out with memcpy, because a table of fields knows only its offset. Real numbers are
 * quoted texts in the index, since JSON has no infinity and its readers differ in the digits that they keep. */
static fr_status put_natural(fr_sink *sink, const char *name, const void *member)
{
    uint64_t value = 0;
    memcpy(&value, member, sizeof value);
    if (sink->h5 != NULL) {
        return fr_h5_write_u64(sink->h5, sink->object, name, value);
    }
    FR_TRY(add_name(sink, name));
    return add(sink, "%" PRIu64, value);
}

static fr_status put_real(fr_sink *sink, const char *name, const void *member)
{
    char text[FR_REAL_BYTES];
    double value = 0;
    memcpy(&value, member, sizeof value);
    if (sink->h5 != NULL) {
        return fr_h5_write_f64(sink->h5, sink->object, name, value);
    }
    fr_field_print_real(value, text);
    return add_quoted(sink, name, text);
}

static fr_status put_digest(fr_sink *sink, const char *name, const void *member)
{
    char hex[FR_DIGEST_HEX];
    if (sink->h5 != NULL) {
        return fr_h5_write_bytes(sink->h5, sink->object, name, member, FR_DIGEST_BYTES);
    }
    fr_digest_hex(member, hex);
    return add_quoted(sink, name, hex);
}

/* A text that is NULL leaves no attribute; readers treat a missing text as NULL. */
static fr_status put_field(fr_sink *sink, const fr_field *field, const void *owner)
{
    const void *member = (const char *)owner + field->offset;
    int64_t integer = 0;
    bool truth = false;
    const char *text = NULL;
    switch (field->kind) {
    case FR_FIELD_I64:
        memcpy(&integer, member, sizeof integer);
        return fr_sink_integer(sink, field->name, integer);
    case FR_FIELD_U64:
        return put_natural(sink, field->name, member);
    case FR_FIELD_F64:
        return put_real(sink, field->name, member);
    case FR_FIELD_BOOL:
        memcpy(&truth, member, sizeof truth);
        return fr_sink_integer(sink, field->name, truth ? 1 : 0);
    case FR_FIELD_TEXT:
        memcpy(&text, member, sizeof text);
        return text != NULL ? fr_sink_text(sink, field->name, text) : FR_OK;
    case FR_FIELD_DIGEST:
    default:
        return put_digest(sink, field->name, member);
    }
}

fr_status fr_sink_fields(fr_sink *sink, const fr_field *fields, int n_fields,
                         const void *owner)
{
    for (int i = 0; i < n_fields; i++) {
        FR_TRY(put_field(sink, &fields[i], owner));
    }
    return FR_OK;
}

fr_status fr_sink_group(fr_sink *sink, const char *path)
{
    return sink->h5 != NULL ? fr_h5_make_group(sink->h5, path) : FR_OK;
}

/* /tasks/NAME/layers/I, where I is the number of the layer in the base, and /tasks/NAME/shared */
fr_status fr_sink_groups(fr_sink *sink, const fr_checkpoint_task *task)
{
    char path[FR_H5_PATH_BYTES];
    (void)snprintf(path, sizeof path, "/tasks/%s/layers", task->name);
    FR_TRY(fr_sink_group(sink, path));
    for (int64_t layer = 0; layer < task->n_layers; layer++) {
        (void)snprintf(path, sizeof path, "/tasks/%s/layers/%lld", task->name,
                       (long long)(task->first_layer + layer));
        FR_TRY(fr_sink_group(sink, path));
    }
    if (!fr_mlp_is_there(&task->mlp)) {
        return FR_OK;
    }
    (void)snprintf(path, sizeof path, "/tasks/%s/shared", task->name);
    return fr_sink_group(sink, path);
}

/* ---- arrays ------------------------------------------------------------------------------------- */

/* Remember the position of the blank for the offset of the array. */
static fr_status note_blank(fr_sink *sink)
{
    enum { FIRST_BLANKS = 64 };
    if (sink->n_arrays == sink->n_blanks) {
        int64_t n = 2 * sink->n_blanks + FIRST_BLANKS;
        size_t *blanks = realloc(sink->blanks, (size_t)n * sizeof *blanks);
        FR_TRY(fr_check_memory(sink->ctx, blanks != NULL,
                               (size_t)n * sizeof *sink->blanks));
        sink->blanks = blanks;
        sink->n_blanks = n;
    }
    sink->blanks[sink->n_arrays++] = sink->bytes;
    return FR_OK;
}

/* The line of an array in the index, with a blank where the HDF5 sink writes the offset later. */
static fr_status list_array(fr_sink *sink, const fr_stored_array *array)
{
    FR_TRY(add(sink, "{\"array\":\"%s\",\"shape\":[", array->path));
    for (int i = 0; i < array->rank; i++) {
        FR_TRY(add(sink, "%s%" PRId64, i > 0 ? "," : "", array->shape[i]));
    }
    FR_TRY(add(sink, "],\"offset\":"));
    FR_TRY(note_blank(sink));
    FR_TRY(add(sink, "%*s,\"bytes\":%" PRId64, OFFSET_DIGITS, "",
               array->floats * (int64_t)sizeof(float)));
    return end_line(sink, "}");
}

/* Both sinks receive the arrays in the same order, so the HDF5 sink's count of arrays finds the blank of each. */
fr_status fr_sink_array(fr_sink *sink, const fr_stored_array *array)
{
    char digits[OFFSET_DIGITS + 8];
    int64_t offset = 0;
    if (sink->h5 == NULL) {
        return list_array(sink, array);
    }
    FR_TRY(fr_h5_write_f32(sink->h5, array->path, array->shape, array->rank,
                           array->data, &offset));
    (void)snprintf(digits, sizeof digits, "%*" PRId64, OFFSET_DIGITS, offset);
    memcpy(sink->index->text + sink->index->blanks[sink->n_arrays++], digits,
           OFFSET_DIGITS);
    return FR_OK;
}

void fr_sink_fini(fr_sink *sink)
{
    free(sink->text);
    free(sink->blanks);
    *sink = (fr_sink){.ctx = sink->ctx};
}
