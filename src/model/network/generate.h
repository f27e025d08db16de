/*
 * generate.h - continue prompts token by token with a key/value cache, over the stages of a pipeline.
 *
 * One generator a rank. Several rows go on side by side, each with its own prefix and its own way to choose tokens; a row that
 * ends frees its place in the cache for another one. The tokens of a row do not depend on the other rows, nor on when it
 * enters.
 *
 * fr_generate answers a list of rows. Where rows come and go, as in a server, the caller opens a generation, lets rows enter and
 * leave, and asks for one pass after the other.
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

/* ---- a row ---------------------------------------------------------------------------------------- */

enum { FR_MAX_LOGPROBS = 20 };

/** Natural logarithms of probabilities at one token: those of the model itself, before the penalty, the temperature and what
 * the options keep. */
typedef struct fr_logprobs {
    double chosen;
    int32_t n; /* likeliest ids, falling; equal ones by rising id */
    int32_t ids[FR_MAX_LOGPROBS];
    double values[FR_MAX_LOGPROBS];
} fr_logprobs;

typedef enum fr_row_state {
    FR_ROW_GOES_ON, /* or has not entered yet */
    FR_ROW_STOPPED, /* by an id that ends a text, which is not part of it */
    FR_ROW_FULL,    /* max_new_tokens, or the end of the context or of its place */
    FR_ROW_NOT_FINITE, /* nothing can be chosen: the prefix or the model file is at fault */
    FR_ROW_LEFT        /* the caller took it out */
} fr_row_state;

/** A text to continue. Zero-initialise it and fill the first part; release it with fr_generate_row_fini. */
typedef struct fr_generate_row {
    const fr_stage_prefix *prefix; /* this stage's layers; length 0: none; borrowed */
    fr_ids prompt;                 /* at least one id */
    fr_place place; /* where it came from, for messages; name NULL: its number */
    fr_sample_params sample;
    /* random numbers depend on sample.seed, this and the token's place in the answer alone */
    uint64_t number;
    int64_t max_new_tokens;
    int64_t
        n_logprobs; /* 0: none are kept; n + 1: of each token and the n likeliest, n <= FR_MAX_LOGPROBS */

    /* what passes write */
    fr_ids out;            /* ids after the prompt */
    fr_logprobs *logprobs; /* [out.count]; NULL where none are kept */
    fr_row_state state;
    int64_t logprobs_capacity;
} fr_generate_row;

/** The row's memory; what it borrows stays. */
void fr_generate_row_fini(fr_generate_row *row);

/** Where the time of passes went. */
typedef struct fr_generate_times {
    int64_t prompt_tokens;
    int64_t
        decoded_tokens; /* all but each row's first, which its prompt's pass gives */
    double prompt_seconds;
    double decode_seconds;
} fr_generate_times;

/** Which ids are not part of answers. Borrowed. */
typedef struct fr_generate_ids {
    const uint8_t *never_V; /* not 0: never chosen; NULL: all may be */
    const int32_t *stop;    /* [n_stop] ids that end a text */
    int64_t n_stop;
} fr_generate_ids;

/* ---- rows that come and go ------------------------------------------------------------------------ */

typedef struct fr_generation fr_generation;

typedef struct fr_generation_params {
    int64_t places; /* rows at a time, >= 1 */
    int64_t
        capacity; /* most tokens of a row, prompt and answer: each place has as many */
    int64_t cache_bytes; /* fewer places if their keys and values need more, but one */
    fr_generate_ids ids;
    /* of prompts, most tokens in a pass, in turn with passes of answers under way; 0: prompts go first. A row's tokens do not
     * depend on it */
    int64_t prompt_tokens;
    fr_generate_times *times; /* added to; NULL: not wanted */
} fr_generation_params;

/** Collective over the pipeline. The caller keeps what the parameters borrow. */
FR_MUST_CHECK fr_status fr_generation_open(fr_generator *generator,
                                           const fr_generation_params *params,
                                           fr_generation **out);
/** Before the generator. Rows that are in it stay as they are. */
void fr_generation_close(fr_generation **generation);

/** Rows at a time that there is memory for, the same on every rank. */
int64_t fr_generation_places(const fr_generation *generation);
/** Places without a row. */
int64_t fr_generation_free(const fr_generation *generation);

/** Whether a row can be answered: its ids are in the vocabulary, and one token at least fits behind them. FR_ERR_DATA. */
FR_MUST_CHECK fr_status fr_generation_check(const fr_generation *generation,
                                            const fr_generate_row *row);
/** A row that passes the check takes a free place. It stays where it is in memory until it has ended. Every rank calls this
 * alike, with equal prompts and options. */
void fr_generation_enter(fr_generation *generation, fr_generate_row *row);
/** Take a row out (FR_ROW_LEFT); nothing if it has ended. Every rank calls this alike. */
void fr_generation_leave(fr_generation *generation, fr_generate_row *row);

/**
 * One pass: tokens of prompts, or the next token of all rows whose prompts are done. Nothing without rows. Collective; all
 * ranks get the same tokens.
 * @return FR_OK (a row whose logits are not finite ends alone); FR_ERR_COMM; FR_ERR_NO_MEMORY ... end everything: a rank that
 *         fails alone abandons the others (fr_group_abandon)
 */
FR_MUST_CHECK fr_status fr_generation_pass(fr_generation *generation);
/** The rows that got a token or ended in the last pass, in the order in which they entered; valid until the next pass. */
fr_generate_row *const *fr_generation_grown(const fr_generation *generation,
                                            int64_t *n);

/* ---- a list of rows ------------------------------------------------------------------------------- */

typedef struct fr_generate_params {
    fr_generate_ids ids;
    int64_t first;       /* rows before this one are left alone: they are done */
    int64_t batch;       /* most rows at a time, >= 1 */
    int64_t cache_bytes; /* as in fr_generation_params */
    /** Called on every rank, in the same order, when rows[index] has a new token or has ended. With *leave set, on every
     * rank alike, the row ends here. NULL: not. */
    fr_status (*grown)(void *user, int64_t index, bool *leave);
    void *user;
    fr_generate_times *times;
} fr_generate_params;

/**
 * Collective over the pipeline; prompts and results are the same on every rank.
 * @return FR_OK; FR_ERR_DATA (fr_generation_check of any row, before anything is computed); FR_ERR_NUMERIC naming the row whose
 *         logits are not finite; what `grown` returned on any rank; as fr_generation_pass
 */
FR_MUST_CHECK fr_status fr_generate(fr_generator *generator, fr_generate_row *rows,
                                    int64_t n_rows, const fr_generate_params *params);

#endif
