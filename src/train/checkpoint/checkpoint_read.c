/*
 * Reads a checkpoint without trusting it: whoever makes a file can also seal it. In this order:
 *
 *   fr_header_check    format version, seal, sizes of index and block
 *   read_index         attributes within the limits of their tables; sizes and spans of all arrays, as the index says
 *   check_overlap      no byte belongs to two arrays
 *   read_arrays        all numbers are finite; only then memory for the arrays, and the copy
 *
 * Until the whole index is checked, nothing larger than the index is allocated: each task claims its bytes from those
 * that the file has, so a small file cannot ask for much memory.
 */
#include "train/checkpoint/checkpoint_index.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the file that hold an array, as the index says. */
typedef struct span {
    int64_t offset;
    int64_t bytes;
} span;

/* A file being read. */
typedef struct reader {
    fr_ctx *ctx;
    const char *path;
    fr_index index;
    const uint8_t *data;
    int64_t bytes;
    int64_t block; /* offset of the HDF5 part, in which the arrays lie */
    int64_t left;  /* bytes that no task has claimed yet */
    span *spans;   /* of all arrays, in the order of the index */
    int64_t n_spans;
    int64_t capacity;
    bool *moments; /* [n_tasks] whether the task has moments */
} reader;

/* Attributes without a member in fr_checkpoint or fr_checkpoint_task. */
typedef struct root_extra {
    int64_t schema_version;
    int64_t schema_minor;
    char *tasks;
} root_extra;

typedef struct task_extra {
    bool moments;
    char *conventions[FR_N_CONVENTIONS]; /* in the order of FR_CONVENTIONS */
} task_extra;

enum { N_ROOT_EXTRAS = 3, N_TASK_EXTRAS = 4, N_MLP_FIELDS = 2 };

static const fr_field ROOT_EXTRAS[N_ROOT_EXTRAS] = {
    {"schema_version", FR_FIELD_I64, offsetof(root_extra, schema_version),
     FR_CHECKPOINT_MAJOR, FR_CHECKPOINT_MAJOR, false},
    {"schema_minor", FR_FIELD_I64, offsetof(root_extra, schema_minor), 0, INT32_MAX,
     false},
    {"tasks", FR_FIELD_TEXT, offsetof(root_extra, tasks), 0, 0, false}};

static const fr_field TASK_EXTRAS[N_TASK_EXTRAS] = {
    {"moments", FR_FIELD_BOOL, offsetof(task_extra, moments), 0, 1, false},
    {"key_order", FR_FIELD_TEXT, offsetof(task_extra, conventions[0]), 0, 0, false},
    {"key_rope", FR_FIELD_TEXT, offsetof(task_extra, conventions[1]), 0, 0, false},
    {"positions", FR_FIELD_TEXT, offsetof(task_extra, conventions[2]), 0, 0, false}};

static const fr_field MLP_FIELDS[N_MLP_FIELDS] = {
    {"mlp_hidden", FR_FIELD_I64, offsetof(fr_mlp_shape, hidden), 1, 1 << 20, true},
    {"mlp_width", FR_FIELD_I64, offsetof(fr_mlp_shape, width), 1, 1 << 20, true}};

/* Texts in tables with may_lack_texts may be missing: the writer leaves out a text that is NULL. */
static fr_status read_root(reader *r, fr_checkpoint *out)
{
    root_extra extra = {0};
    const fr_index_table tables[] = {
        {ROOT_EXTRAS, N_ROOT_EXTRAS, &extra, false, false},
        {FR_FILE_FIELDS, FR_N_FILE_FIELDS, out, false, true},
        {FR_ADDED_FILE_FIELDS, FR_N_ADDED_FILE_FIELDS, out, true, true},
        {NULL, 0, NULL, false, false}};
    fr_status status = fr_index_attributes(&r->index, "/", tables);
    out->minor = extra.schema_minor;
    if (status == FR_OK) {
        status = fr_checkpoint_set_names(r->ctx, r->path, extra.tasks, out);
    }
    free(extra.tasks);
    return status;
}

/* Sets `slides`, which lies in a convention and not in an attribute of its own: a program that does not know it would
 * skip an attribute and compute something else. */
