/*
 * plan_needed.h - what a run would need if no layout fits.
 */
#ifndef FR_CLI_PLAN_NEEDED_H
#define FR_CLI_PLAN_NEEDED_H

#include "cli/plan_report.h"

/** Fill report->needed. */
FR_MUST_CHECK fr_status fr_plan_needed_find(fr_ctx *ctx, fr_plan_report *report);

void fr_plan_needed_print(const fr_plan_report *report, FILE *out);

#endif
