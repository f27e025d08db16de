#include "cli/base_identity.h"

#include "model/files/where.h"

#include <stdlib.h>

fr_status fr_base_identity_open(fr_ctx *ctx, const char *model, fr_base_identity *out)
{
    *out = (fr_base_identity){0};
    FR_TRY(fr_model_find(ctx, model, FR_MODEL_WHOLE, &out->path));
    FR_TRY(fr_weights_open(ctx, out->path, &out->weights));
    FR_TRY(fr_tokens_open(ctx, out->path, &out->tokens));
    return fr_identity_shape(ctx, out->weights, out->tokens.tokenizer, &out->shape);
}

fr_status fr_base_identity_hash(fr_ctx *ctx, fr_group *world, fr_base_identity *base)
{
    const int64_t node = 0;
    fr_grid grid;
    FR_TRY(fr_grid_init(ctx, world, &node, 1, 1, &grid));
    fr_status status =
        fr_identity_digest(ctx, base->weights, &grid, world, 0,
                           fr_weights_arch(base->weights)->n_layers, base->digest);
    fr_grid_fini(&grid);
    fr_weights_release(base->weights);
    return status;
}

void fr_base_identity_close(fr_base_identity *base)
{
    free(base->path);
    free(base->shape);
    fr_tokens_close(&base->tokens);
    fr_weights_close(&base->weights);
    *base = (fr_base_identity){0};
}
