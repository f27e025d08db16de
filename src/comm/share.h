/*
 * share.h - what each rank of a node may take of it: memory and processors.
 *
 * Layer L2; uses group, limits. The ranks of a node divide evenly what they share: the machine's free memory, every
 * control group that some of them are in (one for all where mpirun started them in a container, one each for tasks of
 * Slurm or containers a rank), and every processor that several of them may run on.
 */
#ifndef FR_COMM_SHARE_H
#define FR_COMM_SHARE_H

#include "base/limits.h"
#include "comm/group.h"

typedef struct fr_share {
    fr_memory_share memory; /* of this rank */
    double
        processors; /* that this rank may use; those that ranks share count by their part */
    double
        quota; /* CPU time that its control groups allow it, in processors; 0: no limit */
} fr_share;

/**
 * Collective over `node`, the ranks of one node (fr_group_split_node).
 * @param limits  of this rank
 */
FR_MUST_CHECK fr_status fr_share_measure(fr_ctx *ctx, fr_group *node,
                                         const fr_limits *limits, fr_share *out);

/** Threads that a share is good for: its whole processors, and no more than its quota rounded to the nearest, since
 * threads beyond it are held up together; at least 1. */
int fr_share_threads(const fr_share *share);

#endif
