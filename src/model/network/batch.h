/*
 * batch.h - a packed microbatch: the tokens of some units side by side, without padding.
 *
 * A unit is one source with those of its targets that are in the step, or some
 * such sources that begin with the same tokens. What is common is computed once; a source sees the common beginning
 * as a span, a target sees that and the rest of its source. A target's last token is predicted but never read, so it
 * takes no row. Positions start at `first_position` (the prefix length) in each unit.
 */
#ifndef FR_MODEL_NETWORK_BATCH_H
#define FR_MODEL_NETWORK_BATCH_H

#include "device/attention.h"

/** Tokens and which of them are predicted in the loss (NULL: none). Borrowed. */
typedef struct fr_sequence {
    const int32_t *ids;
    const uint8_t *counted;
    int64_t count;
} fr_sequence;

/** Predictions in the loss: counted tokens, without the first unless something stands before it. */
int64_t fr_sequence_predictions(const fr_sequence *sequence, bool has_predecessor);

/** A source and the targets that follow it. Borrowed. */
typedef struct fr_branch {
    fr_sequence source;
    const fr_sequence *targets;
    int64_t n_targets;
} fr_branch;

typedef struct fr_batch {
    int64_t n_tokens; /* T: rows of the packed buffer */
    int64_t n_segments;
    int64_t n_units;   /* U */
    int64_t n_targets; /* R: predictions in the loss */
    bool
        is_decode; /* the caller's to set: every segment is the next token of an answer */
    int32_t *ids_T;
    int32_t *positions_T;
    fr_segment *segments;
    int64_t n_read; /* S: rows whose hidden states are read, each once */
    int32_t *read_rows_S;
    int32_t *target_reads_R; /* which of them predicts ... */
    int32_t *target_ids_R;   /* ... this token */
    int64_t token_capacity;
    int64_t segment_capacity;
    int64_t target_capacity;
} fr_batch;

/** Empty a batch for reuse; keeps its memory. A zeroed struct is an empty batch. */
void fr_batch_clear(fr_batch *batch);
void fr_batch_fini(fr_batch *batch);

/**
 * Check what a batch brings to a stage, before its memory is indexed by it: token ids (of targets too, where -1 is
 * one not known) within the vocabulary, positions within 0 .. max_position - 1.
 * @return FR_OK; FR_ERR_DATA
 */
FR_MUST_CHECK fr_status fr_batch_check(fr_ctx *ctx, const fr_batch *batch,
                                       int64_t vocab_size, int64_t max_position);

/** Rows that a unit takes: its source, and each target less its last token. */
int64_t fr_unit_rows(const fr_sequence *source, const fr_sequence *targets,
                     int64_t n_targets);

/**
 * Append a unit. Its predictions come branch by branch, target by target: those in the source, once for each target
 * (so that each weighs what it does in a unit of its own), then those in the target.
 * @param first_position  position of the unit's first token: the prefix length
 * @param n_shared        leading tokens that all sources have in common: fewer than the shortest has, none of them
 *                        counted; 0 with one branch
 * @return FR_OK; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_batch_add_branches(fr_ctx *ctx, fr_batch *batch,
                                              int64_t first_position, int64_t n_shared,
                                              const fr_branch *branches,
                                              int64_t n_branches);

/** The same with one source. */
FR_MUST_CHECK fr_status fr_batch_add(fr_ctx *ctx, fr_batch *batch,
                                     int64_t first_position, const fr_sequence *source,
                                     const fr_sequence *targets, int64_t n_targets);

/** A sequence in generation: rows [first, first + past) of a cache hold its tokens so far. */
typedef struct fr_cached_sequence {
    int64_t first;
    int64_t past;
    int64_t prefix_length;
} fr_cached_sequence;

/**
 * Append n >= 1 new tokens of a cached sequence as a unit; the last one's row predicts (a target without a known id).
 * A batch holds either pieces of prompts or next tokens of answers (is_decode). Several pieces of one sequence may be in it.
 * @return FR_OK; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_batch_add_cached(fr_ctx *ctx, fr_batch *batch,
                                            const fr_cached_sequence *sequence,
                                            const int32_t *ids, int64_t n);

#endif
