/*
 * row.h - one row of a file as token ids: the only reader and encoder of rows, for every command.
 *
 * Forms of a row (docs/data.md): {"source", "target"}, {"source_ids", "target_ids"}, {"messages"}; others become one of
 * these (row_shape.h). A row is read for one
 * of two uses. To learn from it, it must have a target. As a prompt it has none: "target" and "target_ids" are ignored,
 * and an assistant turn at the end of a dialogue is left out. The ids of a prompt are those of the source that training
 * sees before the target, because the same calls make them.
 *
 * An unknown member is an error, because what it asks for would not be done. Members that only say where a row comes
 * from (id, tag, score, meta ...) are ignored, and so are those that `params->ignore` lists.
 */
#ifndef FR_TRAIN_DATA_ROW_H
#define FR_TRAIN_DATA_ROW_H

#include "train/data/data.h"
#include "train/data/row_source.h"
#include "train/data/text.h"

#include <jansson.h>

typedef enum fr_row_use { FR_ROW_LEARN, FR_ROW_PROMPT } fr_row_use;

/** Ids with a flag each: 1 for the row's own text, which may be cut; 0 for what stands around it: template, frames of
 * turns, BOS, end of sequence. */
typedef struct fr_row_ids {
    fr_ids ids;
    fr_ids own;
} fr_row_ids;

/** One row as token sequences, its targets one after another. Zero-initialise; release with fr_row_fini. */
typedef struct fr_row {
    fr_row_ids source;
    /* a flag for each of source.ids; empty: none of them is in the loss */
    fr_ids source_counted;
    bool has_unused_source; /* it has a source that the template does not use */
    bool opens_otherwise;   /* as in fr_dialogue_ids */
    int64_t n_targets;      /* 0 for a prompt */
    int64_t n_parts;    /* rows that the line gives (fr_row_reader.part); at least 1 */
    fr_ids target_ends; /* end of each target in target.ids */
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
    int64_t line; /* of the row in the file; 0: the row does not come from a file */
    /* which of the line's rows, from 0: a dialogue whose template writes earlier answers otherwise once more turns follow gives
     * one for each answer */
    int64_t part;
    fr_row_fields fields;
    int64_t forms; /* forms of the rows parsed so far, bits of fr_row_forms */
} fr_row_reader;

/** @return FR_OK; FR_ERR_CONFIG (the template, the fields) */
FR_MUST_CHECK fr_status fr_row_reader_init(fr_ctx *ctx, const fr_data_params *params,
                                           fr_row_use use, fr_row_reader *out);

/** Parse one line into an object whose members are all known and in one of our forms. @return FR_OK; FR_ERR_DATA "FILE:LINE: ..." */
FR_MUST_CHECK fr_status fr_row_parse(fr_row_reader *reader, const char *line,
                                     size_t bytes, json_t **out);
/** Encode the object as ids. @return FR_OK; FR_ERR_DATA "FILE:LINE: ..."; FR_ERR_UNSUPPORTED (the base has no chat template) */
FR_MUST_CHECK fr_status fr_row_encode(const fr_row_reader *reader, const json_t *object,
                                      fr_row *row);
/** Goes on to the next row of the line that gave `row`; false, and back to the first, behind the last. */
bool fr_row_next_part(fr_row_reader *reader, const fr_row *row);
/** Parse and encode the row of a file; the reader's line becomes its own. A row that cannot be read keeps its status. */
FR_MUST_CHECK fr_status fr_row_read_text(fr_row_reader *reader, const fr_row_text *text,
                                         fr_row *row);
/** Parse and encode. */
FR_MUST_CHECK fr_status fr_row_read(fr_row_reader *reader, const char *line,
                                    size_t bytes, fr_row *row);

#endif
