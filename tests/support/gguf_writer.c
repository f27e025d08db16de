#define _POSIX_C_SOURCE 200809L
#include "support/gguf_writer.h"

#include "device/quant.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 32, VERSION = 3 };

/* A growing run of bytes. */
typedef struct buffer {
    uint8_t *data;
    size_t bytes;
    size_t capacity;
} buffer;

/* A key with the bytes of its type and value, or a tensor with its directory fields and data. */
typedef struct entry {
    char *name;
    buffer head; /* key: type and value; tensor: dimensions and type */
    buffer data; /* tensors */
    bool is_tensor;
} entry;

struct fr_gguf_writer {
    entry *entries;
    size_t n_entries;
};

static void append(buffer *to, const void *data, size_t bytes)
{
    if (to->bytes + bytes > to->capacity) {
        to->capacity = 2 * (to->bytes + bytes);
        uint8_t *grown = realloc(to->data, to->capacity);
        if (grown == NULL) {
            fr_test_give_up("gguf_writer: out of", "memory");
        }
        to->data = grown;
    }
    if (bytes > 0) {
        memcpy(to->data + to->bytes, data, bytes);
    }
    to->bytes += bytes;
}

static void append_u32(buffer *to, uint32_t value)
{
    append(to, &value, sizeof value);
}

static void append_u64(buffer *to, uint64_t value)
{
    append(to, &value, sizeof value);
}

static void append_text(buffer *to, const char *text, size_t bytes)
{
    append_u64(to, bytes);
    append(to, text, bytes);
}

fr_gguf_writer *fr_gguf_writer_create(void)
{
    return fr_test_memory(calloc(1, sizeof(fr_gguf_writer)));
}

static void clear_entry(entry *e)
{
    free(e->name);
    free(e->head.data);
    free(e->data.data);
}

void fr_gguf_writer_destroy(fr_gguf_writer **writer)
{
    if (*writer == NULL) {
        return;
    }
    for (size_t i = 0; i < (*writer)->n_entries; i++) {
        clear_entry(&(*writer)->entries[i]);
    }
    free((*writer)->entries);
    free(*writer);
    *writer = NULL;
}

static entry *find_entry(const fr_gguf_writer *writer, const char *name)
{
    for (size_t i = 0; i < writer->n_entries; i++) {
        if (strcmp(writer->entries[i].name, name) == 0) {
            return &writer->entries[i];
        }
    }
    return NULL;
}

/* An empty entry of that name, new or in the place (and memory) of the old one. */
static entry *fresh_entry(fr_gguf_writer *writer, const char *name, bool is_tensor)
{
    entry *e = find_entry(writer, name);
    if (e == NULL) {
        size_t bytes = (writer->n_entries + 1) * sizeof *writer->entries;
        writer->entries = fr_test_memory(realloc(writer->entries, bytes));
        e = &writer->entries[writer->n_entries++];
        *e = (entry){.name = fr_test_memory(strdup(name))};
    }
    e->head.bytes = 0;
    e->data.bytes = 0;
    e->is_tensor = is_tensor;
    return e;
}

void fr_gguf_writer_set_raw(fr_gguf_writer *writer, const char *key, fr_gguf_type type,
                            const void *bytes, size_t n_bytes)
{
    entry *e = fresh_entry(writer, key, false);
    append_u32(&e->head, (uint32_t)type);
    append(&e->head, bytes, n_bytes);
}

void fr_gguf_writer_set_u32(fr_gguf_writer *writer, const char *key, uint32_t value)
{
    fr_gguf_writer_set_raw(writer, key, FR_GGUF_U32, &value, sizeof value);
}

void fr_gguf_writer_set_f32(fr_gguf_writer *writer, const char *key, float value)
{
    fr_gguf_writer_set_raw(writer, key, FR_GGUF_F32, &value, sizeof value);
}

void fr_gguf_writer_set_bool(fr_gguf_writer *writer, const char *key, bool value)
{
    uint8_t byte = value ? 1 : 0;
    fr_gguf_writer_set_raw(writer, key, FR_GGUF_BOOL, &byte, sizeof byte);
}

void fr_gguf_writer_set_text(fr_gguf_writer *writer, const char *key, const char *value)
{
    entry *e = fresh_entry(writer, key, false);
    append_u32(&e->head, FR_GGUF_STRING);
    append_text(&e->head, value, strlen(value));
}

static buffer *start_array(fr_gguf_writer *writer, const char *key, fr_gguf_type item,
                           int64_t n)
{
    entry *e = fresh_entry(writer, key, false);
    append_u32(&e->head, FR_GGUF_ARRAY);
    append_u32(&e->head, (uint32_t)item);
    append_u64(&e->head, (uint64_t)n);
    return &e->head;
}

void fr_gguf_writer_set_views(fr_gguf_writer *writer, const char *key,
                              const fr_text *values, int64_t n)
{
    buffer *to = start_array(writer, key, FR_GGUF_STRING, n);
    for (int64_t i = 0; i < n; i++) {
        append_text(to, values[i].data, values[i].bytes);
    }
}

void fr_gguf_writer_set_texts(fr_gguf_writer *writer, const char *key,
                              const char *const *values, int64_t n)
{
    buffer *to = start_array(writer, key, FR_GGUF_STRING, n);
    for (int64_t i = 0; i < n; i++) {
        append_text(to, values[i], strlen(values[i]));
    }
}

