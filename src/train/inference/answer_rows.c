/* The rows are filled in, the stage is loaded for the longest of them, then all are answered. The base alone answers the prompts that
 * the prefix answers: what is compared is the prefix, not how a prompt is written. */
#include "train/inference/answer_rows.h"

#include "base/integer.h"
#include "base/mem.h"
#include "model/text/tokens.h"
#include "train/session/cache_share.h"

#include <stdlib.h>
#include <string.h>

static fr_status fill_rows(fr_ctx *ctx, fr_prompts *prompts,
                           const fr_answer_rows_params *params, fr_answer_rows *out)
{
    static const fr_stage_prefix NONE = {0};
    int64_t n = prompts->n;
    int64_t n_all = params->with_base ? 2 * n : n;
    FR_TRY(fr_alloc(ctx, n_all, sizeof *out->rows, &out->rows));
    out->n = n;
    out->n_all = n_all;
    for (int64_t i = 0; i < n; i++) {
        fr_prompt *prompt = &prompts->rows[i];
        fr_generate_row row = {.prefix = &prompt->prefix->view,
                               .place = fr_prompts_place(prompts, i),
                               .sample = params->sample,
                               .number = (uint64_t)i,
                               .max_new_tokens = params->max_new_tokens};
        out->rows[i] = row;
        out->rows[i].prompt = prompt->ids;
        prompt->ids = (fr_ids){0};
        if (params->with_base) {
            row.prefix = &NONE;
            out->rows[n + i] = row;
        }
    }
    return FR_OK;
}

/* A row of the base owns its prompt, as every row does. */
static fr_status copy_prompts(fr_ctx *ctx, fr_answer_rows *rows)
{
    for (int64_t i = 0; i < rows->n; i++) {
        const fr_ids *from = &rows->rows[i].prompt;
        for (int64_t t = 0; t < from->count; t++) {
            FR_TRY(fr_ids_add(ctx, &rows->rows[rows->n + i].prompt, from->data[t]));
        }
    }
    return FR_OK;
}

/* Views of prefixes are not there yet: their lengths are the prefixes' own. */
static int64_t max_positions(const fr_answer_rows *rows, const fr_prompts *prompts,
                             int64_t context, int64_t max_new_tokens)
{
    int64_t given = 1;
    for (int64_t i = 0; i < rows->n; i++) {
        given =
            fr_max(given, prompts->rows[i].prefix->length + rows->rows[i].prompt.count);
    }
    return max_new_tokens < context - given ? given + max_new_tokens : context;
}

fr_status fr_answer_rows_make(fr_inference *inference, fr_prompts *prompts,
                              const fr_answer_rows_params *params, fr_answer_rows *out)
{
    fr_ctx *ctx = inference->ctx;
    const fr_arch *arch = fr_weights_arch(inference->session.weights);
    fr_generate_params options = {.batch = params->batch, .times = &out->times};
    fr_status status = fill_rows(ctx, prompts, params, out);
    if (status == FR_OK && params->with_base) {
        status = copy_prompts(ctx, out);
    }
    FR_TRY(fr_group_agree(params->world, status));
    FR_TRY(fr_inference_load(
        inference,
        max_positions(out, prompts, arch->context_length, params->max_new_tokens),
        0.0));
    FR_TRY(fr_cache_share(ctx, params->world, &inference->session,
                          inference->params->own_products, &options.cache_bytes));
    FR_TRY(fr_group_agree(params->world, fr_answerer_open(inference, &out->answerer)));
    options.ids = out->answerer.ids;
    status = fr_generate(out->answerer.generator, out->rows, out->n_all, &options);
    return fr_group_agree(params->world, status);
}

void fr_answer_rows_fini(fr_answer_rows *rows)
{
    fr_answerer_close(&rows->answerer);
    for (int64_t i = 0; i < rows->n_all; i++) {
        fr_generate_row_fini(&rows->rows[i]);
    }
    free(rows->rows);
    *rows = (fr_answer_rows){0};
}
