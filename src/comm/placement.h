/*
 * placement.h - which rank of a world has which stage of which replica, from the nodes that the ranks lie on.
 *
 * The ranks stand in an order, and the one at position p has stage p % S of replica p / S. Messages between stages are
 * many and those between replicas few, so the order keeps the ranks of a node together, wherever a launcher put them.
 * This is the only place where a stage follows from a rank.
 *
 * Pure functions of the nodes: all ranks get the same without a message. N: number of ranks, S: stages.
 */
#ifndef FR_COMM_PLACEMENT_H
#define FR_COMM_PLACEMENT_H

#include "base/ctx.h"

#include <stdint.h>

enum { FR_PLACEMENT_TEXT = 384 };

typedef struct fr_placement {
    int n_ranks;
    int n_stages;
    int *rank_at;       /* [N] world rank at each position; owned */
    bool is_moved;      /* some rank is not at the position of its number */
    int n_spanning;     /* replicas whose stages lie on several nodes */
    int first_spanning; /* the first of them; -1: none */
} fr_placement;

/**
 * Ranks that are in a row, those of each node one after the other, keep their order. Else the nodes follow each other,
 * rank 0's first, with their ranks in order: next comes the lowest node that ends at the end of a replica, or the lowest
 * of all if none does. World rank 0 is at position 0 in any case.
 *
 * @param nodes     [N] of each rank: the lowest rank on its node (fr_group_nodes); NULL: all are on one node
 * @param n_stages  a divisor of n_ranks
 * @return FR_OK; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_placement_init(fr_ctx *ctx, const int64_t *nodes,
                                          int n_ranks, int n_stages, fr_placement *out);
void fr_placement_fini(fr_placement *placement);

/** The stage and the replica of a world rank. */
void fr_placement_of_rank(const fr_placement *placement, int rank, int *stage,
                          int *replica);

/** What users may want to know, one line: that stages do not follow the numbers of ranks, and that replicas lie on several
 * nodes. "": neither is so. */
void fr_placement_text(const fr_placement *placement, char out[FR_PLACEMENT_TEXT]);

#endif
