/* No tensor of a model's files is ignored in silence. A role reads it, or its name shows that it is harmless, or the
 * model is refused. */
#include "model/files/names.h"
#include "model/weights/weights_impl.h"

#include <string.h>

/* Whether the name ends in these parts, alone or behind a dot. */
static bool ends_in(fr_text name, const char *parts)
{
    size_t n = strlen(parts);
    return name.bytes >= n && memcmp(name.data + name.bytes - n, parts, n) == 0 &&
           (name.bytes == n || name.data[name.bytes - n - 1] == '.');
}

/* Whether "h.7." is in front of the last `n` bytes, as it is for all of GPT-2's attention. */
static bool is_gpt2_layer(fr_text name, size_t n)
{
    size_t at = name.bytes - n;
    if (at < 1 || name.data[at - 1] != '.') {
        return false;
    }
    size_t digits = --at;
    while (at > 0 && name.data[at - 1] >= '0' && name.data[at - 1] <= '9') {
        at--;
    }
    return at < digits && ends_in((fr_text){name.data, at}, "h.");
}

/* A mask has a row and a column for each position; a bias of that name would be a vector. */
static bool is_square(const fr_source *source)
{
    int n = source->n_dims;
    return n >= 2 && source->shape[n - 1] == source->shape[n - 2];
}

/* Tensors that follow from the settings alone: older libraries wrote them, and none reads them. */
static bool is_buffer(bool gpt2, const fr_source *source)
{
    static const char MASK[] = "attn.bias";
    static const char MASKED[] = "attn.masked_bias";
    fr_text name = source->name;
    if (!gpt2) {
        return ends_in(name, "rotary_emb.inv_freq") || ends_in(name, "position_ids");
    }
    return ends_in(name, "position_ids") ||
           (ends_in(name, MASK) && is_gpt2_layer(name, sizeof MASK - 1) &&
            is_square(source)) ||
           (ends_in(name, MASKED) && is_gpt2_layer(name, sizeof MASKED - 1) &&
            source->n_dims <= 1 && source->bytes <= 8);
}

fr_status fr_weights_check_used(fr_ctx *ctx, const fr_weights *weights)
{
    bool folder = weights->gguf == NULL;
    for (int64_t i = 0; i < weights->n_sources; i++) {
        const fr_source *source = &weights->sources[i];
        if (source->used ||
            (folder && is_buffer(weights->scheme->transposed, source))) {
            continue;
        }
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: tensor %s is not part of the supported %s architecture%s",
                       weights->path, fr_show(source->name).text, weights->arch.family,
                       folder ? " as config.json sets it (layers, biases), and without "
                                "it this would be another model; give a model of a "
                                "supported kind with its own config.json"
                              : "");
    }
    return FR_OK;
}

fr_status fr_weights_check_listed(fr_ctx *ctx, const fr_weights *weights)
{
    for (int64_t s = 0; s < weights->n_shards; s++) {
        const fr_safetensors *shard = weights->shards[s];
        for (int64_t i = 0; i < fr_safetensors_n_tensors(shard); i++) {
            const fr_safetensor *tensor = fr_safetensors_tensor_at(shard, i);
            fr_source other = {
                .name = tensor->name, .n_dims = tensor->n_dims, .bytes = tensor->bytes};
            memcpy(other.shape, tensor->shape, sizeof other.shape);
            const fr_source *found = fr_weights_find_source(weights, tensor->name.data);
            if ((found != NULL && found->data == tensor->data) ||
                is_buffer(weights->scheme->transposed, &other)) {
                continue;
            }
            return FR_FAIL(
                ctx, FR_ERR_UNSUPPORTED,
                "%s: the file holds tensor %s, which model.safetensors.index.json %s; "
                "fetch the index and the files of one and the same model",
                fr_safetensors_path(shard), fr_show(tensor->name).text,
                found != NULL ? "places in another file" : "does not name");
        }
    }
    return FR_OK;
}
