/*
 * row_json.h - the JSON of one row: reads what people's files contain, and writes it back unchanged.
 *
 * Members that are not used must not make a row fail and must not change when the row is written again: whole numbers
 * of any size, NaN and Infinity as Python writes them, duplicate members. The JSON library refuses such lines; they are
 * read a second time from a copy in which those numbers are small ones. Time and memory are linear in the line.
 */
#ifndef FR_TRAIN_DATA_ROW_JSON_H
#define FR_TRAIN_DATA_ROW_JSON_H

#include "model/text/vocabulary.h"

#include <jansson.h>

/**
 * Read one object. Members named in `used` must be unique and must not contain duplicate members. In them NaN and
 * numbers that are too large become values that no member accepts: 0.5, 2^63 - 1, 1e99.
 * @param used  names, ends with NULL
 * @param out   the caller releases
 * @return FR_OK; FR_ERR_DATA "PLACE: ..."; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_row_json_read(fr_ctx *ctx, fr_place place, const char *text,
                                         size_t bytes, const char *const *used,
                                         json_t **out);

/**
 * Write the row again from '{' to '}' with its members unchanged, NUL-terminated; the caller frees. NaN and infinities
 * become null, so that the output is JSON.
 * @param text      an object that fr_row_json_read accepted
 * @param left_out  names of members to leave out; ends with NULL
 */
FR_MUST_CHECK fr_status fr_row_json_write(fr_ctx *ctx, const char *text, size_t bytes,
                                          const char *const *left_out, char **out,
                                          size_t *out_bytes);

#endif
