/*
 * forecast_links.h - what messages between stages and sums over replicas take, on links inside nodes and between them.
 *
 * Positions (comm/placement.h) are taken to lie in a row, node_ranks_most on each node. Pure functions of the parameters.
 */
#ifndef FR_TRAIN_FORECAST_FORECAST_LINKS_H
#define FR_TRAIN_FORECAST_FORECAST_LINKS_H

#include "train/forecast/forecast.h"

/**
 * Fills in all of the forecast that concerns links, but for what stages send. The stages' reduction_bytes and the shortest
 * pass must be there.
 * @param rows  of a mean microbatch
 */
void fr_forecast_links(const fr_forecast_params *params, double rows,
                       fr_forecast *forecast);

/** Seconds in which n_rows rows pass the slowest edge of the replica that is played, without latency; 0 for one stage. */
double fr_forecast_edge_seconds(const fr_forecast_params *params,
                                const fr_forecast *forecast, double n_rows);

#endif
