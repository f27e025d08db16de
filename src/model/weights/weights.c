#include "model/weights/weights.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/files/foreign.h"
#include "model/files/names.h"
#include "model/weights/weights_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

fr_status fr_weights_open(fr_ctx *ctx, const char *path, fr_weights **out)
{
    fr_weights *weights = NULL;
    *out = NULL;
    FR_TRY(fr_foreign_path(ctx, path));
    FR_TRY(fr_alloc(ctx, 1, sizeof *weights, &weights));
    fr_status status = fr_quant_choose(ctx, &weights->kernels);
    if (status == FR_OK) {
        status = fr_copy_string(ctx, path, &weights->path);
    }
    if (status == FR_OK) {
        status = fr_is_folder(path) ? fr_weights_load_folder(ctx, weights)
                                    : fr_weights_load_gguf(ctx, weights);
    }
    if (status != FR_OK) {
        fr_weights_close(&weights);
    }
    *out = weights;
    return status;
}

void fr_weights_close(fr_weights **weights)
{
    fr_weights *w = *weights;
    if (w == NULL) {
        return;
    }
    fr_gguf_close(&w->gguf);
    for (int64_t i = 0; i < w->n_shards; i++) {
        fr_safetensors_close(&w->shards[i]);
    }
    free(w->shards);
    free(w->sources);
    free(w->index);
    free(w->bindings);
    free(w->path);
    free(w);
    *weights = NULL;
}

void fr_weights_release(const fr_weights *weights)
{
    if (weights->gguf != NULL) {
        fr_gguf_release(weights->gguf);
    }
    for (int64_t i = 0; i < weights->n_shards; i++) {
        fr_safetensors_release(weights->shards[i]);
    }
}

const fr_arch *fr_weights_arch(const fr_weights *weights)
{
    return &weights->arch;
}

const struct fr_family *fr_weights_family(const fr_weights *weights)
{
    return weights->family;
}

const char *fr_weights_path(const fr_weights *weights)
{
    return weights->path;
}

bool fr_weights_has(const fr_weights *weights, fr_weight role, int64_t layer)
{
    return fr_weights_binding(weights, role, layer)->source != NULL;
}

void fr_weights_shape(const fr_weights *weights, fr_weight role, int64_t layer,
                      int64_t *n_out, int64_t *n_in)
{
    const fr_weight_binding *binding = fr_weights_binding(weights, role, layer);
    assert(binding->source != NULL);
    *n_out = binding->n_out;
    *n_in = binding->n_in;
}

/* Several roles can read one tensor (a fused QKV, a tied head); each tensor is added once. */
static bool is_first_reader(const fr_weights *weights, int first_role, int role,
                            int64_t layer)
{
    const fr_weight_binding *binding =
        fr_weights_binding(weights, (fr_weight)role, layer);
    for (int earlier = first_role; earlier < role; earlier++) {
        const fr_weight_binding *other =
            fr_weights_binding(weights, (fr_weight)earlier, layer);
        if (other->source == binding->source) {
            return false;
        }
    }
    return binding->source != NULL;
}

fr_status fr_weights_digest(fr_ctx *ctx, const fr_weights *weights, int64_t layer,
                            uint8_t out[FR_DIGEST_BYTES])
{
    fr_digest *digest = NULL;
    int first = layer < 0 ? 0 : FR_W_ATTN_NORM;
    int end = layer < 0 ? FR_W_ATTN_NORM : FR_W_COUNT;
    fr_status status = fr_digest_create(ctx, &digest);
    for (int role = first; status == FR_OK && role < end; role++) {
        if (is_first_reader(weights, first, role, layer)) {
            const fr_source *source =
                fr_weights_binding(weights, (fr_weight)role, layer)->source;
            status = fr_digest_add(ctx, digest, source->data, source->bytes);
        }
    }
    if (status == FR_OK) {
        status = fr_digest_end(ctx, digest, out);
    }
    fr_digest_destroy(&digest);
    return status;
}

int64_t fr_weights_n_files(const fr_weights *weights)
{
    return weights->gguf != NULL ? fr_gguf_n_files(weights->gguf) : weights->n_shards;
}

const char *fr_weights_file(const fr_weights *weights, int64_t index, fr_stamp *stamp)
{
    if (weights->gguf != NULL) {
        return fr_gguf_file(weights->gguf, index, stamp);
    }
    *stamp = fr_safetensors_stamp(weights->shards[index]);
    return fr_safetensors_path(weights->shards[index]);
}

fr_status fr_weights_digest_names(fr_ctx *ctx, const fr_weights *weights,
                                  fr_digest *digest)
{
    for (int64_t layer = 0; layer < weights->arch.n_layers; layer++) {
        for (int role = 0; role < FR_W_COUNT; role++) {
            const fr_source *source =
                fr_weights_binding(weights, (fr_weight)role, layer)->source;
            if (source == NULL) {
                continue;
            }
            FR_TRY(fr_digest_add(ctx, digest, &role, sizeof role));
            FR_TRY(fr_digest_add(ctx, digest, &source->name.bytes,
                                 sizeof source->name.bytes));
            FR_TRY(fr_digest_add(ctx, digest, source->name.data, source->name.bytes));
            FR_TRY(fr_digest_add(ctx, digest, &source->bytes, sizeof source->bytes));
        }
    }
    return FR_OK;
}

int64_t fr_weights_n_tensors(const fr_weights *weights)
{
    return weights->n_sources;
}

/* Names come from the file, so they are shown in printable form. */
fr_status fr_weights_describe(fr_ctx *ctx, const fr_weights *weights, int64_t index,
                              char *line, size_t line_bytes)
{
    if (index < 0 || index >= weights->n_sources) {
        return FR_FAIL(
            ctx, FR_ERR_ARG, "%s: the tensor number is %lld, must be 0 to %lld",
            weights->path, (long long)index, (long long)weights->n_sources - 1);
    }
    const fr_source *source = &weights->sources[index];
    (void)snprintf(line, line_bytes, "%-40s %-5s %s", fr_show(source->name).text,
                   source->type_name, fr_source_shape(source).text);
    return FR_OK;
}
