#include "comm/grid.h"

/* Consecutive ranks are the stages of one replica: launchers place consecutive ranks on one node, so the frequent
 * messages between stages stay there. */
fr_status fr_grid_init(fr_ctx *ctx, fr_group *world, int n_stages, int n_replicas,
                       fr_grid *out)
{
    int size = fr_group_size(world);
    int rank = fr_group_rank(world);
    *out = (fr_grid){.world = world, .n_stages = n_stages, .n_replicas = n_replicas};
    if (n_stages < 1 || n_replicas < 1 || (int64_t)n_stages * n_replicas != size) {
        return FR_FAIL(
            ctx, FR_ERR_CONFIG,
            "run.stages %d x run.replicas %d is not the number of ranks %d; set "
            "one of them to auto or start another number of ranks",
            n_stages, n_replicas, size);
    }
    out->stage = rank % n_stages;
    out->replica = rank / n_stages;
    fr_status status = fr_group_split(world, out->stage, out->replica, &out->replicas);
    if (status == FR_OK) {
        status = fr_group_split(world, out->replica, out->stage, &out->pipeline);
    }
    if (status != FR_OK) {
        fr_grid_fini(out);
    }
    return status;
}

void fr_grid_fini(fr_grid *grid)
{
    fr_group_destroy(&grid->pipeline);
    fr_group_destroy(&grid->replicas);
}
