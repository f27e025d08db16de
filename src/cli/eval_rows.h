/*
 * eval_rows.h - what `forerun eval --generate` makes of the answers: scores, lines of rows, the result.
 */
#ifndef FR_CLI_EVAL_ROWS_H
#define FR_CLI_EVAL_ROWS_H

#include "train/inference/answer_rows.h"
#include "train/inference/references.h"
#include "train/scores/scores.h"

/** What is scored; borrowed. */
typedef struct fr_eval_rows {
    fr_ctx *ctx;
    const fr_tokenizer *tokenizer;
    const fr_prompts *prompts;
    const fr_reference_list *references;
    const fr_answer_rows *answers;
} fr_eval_rows;

/** The result of one set of answers. */
typedef struct fr_eval_scores {
    fr_score_sums sums;
    int64_t n_full; /* answers that did not end by themselves */
} fr_eval_scores;

/** With, and where it was asked for, without a prefix. */
typedef struct fr_eval_result {
    fr_eval_scores scores;
    fr_eval_scores base;
    bool has_base;
} fr_eval_result;

/**
 * Score all answers.
 * @param[out] lines  NULL: not wanted; one line of JSON for each row; the caller frees, on failure too
 */
FR_MUST_CHECK fr_status fr_eval_rows_score(const fr_eval_rows *rows,
                                           fr_eval_result *result, char **lines,
                                           size_t *bytes);

/** Print the result, as a table or as one object of JSON. */
void fr_eval_rows_print(const fr_eval_result *result, int64_t n_bad, bool json);

#endif
