/*
 * rank_share.h - what one rank may use of its node: memory and threads.
 *
 * Limits are those of the machine, of the control groups that the rank is in and of the process itself; ranks that
 * are under the same limit share it (comm/share.h).
 */
#ifndef FR_TRAIN_SESSION_RANK_SHARE_H
#define FR_TRAIN_SESSION_RANK_SHARE_H

#include "comm/share.h"
#include "train/forecast/layout.h"

/** This rank's share of its node's memory and processors. Collective. */
FR_MUST_CHECK fr_status fr_rank_share(fr_ctx *ctx, fr_group *world, fr_share *out);

/**
 * Threads of this rank: `asked`, or where that is FR_AUTO the first number of OMP_NUM_THREADS, else the rank's share of
 * the processors. Logs the number where the environment or a container decides it. Local.
 * @return FR_OK; FR_ERR_ARG: OMP_NUM_THREADS is not a number
 */
FR_MUST_CHECK fr_status fr_rank_threads(fr_ctx *ctx, const fr_share *share,
                                        int64_t asked, int *out);

/**
 * What every rank may use, the least of all of them; logged where a container or the process limits it. Collective.
 * @param device    kind of the ranks' devices, as fr_device_params takes it; "auto" must mean one kind on all of them
 * @param own_products  likewise: then no library for products is looked for
 * @param[out] out  ranks that share a device share its memory; node_ranks_most is the most of all ranks
 */
FR_MUST_CHECK fr_status fr_rank_limits_find(fr_ctx *ctx, fr_group *world,
                                            const char *device, bool own_products,
                                            fr_rank_limits *out);

#endif
