/*
 * workload.h - how large the steps of a task are: from its first rows, or from assumed numbers where there are none.
 *
 * `train` and `plan` both use this, and only the first FR_WORKLOAD_LINES lines of a file, so that they choose the same layout
 * however large the file is.
 */
#ifndef FR_TRAIN_FORECAST_WORKLOAD_H
#define FR_TRAIN_FORECAST_WORKLOAD_H

#include "train/config/config.h"
#include "train/data/data.h"
#include "train/forecast/forecast.h"

/** Lines are enough for stable means and take milliseconds to plan; steps differ, so that one alone is not typical. */
enum { FR_WORKLOAD_LINES = 2048, FR_WORKLOAD_STEPS = 4 };

/** Where a task's sizes come from. */
typedef struct fr_workload_source {
    int64_t length;            /* of the prefix */
    const fr_dataset *dataset; /* borrowed; NULL: the numbers alone */
    int64_t n_examples;        /* of the dataset's first lines */
    double example_rows;       /* token rows of an example */
    double target_share;       /* share of rows with a target, 0 .. 1 */
    int64_t longest;           /* tokens of the longest example */
    int64_t longest_line;      /* of the file that it is in; 0: no row was read */
} fr_workload_source;

/** From rows; a dataset of at least the first FR_WORKLOAD_LINES lines gives the same as the whole. */
void fr_workload_from_rows(const fr_dataset *dataset, int64_t length,
                           fr_workload_source *out);

/** Every example has this many rows. */
void fr_workload_from_numbers(int64_t length, int64_t tokens_per_example,
                              double target_share, fr_workload_source *out);

/** What a config suggests if neither rows nor the init text can be read: examples as long as max_tokens or a
 * microbatch allows, half of their tokens targets, and an init text of four bytes per token. */
void fr_workload_from_config(const fr_arch *arch, const fr_task_config *config,
                             fr_workload_source *out);

/** Share of all tasks' rows that carry a target; 1 without a task. */
double fr_workload_target_share(const fr_workload_source *sources, int64_t n_tasks);

/** Longest position of any row, prefix included; at least 1. */
int64_t fr_workload_max_position(const fr_workload_source *sources, int64_t n_tasks);

/**
 * A task's mean step on n_replicas: over the first FR_WORKLOAD_STEPS steps of the rows that were read, planned as in
 * training; by proportion for steps of very many examples and without a dataset.
 */
FR_MUST_CHECK fr_status fr_workload_of_task(fr_ctx *ctx, const fr_task_config *config,
                                            const fr_workload_source *source,
                                            int n_replicas, fr_task_workload *out);

#endif
