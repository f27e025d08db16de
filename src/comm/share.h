/*
 * share.h - what each rank of a node may take of it: memory and processors.
 *
 * The ranks of a node divide evenly what they share: the machine's free memory, the memory and CPU time of every control
 * group, and every processor that several of them may run on. Where mpirun started the ranks in one container they share
 * one control group; tasks of Slurm, and ranks in a container each, have one each.
 */
#ifndef FR_COMM_SHARE_H
#define FR_COMM_SHARE_H

#include "base/limits.h"
#include "comm/group.h"

typedef struct fr_share {
    fr_memory_share memory; /* of this rank */
    double processors; /* that this rank may use; one that n ranks share counts 1/n */
    double
        quota; /* CPU time that its control groups allow it, in processors; 0: no limit */
} fr_share;

/**
 * Collective over `node`, the ranks of one node (fr_group_split_node).
 * @param limits  of this rank
 */
FR_MUST_CHECK fr_status fr_share_measure(fr_ctx *ctx, fr_group *node,
                                         const fr_limits *limits, fr_share *out);

/** How many threads a rank with this share should start: its whole processors, at most its quota rounded to the nearest,
 * and at least 1. The kernel would stop all threads together whenever more of them had used up the quota. */
int fr_share_threads(const fr_share *share);

#endif
