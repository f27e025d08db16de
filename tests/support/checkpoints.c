#define _POSIX_C_SOURCE 200809L
#include "support/checkpoints.h"

#include "base/mem.h"
#include "base/rng.h"
#include "train/checkpoint/checkpoint_impl.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, MAX_TASKS = 4 };

static const char *const NAMES[MAX_TASKS] = {"alpha", "beta", "gamma", "delta-4.x_Y"};

/* Bytes that are no UTF-8, quotes, newlines: a text must come back as it was. */
static const char ODD_TEXT[] = "{source}\nSynopsis:\t\"\xc3\xa9\xff\xfe\\{target}\n";

static void fill_task(fr_checkpoint_task *task, int64_t index, bool moments,
                      int64_t step)
{
    fr_ctx *ctx = fr_test_ctx();
    FR_ASSERT_OK(fr_copy_string(ctx, NAMES[index], &task->name));
    task->length = FR_FIXTURE_SLOTS;
    task->n_layers = FR_FIXTURE_LAYERS;
    task->first_layer = index;
    task->base_layers = FR_FIXTURE_LAYERS + 2 * index + 1;
    task->n_kv_heads = 2;
    task->head_dim = 4;
    task->base_norm_eps = index == 1 ? (double)1e-5F : 0;
    task->seed = UINT64_MAX - (uint64_t)index;
    task->progress.step = step;
    task->progress.cursor = 16 * step + index;
    task->progress.stopped = index == 1;
    task->progress.best_loss = index == 0 ? (double)INFINITY : 1.5;
    task->progress.best_step = index == 0 ? -1 : step;
    task->progress.last_loss = 0.1;
    task->progress.skipped = 3;
    task->progress.skipped_in_row = 1;
    task->progress.stale_validations = 4 + index;
    task->progress.valid_loss = index == 0 ? (double)INFINITY : 2.5;
    task->chat = index == 1;
    task->eos = true;
    task->special = index == 2;
    task->leading_bos = index != 2;
    if (index != 1) {
        FR_ASSERT_OK(fr_copy_string(ctx, ODD_TEXT, &task->template_text));
        FR_ASSERT_OK(fr_copy_string(ctx, "", &task->init));
    }
    memset(task->data_digest, 7 + (int)index, sizeof task->data_digest);
    FR_ASSERT_OK(fr_checkpoint_task_alloc(ctx, task, moments));
    for (int a = 0; a < (moments ? 6 : 2); a++) {
        float *data = fr_state_array_get(&task->state, a);
        for (int i = 0; i < FR_FIXTURE_LAYERS * FR_FIXTURE_FLOATS; i++) {
            data[i] = (float)fr_rng_normal((uint64_t)step, FR_RNG_TEST,
                                           (uint64_t)(index * 6 + a), (uint64_t)i);
        }
    }
}

fr_checkpoint *fr_fixture_checkpoint(int64_t n_tasks, bool moments, int64_t step)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_checkpoint *checkpoint = NULL;
    FR_ASSERT_OK(fr_checkpoint_create(ctx, n_tasks, &checkpoint));
    CU_ASSERT_PTR_NOT_NULL_FATAL(checkpoint);
    FR_ASSERT_OK(fr_copy_string(ctx, "base:\n  path: m.gguf\n", &checkpoint->config));
    FR_ASSERT_OK(fr_copy_string(ctx, "llama 2x8 heads 2/2", &checkpoint->base_shape));
    FR_ASSERT_OK(fr_copy_string(ctx, "models/\xe9.gguf", &checkpoint->base_path));
    FR_ASSERT_OK(fr_copy_string(ctx, "avx2", &checkpoint->isa));
    FR_ASSERT_OK(fr_copy_string(ctx, "cpu 1", &checkpoint->arithmetic));
    FR_ASSERT_OK(fr_copy_string(ctx, "0.1.0", &checkpoint->version));
    memset(checkpoint->base_digest, 0xab, sizeof checkpoint->base_digest);
    for (int64_t i = 0; i < n_tasks; i++) {
        fill_task(&checkpoint->tasks[i], i, moments, step);
    }
    return checkpoint;
}

void fr_fixture_add_mlp(fr_checkpoint_task *task)
{
    const fr_mlp_shape shape = {task->length, task->n_kv_heads, task->head_dim, 5, 6};
    for (int a = FR_N_PREFIX_ARRAYS; a < FR_N_STATE_ARRAYS; a++) {
        free(fr_state_array_get(&task->state, a));
        fr_state_array_set(&task->state, a, NULL);
    }
    FR_ASSERT_OK(fr_mlp_init(fr_test_ctx(), &shape, task->n_layers, &task->mlp));
    for (int a = 0; a < FR_MLP_ARRAYS; a++) {
        fr_mlp_array array = fr_mlp_describe(&shape, a);
        for (int64_t i = 0; i < array.floats * (array.shared ? 1 : task->n_layers);
             i++) {
            task->mlp.arrays[a][i] =
                (float)fr_rng_normal((uint64_t)task->progress.step, FR_RNG_TEST,
                                     100 + (uint64_t)a, (uint64_t)i);
        }
    }
}

