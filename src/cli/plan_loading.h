/*
 * plan_loading.h - how long it takes until every node has its layers of the base, and their digest.
 */
#ifndef FR_CLI_PLAN_LOADING_H
#define FR_CLI_PLAN_LOADING_H

#include "cli/plan_report.h"

/** Fill report->loading from the chosen layout and the speeds in it; measures SHA-256 for some milliseconds. */
FR_MUST_CHECK fr_status fr_plan_loading_forecast(fr_ctx *ctx, fr_plan_report *report);

void fr_plan_loading_print(const fr_plan_report *report, FILE *out);

#endif
