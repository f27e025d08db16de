/* From the folder of an adapter to a task: names of files first, then the config, then the tensor.
 *
 * The tensor has one row for each slot, with keys and values of all layers; a task has the slots of one layer together. So each
 * row is widened to f32 and cut into 2 * n_layers pieces. */
#include "base/file.h"
#include "base/mem.h"
#include "model/files/safetensors.h"
#include "train/exchange/peft.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char CONFIG[] = "adapter_config.json";
static const char WEIGHTS[] = "adapter_model.safetensors";
static const char PICKLE[] = "adapter_model.bin";
static const char TENSOR[] = "prompt_embeddings";

/* One adapter that is read. */
typedef struct adapter {
    fr_ctx *ctx;
    const char *folder;
    const char *model;
    char *config_path;
    char *weights_path;
    fr_peft_config config;
    fr_safetensors *file;
} adapter;

/* ---- the folder ---------------------------------------------------------------------------------- */

static fr_status check_folder(const adapter *a)
{
    if (fr_is_folder(a->folder)) {
        return FR_OK;
    }
    return FR_FAIL(a->ctx, FR_ERR_DATA,
                   "%s %s; give the folder that PEFT's save_pretrained wrote, with %s "
                   "and %s",
                   a->folder,
                   fr_file_exists(a->folder) ? "is a file, must be a folder"
                                             : "does not exist",
                   CONFIG, WEIGHTS);
}

/* PEFT puts an adapter that is not named "default" into a folder of its name. */
static fr_status check_config_file(const adapter *a)
{
    return fr_file_exists(a->config_path)
               ? FR_OK
               : FR_FAIL(a->ctx, FR_ERR_DATA,
                         "%s: there is no %s; give the folder that holds it (a named "
                         "adapter lies in a folder of its name)",
                         a->folder, CONFIG);
}

static fr_status check_weights_file(const adapter *a)
{
    char *pickle = NULL;
    if (fr_file_exists(a->weights_path)) {
        return FR_OK;
    }
    FR_TRY(fr_join_path(a->ctx, a->folder, PICKLE, &pickle));
    bool is_pickle = fr_file_exists(pickle);
    free(pickle);
    return is_pickle
               ? FR_FAIL(a->ctx, FR_ERR_UNSUPPORTED,
                         "%s holds %s, a pickle, which can run code and is never "
                         "opened; load it with PEFT where you trust it, and save it "
                         "with save_pretrained(..., safe_serialization=True)",
                         a->folder, PICKLE)
               : FR_FAIL(a->ctx, FR_ERR_DATA,
                         "%s: there is no %s; give the whole folder that PEFT's "
                         "save_pretrained wrote",
                         a->folder, WEIGHTS);
}

/* ---- the base ------------------------------------------------------------------------------------ */

static fr_status check_base(const adapter *a, const fr_arch *arch)
{
    const fr_peft_config *c = &a->config;
    if (c->n_layers != arch->n_layers || c->n_kv_heads != arch->n_kv_heads ||
        c->head_dim != arch->head_dim) {
        return FR_FAIL(
            a->ctx, FR_ERR_DATA,
            "%s: the adapter is for a base of %lld layers x %lld key/value heads x "
            "%lld, %s has %lld x %lld x %lld; give the model that it was trained over",
            a->config_path, (long long)c->n_layers, (long long)c->n_kv_heads,
            (long long)c->head_dim, a->model, (long long)arch->n_layers,
            (long long)arch->n_kv_heads, (long long)arch->head_dim);
    }
    if (c->length >= arch->context_length) {
        return FR_FAIL(a->ctx, FR_ERR_DATA,
                       "%s: num_virtual_tokens is %lld, which leaves no room in the "
                       "context of %s, %lld; give the model that it was trained over",
                       a->config_path, (long long)c->length, a->model,
                       (long long)arch->context_length);
    }
    return FR_OK;
}

/* ---- the tensor ---------------------------------------------------------------------------------- */

static fr_status check_dtype(const adapter *a, const fr_safetensor *tensor)
{
    static const char *const TYPES[] = {"F32", "F16", "BF16"};
    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        if (strcmp(tensor->dtype, TYPES[i]) == 0) {
            return FR_OK;
        }
    }
    return FR_FAIL(a->ctx, FR_ERR_UNSUPPORTED,
                   "%s: %s has the dtype %s, must be F32, F16 or BF16; save the "
                   "adapter in one of these",
                   a->weights_path, TENSOR, tensor->dtype);
}

static fr_status check_shape(const adapter *a, const fr_safetensor *tensor)
{
    const fr_peft_config *c = &a->config;
    int64_t width = 2 * c->n_layers * c->n_kv_heads * c->head_dim; /* below 2^62 */
    if (tensor->n_dims == 2 && tensor->shape[0] == c->length &&
        tensor->shape[1] == width) {
        return FR_OK;
    }
    char shape[128] = "";
    size_t at = 0;
    for (int d = 0; d < tensor->n_dims && at < sizeof shape; d++) {
        int n = snprintf(shape + at, sizeof shape - at, "%s%lld", d > 0 ? ", " : "",
                         (long long)tensor->shape[d]);
        at += n > 0 ? (size_t)n : 0;
    }
    return FR_FAIL(a->ctx, FR_ERR_FORMAT,
                   "%s: %s has the shape [%s], must be [%lld, %lld]: "
                   "num_virtual_tokens and 2 * num_layers * token_dim of %s; save the "
                   "adapter again with PEFT's save_pretrained",
                   a->weights_path, TENSOR, shape, (long long)c->length,
                   (long long)width, CONFIG);
}

