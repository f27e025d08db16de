/*
 * data_scan.h - looks at every row as a dataset would take it, without keeping any: memory is bounded by one row.
 */
#ifndef FR_TRAIN_DATA_DATA_SCAN_H
#define FR_TRAIN_DATA_DATA_SCAN_H

#include "train/data/data.h"

/** One row that can be used; an example is one (row, target). */
typedef struct fr_row_seen {
    int64_t line;
    int64_t longest; /* tokens of the source and the longest target, before a cut */
    int64_t n_kept;  /* examples; 0: nothing of the row is left */
    int64_t n_dropped;
    int64_t n_cut;
    int64_t n_source; /* ids of the source, as they are kept */
    /* what is kept: the source, then the targets; a flag for each id in the loss */
    const fr_ids *ids;
    const fr_ids *counted;
    int64_t first_end; /* end of the first target among the ids */
} fr_row_seen;

typedef struct fr_data_scan {
    fr_status (*see)(void *of, const fr_row_seen *row);
    void *of;
} fr_data_scan;

/** Show `how` each row of the file that can be used. With params->skip_bad_rows the first others are logged.
 * @param out  as of a dataset, also where no row is left; `longest` and tokens count what is kept
 * @return FR_OK; what `see` returns; as fr_dataset_open, but no row left is no error */
FR_MUST_CHECK fr_status fr_dataset_scan(fr_ctx *ctx, const fr_data_params *params,
                                        const fr_data_scan *how, fr_data_stats *out);

#endif
