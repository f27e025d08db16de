/*
 * The head of the last stage: final norm, product with the vocabulary matrix, and the loss.
 *
 * Logits of all targets at once would take R * V floats, often more than all activations of a layer. So targets come
 * in chunks of FR_HEAD_CHUNK_ROWS. Each chunk goes the whole way before the next one begins: gather its rows, norm,
 * logits, cross entropy, and (in training) straight back to the gradient of the gathered rows, which is added to dx.
 * Only one chunk of logits is ever in memory, and the gradient overwrites the logits.
 *
 * Chunks do not change results: rows are independent up to the loss, and gradients are added in the targets' order.
 */
#include "model/network/head.h"

#include "device/loss.h"
#include "device/matrix.h"
#include "device/memory.h"
#include "device/rows.h"
#include "model/text/vocabulary.h"

static fr_status load_norm(fr_constants *constants, fr_norm_weights *norm)
{
    const fr_arch *arch = fr_weights_arch(constants->weights);
    FR_TRY(fr_constants_load(constants, FR_W_FINAL_NORM, -1, &norm->w));
    if (arch->norm == FR_NORM_RMS) {
        return FR_OK;
    }
    /* the operator adds a bias: zeros where the model has none */
    return fr_weights_has(constants->weights, FR_W_FINAL_NORM_BIAS, -1)
               ? fr_constants_load(constants, FR_W_FINAL_NORM_BIAS, -1, &norm->b)
               : fr_constants_floats(constants, arch->d_model, &norm->b);
}

/* Pointers are reset as well, since a failed reserve leaves the head to be used again or freed. */
static void free_scratch(fr_head *head)
{
    fr_device_free(head->device, head->x);
    fr_device_free(head->device, head->h);
    fr_device_free(head->device, head->dx);
    fr_device_free(head->device, head->statistics);
    fr_device_free(head->device, head->logits);
    head->x = head->h = head->dx = head->statistics = head->logits = NULL;
    head->capacity = 0;
}

/* Grows the scratch to `rows` rows. Old contents are lost: no chunk needs what an earlier one left. */
static fr_status reserve(fr_head *head, const fr_arch *arch, int64_t rows)
{
    fr_device *device = head->device;
    if (rows <= head->capacity) {
        return FR_OK;
    }
    free_scratch(head);
    FR_TRY(fr_device_alloc(device, rows * arch->d_model, sizeof(fr_f32), &head->x));
    FR_TRY(fr_device_alloc(device, rows * arch->d_model, sizeof(fr_f32), &head->h));
    FR_TRY(fr_device_alloc(device, rows * arch->d_model, sizeof(fr_f32), &head->dx));
    FR_TRY(fr_device_alloc(device, rows * 2, sizeof(fr_f32), &head->statistics));
    FR_TRY(fr_device_alloc(device, rows * arch->vocab_size, sizeof(fr_f32),
                           &head->logits));
    head->capacity = rows;
    return FR_OK;
}

fr_status fr_head_load(fr_constants *constants, const fr_matrix *vocabulary,
                       fr_head *out)
{
    *out = (fr_head){
        .ctx = constants->ctx, .device = constants->device, .vocabulary = *vocabulary};
    return load_norm(constants, &out->norm);
}

void fr_head_fini(fr_head *head)
{
    if (head->device != NULL) {
        free_scratch(head);
    }
    *head = (fr_head){0};
}

int64_t fr_head_chunk(int64_t n_targets)
{
    return n_targets < FR_HEAD_CHUNK_ROWS ? n_targets : FR_HEAD_CHUNK_ROWS;
}

/* How logits come from the product; `shape` is where they are more than that, else NULL. */
static const fr_logit_shape *logit_shape(const fr_arch *arch, fr_logit_shape *shape)
{
    *shape = (fr_logit_shape){(float)arch->logit_scale, (float)arch->logit_cap};
    return arch->logit_scale != 1.0 || arch->logit_cap != 0.0 ? shape : NULL;
}

/* The rows of a chunk, picked from the hidden states, and their norm, which is returned in the work type: the product's
 * operand. A chunk is small, so all else is f32. */
