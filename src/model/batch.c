#include "model/batch.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int64_t fr_sequence_predictions(const fr_sequence *sequence, bool has_predecessor)
{
    int64_t counted = 0;
    for (int64_t i = has_predecessor ? 0 : 1; i < sequence->count; i++) {
        counted += sequence->counted[i] != 0;
    }
    return counted;
}

void fr_batch_clear(fr_batch *batch)
{
    batch->n_tokens = 0;
    batch->n_segments = 0;
    batch->n_units = 0;
    batch->n_targets = 0;
    batch->is_decode = false;
}

void fr_batch_fini(fr_batch *batch)
{
    free(batch->ids_T);
    free(batch->positions_T);
    free(batch->segments);
    free(batch->target_rows_R);
    free(batch->target_ids_R);
    *batch = (fr_batch){0};
}

static int64_t target_rows(const fr_sequence *target)
{
    return target->count > 0 ? target->count - 1 : 0;
}

int64_t fr_unit_rows(const fr_sequence *source, const fr_sequence *targets,
                     int64_t n_targets)
{
    int64_t rows = source->count;
    for (int64_t t = 0; t < n_targets; t++) {
        rows += target_rows(&targets[t]);
    }
    return rows;
}

/* Make *array hold `needed` elements of `size`, keeping the first `used`. */
static fr_status grow(fr_ctx *ctx, void *array, size_t size, int64_t used,
                      int64_t needed)
{
    void *old = NULL;
    void *fresh = NULL;
    memcpy(&old, array, sizeof old);
    FR_TRY(fr_alloc(ctx, needed, size, &fresh));
    if (used > 0) {
        memcpy(fresh, old, (size_t)used * size);
    }
    free(old);
    memcpy(array, &fresh, sizeof fresh);
    return FR_OK;
}

static fr_status reserve_tokens(fr_ctx *ctx, fr_batch *b, int64_t extra)
{
    int64_t needed = b->n_tokens + extra;
    if (needed <= b->token_room) {
        return FR_OK;
    }
    needed += needed / 2;
    FR_TRY(grow(ctx, &b->ids_T, sizeof *b->ids_T, b->n_tokens, needed));
    FR_TRY(grow(ctx, &b->positions_T, sizeof *b->positions_T, b->n_tokens, needed));
    b->token_room = needed;
    return FR_OK;
}

static fr_status reserve_targets(fr_ctx *ctx, fr_batch *b, int64_t extra)
{
    int64_t needed = b->n_targets + extra;
    if (needed <= b->target_room) {
        return FR_OK;
    }
    needed += needed / 2;
    FR_TRY(
        grow(ctx, &b->target_rows_R, sizeof *b->target_rows_R, b->n_targets, needed));
    FR_TRY(grow(ctx, &b->target_ids_R, sizeof *b->target_ids_R, b->n_targets, needed));
    b->target_room = needed;
    return FR_OK;
}

static fr_status reserve_segments(fr_ctx *ctx, fr_batch *b, int64_t extra)
{
    int64_t needed = b->n_segments + extra;
    if (needed <= b->segment_room) {
        return FR_OK;
    }
    needed += needed / 2;
    FR_TRY(grow(ctx, &b->segments, sizeof *b->segments, b->n_segments, needed));
    b->segment_room = needed;
    return FR_OK;
}

/* Append `count` rows as one segment of the unit under construction. */
static fr_segment *add_rows(fr_batch *b, const int32_t *ids, int64_t count,
                            int64_t position)
{
    fr_segment *segment = &b->segments[b->n_segments++];
    *segment = (fr_segment){.q_first = b->n_tokens,
                            .q_count = count,
                            .own_first = b->n_tokens,
                            .unit = b->n_units,
                            .sees_prefix = true};
    for (int64_t i = 0; i < count; i++) {
        b->ids_T[b->n_tokens + i] = ids[i];
        b->positions_T[b->n_tokens + i] = (int32_t)(position + i);
    }
    b->n_tokens += count;
    return segment;
}

/* Token i of a sequence is predicted by row `first_row` + i - 1; token 0 by `row_before`, if any. */
static void add_predictions(fr_batch *b, const fr_sequence *sequence, int64_t first_row,
                            int64_t row_before)
{
    for (int64_t i = 0; sequence->counted != NULL && i < sequence->count; i++) {
        int64_t row = i == 0 ? row_before : first_row + i - 1;
        if (sequence->counted[i] != 0 && row >= 0) {
            b->target_rows_R[b->n_targets] = (int32_t)row;
            b->target_ids_R[b->n_targets] = sequence->ids[i];
            b->n_targets++;
        }
    }
}

static int64_t predictions_at_most(const fr_sequence *source,
                                   const fr_sequence *targets, int64_t n_targets)
{
    int64_t count = source->count;
    for (int64_t t = 0; t < n_targets; t++) {
        count += targets[t].count;
    }
    return count;
}

fr_status fr_batch_add(fr_ctx *ctx, fr_batch *batch, int64_t first_position,
                       const fr_sequence *source, const fr_sequence *targets,
                       int64_t n_targets)
{
    FR_TRY(reserve_tokens(ctx, batch, fr_unit_rows(source, targets, n_targets)));
    FR_TRY(reserve_segments(ctx, batch, n_targets + 1));
    FR_TRY(
        reserve_targets(ctx, batch, predictions_at_most(source, targets, n_targets)));
    fr_span source_span = {batch->n_tokens, source->count};
    int64_t last_source_row =
        source->count > 0 ? batch->n_tokens + source->count - 1 : -1;
    if (source->count > 0) {
        add_predictions(batch, source, batch->n_tokens, -1);
        add_rows(batch, source->ids, source->count, first_position);
    }
    for (int64_t t = 0; t < n_targets; t++) {
        add_predictions(batch, &targets[t], batch->n_tokens, last_source_row);
        fr_segment *segment = add_rows(batch, targets[t].ids, target_rows(&targets[t]),
                                       first_position + source->count);
        if (source->count > 0) {
            segment->spans[segment->n_spans++] = source_span;
        }
    }
    batch->n_units++;
    return FR_OK;
}

fr_status fr_batch_add_cached(fr_ctx *ctx, fr_batch *batch,
                              const fr_cached_sequence *sequence, const int32_t *ids,
                              int64_t n)
{
    int64_t past = sequence->past;
    FR_TRY(reserve_tokens(ctx, batch, n));
    FR_TRY(reserve_segments(ctx, batch, 1));
    FR_TRY(reserve_targets(ctx, batch, 1));
    fr_segment *segment = add_rows(batch, ids, n, sequence->prefix_length + past);
    segment->own_first = sequence->first + past;
    if (past > 0) {
        segment->spans[segment->n_spans++] = (fr_span){sequence->first, past};
    }
    batch->target_rows_R[batch->n_targets] = (int32_t)(batch->n_tokens - 1);
    batch->target_ids_R[batch->n_targets++] = -1;
    batch->is_decode = past > 0;
    batch->n_units++;
    return FR_OK;
}
