#define _POSIX_C_SOURCE 200809L
#include "support/model_files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, RING = 8 };

void fr_test_give_up(const char *what, const char *name)
{
    (void)fprintf(stderr, "%s %s\n", what, name);
    exit(1);
}

void *fr_test_memory(void *pointer)
{
    if (pointer == NULL) {
        fr_test_give_up("out of", "memory");
    }
    return pointer;
}

void fr_test_write(const char *path, const void *data, size_t bytes)
{
    /* A file of its own: one written over would be flushed to disk, and a link followed. */
    (void)remove(path);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0) {
        fr_test_give_up("cannot write", path);
    }
}

void fr_test_write_text(const char *path, const char *text)
{
    fr_test_write(path, text, strlen(text));
}

const char *fr_test_path(const char *folder, const char *name)
{
    static char ring[RING][PATH_BYTES];
    static int next = 0;
    char *path = ring[next];
    char joined[PATH_BYTES];
    next = (next + 1) % RING;
    /* `folder` may itself lie in the ring. */
    (void)snprintf(joined, sizeof joined, "%s/%s", folder, name);
    memcpy(path, joined, sizeof joined);
    return path;
}

uint8_t *fr_test_safetensors(const char *header, const void *data, size_t data_bytes,
                             size_t *n_bytes)
{
    uint64_t length = strlen(header);
    *n_bytes = sizeof length + (size_t)length + data_bytes;
    uint8_t *bytes = fr_test_memory(malloc(*n_bytes));
    memcpy(bytes, &length, sizeof length);
    memcpy(bytes + sizeof length, header, (size_t)length);
    if (data_bytes > 0) {
        memcpy(bytes + sizeof length + length, data, data_bytes);
    }
    return bytes;
}

static json_t *describe(const fr_safetensor *tensor, size_t begin)
{
    json_t *shape = json_array();
    for (int d = 0; d < tensor->n_dims; d++) {
        (void)json_array_append_new(shape, json_integer(tensor->shape[d]));
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", tensor->dtype, "shape", shape,
                     "data_offsets", (json_int_t)begin,
                     (json_int_t)(begin + tensor->bytes));
}

void fr_test_write_tensors(const char *path, const fr_safetensor *const *tensors,
                           int64_t n)
{
    json_t *header = fr_test_memory(json_object());
    size_t data_bytes = 0;
    size_t n_bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        json_t *entry = fr_test_memory(describe(tensors[i], data_bytes));
        (void)json_object_set_new(header, tensors[i]->name.data, entry);
        data_bytes += tensors[i]->bytes;
    }
    uint8_t *data = fr_test_memory(malloc(data_bytes + 1));
    size_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        memcpy(data + at, tensors[i]->data, tensors[i]->bytes);
        at += tensors[i]->bytes;
    }
    char *text = fr_test_memory(json_dumps(header, JSON_COMPACT));
    uint8_t *bytes = fr_test_safetensors(text, data, data_bytes, &n_bytes);
    fr_test_write(path, bytes, n_bytes);
    free(bytes);
    free(text);
    free(data);
    json_decref(header);
}

const char *fr_test_model_folder(const char *model, const char *changes)
{
    const char *folder = fr_test_folder();
    const char *source = fr_test_path(fr_test_data("golden"), model);
    json_t *config =
        fr_test_memory(json_load_file(fr_test_path(source, "config.json"), 0, NULL));
    if (changes != NULL) {
        json_t *fields = fr_test_memory(json_loads(changes, 0, NULL));
        (void)json_object_update(config, fields);
        json_decref(fields);
    }
    if (json_dump_file(config, fr_test_path(folder, "config.json"), 0) != 0 ||
        symlink(fr_test_path(source, "model.safetensors"),
                fr_test_path(folder, "model.safetensors")) != 0) {
        fr_test_give_up("cannot fill", folder);
    }
    json_decref(config);
    return folder;
}

void fr_test_copy_tensor(const fr_safetensors *file, const char *name,
                         const char *dtype, int64_t n, void *out)
{
    const fr_safetensor *tensor = fr_safetensors_find(file, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tensor);
    CU_ASSERT_STRING_EQUAL_FATAL(tensor->dtype, dtype);
    CU_ASSERT_EQUAL_FATAL(tensor->n, n);
    memcpy(out, tensor->data, tensor->bytes);
}
