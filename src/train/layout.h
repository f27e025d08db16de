/*
 * layout.h - which rank holds which layers: stages x replicas, and the split of layers over stages.
 *
 * Layer L4; pure functions of the config and the model's shape. No result depends on a layout.
 */
#ifndef FR_TRAIN_LAYOUT_H
#define FR_TRAIN_LAYOUT_H

#include "model/arch.h"
#include "train/config.h"

typedef struct fr_layout {
    int n_stages;
    int n_replicas;
} fr_layout;

/**
 * Cost of the vocabulary projection in units of one layer: d * V over the parameters of a layer, times
 * the share of rows that carry a target (the head runs only there).
 */
double fr_head_cost(const fr_arch *arch, double target_share);

/**
 * First layer of each stage and one past the last: bounds[0] = 0 <= ... <= bounds[n_stages] = n_layers,
 * every stage at least one layer, such that the costliest stage (the last one bears head_cost) is as
 * cheap as contiguous runs allow.
 * @param bounds  [n_stages + 1]
 */
void fr_split_layers(int64_t n_layers, double head_cost, int n_stages, int64_t *bounds);

/**
 * Resolve `auto`: as many replicas as memory holds whole pipelines (weights per rank against the node's
 * memory), the rest stages.
 *
 * @param weight_bytes  of the whole model in the run's precision
 * @param rank_memory   bytes of memory this run may take a rank
 * @return FR_OK; FR_ERR_CONFIG: stages x replicas is not n_ranks, more stages than layers, or fewer
 *         examples a step than replicas (task named); each message has both numbers
 */
FR_MUST_CHECK fr_status fr_layout_resolve(fr_ctx *ctx, const fr_config *config,
                                          const fr_arch *arch, int n_ranks,
                                          int64_t weight_bytes, int64_t rank_memory,
                                          fr_layout *out);

#endif
