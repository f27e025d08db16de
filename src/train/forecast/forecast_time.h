/*
 * forecast_time.h - the schedule that a forecast played, for pictures.
 */
#ifndef FR_TRAIN_FORECAST_FORECAST_TIME_H
#define FR_TRAIN_FORECAST_FORECAST_TIME_H

#include "train/forecast/forecast.h"
#include "train/forecast/timeline.h"

/**
 * Play n_rounds rounds of one replica with the times of a forecast.
 * @param n_left_out  out: microbatches of a round that were left out (see fr_forecast_run)
 * @return as fr_timeline_run
 */
FR_MUST_CHECK fr_status fr_forecast_play(fr_ctx *ctx, const fr_forecast_params *params,
                                         const fr_forecast *forecast, int64_t n_rounds,
                                         fr_timeline *out, int64_t *n_left_out);

#endif
