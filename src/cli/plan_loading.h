/*
 * plan_loading.h - how long it takes until every node has its layers of the base, and their digest.
 *
 * Layer L5.
 */
#ifndef FR_CLI_PLAN_LOADING_H
#define FR_CLI_PLAN_LOADING_H

#include "cli/plan_report.h"

/** Fill report->loading from the layout that was chosen and the speeds that are there; measures SHA-256 for some
 * milliseconds. */
FR_MUST_CHECK fr_status fr_plan_loading_forecast(fr_ctx *ctx, fr_plan_report *report);

void fr_plan_loading_print(const fr_plan_report *report, FILE *out);

#endif
