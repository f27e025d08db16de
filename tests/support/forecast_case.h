/*
 * forecast_case.h - a small model, a pipeline and a step for forecasts that tests compute by hand.
 */
#ifndef FR_TESTS_FORECAST_CASE_H
#define FR_TESTS_FORECAST_CASE_H

#include "train/forecast/forecast.h"

/** 8 layers of width 64, 4 query and 2 key heads of 16, feed-forward 128, 100 tokens. */
extern const fr_arch FR_FORECAST_ARCH;

/** That model on four even stages of one replica: ranks of 1 FLOP/s, links that take no time, positions up to 32. @param tasks
 * borrowed */
fr_forecast_params fr_forecast_even_stages(const fr_task_workload *tasks,
                                           int64_t n_tasks);

/** A step of so many microbatches of 10 rows, none with a target, with a prefix of 6 and 5 keys a row. */
fr_task_workload fr_forecast_load(int64_t n_microbatches);

#endif
