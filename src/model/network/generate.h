/*
 * generate.h - continue prompts token by token with a key/value cache, over the stages of a pipeline.
 *
 * One generator a rank. Several rows go on side by side, each with its own
 * prefix; a finished row frees its part of the cache
 * for the next one. The tokens of a row do not depend on the other rows.
 */
#ifndef FR_MODEL_NETWORK_GENERATE_H
#define FR_MODEL_NETWORK_GENERATE_H

#include "comm/link.h"
#include "model/network/sample.h"
#include "model/network/stage.h"
#include "model/text/tokenizer.h"
#include "model/text/vocabulary.h"

typedef struct fr_generator fr_generator;

typedef struct fr_generator_params {
    fr_group *pipeline; /* borrowed; rank = stage index, the last rank holds the head */
    fr_stage *stage;    /* borrowed */
    fr_link_kind link;  /* between the stages: fr_link_kind_for */
    int64_t link_piece; /* see fr_link_params; 0 but in tests */
} fr_generator_params;

FR_MUST_CHECK fr_status fr_generator_create(fr_ctx *ctx,
                                            const fr_generator_params *params,
                                            fr_generator **out);
/** Before the pipeline and the device. */
void fr_generator_destroy(fr_generator **generator);

/** A text to continue. */
typedef struct fr_generate_row {
    const fr_stage_prefix *prefix; /* this stage's layers; length 0: none; borrowed */
    fr_ids prompt;                 /* at least one id */
    fr_ids out;                    /* ids after the prompt are appended; the caller's */
    fr_place place; /* where it came from, for messages; name NULL: its number */
} fr_generate_row;

/** Where the time of a call went. */
typedef struct fr_generate_times {
    int64_t prompt_tokens;
    int64_t
        decoded_tokens; /* all but each row's first, which its prompt's pass gives */
    double prompt_seconds;
    double decode_seconds;
} fr_generate_times;

typedef struct fr_generate_params {
    fr_sample_params sample; /* random numbers depend on (seed, row, place) alone */
    int64_t max_new_tokens;
    const int32_t *stop; /* [n_stop] ids that end a text (not part of it); borrowed */
    int64_t n_stop;
    int64_t first; /* rows before this one are left alone: they are done */
    int64_t batch; /* most rows at a time, >= 1 */
    int64_t
        cache_bytes; /* fewer rows at a time if their keys and values need more, but one */
    /** Called on every rank, in the same order, when rows[index] has ended. NULL: not. */
    fr_status (*done)(void *user, int64_t index);
    void *user;
    fr_generate_times *times; /* added to; NULL: not wanted */
} fr_generate_params;

/**
 * Collective over the pipeline; prompts and results are the same on every rank.
 * @return FR_OK; FR_ERR_DATA (a prompt is empty, holds an id outside the vocabulary or does not fit into the context:
 *         before anything is computed); FR_ERR_NUMERIC naming the row whose logits are not finite; what `done`
 *         returned on any rank; FR_ERR_COMM; ... A rank that fails alone in a pass abandons the others (fr_group_abandon)
 */
FR_MUST_CHECK fr_status fr_generate(fr_generator *generator, fr_generate_row *rows,
                                    int64_t n_rows, const fr_generate_params *params);

#endif
