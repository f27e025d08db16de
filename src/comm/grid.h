/*
 * grid.h - ranks as stages x replicas.
 *
 * Which rank is where follows from the nodes (placement.h): the stages of one replica are neighbours on a node where they can
 * be. World rank 0 has stage 0 of replica 0.
 */
#ifndef FR_COMM_GRID_H
#define FR_COMM_GRID_H

#include "comm/group.h"

typedef struct fr_grid {
    fr_group *world; /* borrowed */
    fr_group
        *replicas; /* owned: the ranks that hold this stage, rank = replica index */
    fr_group *pipeline; /* owned: the stages of this replica, rank = stage index */
    int n_stages;
    int n_replicas;
    int stage;
    int replica;
} fr_grid;

/**
 * Collective over the world.
 * @param nodes  [size of the world] as fr_placement_init takes them, the same on all ranks
 * @return FR_OK; FR_ERR_CONFIG if n_stages * n_replicas is not the world's size (both named)
 */
FR_MUST_CHECK fr_status fr_grid_init(fr_ctx *ctx, fr_group *world, const int64_t *nodes,
                                     int n_stages, int n_replicas, fr_grid *out);
/** Collective. Releases the two owned groups. */
void fr_grid_fini(fr_grid *grid);

#endif
