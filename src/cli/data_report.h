/*
 * data_report.h - what `forerun data check` finds out about the rows of a file, and how it prints it.
 */
#ifndef FR_CLI_DATA_REPORT_H
#define FR_CLI_DATA_REPORT_H

#include "train/data/data_scan.h"
#include "train/data/row_set.h"

enum { FR_LENGTH_BINS = 40 }; /* bin i: 2^(i-1) + 1 to 2^i tokens */

typedef struct fr_data_report {
    fr_ctx *ctx;
    const fr_data_params *params;
    const char *other; /* the file that rows are compared with; NULL: none */
    fr_row_set *own;
    fr_row_set *others; /* rows of `other`; NULL: none */
    int64_t n_shown;    /* rows printed as the model sees them */
    int64_t bins[FR_LENGTH_BINS];
    int64_t longest; /* before a cut */
    int64_t longest_line;
    int64_t n_all_dropped; /* rows of which nothing is left */
    int64_t n_twice;
    int64_t twice[2]; /* lines of the first pair */
    int64_t n_shared;
    int64_t shared[2]; /* likewise: here, and in `other` */
    fr_data_stats stats;
} fr_data_report;

/** A fr_data_scan.see of `other`: enters its rows. `of` is the fr_data_report. */
FR_MUST_CHECK fr_status fr_data_report_other(void *of, const fr_row_seen *row);
/** A fr_data_scan.see of the file: counts, and prints the first three rows. */
FR_MUST_CHECK fr_status fr_data_report_row(void *of, const fr_row_seen *row);
/** Prints all but the rows, after the scan. */
void fr_data_report_print(const fr_data_report *report);

#endif
