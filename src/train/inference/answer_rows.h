/*
 * answer_rows.h - answers to all rows of a list at once, for what is computed from them. Collective over the world.
 *
 * `forerun generate` writes an answer when its turn comes; here all answers are there at the end.
 */
#ifndef FR_TRAIN_INFERENCE_ANSWER_ROWS_H
#define FR_TRAIN_INFERENCE_ANSWER_ROWS_H

#include "train/inference/answerer.h"
#include "train/inference/prompts.h"

typedef struct fr_answer_rows_params {
    fr_group *world;
    fr_sample_params sample;
    int64_t batch;          /* as in fr_generate_params */
    int64_t max_new_tokens; /* of an answer */
    bool with_base; /* a second answer to each row by the base alone, to the same ids */
} fr_answer_rows_params;

/** Zero-initialise; release with fr_answer_rows_fini. */
typedef struct fr_answer_rows {
    int64_t n;     /* rows */
    int64_t n_all; /* answers: n, with_base 2 n */
    /* [n_all] after the prefixes' answers those of the base alone */
    fr_generate_row *rows;
    fr_generate_times times;
    fr_answerer answerer;
} fr_answer_rows;

/**
 * Load the weights and answer. The prompts were encoded (fr_prompts_encode), and the inference's parameters ask for one
 * pipeline; the prompts' ids move into the rows.
 * @return as fr_inference_load and fr_generate
 */
FR_MUST_CHECK fr_status fr_answer_rows_make(fr_inference *inference,
                                            fr_prompts *prompts,
                                            const fr_answer_rows_params *params,
                                            fr_answer_rows *out);

/** Before the inference is closed. */
void fr_answer_rows_fini(fr_answer_rows *rows);

#endif
