/*
 * preflight_impl.h - what the files of preflight share.
 */
#ifndef FR_TRAIN_PREFLIGHT_PREFLIGHT_IMPL_H
#define FR_TRAIN_PREFLIGHT_PREFLIGHT_IMPL_H

#include "train/preflight/preflight.h"

/** Collective: `clock_s` of every rank. */
FR_MUST_CHECK fr_status fr_preflight_clocks(fr_ctx *ctx, fr_group *world,
                                            fr_preflight_rank *mine);

/**
 * Collective: measure every pair of ranks, in rounds in which each rank has one partner, until time is up.
 * @param[out] links  [N] from this rank to each other
 * @param[out] all    every pair was measured
 */
FR_MUST_CHECK fr_status fr_preflight_links(fr_ctx *ctx, fr_group *world,
                                           fr_preflight_link *links, bool *all);

#endif
