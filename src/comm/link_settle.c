/* Which kind of link: what is asked for, what MPI says, and then the trial. Each step ends in an agreement of the world, so that
 * all ranks take the same way. */
#include "comm/link_settle.h"

#include <string.h>

static fr_status ask_mpi(fr_ctx *ctx, const fr_group *world)
{
    return fr_group_takes_cuda(world)
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                         "MPI does not say that it takes the memory of GPUs "
                         "(MPIX_Query_cuda_support), but run.links is direct; use an "
                         "Open MPI that is built for CUDA, or set run.links to auto");
}

static fr_status try_pipeline(fr_ctx *ctx, const fr_grid *grid, fr_device *device)
{
    return fr_link_try(ctx, grid->pipeline, device, FR_LINK_TRIAL_SECONDS);
}

/* Direct links, if they can be; `must`: else that is an error. */
static fr_status settle_direct(fr_ctx *ctx, const fr_grid *grid, fr_device *device,
                               bool must, fr_link_kind *out)
{
    fr_status status = fr_group_agree(grid->world, ask_mpi(ctx, grid->world));
    if (status == FR_ERR_UNSUPPORTED && !must) {
        fr_ctx_clear_error(ctx);
        fr_log(ctx, FR_LOG_INFO,
               "messages between stages go through the host's memory, since MPI does "
               "not say that it takes the memory of GPUs");
        return FR_OK;
    }
    FR_TRY(status);
    status = fr_group_agree(grid->world, try_pipeline(ctx, grid, device));
    if (status == FR_ERR_UNSUPPORTED && !must) {
        fr_log(ctx, FR_LOG_WARN,
               "messages between stages go through the host's memory: %s",
               fr_ctx_error(ctx));
        fr_ctx_clear_error(ctx);
        return FR_OK;
    }
    FR_TRY(status);
    fr_log(ctx, FR_LOG_INFO, "messages between stages go from GPU to GPU");
    *out = FR_LINK_DIRECT;
    return FR_OK;
}

fr_status fr_link_settle(fr_ctx *ctx, const fr_grid *grid, fr_device *device,
                         const char *kind, const char *asked, fr_link_kind *out)
{
    bool must = strcmp(asked, "direct") == 0;
    *out = fr_link_kind_for(device);
    if (must && strcmp(kind, "cuda") != 0) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "run.links is direct, but no GPU computes, and messages need no "
                       "other way; set run.links to auto");
    }
    if (strcmp(kind, "cuda") != 0 || strcmp(asked, "staged") == 0 ||
        grid->n_stages == 1) {
        return FR_OK;
    }
    return settle_direct(ctx, grid, device, must, out);
}
