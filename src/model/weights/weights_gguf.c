#include "base/mem.h"
#include "model/families/gguf_config.h"
#include "model/families/gguf_rope.h"
#include "model/files/gguf_kind.h"
#include "model/weights/weights_impl.h"

static fr_status list_sources(fr_ctx *ctx, fr_weights *weights)
{
    int64_t n = fr_gguf_n_tensors(weights->gguf);
    FR_TRY(fr_alloc(ctx, n, sizeof *weights->sources, &weights->sources));
    weights->n_sources = n;
    bool rotates = weights->arch.positions == FR_POSITIONS_ROPE;
    for (int64_t i = 0; i < n; i++) {
        const fr_gguf_tensor *tensor = fr_gguf_tensor_at(weights->gguf, i);
        fr_source *source = &weights->sources[i];
        source->name = tensor->name;
        source->type = fr_quant_find(tensor->type);
        source->type_name = source->type->name;
        source->n_dims = tensor->n_dims;
        for (int d = 0; d < tensor->n_dims; d++) {
            source->shape[d] = tensor->ne[tensor->n_dims - 1 - d];
        }
        source->data = tensor->data;
        source->bytes = tensor->bytes;
        /* read with the settings */
        source->used = rotates && fr_gguf_is_rope_tensor(source->name);
    }
    return fr_weights_index(ctx, weights);
}

fr_status fr_weights_open_gguf(fr_ctx *ctx, fr_weights *weights)
{
    FR_TRY(fr_gguf_open(ctx, weights->path, &weights->gguf));
    FR_TRY(fr_gguf_check_kind(ctx, weights->gguf));
    FR_TRY(fr_gguf_config_read(ctx, weights->gguf, &weights->arch, &weights->family));
    weights->scheme = weights->family->gguf;
    return FR_OK;
}

fr_status fr_weights_load_gguf(fr_ctx *ctx, fr_weights *weights)
{
    FR_TRY(fr_weights_open_gguf(ctx, weights));
    FR_TRY(list_sources(ctx, weights));
    weights->prefix = weights->scheme->usual_prefix;
    weights->head = weights->scheme->names[FR_W_HEAD];
    fr_weights_set_needs(weights);
    FR_TRY(fr_weights_bind(ctx, weights));
    return fr_weights_check_used(ctx, weights);
}