static fr_view normed_rows(const fr_layer_context *c, fr_head *head, int64_t n,
                           const fr_f32 *x, const int32_t *rows_N)
{
    fr_view picked = fr_view_f32(head->x);
    fr_view h = fr_view_of(fr_view_f32(head->h).at, c->work);
    fr_copy_rows(c->device, n, c->arch->d_model, rows_N, fr_view_f32(x), picked);
    fr_norm_forward(c->device, c->arch, &head->norm, n, picked, h, head->statistics);
    return h;
}

/* d nats / d hidden rows of the chunk from the logits' gradient, into head->dx. */
static fr_status chunk_back(const fr_layer_context *c, fr_head *head, int64_t n_rows)
{
    int64_t width = c->arch->d_model;
    /* fr_cross_entropy has put the gradient into logits, and h is free again: the logits were its last reader. */
    FR_TRY(fr_linear_back(c->device, n_rows, fr_view_f32(head->logits),
                          &head->vocabulary, false, fr_view_f32(head->h)));
    /* the norms' backward passes add to dx */
    fr_device_zero(c->device, head->dx, n_rows * width * (int64_t)sizeof(fr_f32));
    fr_norm_backward(c->device, c->arch, &head->norm, n_rows, fr_view_f32(head->x),
                     head->statistics, fr_view_f32(head->h), head->dx, fr_view_none());
    return FR_OK;
}

fr_status fr_head_loss(const fr_layer_context *context, fr_head *head,
                       const fr_batch *batch, const fr_f32 *x_SD, fr_f64 *nll_R,
                       fr_f32 *dx_SD)
{
    int64_t width = context->arch->d_model;
    int64_t chunk = fr_head_chunk(batch->n_targets);
    fr_place place = {"a target of a batch", 0};
    fr_logit_shape room;
    const fr_logit_shape *shape = logit_shape(context->arch, &room);
    FR_TRY(fr_vocabulary_check(head->ctx, place, batch->target_ids_R, batch->n_targets,
                               context->arch->vocab_size));
    FR_TRY(reserve(head, context->arch, chunk));
    for (int64_t first = 0; first < batch->n_targets; first += chunk) {
        int64_t n = fr_head_chunk(batch->n_targets - first);
        const int32_t *rows = batch->target_reads_R + first;
        fr_view h = normed_rows(context, head, n, x_SD, rows);
        FR_TRY(fr_linear(context->device, n, h, &head->vocabulary, fr_view_none(),
                         fr_view_f32(head->logits)));
        fr_cross_entropy(context->device, n, context->arch->vocab_size, shape,
                         head->logits, batch->target_ids_R + first, dx_SD != NULL,
                         nll_R + first);
        if (dx_SD == NULL) {
            continue;
        }
        FR_TRY(chunk_back(context, head, n));
        /* several targets may read the same row: the targets' order is that of its sums, which fixes the bits */
        fr_add_rows(context->device, n, width, rows, head->dx, dx_SD);
    }
    return FR_OK;
}

/* Generation has few rows in a pass, hence fr_linear_few; logits go straight to the caller, not into the scratch. */
fr_status fr_head_logits(const fr_layer_context *context, fr_head *head, int64_t n,
                         const fr_f32 *x_TD, const int32_t *rows_N, fr_f32 *logits_NV)
{
    int64_t vocab = context->arch->vocab_size;
    int64_t chunk = fr_head_chunk(n);
    fr_logit_shape room;
    const fr_logit_shape *shape = logit_shape(context->arch, &room);
    FR_TRY(reserve(head, context->arch, chunk));
    for (int64_t first = 0; first < n; first += chunk) {
        int64_t count = fr_head_chunk(n - first);
        fr_view h = normed_rows(context, head, count, x_TD, rows_N + first);
        FR_TRY(fr_linear_few(context->device, count, h, &head->vocabulary,
                             fr_view_none(), fr_view_f32(logits_NV + first * vocab)));
    }
    if (shape != NULL) {
        fr_shape_logits(context->device, n * vocab, shape, logits_NV);
    }
    return FR_OK;
}
