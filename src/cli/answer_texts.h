/*
 * answer_texts.h - the texts of answers while they grow: where a stop text ends them, and one of them on a terminal.
 *
 * Every rank follows all rows, so that all ranks end a row at the same token.
 */
#ifndef FR_CLI_ANSWER_TEXTS_H
#define FR_CLI_ANSWER_TEXTS_H

#include "cli/sampling.h"
#include "model/network/generate.h"

#include <stdio.h>

typedef struct fr_answer_texts fr_answer_texts;

typedef struct fr_answer_texts_params {
    const fr_tokenizer *tokenizer; /* borrowed, as all here */
    const fr_sampling *sampling;
    int64_t n_rows;
    FILE *terminal; /* gets the text of row 0 as it comes, escaped; NULL: none */
} fr_answer_texts_params;

/** @return FR_OK; FR_ERR_ARG (stop texts of a model without tokenizer) */
FR_MUST_CHECK fr_status fr_answer_texts_open(fr_ctx *ctx,
                                             const fr_answer_texts_params *params,
                                             fr_answer_texts **out);
void fr_answer_texts_close(fr_answer_texts **texts);

/** A row has new ids or has ended. @param[out] leave  set if a stop text is there @return FR_OK; FR_ERR_IO (the terminal) */
FR_MUST_CHECK fr_status fr_answer_texts_grown(fr_answer_texts *texts, int64_t index,
                                              const fr_generate_row *row, bool *leave);

#endif
