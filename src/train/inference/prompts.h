/*
 * prompts.h - the rows that are to be answered: a file of rows, or one text.
 *
 * First all rows are parsed; then the base's files are opened (inference.h); then each row gets its prefix, which it names or
 * which is the default, and the ids that training would give it for that prefix. All of this happens for all rows before
 * anything is computed, so that a faulty row is named at once. Not collective: every rank does the same.
 */
#ifndef FR_TRAIN_INFERENCE_PROMPTS_H
#define FR_TRAIN_INFERENCE_PROMPTS_H

#include "model/text/vocabulary.h"
#include "train/data/row.h"
#include "train/data/row_lines.h"
#include "train/inference/inference.h"

#include <jansson.h>

/** One row. Zero-initialised rows are empty. */
typedef struct fr_prompt {
    int64_t line;     /* in the file, from 1; 0: the text of the command line */
    const char *text; /* the row's JSON, unchanged; borrowed from the list */
    char *copy;       /* of the text, where the list does not have it; NULL otherwise */
    size_t bytes;
    json_t *object; /* until it is encoded */
    const fr_inference_prefix *prefix;
    fr_ids ids;
} fr_prompt;

typedef struct fr_prompts_params {
    const char *path;   /* file of rows; NULL: `prompt` is the only one */
    const char *prompt; /* its source; UTF-8 */
    const char
        *system; /* a system turn before each dialogue that has none; NULL: none */
    char *
        content; /* what the file holds, already read, from malloc; moved to the prompts. `path` is then its name; NULL: read it */
    size_t content_bytes;
    const char *ignore; /* as in fr_data_params */
    const char *fields; /* likewise */
    bool skip_bad_rows;
} fr_prompts_params;

typedef struct fr_prompts {
    fr_ctx *ctx;
    fr_prompts_params params;
    char *file; /* all of it */
    size_t file_bytes;
    int64_t n;
    int64_t capacity;
    fr_prompt *rows;
    fr_bad_rows bad;
} fr_prompts;

/** Read and parse all rows; release with fr_prompts_fini, after a failure too.
 * @return FR_OK; FR_ERR_DATA (with `stop`, fr_prompts_encode reports bad rows together with those that it finds) */
FR_MUST_CHECK fr_status fr_prompts_read(fr_ctx *ctx, const fr_prompts_params *params,
                                        fr_prompts *out);

/** Find the prefix and the ids of every row; rows that cannot be used are removed from the list.
 * @return FR_OK; FR_ERR_DATA (a bad row; no row left); FR_ERR_CHECKPOINT (a prefix) ... */
FR_MUST_CHECK fr_status fr_prompts_encode(fr_prompts *prompts, fr_inference *inference);

/**
 * The ids of one row that is parsed, for a prefix. At least one position is left for what is generated. Local; any thread may call it with a
 * context of its own.
 * @param ignore    as in fr_data_params   @param[out] out  its source has the ids; released with fr_row_fini, after a failure too
 * @return FR_OK; FR_ERR_DATA, naming the place (a bad row; an empty prompt, one that leaves no space); as fr_row_encode
 */
FR_MUST_CHECK fr_status fr_prompt_encode(fr_ctx *ctx, const fr_inference *inference,
                                         const fr_inference_prefix *prefix,
                                         fr_place place, const char *ignore,
                                         const json_t *object, fr_row *out);

/** Where row `i` came from, for messages. */
fr_place fr_prompts_place(const fr_prompts *prompts, int64_t i);

void fr_prompts_fini(fr_prompts *prompts);

#endif
