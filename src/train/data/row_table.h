/*
 * row_table.h - the rows of a table (CSV, TSV) as JSON objects of texts. For row_source.c alone, and its tests.
 *
 * The first row names the columns. Fields with separators, quotes or line ends stand in double quotes, in which a quote
 * is written twice; nothing is taken from the ends of fields. An unnamed first column is left out: pandas writes row
 * numbers there.
 */
#ifndef FR_TRAIN_DATA_ROW_TABLE_H
#define FR_TRAIN_DATA_ROW_TABLE_H

#include "base/text.h"
#include "train/data/row_source.h"

typedef struct fr_row_table fr_row_table;

/** Reads the names of the columns. @param text  stays until the table is closed
 * @return FR_OK; FR_ERR_DATA "PATH:LINE: ..." (no names, two equal ones, an empty one ...) */
FR_MUST_CHECK fr_status fr_row_table_open(fr_ctx *ctx, const char *path, fr_text text,
                                          char delimiter, fr_row_table **out);
void fr_row_table_close(fr_row_table **table);
/** As fr_row_source_next. A row with another number of fields than the header, with a NUL, or that is not UTF-8 is bad by itself. */
FR_MUST_CHECK fr_status fr_row_table_next(fr_row_table *table, fr_row_text *out);

#endif
