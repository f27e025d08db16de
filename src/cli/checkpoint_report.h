/*
 * checkpoint_report.h - prints what a prefix file or checkpoint says of itself, and of each task, for people.
 */
#ifndef FR_CLI_CHECKPOINT_REPORT_H
#define FR_CLI_CHECKPOINT_REPORT_H

#include "train/checkpoint/checkpoint.h"

/** Some lines to standard output: format, base, what the numbers were computed with. */
void fr_report_file(const fr_checkpoint *checkpoint);

/** Some lines to standard output. FR_ERR_NO_MEMORY. */
FR_MUST_CHECK fr_status fr_report_task(fr_ctx *ctx, const fr_checkpoint_task *task);

#endif