void fr_gguf_writer_set_ints(fr_gguf_writer *writer, const char *key,
                             const int32_t *values, int64_t n)
{
    buffer *to = start_array(writer, key, FR_GGUF_I32, n);
    append(to, values, (size_t)n * sizeof *values);
}

void fr_gguf_writer_set_reals(fr_gguf_writer *writer, const char *key,
                              const float *values, int64_t n)
{
    buffer *to = start_array(writer, key, FR_GGUF_F32, n);
    append(to, values, (size_t)n * sizeof *values);
}

void fr_gguf_writer_set_tensor(fr_gguf_writer *writer, const char *name, uint32_t type,
                               int64_t rows, int64_t columns, const void *data)
{
    entry *e = fresh_entry(writer, name, true);
    int64_t n = (rows > 0 ? rows : 1) * columns;
    append_u32(&e->head, rows > 0 ? 2 : 1);
    append_u64(&e->head, (uint64_t)columns);
    if (rows > 0) {
        append_u64(&e->head, (uint64_t)rows);
    }
    append_u32(&e->head, type);
    append(&e->data, data, fr_quant_bytes(fr_quant_find(type), n));
}

void fr_gguf_writer_remove(fr_gguf_writer *writer, const char *name)
{
    entry *e = find_entry(writer, name);
    if (e == NULL) {
        fr_test_give_up("gguf_writer: nothing to remove", name);
    }
    size_t after = (size_t)(writer->entries + writer->n_entries - (e + 1));
    clear_entry(e);
    memmove(e, e + 1, after * sizeof *e);
    writer->n_entries--;
}

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void pad(buffer *to)
{
    static const uint8_t ZEROS[ALIGNMENT] = {0};
    append(to, ZEROS, aligned(to->bytes) - to->bytes);
}

static size_t count_entries(const fr_gguf_writer *writer, bool tensors)
{
    size_t n = 0;
    for (size_t i = 0; i < writer->n_entries; i++) {
        n += writer->entries[i].is_tensor == tensors ? 1 : 0;
    }
    return n;
}

/* The pairs, or the tensor directory. */
static void append_directory(const fr_gguf_writer *writer, bool tensors, buffer *out)
{
    size_t offset = 0;
    for (size_t i = 0; i < writer->n_entries; i++) {
        const entry *e = &writer->entries[i];
        if (e->is_tensor != tensors) {
            continue;
        }
        append_text(out, e->name, strlen(e->name));
        append(out, e->head.data, e->head.bytes);
        if (tensors) {
            append_u64(out, offset);
            offset += aligned(e->data.bytes);
        }
    }
}

uint8_t *fr_gguf_writer_bytes(const fr_gguf_writer *writer, size_t *n_bytes)
{
    buffer out = {0};
    append(&out, "GGUF", 4);
    append_u32(&out, VERSION);
    append_u64(&out, count_entries(writer, true));
    append_u64(&out, count_entries(writer, false));
    append_directory(writer, false, &out);
    append_directory(writer, true, &out);
    pad(&out);
    for (size_t i = 0; i < writer->n_entries; i++) {
        append(&out, writer->entries[i].data.data, writer->entries[i].data.bytes);
        pad(&out);
    }
    *n_bytes = out.bytes;
    return out.data;
}

void fr_gguf_writer_write(const fr_gguf_writer *writer, const char *path)
{
    size_t n_bytes = 0;
    uint8_t *bytes = fr_gguf_writer_bytes(writer, &n_bytes);
    fr_test_write(path, bytes, n_bytes);
    free(bytes);
}

fr_gguf_writer *fr_gguf_writer_part(const fr_gguf_writer *writer, int64_t number,
                                    int64_t count)
{
    fr_gguf_writer *part = fr_gguf_writer_create();
    size_t n = count_entries(writer, true);
    size_t at = 0;
    for (size_t i = 0; i < writer->n_entries; i++) {
        const entry *from = &writer->entries[i];
        bool is_here = number == 1;
        if (from->is_tensor) {
            is_here = (int64_t)(at++ * (size_t)count / n) == number - 1;
        }
        if (is_here) {
            entry *to = fresh_entry(part, from->name, from->is_tensor);
            append(&to->head, from->head.data, from->head.bytes);
            append(&to->data, from->data.data, from->data.bytes);
        }
    }
    uint16_t place[2] = {(uint16_t)(number - 1), (uint16_t)count};
    int32_t n_tensors = (int32_t)n;
    fr_gguf_writer_set_raw(part, "split.no", FR_GGUF_U16, &place[0], sizeof place[0]);
    fr_gguf_writer_set_raw(part, "split.count", FR_GGUF_U16, &place[1],
                           sizeof place[1]);
    fr_gguf_writer_set_raw(part, "split.tensors.count", FR_GGUF_I32, &n_tensors,
                           sizeof n_tensors);
    return part;
}

void fr_gguf_writer_write_parts(const fr_gguf_writer *writer, const char *folder,
                                const char *name, int64_t count)
{
    char file[128];
    for (int64_t number = 1; number <= count; number++) {
        fr_gguf_writer *part = fr_gguf_writer_part(writer, number, count);
        (void)snprintf(file, sizeof file, "%s-%05d-of-%05d.gguf", name, (int)number,
                       (int)count);
        fr_gguf_writer_write(part, fr_test_path(folder, file));
        fr_gguf_writer_destroy(&part);
    }
}
