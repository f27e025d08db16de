#include "model/weights/identity.h"

#include "base/mem.h"
#include "model/weights/digest_cache.h"

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
                   a->family, (long long)a->n_layers, (long long)a->d_model,
                   (long long)a->d_ff, (long long)a->n_heads, (long long)a->n_kv_heads,
                   (long long)a->head_dim,
                   a->positions == FR_POSITIONS_ROPE ? a->rotation.theta : 0.0,
                   (long long)a->vocab_size, vocabulary);
    return FR_OK;
}

enum { WORDS = FR_DIGEST_BYTES / 8 };

/* Digest 0 is of what lies outside layers, i + 1 of layer i; this rank is responsible for [begin, end). */
typedef struct gather {
    fr_ctx *ctx;
    const fr_weights *weights;
    int64_t n_digests;
    int64_t begin;
    int64_t end;
    int64_t *needs; /* [n_digests], by any rank of the node */
    int64_t *words; /* [n_digests, WORDS] */
} gather;

static fr_status hash_share(const gather *g, int rank, int n_ranks)
{
    int64_t turn = 0;
    for (int64_t i = 0; i < g->n_digests; i++) {
        if (g->needs[i] != 0 && turn++ % n_ranks == rank) {
            uint8_t digest[FR_DIGEST_BYTES];
            FR_TRY(fr_weights_digest(g->ctx, g->weights, i - 1, digest));
            memcpy(g->words + i * WORDS, digest, sizeof digest);
            fr_weights_release(g->weights);
        }
    }
    return FR_OK;
}

/* Each rank has zeros except for its own digests, so the sum is a gather. */
static fr_status gather_digests(const gather *g, const fr_grid *grid, fr_group *node)
{
    int64_t n_words = g->n_digests * WORDS;
    for (int64_t i = g->begin; i < g->end; i++) {
        g->needs[i] = 1;
    }
    FR_TRY(fr_group_allreduce(node, FR_MAX, g->needs, g->n_digests));
    bool is_first = fr_group_rank(node) == 0;
    int64_t is_known = is_first && fr_digest_cache_read(g->ctx, g->weights, g->needs,
                                                        (uint8_t *)g->words);
    FR_TRY(fr_group_allreduce(node, FR_MAX, &is_known, 1));
    fr_status status = FR_OK;
    if (is_known == 0) {
        status = hash_share(g, fr_group_rank(node), fr_group_size(node));
    }
    FR_TRY(fr_group_agree(grid->world, status));
    FR_TRY(fr_group_allreduce(node, FR_SUM, g->words, n_words));
    if (is_first && is_known == 0) {
        fr_digest_cache_write(g->ctx, g->weights, g->needs, (const uint8_t *)g->words);
    }
    for (int64_t i = 0; i < g->n_digests; i++) {
        if (i < g->begin || i >= g->end) {
            memset(g->words + i * WORDS, 0, FR_DIGEST_BYTES);
        }
    }
    return fr_group_allreduce(grid->pipeline, FR_SUM, g->words, n_words);
}

fr_status fr_identity_digest(fr_ctx *ctx, const fr_weights *weights,
                             const fr_grid *grid, fr_group *node, int64_t first,
                             int64_t n, uint8_t out[FR_DIGEST_BYTES])
{
    gather g = {.ctx = ctx,
                .weights = weights,
                .n_digests = fr_weights_arch(weights)->n_layers + 1,
                .begin = first == 0 ? 0 : first + 1,
                .end = first + n + 1};
    fr_status status = fr_alloc(ctx, g.n_digests, sizeof *g.needs, &g.needs);
    if (status == FR_OK) {
        status = fr_alloc(ctx, g.n_digests, FR_DIGEST_BYTES, &g.words);
    }
    status = fr_group_agree(grid->world, status);
    if (status == FR_OK) {
        status = gather_digests(&g, grid, node);
    }
    if (status == FR_OK) {
        status = fr_digest_of(ctx, g.words, (size_t)g.n_digests * FR_DIGEST_BYTES, out);
    }
    free(g.needs);
    free(g.words);
    return status;
}

fr_status fr_identity_check(fr_ctx *ctx, const char *file, const char *saved_shape,
                            const uint8_t saved_digest[FR_DIGEST_BYTES],
                            const char *shape, const uint8_t digest[FR_DIGEST_BYTES],
                            bool strict)
{
    if (saved_shape == NULL) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s does not name its base, so it cannot be checked against the "
                       "model; use a "
                       "file that `forerun train` wrote",
                       file);
    }
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
            "same model file, or pass --force to resume anyway",
            file);
    }
    fr_log(ctx, FR_LOG_WARN, "%s was made over other weights of the same shape", file);
    return FR_OK;
}

fr_status fr_identity_check_eps(fr_ctx *ctx, const char *file, double saved, double eps)
{
    float was = (float)saved;
    float is = (float)eps;
    if (saved == 0.0 || memcmp(&was, &is, sizeof was) == 0) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                   "%s was made for another base: its norms have the epsilon %g, the "
                   "model's have %g; use the model it was made for",
                   file, saved, eps);
}
