/*
 * row.h - one row of a file as token ids: the only reader and encoder of rows, for every command.
 *
 * Layer L4; uses row_json, text, chat. Forms of a row (docs/data.md): {"source", "target"}, {"source_ids", "target_ids"},
 * {"messages"}. It is read for one of two uses. To learn from it needs a target. As a prompt it has none: "target" and
 * "target_ids" are not looked at, and an assistant turn at the end of a dialogue is left out. The ids of the prompt are
 * those of the source that training sees before the target: they are made by the same calls.
 *
 * A member that nobody knows is an error, since what it asks for would not be done. Members that only say where a row
 * comes from (id, tag, score, meta ...) are stepped over, and those that `params->ignore` lists.
 */
#ifndef FR_TRAIN_DATA_ROW_H
#define FR_TRAIN_DATA_ROW_H

#include "train/data/data.h"
#include "train/data/text.h"

#include <jansson.h>

typedef enum fr_row_use { FR_ROW_LEARN, FR_ROW_PROMPT } fr_row_use;

/** Ids with a flag each: whether they are the row's own text, which may be shortened (1), or stand around it: template,
 * turns' frames, BOS, end of sequence (0). */
typedef struct fr_row_ids {
    fr_ids ids;
    fr_ids own;
} fr_row_ids;

/** One row as token sequences; targets lie one after the other. Zero-initialise; release with fr_row_fini. */
typedef struct fr_row {
    fr_row_ids source;
    fr_ids
        source_counted; /* in step with source.ids, or empty: none of them is in the loss */
    bool has_unused_source; /* a text that the template has no place for */
    int64_t n_targets;      /* 0 for a prompt */
    fr_ids target_ends;     /* end of each target in target.ids */
    fr_row_ids targets;
} fr_row;

void fr_row_clear(fr_row *row);
void fr_row_fini(fr_row *row);

/** Everything that reading a row needs. */
typedef struct fr_row_reader {
    fr_ctx *ctx;
    const fr_data_params *params;
    fr_row_use use;
    fr_template template_parts;
    int64_t line; /* of the row at hand; 0: it comes from no file */
} fr_row_reader;

/** @return FR_OK; FR_ERR_CONFIG (the template) */
FR_MUST_CHECK fr_status fr_row_reader_init(fr_ctx *ctx, const fr_data_params *params,
                                           fr_row_use use, fr_row_reader *out);

/** One line as an object whose members are all known. @return FR_OK; FR_ERR_DATA "FILE:LINE: ..." */
FR_MUST_CHECK fr_status fr_row_parse(const fr_row_reader *reader, const char *line,
                                     size_t bytes, json_t **out);
/** The object's ids. @return FR_OK; FR_ERR_DATA "FILE:LINE: ..."; FR_ERR_UNSUPPORTED (the base has no chat template) */
FR_MUST_CHECK fr_status fr_row_encode(const fr_row_reader *reader, const json_t *object,
                                      fr_row *row);
/** Both. */
FR_MUST_CHECK fr_status fr_row_read(const fr_row_reader *reader, const char *line,
                                    size_t bytes, fr_row *row);

#endif