/* Tensors beside the prefix are weights that were trained with it. */
static fr_status find_tensor(const adapter *a, const fr_safetensor **out)
{
    const fr_safetensor *tensor = fr_safetensors_find(a->file, TENSOR);
    int64_t n = fr_safetensors_n_tensors(a->file);
    *out = tensor;
    if (tensor != NULL && n == 1) {
        return FR_OK;
    }
    const fr_safetensor *other = n > 0 ? fr_safetensors_tensor_at(a->file, 0) : NULL;
    if (other == tensor && n > 1) {
        other = fr_safetensors_tensor_at(a->file, 1);
    }
    return FR_FAIL(a->ctx, FR_ERR_FORMAT,
                   "%s: it holds %s%s, must hold %s and nothing else; give an adapter "
                   "whose prefix alone was trained",
                   a->weights_path, n > 0 ? "the tensor " : "no tensor",
                   other != NULL ? fr_show(other->name).text : "", TENSOR);
}

static fr_status check_finite(const adapter *a, const float *row, int64_t slot)
{
    const fr_peft_config *c = &a->config;
    int64_t width = c->n_kv_heads * c->head_dim;
    for (int64_t i = 0; i < 2 * c->n_layers * width; i++) {
        if (!isfinite(row[i])) {
            int64_t layer = i / (2 * width);
            return FR_FAIL(a->ctx, FR_ERR_NUMERIC,
                           "%s: %s has a number that is not finite in slot %lld, "
                           "layer %lld, %s; use an adapter saved before its training "
                           "failed",
                           a->weights_path, TENSOR, (long long)slot, (long long)layer,
                           i / width % 2 == 0 ? "keys" : "values");
        }
    }
    return FR_OK;
}

static void cut_row(const fr_checkpoint_task *task, const float *row, int64_t slot)
{
    int64_t width = task->n_kv_heads * task->head_dim;
    size_t bytes = (size_t)width * sizeof *row;
    for (int64_t layer = 0; layer < task->n_layers; layer++) {
        int64_t to = (layer * task->length + slot) * width;
        memcpy(task->state.k + to, row + 2 * layer * width, bytes);
        memcpy(task->state.v + to, row + (2 * layer + 1) * width, bytes);
    }
}

static fr_status read_rows(const adapter *a, const fr_safetensor *tensor,
                           const fr_checkpoint_task *task)
{
    const fr_quant_kernels *kernels = NULL;
    int64_t width = tensor->shape[1];
    float *row = NULL;
    FR_TRY(fr_quant_choose(a->ctx, &kernels));
    fr_status status = fr_alloc(a->ctx, width, sizeof *row, &row);
    for (int64_t slot = 0; status == FR_OK && slot < task->length; slot++) {
        size_t offset = fr_quant_bytes(tensor->type, slot * width);
        fr_quant_widen(kernels, tensor->type, tensor->data + offset, width, row);
        status = check_finite(a, row, slot);
        if (status == FR_OK) {
            cut_row(task, row, slot);
        }
    }
    free(row);
    return status;
}

/* ---- the task ------------------------------------------------------------------------------------ */

static fr_status describe(const adapter *a, char **out)
{
    enum { BYTES = 4 * FR_SHOWN_BYTES };
    const fr_peft_config *c = &a->config;
    FR_TRY(fr_alloc(a->ctx, BYTES, 1, out));
    (void)snprintf(*out, BYTES, "import: %s of PEFT%s%s%s%s%s", c->type,
                   c->version.text[0] != '\0' ? " " : "", c->version.text,
                   c->projected ? ", with projection" : "",
                   c->base.text[0] != '\0' ? ", for " : "", c->base.text);
    return FR_OK;
}

static fr_status fill_task(const adapter *a, const fr_arch *arch,
                           fr_checkpoint_task *task)
{
    const fr_safetensor *tensor = NULL;
    FR_TRY(find_tensor(a, &tensor));
    FR_TRY(check_dtype(a, tensor));
    FR_TRY(check_shape(a, tensor));
    task->length = a->config.length;
    task->n_layers = arch->n_layers;
    task->base_layers = arch->n_layers;
    task->n_kv_heads = arch->n_kv_heads;
    task->head_dim = arch->head_dim;
    task->slides = arch->window > 0;
    task->base_norm_eps = (double)(float)arch->norm_eps; /* as training writes it */
    FR_TRY(describe(a, &task->init));
    FR_TRY(fr_checkpoint_task_alloc(a->ctx, task, false));
    return read_rows(a, tensor, task);
}

static fr_status read_adapter(adapter *a, const fr_arch *arch, fr_checkpoint_task *task)
{
    FR_TRY(fr_join_path(a->ctx, a->folder, CONFIG, &a->config_path));
    FR_TRY(fr_join_path(a->ctx, a->folder, WEIGHTS, &a->weights_path));
    FR_TRY(check_folder(a));
    FR_TRY(check_config_file(a));
    FR_TRY(fr_peft_config_read(a->ctx, a->config_path, &a->config));
    FR_TRY(check_weights_file(a));
    FR_TRY(check_base(a, arch));
    FR_TRY(fr_safetensors_open(a->ctx, a->weights_path, &a->file));
    return fill_task(a, arch, task);
}

fr_status fr_peft_read(fr_ctx *ctx, const char *folder, const char *model,
                       const fr_arch *arch, fr_peft_config *config,
                       fr_checkpoint_task *task)
{
    adapter a = {.ctx = ctx, .folder = folder, .model = model};
    fr_status status = read_adapter(&a, arch, task);
    *config = a.config;
    fr_safetensors_close(&a.file);
    free(a.config_path);
    free(a.weights_path);
    return status;
}
