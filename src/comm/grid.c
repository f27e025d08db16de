#include "comm/grid.h"

#include "comm/placement.h"

static fr_status find_place(fr_ctx *ctx, const int64_t *nodes, fr_grid *grid)
{
    fr_placement placement;
    FR_TRY(fr_placement_init(ctx, nodes, fr_group_size(grid->world), grid->n_stages,
                             &placement));
    fr_placement_of_rank(&placement, fr_group_rank(grid->world), &grid->stage,
                         &grid->replica);
    fr_placement_fini(&placement);
    return FR_OK;
}

fr_status fr_grid_init(fr_ctx *ctx, fr_group *world, const int64_t *nodes, int n_stages,
                       int n_replicas, fr_grid *out)
{
    int size = fr_group_size(world);
    *out = (fr_grid){.world = world, .n_stages = n_stages, .n_replicas = n_replicas};
    if (n_stages < 1 || n_replicas < 1 || (int64_t)n_stages * n_replicas != size) {
        return FR_FAIL(
            ctx, FR_ERR_CONFIG,
            "run.stages %d x run.replicas %d is not the number of ranks %d; set "
            "one of them to auto or start another number of ranks",
            n_stages, n_replicas, size);
    }
    FR_TRY(fr_group_agree(world, find_place(ctx, nodes, out)));
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
