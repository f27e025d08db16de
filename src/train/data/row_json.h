/*
 * row_json.h - the JSON of one row: read with what people's files hold, written back as it stands.
 *
 * Layer L4; jansson. What a row holds beside the members that are used must not stop it, nor be changed when the row is
 * written again: whole numbers of any size, NaN and Infinity as Python writes them, a member given twice. Such a line is
 * read a second time from a copy in which those numbers are small ones. Time and memory are linear in the line.
 */
#ifndef FR_TRAIN_DATA_ROW_JSON_H
#define FR_TRAIN_DATA_ROW_JSON_H

#include "model/text/vocabulary.h"

#include <jansson.h>

/**
 * Read one object. Of the members called in `used`, none may be there twice or hold a member twice; NaN and the like
 * become numbers that fit nothing there: 0.5, 2^63 - 1, 1e99.
 * @param used  names, ends with NULL
 * @param out   the caller's
 * @return FR_OK; FR_ERR_DATA "PLACE: ..."; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_row_json_read(fr_ctx *ctx, fr_place place, const char *text,
                                         size_t bytes, const char *const *used,
                                         json_t **out);

/**
 * The row again, members as they stand, from '{' to '}', NUL-terminated; the caller frees. NaN and infinities become
 * null: what is written is JSON.
 * @param text      an object that fr_row_json_read took
 * @param left_out  names of members that are not written; ends with NULL
 */
FR_MUST_CHECK fr_status fr_row_json_write(fr_ctx *ctx, const char *text, size_t bytes,
                                          const char *const *left_out, char **out,
                                          size_t *out_bytes);

#endif
