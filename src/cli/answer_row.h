/*
 * answer_row.h - what an answer of `generate` is added to: a row of the input, or an object made of --prompt.
 */
#ifndef FR_CLI_ANSWER_ROW_H
#define FR_CLI_ANSWER_ROW_H

#include "model/network/generate.h"

enum { FR_NO_NUMBER = -1 };

/** Borrowed. */
typedef struct fr_answer_row {
    const char *text; /* an object in JSON; NULL: `prompt` takes its place */
    size_t bytes;
    const char *prompt; /* UTF-8 */
    int64_t number; /* which of several answers of the row; FR_NO_NUMBER: it has one */
    bool has_logprobs;
    const fr_generate_row *answer; /* its logarithms, once it has ended */
} fr_answer_row;

/** The object without earlier answers, with "generation" if the row has several, and "logprobs" once they are there. The caller
 * frees. */
FR_MUST_CHECK fr_status fr_answer_row_write(fr_ctx *ctx, const fr_answer_row *row,
                                            char **text, size_t *bytes);

#endif
