#include "model/identity.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fr_status fr_identity_shape(fr_ctx *ctx, const fr_weights *weights,
                            const fr_tokenizer *tokenizer, char **out)
{
    enum { SHAPE_BYTES = 512 };
    const fr_arch *a = fr_weights_arch(weights);
    char vocabulary[FR_DIGEST_HEX] = "-";
    if (tokenizer != NULL) {
        uint8_t digest[FR_DIGEST_BYTES];
        fr_tokenizer_digest(tokenizer, digest);
        fr_digest_hex(digest, vocabulary);
        vocabulary[16] =
            '\0'; /* 64 bits tell vocabularies apart and keep the line readable */
    }
    *out = malloc(SHAPE_BYTES);
    FR_TRY(fr_check_memory(ctx, *out != NULL, SHAPE_BYTES));
    (void)snprintf(*out, SHAPE_BYTES,
                   "%s layers=%lld width=%lld ff=%lld heads=%lld kv_heads=%lld "
                   "head_dim=%lld rope_theta=%g vocabulary=%lld:%s",
                   fr_family_name(a->family), (long long)a->n_layers,
                   (long long)a->d_model, (long long)a->d_ff, (long long)a->n_heads,
                   (long long)a->n_kv_heads, (long long)a->head_dim,
                   a->family == FR_LLAMA ? a->rope_theta : 0.0,
                   (long long)a->vocab_size, vocabulary);
    return FR_OK;
}

/* Each rank fills the digests of its own layers and adds to zeros elsewhere: the sum is a gather. */
static fr_status gather_digests(fr_ctx *ctx, const fr_weights *weights,
                                fr_group *pipeline, int64_t first, int64_t n,
                                int64_t *words)
{
    enum { WORDS = FR_DIGEST_BYTES / 8 };
    int64_t n_layers = fr_weights_arch(weights)->n_layers;
    uint8_t digest[FR_DIGEST_BYTES];
    if (first == 0) {
        FR_TRY(fr_weights_digest(ctx, weights, -1, digest));
        memcpy(words, digest, sizeof digest);
        fr_weights_release(weights);
    }
    for (int64_t i = first; i < first + n; i++) {
        FR_TRY(fr_weights_digest(ctx, weights, i, digest));
        memcpy(words + (i + 1) * WORDS, digest, sizeof digest);
        fr_weights_release(weights);
    }
    return fr_group_allreduce(pipeline, FR_SUM, words, (n_layers + 1) * WORDS);
}

fr_status fr_identity_digest(fr_ctx *ctx, const fr_weights *weights, fr_group *pipeline,
                             int64_t first, int64_t n, uint8_t out[FR_DIGEST_BYTES])
{
    int64_t *words = NULL;
    int64_t n_digests = fr_weights_arch(weights)->n_layers + 1;
    FR_TRY(fr_alloc(ctx, n_digests, FR_DIGEST_BYTES, &words));
    fr_status status = gather_digests(ctx, weights, pipeline, first, n, words);
    if (status == FR_OK) {
        status = fr_digest_of(ctx, words, (size_t)n_digests * FR_DIGEST_BYTES, out);
    }
    free(words);
    return status;
}

fr_status fr_identity_check(fr_ctx *ctx, const char *file, const char *saved_shape,
                            const uint8_t saved_digest[FR_DIGEST_BYTES],
                            const char *shape, const uint8_t digest[FR_DIGEST_BYTES],
                            bool strict)
{
    if (strcmp(saved_shape, shape) != 0) {
        return FR_FAIL(
            ctx, FR_ERR_CHECKPOINT,
            "%s was made for another base: it names [%s], the model is [%s]; "
            "use the model it was made for",
            file, saved_shape, shape);
    }
    if (memcmp(saved_digest, digest, FR_DIGEST_BYTES) == 0) {
        return FR_OK;
    }
    if (strict) {
        return FR_FAIL(
            ctx, FR_ERR_CHECKPOINT,
            "%s was made over other weights of the same shape; resume over the "
            "same model file, or pass --force to go on all the same",
            file);
    }
    fr_log(ctx, FR_LOG_WARN, "%s was made over other weights of the same shape", file);
    return FR_OK;
}
