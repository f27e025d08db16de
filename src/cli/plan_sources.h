/*
 * plan_sources.h - how large the tasks of a config are, from their first rows if the files and the tokenizer exist.
 */
#ifndef FR_CLI_PLAN_SOURCES_H
#define FR_CLI_PLAN_SOURCES_H

#include "cli/plan_report.h"
#include "model/text/tokens.h"
#include "train/step/task.h"

typedef struct fr_plan_assumed {
    int64_t tokens_per_example; /* 0: real rows, or as the config suggests */
    double target_share;        /* below 0: likewise */
} fr_plan_assumed;

typedef struct fr_plan_sources {
    fr_tokenizer *tokenizer; /* NULL: none is usable */
    char *no_tokenizer;      /* why; NULL if one is usable */
    int64_t n_tasks;
    fr_task *opened;             /* [n_tasks] */
    fr_workload_source *sources; /* [n_tasks] */
    fr_plan_task *tasks;         /* [n_tasks] */
} fr_plan_sources;

/** `model` is the path of the base. FR_ERR_DATA for a broken data file; a missing one is not an error. */
FR_MUST_CHECK fr_status fr_plan_sources_open(fr_ctx *ctx, const fr_config *config,
                                             const char *model, const fr_arch *arch,
                                             const fr_plan_assumed *assumed,
                                             fr_plan_sources *out);
void fr_plan_sources_close(fr_plan_sources *sources);

#endif
