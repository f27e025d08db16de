/*
 * plan_report.h - what `plan` finds, in two forms: a table to read and a JSON object.
 *
 * cmd_plan.c fills it in.
 */
#ifndef FR_CLI_PLAN_REPORT_H
#define FR_CLI_PLAN_REPORT_H

#include "base/limits.h"
#include "train/forecast/layout.h"

#include <stdio.h>

enum { FR_PLAN_NOTE = 512 };
/** Bytes per second that a node's disk is assumed to deliver: a slow NVMe disk, or a busy shared one. */
static const int64_t FR_PLAN_DISK = 1000000000;

/** Where a task's sizes come from, for the report. */
typedef struct fr_plan_task {
    const char *name; /* borrowed */
    bool from_rows;
    bool length_assumed;
    char source[FR_PLAN_NOTE];
} fr_plan_task;

/** How long the base takes to load (plan_loading.h). */
typedef struct fr_plan_loading {
    int64_t disk;        /* bytes a second, of a node */
    int64_t disk_shared; /* of all nodes together; 0: no common limit */
    bool disk_assumed;
    bool file_is_here; /* its size counts; else that of the weights in bf16 */
    int64_t model_bytes;
    int64_t n_nodes;
    int64_t node_bytes; /* that the busiest node reads: the layers of its ranks, once */
    int64_t total_bytes; /* that all nodes read */
    double read_seconds;
    double hash_rate;    /* bytes a second of SHA-256 on a core, measured here */
    double hash_seconds; /* of the busiest node, whose ranks divide its layers */
} fr_plan_loading;

/** What would be needed where nothing fits, plan_needed.h. */
typedef struct fr_plan_needed {
    int64_t rank_bytes;   /* with these ranks, the best layout */
    int64_t device_bytes; /* likewise, of a device's own memory */
    int n_stages; /* of the smallest pipeline that fits into the ranks' memory; 0: none */
} fr_plan_needed;

typedef struct fr_plan_report {
    const fr_config *config;
    const fr_layout_problem *problem; /* of the config */
    const char *model;                /* as the config names it */
    const char *path;                 /* where its files are */
    int64_t node_memory;
    bool memory_is_here; /* this machine's available memory was taken */
    fr_memory_share memory_here;
    int64_t ranks_per_node;
    int64_t ranks_per_device; /* of a device with memory of its own */
    bool flops_assumed;
    bool link_assumed;
    bool node_link_assumed;
    const fr_plan_task *tasks; /* [config->n_tasks] */
    int64_t n_candidates;
    const fr_layout_candidate *candidates; /* best first, for the given speeds */
    const fr_layout_candidate
        *chosen; /* what `train` chooses; if it does not fit, nothing does */
    fr_plan_needed needed;
    fr_plan_loading loading;
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
