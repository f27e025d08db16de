#include "model/head.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static fr_status load_vocabulary(fr_ctx *ctx, const fr_holding *holding,
                                 const fr_matrix *shared, fr_head *head)
{
    static const fr_stack HEAD = {{FR_W_HEAD}, 1};
    if (shared != NULL) {
        head->vocabulary = *shared;
        return FR_OK;
    }
    return fr_weights_stack(ctx, holding, &HEAD, -1, &head->vocabulary, &head->owned);
}

static fr_status load_norm(fr_ctx *ctx, const fr_weights *weights, fr_head *head)
{
    int64_t width = fr_weights_arch(weights)->d_model;
    FR_TRY(fr_alloc(ctx, width, sizeof(float), &head->norm));
    FR_TRY(fr_weights_read(ctx, weights, FR_W_FINAL_NORM, -1, FR_F32, head->norm));
    if (fr_weights_has(weights, FR_W_FINAL_NORM_BIAS, -1)) {
        FR_TRY(fr_alloc(ctx, width, sizeof(float), &head->norm_bias));
        FR_TRY(fr_weights_read(ctx, weights, FR_W_FINAL_NORM_BIAS, -1, FR_F32,
                               head->norm_bias));
    }
    return FR_OK;
}

static fr_status alloc_chunk(fr_ctx *ctx, const fr_arch *arch, fr_head *head)
{
    int64_t rows = FR_HEAD_CHUNK_ROWS;
    head->chunk_rows = rows;
    FR_TRY(fr_alloc(ctx, rows * arch->d_model, sizeof(float), &head->x));
    FR_TRY(fr_alloc(ctx, rows * arch->d_model, sizeof(float), &head->h));
    FR_TRY(fr_alloc(ctx, rows * arch->d_model, sizeof(float), &head->dx));
    FR_TRY(fr_alloc(ctx, rows * 2, sizeof(float), &head->statistics));
    return fr_alloc(ctx, rows * arch->vocab_size, sizeof(float), &head->logits);
}

fr_status fr_head_load(fr_ctx *ctx, const fr_holding *holding,
                       const fr_matrix *shared_embedding, fr_head *out)
{
    *out = (fr_head){0};
    fr_status status = load_vocabulary(ctx, holding, shared_embedding, out);
    if (status == FR_OK) {
        status = load_norm(ctx, holding->weights, out);
    }
    if (status == FR_OK) {
        status = alloc_chunk(ctx, fr_weights_arch(holding->weights), out);
    }
    if (status != FR_OK) {
        fr_head_fini(out);
    }
    return status;
}

void fr_head_fini(fr_head *head)
{
    free(head->owned);
    free(head->norm);
    free(head->norm_bias);
    free(head->x);
    free(head->h);
    free(head->dx);
    free(head->statistics);
    free(head->logits);
    *head = (fr_head){0};
}

static void final_norm(const fr_layer_context *c, const fr_head *head, int64_t n_rows,
                       const float *x, float *h, float *statistics)
{
    float eps = (float)c->arch->norm_eps;
    if (c->arch->family == FR_LLAMA) {
        fr_rmsnorm(c->device, n_rows, c->arch->d_model, x, head->norm, eps, h,
                   statistics);
    } else {
        fr_layernorm(c->device, n_rows, c->arch->d_model, x, head->norm,
                     head->norm_bias, eps, h, statistics);
    }
}

/* d nats / d hidden rows of the chunk from the logits' gradient, into head->dx. */
static fr_status chunk_back(const fr_layer_context *c, fr_head *head, int64_t n_rows)
{
    int64_t width = c->arch->d_model;
    FR_TRY(fr_linear_back(c->device, n_rows, head->logits, &head->vocabulary, false,
                          head->h));
    memset(head->dx, 0, (size_t)(n_rows * width) * sizeof(float));
    if (c->arch->family == FR_LLAMA) {
        fr_rmsnorm_back(c->device, n_rows, width, head->x, head->norm, head->statistics,
                        head->h, head->dx);
    } else {
        fr_layernorm_back(c->device, n_rows, width, head->x, head->norm,
                          head->statistics, head->h, head->dx);
    }
    return FR_OK;
}

static void gather_rows(int64_t width, int64_t n, const float *x_TD,
                        const int32_t *rows, float *x)
{
    for (int64_t r = 0; r < n; r++) {
        memcpy(x + r * width, x_TD + rows[r] * width, (size_t)width * sizeof *x);
    }
}

fr_status fr_head_loss(const fr_layer_context *context, fr_head *head,
                       const fr_batch *batch, const float *x_TD, double *nll_R,
                       float *dx_TD)
{
    int64_t width = context->arch->d_model;
    for (int64_t first = 0; first < batch->n_targets; first += head->chunk_rows) {
        int64_t left = batch->n_targets - first;
        int64_t n = left < head->chunk_rows ? left : head->chunk_rows;
        const int32_t *rows = batch->target_rows_R + first;
        gather_rows(width, n, x_TD, rows, head->x);
        final_norm(context, head, n, head->x, head->h, head->statistics);
        FR_TRY(fr_linear(context->device, n, head->h, &head->vocabulary, false,
                         head->logits));
        fr_cross_entropy(context->device, n, context->arch->vocab_size, head->logits,
                         batch->target_ids_R + first, dx_TD != NULL, nll_R + first);
        if (dx_TD == NULL) {
            continue;
        }
        FR_TRY(chunk_back(context, head, n));
        for (int64_t r = 0; r < n; r++) {
            fr_add(context->device, width, head->dx + r * width,
                   dx_TD + rows[r] * width);
        }
    }
    return FR_OK;
}

fr_status fr_head_logits(const fr_layer_context *context, fr_head *head, int64_t n,
                         const float *x_TD, const int32_t *rows_N, float *logits_NV)
{
    int64_t width = context->arch->d_model;
    int64_t vocab = context->arch->vocab_size;
    for (int64_t first = 0; first < n; first += head->chunk_rows) {
        int64_t count = n - first < head->chunk_rows ? n - first : head->chunk_rows;
        gather_rows(width, count, x_TD, rows_N + first, head->x);
        final_norm(context, head, count, head->x, head->h, head->statistics);
        FR_TRY(fr_linear_few(context->device, count, head->h, &head->vocabulary, false,
                             logits_NV + first * vocab));
    }
    return FR_OK;
}
