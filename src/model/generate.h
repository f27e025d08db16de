/*
 * generate.h - continue a prompt token by token with a key/value cache, over the stages of a pipeline.
 *
 * Layer L3; uses stage, sample, comm. One generator a rank.
 */
#ifndef FR_MODEL_GENERATE_H
#define FR_MODEL_GENERATE_H

#include "comm/group.h"
#include "model/sample.h"
#include "model/stage.h"
#include "model/tokenizer.h"

typedef struct fr_generator fr_generator;

/** @param pipeline  borrowed; rank = stage index, the last rank holds the head */
FR_MUST_CHECK fr_status fr_generator_create(fr_ctx *ctx, fr_group *pipeline,
                                            fr_stage *stage, fr_generator **out);
void fr_generator_destroy(fr_generator **generator);

typedef struct fr_generate_params {
    fr_sample_params sample;
    int64_t max_new_tokens;
    int32_t stop[2]; /* ids that end the text (not part of it); -1: none */
    uint64_t
        row; /* number of the prompt: random numbers depend on (seed, row, place) alone */
} fr_generate_params;

/**
 * Collective over the pipeline; the prompt and the result are the same on every rank.
 * @param prefix  this stage's layers; length 0: none
 * @param n       >= 1 prompt tokens
 * @param[out] out  ids after the prompt are appended
 * @return FR_OK; FR_ERR_DATA (prompt does not fit into the context; empty prompt); FR_ERR_COMM; ...
 */
FR_MUST_CHECK fr_status fr_generate(fr_generator *generator,
                                    const fr_stage_prefix *prefix,
                                    const int32_t *prompt, int64_t n,
                                    const fr_generate_params *params, fr_ids *out);

#endif