static fr_status take_conventions(const reader *r, const char *object,
                                  const task_extra *extra, fr_checkpoint_task *task)
{
    enum { WHAT_BYTES = 160 };
    char what[WHAT_BYTES];
    for (int i = 0; i < FR_N_CONVENTIONS; i++) {
        const fr_convention *convention = &FR_CONVENTIONS[i];
        const char *text = extra->conventions[i];
        const char *sliding = convention->sliding;
        if (sliding != NULL && strcmp(text, sliding) == 0) {
            task->slides = true;
        } else if (strcmp(text, convention->text) != 0) {
            bool two = sliding != NULL;
            (void)snprintf(what, sizeof what,
                           "is not '%s'%s%s%s, the only value%s that this version "
                           "reads",
                           convention->text, two ? " or '" : "", two ? sliding : "",
                           two ? "'" : "", two ? "s" : "");
            fr_json name = {convention->name, strlen(convention->name)};
            return fr_index_fail_attribute(&r->index, object, name, what);
        }
    }
    return FR_OK;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

/* Refuse sizes that the file cannot hold, and claim the bytes of the others. */
static fr_status claim_sizes(reader *r, const char *object,
                             const fr_checkpoint_task *task, bool moments)
{
    int64_t n_arrays = moments ? FR_N_STATE_ARRAYS : FR_N_PREFIX_ARRAYS;
    int64_t state = 0;
    int64_t mlp = 0;
    bool fits = fr_layer_floats(task, &state) &&
                fr_mul_i64(state, task->n_layers * n_arrays, &state) &&
                state <= r->left / (int64_t)sizeof(float);
    if (fits && task->mlp.shape.hidden > 0) {
        fits = fr_mlp_floats(&task->mlp.shape, task->n_layers, &mlp) &&
               mlp <= r->left / (int64_t)sizeof(float) - state;
    }
    if (!fits) {
        return FR_FAIL(
            r->ctx, FR_ERR_CHECKPOINT,
            "%s: %s claims %lld slots x %lld layers x %lld heads x %lld, and "
            "an MLP of %lld hidden units x %lld, more than the file holds",
            r->path, object, (long long)task->length, (long long)task->n_layers,
            (long long)task->n_kv_heads, (long long)task->head_dim,
            (long long)task->mlp.shape.hidden, (long long)task->mlp.shape.width);
    }
    r->left -= (state + mlp) * (int64_t)sizeof(float);
    return FR_OK;
}

/* The MLP's two attributes are optional one by one in their table, so that one alone must be refused here. */
static fr_status check_task(reader *r, const char *object, fr_checkpoint_task *task,
                            const task_extra *extra)
{
    if ((task->mlp.shape.hidden > 0) != (task->mlp.shape.width > 0)) {
        return fr_index_fail(&r->index, object,
                             "has one of mlp_hidden and mlp_width alone");
    }
    FR_TRY(fr_checkpoint_check_layers(r->ctx, r->path, task));
    FR_TRY(fr_checkpoint_check_chat(r->ctx, r->path, task));
    FR_TRY(take_conventions(r, object, extra, task));
    return claim_sizes(r, object, task, extra->moments);
}

static fr_status read_task_attributes(reader *r, fr_checkpoint_task *task,
                                      bool *moments)
{
    char object[FR_H5_PATH_BYTES];
    task_extra extra = {0};
    const fr_index_table tables[] = {
        {FR_TASK_FIELDS, FR_N_TASK_FIELDS, task, false, true},
        {FR_ADDED_FIELDS, FR_N_ADDED_FIELDS, task, true, true},
        {TASK_EXTRAS, N_TASK_EXTRAS, &extra, false, false},
        {MLP_FIELDS, N_MLP_FIELDS, &task->mlp.shape, true, true},
        {NULL, 0, NULL, false, false}};
    (void)snprintf(object, sizeof object, "/tasks/%s", task->name);
    fr_status status = fr_index_attributes(&r->index, object, tables);
    if (status == FR_OK) {
        task->base_layers = task->base_layers > 0 ? task->base_layers : task->n_layers;
        if (task->mlp.shape.hidden > 0) {
            task->mlp.shape.length = task->length;
            task->mlp.shape.n_kv_heads = task->n_kv_heads;
            task->mlp.shape.head_dim = task->head_dim;
        }
        status = check_task(r, object, task, &extra);
    }
    for (int i = 0; i < FR_N_CONVENTIONS; i++) {
        free(extra.conventions[i]);
    }
    *moments = extra.moments;
    return status;
}

/* ---- arrays ---------------------------------------------------------------------------------- */

/* Whether the JSON list of sizes is the array's shape. */
static bool has_shape(fr_json value, const fr_stored_array *array)
{
    fr_json_walk walk;
    fr_json element;
    int64_t size = 0;
    int rank = 0;
    if (!fr_json_enter(value, '[', &walk)) {
        return false;
    }
    while (fr_json_element(&walk, &element)) {
        if (rank == array->rank || !fr_json_i64(element, &size) ||
            size != array->shape[rank]) {
            return false;
        }
        rank++;
    }
    return walk.ended && rank == array->rank;
}

static fr_status keep_span(reader *r, int64_t offset, int64_t bytes)
{
    enum { FIRST_CAPACITY = 64 };
    if (r->n_spans == r->capacity) {
        int64_t capacity = 2 * r->capacity + FIRST_CAPACITY;
        span *spans = realloc(r->spans, (size_t)capacity * sizeof *spans);
        FR_TRY(fr_check_memory(r->ctx, spans != NULL,
                               (size_t)capacity * sizeof *r->spans));
        r->spans = spans;
        r->capacity = capacity;
    }
    r->spans[r->n_spans++] = (span){offset, bytes};
    return FR_OK;
}

static fr_status read_array(reader *r, const fr_stored_array *array)
{
    static const char *const NAMES[] = {"shape", "offset", "bytes"};
    char what[FR_FIELD_BYTES] = "must be an f32 array of shape";
    fr_json values[3];
    int64_t offset = 0;
    int64_t bytes = 0;
    FR_TRY(fr_index_take(&r->index, "array", array->path));
    FR_TRY(fr_index_members(&r->index, NAMES, 3, values));
    if (!has_shape(values[0], array) || !fr_json_i64(values[2], &bytes) ||
        bytes != array->floats * (int64_t)sizeof(float)) {
        for (int i = 0; i < array->rank; i++) {
            size_t used = strlen(what);
            (void)snprintf(what + used, sizeof what - used, " %lld",
                           (long long)array->shape[i]);
        }
        return fr_index_fail(&r->index, array->path, what);
    }
    if (!fr_json_i64(values[1], &offset) || offset % (int64_t)sizeof(float) != 0 ||
        offset < r->block || offset > r->bytes - bytes) {
        return fr_index_fail(&r->index, array->path,
                             "has an offset outside the file's arrays, or one that is "
                             "not a multiple of 4");
    }
    return keep_span(r, offset, bytes);
}

static fr_status read_task(reader *r, fr_checkpoint_task *task, bool *moments)
{
    FR_TRY(read_task_attributes(r, task, moments));
    int64_t n = fr_checkpoint_n_arrays(task, *moments);
    for (int64_t i = 0; i < n; i++) {
        fr_stored_array array;
        fr_checkpoint_array(task, *moments, i, &array);
        FR_TRY(read_array(r, &array));
    }
    return FR_OK;
}

static int compare_spans(const void *a, const void *b)
{
    int64_t x = ((const span *)a)->offset;
    int64_t y = ((const span *)b)->offset;
    return (x > y) - (x < y);
}

/* No byte belongs to two arrays. */
static fr_status check_overlap(const reader *r)
{
    span *sorted = NULL;
    fr_status status = FR_OK;
    FR_TRY(fr_alloc(r->ctx, r->n_spans, sizeof *sorted, &sorted));
    if (r->n_spans > 0) {
        memcpy(sorted, r->spans, (size_t)r->n_spans * sizeof *sorted);
        qsort(sorted, (size_t)r->n_spans, sizeof *sorted, compare_spans);
    }
    for (int64_t i = 1; status == FR_OK && i < r->n_spans; i++) {
        if (sorted[i].offset < sorted[i - 1].offset + sorted[i - 1].bytes) {
            status = fr_index_fail(&r->index, "its index", "has arrays that overlap");
        }
    }
    free(sorted);
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------- */

typedef fr_status (*array_action)(const reader *r, const fr_stored_array *array,
                                  const uint8_t *data);

static fr_status check_values(const reader *r, const fr_stored_array *array,
                              const uint8_t *data)
{
    return fr_checkpoint_check_finite(r->ctx, r->path, array, data);
}

static fr_status copy_values(const reader *r, const fr_stored_array *array,
                             const uint8_t *data)
{
    (void)r;
    memcpy(array->data, data, (size_t)array->floats * sizeof(float));
    return FR_OK;
}

/* Spans were kept in the order of the index, which is that of fr_checkpoint_array, so one pointer runs along. */
static fr_status each_array(const reader *r, const fr_checkpoint *checkpoint,
                            array_action action)
{
    const span *at = r->spans;
    for (int64_t t = 0; t < checkpoint->n_tasks; t++) {
        const fr_checkpoint_task *task = &checkpoint->tasks[t];
        int64_t n = fr_checkpoint_n_arrays(task, r->moments[t]);
        for (int64_t i = 0; i < n; i++, at++) {
            fr_stored_array array;
            fr_checkpoint_array(task, r->moments[t], i, &array);
            FR_TRY(action(r, &array, r->data + at->offset));
        }
    }
    return FR_OK;
}

static fr_status read_index(reader *r, fr_checkpoint *out)
{
    FR_TRY(read_root(r, out));
    FR_TRY(fr_alloc(r->ctx, out->n_tasks, sizeof *r->moments, &r->moments));
    for (int64_t i = 0; i < out->n_tasks; i++) {
        FR_TRY(read_task(r, &out->tasks[i], &r->moments[i]));
    }
    FR_TRY(fr_index_rest(&r->index));
    return check_overlap(r);
}

/* fr_mlp_init sets the whole state of the MLP, including its shape; hence the copy of the shape. */
static fr_status read_arrays(reader *r, fr_checkpoint *checkpoint)
{
    FR_TRY(each_array(r, checkpoint, check_values));
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        fr_checkpoint_task *task = &checkpoint->tasks[i];
        const fr_mlp_shape mlp = task->mlp.shape;
        FR_TRY(fr_checkpoint_task_alloc(r->ctx, task, r->moments[i]));
        if (mlp.hidden > 0) {
            FR_TRY(fr_mlp_init(r->ctx, &mlp, task->n_layers, &task->mlp));
        }
    }
    return each_array(r, checkpoint, copy_values);
}

fr_status fr_checkpoint_parse(fr_ctx *ctx, const char *path, const uint8_t *data,
                              size_t bytes, fr_checkpoint **out)
{
    fr_header header;
    fr_checkpoint *checkpoint = NULL;
    *out = NULL;
    FR_TRY(fr_header_check(ctx, path, data, bytes, &header));
    const char *index = (const char *)data + FR_HEADER_BYTES;
    reader r = {
        .ctx = ctx,
        .path = path,
        .index = {.ctx = ctx, .path = path, .next = index, .end = index + header.index},
        .data = data,
        .bytes = (int64_t)bytes,
        .block = (int64_t)header.block,
        .left = (int64_t)(bytes - header.block)};
    fr_status status = fr_checkpoint_create(ctx, 0, &checkpoint);
    if (status == FR_OK) {
        status = read_index(&r, checkpoint);
    }
    if (status == FR_OK) {
        status = read_arrays(&r, checkpoint);
    }
    free(r.spans);
    free(r.moments);
    if (status != FR_OK) {
        fr_checkpoint_destroy(&checkpoint);
    }
    *out = checkpoint;
    return status;
}

/* A missing or unreadable file is an unusable checkpoint here, not bad data. */
static fr_status open_map(fr_ctx *ctx, const char *path, fr_map *out)
{
    enum { REASON_BYTES = 1024 };
    char reason[REASON_BYTES];
    fr_status status = fr_map_open(ctx, path, out);
    if (status == FR_ERR_DATA) {
        (void)snprintf(reason, sizeof reason, "%s", fr_ctx_error(ctx));
        fr_ctx_clear_error(ctx);
        status = FR_FAIL(ctx, FR_ERR_CHECKPOINT, "%s%s", reason,
                         fr_is_folder(path) ? " (of a run folder give best.h5 or "
                                              "prefix.h5; `forerun import` makes a "
                                              "prefix file of an adapter of PEFT's)"
                                            : "");
    }
    return status;
}

fr_status fr_checkpoint_read(fr_ctx *ctx, const char *path, fr_checkpoint **out)
{
    fr_map map;
    *out = NULL;
    FR_TRY(open_map(ctx, path, &map));
    fr_status status = fr_checkpoint_parse(ctx, path, map.data, map.bytes, out);
    fr_map_close(&map);
    return status;
}
