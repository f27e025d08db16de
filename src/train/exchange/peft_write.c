#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "model/files/safetensors_out.h"
#include "train/exchange/peft.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The version whose files these are like. Older ones ignore keys that they do not know, or have no such key. */
static const char VERSION[] = "0.21.2";

/* ---- the folder ---------------------------------------------------------------------------------- */

/* An entry that is more than the folder's own names; *out is empty if there is none. */
static fr_status find_entry(fr_ctx *ctx, const char *folder, fr_shown *out)
{
    DIR *directory = opendir(folder);
    *out = (fr_shown){{0}};
    if (directory == NULL) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "%s cannot be looked into: %s; name another folder", folder,
                       strerror(errno));
    }
    for (const struct dirent *entry = readdir(directory);
         entry != NULL && out->text[0] == '\0'; entry = readdir(directory)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            *out = fr_show(fr_text_of(entry->d_name));
        }
    }
    (void)closedir(directory);
    return FR_OK;
}

fr_status fr_peft_check_target(fr_ctx *ctx, const char *folder)
{
    fr_shown entry;
    if (access(folder, F_OK) != 0 && errno == ENOENT) {
        return FR_OK;
    }
    if (!fr_is_folder(folder)) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "%s is there and is not a folder; name a new folder for the "
                       "adapter",
                       folder);
    }
    FR_TRY(find_entry(ctx, folder, &entry));
    if (entry.text[0] != '\0') {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "%s holds %s already, and an adapter's folder holds nothing "
                       "else; name a new folder, or empty this one",
                       folder, entry.text);
    }
    return FR_OK;
}

/* ---- the files ----------------------------------------------------------------------------------- */

/* Keys and values of one slot are one row, layer by layer. */
static fr_status make_weights(fr_ctx *ctx, const fr_checkpoint_task *task,
                              uint8_t **image, size_t *bytes)
{
    int64_t width = task->n_kv_heads * task->head_dim;
    fr_safetensor_out tensor = {.name = "prompt_embeddings",
                                .n_dims = 2,
                                .shape = {task->length, 2 * task->n_layers * width}};
    size_t piece = (size_t)width * sizeof(float);
    float *rows = NULL;
    *image = NULL;
    FR_TRY(fr_alloc(ctx, task->length, (size_t)(2 * task->n_layers) * piece, &rows));
    for (int64_t slot = 0; slot < task->length; slot++) {
        for (int64_t layer = 0; layer < task->n_layers; layer++) {
            float *to = rows + (slot * task->n_layers + layer) * 2 * width;
            int64_t from = (layer * task->length + slot) * width;
            memcpy(to, task->state.k + from, piece);
            memcpy(to + width, task->state.v + from, piece);
        }
    }
    tensor.data = rows;
    fr_status status = fr_safetensors_image(ctx, &tensor, 1, image, bytes);
    free(rows);
    return status;
}

/* What PEFT writes, without the keys whose value is its default. Its encoder_hidden_size is token_dim where nothing is
 * projected. */
static fr_status make_config(fr_ctx *ctx, const fr_checkpoint_task *task,
                             const char *base, char **out)
{
    json_int_t width = task->n_kv_heads * task->head_dim;
    json_t *config = json_pack(
        "{s:o, s:I, s:b, s:I, s:I, s:i, s:I, s:s, s:s, s:b, s:s, s:I}",
        "base_model_name_or_path", fr_json_string(base), "encoder_hidden_size", width,
        "inference_mode", 1, "num_attention_heads", (json_int_t)task->n_kv_heads,
        "num_layers", (json_int_t)task->n_layers, "num_transformer_submodules", 1,
        "num_virtual_tokens", (json_int_t)task->length, "peft_type", "PREFIX_TUNING",
        "peft_version", VERSION, "prefix_projection", 0, "task_type", "CAUSAL_LM",
        "token_dim", width);
    *out = config != NULL ? json_dumps(config, JSON_INDENT(2)) : NULL;
    json_decref(config);
    return fr_check_memory(ctx, *out != NULL, sizeof *config);
}

static fr_status put(fr_ctx *ctx, const char *folder, const char *name,
                     const void *data, size_t bytes)
{
    char *path = NULL;
    FR_TRY(fr_join_path(ctx, folder, name, &path));
    fr_status status = fr_file_replace(ctx, path, data, bytes);
    free(path);
    return status;
}

static const char *const NAMES[] = {"adapter_model.safetensors", "adapter_config.json"};
enum { WEIGHTS, CONFIG, N_NAMES };

/* What this export put there goes again, so that the same command may be repeated. */
static void take_back(fr_ctx *ctx, const char *folder, int n_begun, bool made)
{
    for (int i = 0; i < n_begun; i++) {
        char *path = NULL;
        if (fr_join_path(ctx, folder, NAMES[i], &path) == FR_OK) {
            (void)unlink(path);
        }
        free(path);
    }
    if (made) {
        (void)rmdir(folder);
    }
}

static fr_status check_layers(fr_ctx *ctx, const fr_checkpoint_task *task)
{
    if (task->n_layers == task->base_layers) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                   "task %s has a prefix on layers %lld to %lld of 0 to %lld, and an "
                   "adapter of PEFT's has one on all layers; train without "
                   "prefix.layers to export",
                   task->name, (long long)task->first_layer,
                   (long long)(task->first_layer + task->n_layers - 1),
                   (long long)(task->base_layers - 1));
}

fr_status fr_peft_write(fr_ctx *ctx, const char *folder, const fr_checkpoint_task *task,
                        const char *base)
{
    uint8_t *image = NULL;
    char *config = NULL;
    size_t bytes = 0;
    FR_TRY(check_layers(ctx, task));
    FR_TRY(fr_peft_check_target(ctx, folder));
    bool made = !fr_is_folder(folder);
    fr_status status = make_weights(ctx, task, &image, &bytes);
    if (status == FR_OK) {
        status = make_config(ctx, task, base, &config);
    }
    if (status == FR_OK) {
        status = fr_make_folder(ctx, folder);
    }
    if (status == FR_OK) {
        status = put(ctx, folder, NAMES[WEIGHTS], image, bytes);
        int n_begun = 1; /* one that fails may be there all the same */
        if (status == FR_OK) {
            n_begun = N_NAMES;
            status = put(ctx, folder, NAMES[CONFIG], config, strlen(config));
        }
        if (status != FR_OK) {
            take_back(ctx, folder, n_begun, made);
        }
    }
    free(image);
    free(config);
    return status;
}