void fr_fixture_path(const char *folder, const char *name, char *out)
{
    (void)snprintf(out, PATH_BYTES, "%s/%s", folder, name);
}

int fr_fixture_count(const char *folder, const char *part)
{
    int n = 0;
    DIR *entries = opendir(folder);
    CU_ASSERT_PTR_NOT_NULL_FATAL(entries);
    const struct dirent *entry = NULL;
    while ((entry = readdir(entries)) != NULL) {
        bool is_dots =
            strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        n += !is_dots && strstr(entry->d_name, part) != NULL ? 1 : 0;
    }
    (void)closedir(entries);
    return n;
}

void fr_fixture_write(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(data, 1, bytes, file), bytes);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void assert_same_text(const char *what, const char *got, const char *wanted)
{
    CU_ASSERT_EQUAL((got == NULL), (wanted == NULL));
    if (got != NULL && wanted != NULL) {
        CU_ASSERT_EQUAL(strlen(got), strlen(wanted));
        fr_assert_same_bytes(what, got, wanted, strlen(wanted) + 1);
    }
}

static size_t field_bytes(fr_field_kind kind)
{
    return kind == FR_FIELD_DIGEST ? FR_DIGEST_BYTES
           : kind == FR_FIELD_BOOL ? sizeof(bool)
                                   : sizeof(int64_t);
}

static void assert_same_fields(const fr_field *fields, int n, const void *got,
                               const void *wanted)
{
    for (int i = 0; i < n; i++) {
        const char *a = (const char *)got + fields[i].offset;
        const char *b = (const char *)wanted + fields[i].offset;
        const char *text_a = NULL;
        const char *text_b = NULL;
        if (fields[i].kind == FR_FIELD_TEXT) {
            memcpy(&text_a, a, sizeof text_a);
            memcpy(&text_b, b, sizeof text_b);
            assert_same_text(fields[i].name, text_a, text_b);
        } else {
            fr_assert_same_bytes(fields[i].name, a, b, field_bytes(fields[i].kind));
        }
    }
}

static void assert_same_mlp(const fr_mlp_state *got, const fr_mlp_state *wanted)
{
    CU_ASSERT_EQUAL_FATAL(fr_mlp_is_there(got), fr_mlp_is_there(wanted));
    if (!fr_mlp_is_there(wanted)) {
        return;
    }
    CU_ASSERT_TRUE_FATAL(fr_mlp_same_shape(&got->shape, &wanted->shape));
    CU_ASSERT_EQUAL_FATAL(got->n_layers, wanted->n_layers);
    for (int i = 0; i < FR_MLP_ARRAYS; i++) {
        fr_mlp_array array = fr_mlp_describe(&wanted->shape, i);
        int64_t n = array.floats * (array.shared ? 1 : wanted->n_layers);
        fr_assert_same_bytes(array.name, got->arrays[i], wanted->arrays[i],
                             (size_t)n * sizeof(float));
    }
}

static void assert_same_task(const fr_checkpoint_task *got,
                             const fr_checkpoint_task *wanted)
{
    int64_t floats = 0;
    assert_same_text("name", got->name, wanted->name);
    assert_same_fields(FR_TASK_FIELDS, FR_N_TASK_FIELDS, got, wanted);
    CU_ASSERT_EQUAL(got->slides, wanted->slides);
    CU_ASSERT_TRUE_FATAL(fr_layer_floats(wanted, &floats));
    for (int i = 0; i < FR_N_STATE_ARRAYS; i++) {
        const float *a = fr_state_array_get(&got->state, i);
        const float *b = fr_state_array_get(&wanted->state, i);
        CU_ASSERT_EQUAL_FATAL((a == NULL), (b == NULL));
        if (b != NULL) {
            fr_assert_same_bytes(FR_STATE_ARRAYS[i].name, a, b,
                                 (size_t)(floats * wanted->n_layers) * sizeof *b);
        }
    }
    assert_same_mlp(&got->mlp, &wanted->mlp);
}

void fr_fixture_assert_equal(const fr_checkpoint *got, const fr_checkpoint *wanted)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(got);
    CU_ASSERT_EQUAL_FATAL(got->n_tasks, wanted->n_tasks);
    assert_same_fields(FR_FILE_FIELDS, FR_N_FILE_FIELDS, got, wanted);
    for (int64_t i = 0; i < wanted->n_tasks; i++) {
        assert_same_task(&got->tasks[i], &wanted->tasks[i]);
    }
}
