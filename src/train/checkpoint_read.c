#include "train/checkpoint_impl.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file being read. */
typedef struct reader {
    fr_ctx *ctx;
    const char *path;
    fr_h5 *h5;
    int64_t left; /* bytes of the file that no task has claimed yet */
} reader;

static fr_status fail_place(const reader *r, const char *place, const char *what)
{
    return FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                   "%s: %s %s; restore the file or use an older checkpoint", r->path,
                   place, what);
}

static fr_status read_integer(const reader *r, const char *object, const char *name,
                              int64_t least, int64_t most, int64_t *out)
{
    FR_TRY(fr_h5_read_i64(r->h5, object, name, out));
    if (*out < least || *out > most) {
        return FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                       "%s: attribute %s of %s is %lld, must be %lld to %lld", r->path,
                       name, object, (long long)*out, (long long)least,
                       (long long)most);
    }
    return FR_OK;
}

static fr_status read_truth(const reader *r, const char *object, const char *name,
                            bool *out)
{
    int64_t value = 0;
    FR_TRY(read_integer(r, object, name, 0, 1, &value));
    *out = value == 1;
    return FR_OK;
}

static fr_status read_field(const reader *r, const char *object, const fr_field *field,
                            void *owner)
{
    void *member = (char *)owner + field->offset;
    if (field->optional && !fr_h5_has_attribute(r->h5, object, field->name)) {
        return FR_OK;
    }
    switch (field->kind) {
    case FR_FIELD_I64:
        return read_integer(r, object, field->name, field->least, INT64_MAX, member);
    case FR_FIELD_U64:
        return fr_h5_read_u64(r->h5, object, field->name, member);
    case FR_FIELD_F64:
        return fr_h5_read_f64(r->h5, object, field->name, member);
    case FR_FIELD_BOOL:
        return read_truth(r, object, field->name, member);
    case FR_FIELD_TEXT:
        if (!fr_h5_has_attribute(r->h5, object, field->name)) {
            return FR_OK;
        }
        return fr_h5_read_text(r->h5, object, field->name, member);
    case FR_FIELD_DIGEST:
    default:
        return fr_h5_read_bytes(r->h5, object, field->name, member, FR_DIGEST_BYTES);
    }
}

static fr_status read_fields(const reader *r, const char *object,
                             const fr_field *fields, int n_fields, void *owner)
{
    for (int i = 0; i < n_fields; i++) {
        FR_TRY(read_field(r, object, &fields[i], owner));
    }
    return FR_OK;
}

static fr_status check_conventions(const reader *r, const char *object)
{
    for (int i = 0; i < FR_N_CONVENTIONS; i++) {
        const fr_convention *convention = &FR_CONVENTIONS[i];
        fr_status status = FR_OK;
        char *text = NULL;
        FR_TRY(fr_h5_read_text(r->h5, object, convention->name, &text));
        if (strcmp(text, convention->text) != 0) {
            status = FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                             "%s: %s of %s is '%.40s', this version reads only '%s'",
                             r->path, convention->name, object, text, convention->text);
        }
        free(text);
        FR_TRY(status);
    }
    return FR_OK;
}

/* Sizes are believed only as far as the file can hold them: nothing is compressed, and each byte belongs
 * to one task. */
static fr_status claim_size(reader *r, const char *object,
                            const fr_checkpoint_task *task, int n_arrays)
{
    int64_t total = 0;
    if (!fr_layer_floats(task, &total) || !fr_mul_i64(total, task->n_layers, &total) ||
        !fr_mul_i64(total, n_arrays * (int64_t)sizeof(float), &total) ||
        total > r->left) {
        return FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                       "%s: %s claims %lld slots x %lld layers x %lld heads x %lld, "
                       "more than the file holds",
                       r->path, object, (long long)task->length,
                       (long long)task->n_layers, (long long)task->n_kv_heads,
                       (long long)task->head_dim);
    }
    r->left -= total;
    return FR_OK;
}

static fr_status read_layers(const reader *r, fr_checkpoint_task *task, int n_arrays)
{
    const int64_t shape[] = {task->length, task->n_kv_heads, task->head_dim};
    char path[FR_H5_PATH_BYTES];
    int64_t n_groups = 0;
    int64_t floats = 0;
    (void)fr_layer_floats(task, &floats);
    (void)snprintf(path, sizeof path, "/tasks/%s/layers", task->name);
    FR_TRY(fr_h5_count(r->h5, path, &n_groups));
    if (n_groups != task->n_layers) {
        return FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                       "%s: %s holds %lld layers, its task says %lld", r->path, path,
                       (long long)n_groups, (long long)task->n_layers);
    }
    for (int64_t layer = 0; layer < task->n_layers; layer++) {
        for (int i = 0; i < n_arrays; i++) {
            float *data = fr_state_array_get(&task->state, i) + layer * floats;
            (void)snprintf(path, sizeof path, "/tasks/%s/layers/%lld/%s", task->name,
                           (long long)(task->first_layer + layer),
                           FR_STATE_ARRAYS[i].name);
            FR_TRY(fr_h5_read_f32(r->h5, path, shape, 3, data));
        }
    }
    return FR_OK;
}

static fr_status check_layers(const reader *r, const char *object,
                              fr_checkpoint_task *task)
{
    task->base_layers = task->base_layers > 0 ? task->base_layers : task->n_layers;
    if (task->first_layer <= task->base_layers - task->n_layers) {
        return FR_OK;
    }
    return FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                   "%s: %s claims %lld layers from %lld on, of %lld", r->path, object,
                   (long long)task->n_layers, (long long)task->first_layer,
                   (long long)task->base_layers);
}

