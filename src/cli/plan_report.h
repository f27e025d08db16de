/*
 * plan_report.h - what `plan` found, and its two forms: a table to read and a JSON object.
 *
 * Layer L5; cmd_plan.c fills it.
 */
#ifndef FR_CLI_PLAN_REPORT_H
#define FR_CLI_PLAN_REPORT_H

#include "train/layout.h"

#include <stdio.h>

enum { FR_PLAN_NOTE = 256 };

/** Where a task's sizes come from, for people. */
typedef struct fr_plan_task {
    const char *name; /* borrowed */
    bool from_rows;
    bool length_assumed;
    char source[FR_PLAN_NOTE];
} fr_plan_task;

typedef struct fr_plan_report {
    const fr_layout_problem *problem;
    const char *model;
    int64_t node_memory;
    bool memory_is_here; /* this machine's available memory was taken */
    int64_t ranks_per_node;
    bool flops_assumed;
    bool link_assumed;
    const fr_plan_task *tasks; /* [config->n_tasks] */
    int64_t n_candidates;
    const fr_layout_candidate *candidates; /* best first, for the given speeds */
    const fr_layout_candidate *chosen;     /* what `train` takes */
    const fr_layout_forecast *input;
    const fr_forecast *forecast;
} fr_plan_report;

/** Cost of a stage in layers, the head counted on the last one. */
double fr_plan_stage_cost(const fr_plan_report *report, int stage);

void fr_plan_print(const fr_plan_report *report, FILE *out);

/** One line. FR_ERR_NO_MEMORY. */
FR_MUST_CHECK fr_status fr_plan_print_json(fr_ctx *ctx, const fr_plan_report *report,
                                           FILE *out);

#endif
