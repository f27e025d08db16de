#include "train/checkpoint/prefix_file.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void fr_prefix_file_split(char *reference, const char **task)
{
    char *colon = strrchr(reference, ':');
    *task = NULL;
    if (colon != NULL && !fr_file_exists(reference)) {
        *colon = '\0';
        *task = colon + 1;
    }
}

fr_status fr_prefix_file_open(fr_ctx *ctx, const char *reference, fr_checkpoint **out,
                              int64_t *index)
{
    char *file = NULL;
    const char *task = NULL;
    *out = NULL;
    FR_TRY(fr_copy_string(ctx, reference, &file));
    fr_prefix_file_split(file, &task);
    fr_status status = fr_checkpoint_read(ctx, file, out);
    if (status == FR_OK) {
        status = fr_checkpoint_find_task(ctx, *out, file, task, index);
    }
    if (status != FR_OK) {
        fr_checkpoint_destroy(out);
    }
    free(file);
    return status;
}

fr_status fr_prefix_file_check(fr_ctx *ctx, const char *reference,
                               const fr_checkpoint_task *task, const fr_arch *arch)
{
    if (task->length >= arch->context_length) {
        return FR_FAIL(
            ctx, FR_ERR_CHECKPOINT,
            "%s: a prefix of %lld slots leaves no room in the base's context "
            "of %lld; use the model it was made for",
            reference, (long long)task->length, (long long)arch->context_length);
    }
    if (task->base_layers == arch->n_layers && task->n_kv_heads == arch->n_kv_heads &&
        task->head_dim == arch->head_dim) {
        return FR_OK;
    }
    return FR_FAIL(
        ctx, FR_ERR_CHECKPOINT,
        "%s: the prefix is for a base of %lld layers x %lld key/value heads x "
        "%lld, the base has "
        "%lld x %lld x %lld; use the model it was made for",
        reference, (long long)task->base_layers, (long long)task->n_kv_heads,
        (long long)task->head_dim, (long long)arch->n_layers,
        (long long)arch->n_kv_heads, (long long)arch->head_dim);
}

fr_prefix_part fr_prefix_file_part(const fr_checkpoint_task *task, int64_t first_layer,
                                   int64_t n_layers)
{
    int64_t layer = task->length * task->n_kv_heads * task->head_dim;
    fr_layer_range file = {task->first_layer, task->n_layers};
    fr_layer_range own = fr_layers_within(file, first_layer, n_layers);
    int64_t offset = own.count > 0 ? (own.first - file.first) * layer : 0;
    return (fr_prefix_part){task->state.k + offset, task->state.v + offset,
                            own.count * layer};
}