static fr_status read_task(reader *r, fr_checkpoint_task *task)
{
    char path[FR_H5_PATH_BYTES];
    bool moments = false;
    (void)snprintf(path, sizeof path, "/tasks/%s", task->name);
    FR_TRY(read_fields(r, path, FR_TASK_FIELDS, FR_N_TASK_FIELDS, task));
    FR_TRY(check_layers(r, path, task));
    FR_TRY(check_conventions(r, path));
    FR_TRY(read_truth(r, path, "moments", &moments));
    int n_arrays = moments ? FR_N_STATE_ARRAYS : FR_N_PREFIX_ARRAYS;
    FR_TRY(claim_size(r, path, task, n_arrays));
    FR_TRY(fr_checkpoint_task_alloc(r->ctx, task, moments));
    FR_TRY(read_layers(r, task, n_arrays));
    return fr_checkpoint_read_mlp(r->ctx, r->path, r->h5, &r->left, task);
}

static int64_t count_names(const char *names)
{
    int64_t n = names[0] != '\0' ? 1 : 0;
    for (const char *c = names; *c != '\0'; c++) {
        n += *c == '\n' ? 1 : 0;
    }
    return n;
}

/* Take one name of the list, [name, name + length). */
static fr_status take_name(const reader *r, fr_checkpoint *checkpoint, int64_t index,
                           const char *name, size_t length)
{
    char copy[FR_TASK_NAME_BYTES] = "";
    if (length < sizeof copy) {
        memcpy(copy, name, length);
    }
    if (!fr_task_name_is_valid(copy)) {
        return fail_place(r, "attribute tasks of /", "holds an impossible task name");
    }
    for (int64_t i = 0; i < index; i++) {
        if (strcmp(checkpoint->tasks[i].name, copy) == 0) {
            return fail_place(r, "attribute tasks of /", "names a task twice");
        }
    }
    return fr_copy_string(r->ctx, copy, &checkpoint->tasks[index].name);
}

static fr_status read_names(const reader *r, fr_checkpoint **out)
{
    char *names = NULL;
    int64_t n_groups = 0;
    FR_TRY(fr_h5_read_text(r->h5, "/", "tasks", &names));
    int64_t n = count_names(names);
    fr_status status = fr_h5_count(r->h5, "/tasks", &n_groups);
    if (status == FR_OK && n_groups != n) {
        status =
            fail_place(r, "/tasks", "holds other tasks than attribute tasks of / says");
    }
    if (status == FR_OK) {
        status = fr_checkpoint_create(r->ctx, n, out);
    }
    const char *name = names;
    for (int64_t i = 0; status == FR_OK && i < n; i++) {
        size_t length = strcspn(name, "\n");
        status = take_name(r, *out, i, name, length);
        name += length + (name[length] != '\0' ? 1 : 0);
    }
    free(names);
    return status;
}

/* The version comes first: nothing else is sure to be there in another one. */
static fr_status check_schema(const reader *r)
{
    int64_t schema = 0;
    if (!fr_h5_has_attribute(r->h5, "/", "schema_version")) {
        return fail_place(r, "attribute schema_version of /", "is missing");
    }
    FR_TRY(fr_h5_read_i64(r->h5, "/", "schema_version", &schema));
    if (schema != FR_CHECKPOINT_SCHEMA) {
        return FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                       "%s has schema version %lld, this Forerun reads version %d; use "
                       "the Forerun that wrote it",
                       r->path, (long long)schema, (int)FR_CHECKPOINT_SCHEMA);
    }
    return FR_OK;
}

static fr_status read_all(reader *r, fr_checkpoint **out)
{
    FR_TRY(check_schema(r));
    FR_TRY(read_names(r, out));
    FR_TRY(read_fields(r, "/", FR_FILE_FIELDS, FR_N_FILE_FIELDS, *out));
    for (int64_t i = 0; i < (*out)->n_tasks; i++) {
        FR_TRY(read_task(r, &(*out)->tasks[i]));
    }
    return FR_OK;
}

/* A missing or unreadable file is here a checkpoint that cannot be used, not bad data. */
static fr_status read_bytes(fr_ctx *ctx, const char *path, char **out, size_t *bytes)
{
    enum { REASON_BYTES = 1024 };
    char reason[REASON_BYTES];
    fr_status status = fr_file_read(ctx, path, out, bytes);
    if (status == FR_ERR_DATA) {
        (void)snprintf(reason, sizeof reason, "%s", fr_ctx_error(ctx));
        fr_ctx_clear_error(ctx);
        status = FR_FAIL(ctx, FR_ERR_CHECKPOINT, "%s", reason);
    }
    return status;
}

/* The digest is checked before the library sees a byte: it can hang or crash on damaged files. */
static fr_status open_file(fr_ctx *ctx, const char *path, fr_h5 **h5, size_t *bytes)
{
    char *data = NULL;
    FR_TRY(read_bytes(ctx, path, &data, bytes));
    fr_status status =
        fr_checkpoint_check_seal(ctx, path, (const uint8_t *)data, *bytes);
    if (status == FR_OK) {
        status = fr_h5_open(ctx, path, data, *bytes, h5);
    }
    free(data);
    return status;
}

fr_status fr_checkpoint_read(fr_ctx *ctx, const char *path, fr_checkpoint **out)
{
    fr_checkpoint *checkpoint = NULL;
    fr_h5 *h5 = NULL;
    size_t bytes = 0;
    *out = NULL;
    FR_TRY(open_file(ctx, path, &h5, &bytes));
    reader r = {ctx, path, h5, (int64_t)bytes};
    fr_status status = read_all(&r, &checkpoint);
    fr_h5_destroy(&h5);
    if (status != FR_OK) {
        fr_checkpoint_destroy(&checkpoint);
    }
    *out = checkpoint;
    return status;
}
