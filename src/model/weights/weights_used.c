/* No tensor of a model's files is ignored in silence. A role reads it, or its name shows that it is harmless, or the
 * model is refused. */
#include "model/files/foreign.h"
#include "model/files/names.h"
#include "model/weights/weights_impl.h"

#include <stdio.h>
#include <string.h>

/* Whether the name ends in these parts, alone or behind a dot. */
static bool ends_in(fr_text name, const char *parts)
{
    size_t n = strlen(parts);
    return name.bytes >= n && memcmp(name.data + name.bytes - n, parts, n) == 0 &&
           (name.bytes == n || name.data[name.bytes - n - 1] == '.');
}

/* Whether the name ends in "LAYER_PREFIX 7. MASK_PREFIX end", alone or behind a dot. */
static bool is_mask_name(const fr_scheme *scheme, fr_text name, const char *end)
{
    if (scheme->mask_prefix == NULL) {
        return false;
    }
    char parts[64];
    (void)snprintf(parts, sizeof parts, "%s%s", scheme->mask_prefix, end);
    size_t n = strlen(parts);
    if (!ends_in(name, parts) || name.bytes == n) {
        return false;
    }
    size_t at = name.bytes - n - 1; /* of the dot */
    size_t digits = at;
    while (at > 0 && name.data[at - 1] >= '0' && name.data[at - 1] <= '9') {
        at--;
    }
    return at < digits && ends_in((fr_text){name.data, at}, scheme->layer_prefix);
}

/* A mask has a row and a column for each position; a bias of that name would be a vector. */
static bool is_square(const fr_source *source)
{
    int n = source->n_dims;
    return n >= 2 && source->shape[n - 1] == source->shape[n - 2];
}

/* Tensors that follow from the settings alone (older libraries wrote them, and none reads them), and other parts of a
 * model than its text part. */
static bool is_left_over(const fr_weights *weights, const fr_source *source)
{
    fr_text name = source->name;
    bool rotates = weights->arch.positions == FR_POSITIONS_ROPE;
    return ends_in(name, "position_ids") ||
           (rotates && ends_in(name, "rotary_emb.inv_freq")) ||
           (is_mask_name(weights->scheme, name, "bias") && is_square(source)) ||
           (is_mask_name(weights->scheme, name, "masked_bias") && source->n_dims <= 1 &&
            source->bytes <= 8) ||
           (weights->has_other_parts && fr_foreign_is_other_part(name));
}

fr_status fr_weights_check_used(fr_ctx *ctx, const fr_weights *weights)
{
    bool folder = weights->gguf == NULL;
    for (int64_t i = 0; i < weights->n_sources; i++) {
        const fr_source *source = &weights->sources[i];
        if (source->used || (folder && is_left_over(weights, source))) {
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
                is_left_over(weights, &other)) {
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
