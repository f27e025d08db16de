/*
 * Packs units into one batch. A unit becomes segments: one for the beginning that its sources share (if any), one for the
 * rest of each source, one for each target. A segment's rows see the prefix, the segments before them that they continue
 * (at most two: the shared beginning and the rest of the source), and their own rows up to themselves.
 *
 * Token i of a sequence is predicted by the row of token i - 1; a target's first token by its source's last row, which all
 * targets of that source have in common. So a row can predict several tokens: read_rows_S holds each such row once, and
 * target_reads_R says for each prediction which of them it uses. Predictions keep the order of the single units (branch by
 * branch, target by target), which fixes the order in which losses are added.
 */
#include "model/network/batch.h"

#include "base/mem.h"
#include "model/text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

/* The first token has no row before it unless something precedes the sequence, so nothing predicts it. */
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
    batch->n_read = 0;
    batch->is_decode = false;
}

void fr_batch_fini(fr_batch *batch)
{
    free(batch->ids_T);
    free(batch->positions_T);
    free(batch->segments);
    free(batch->read_rows_S);
    free(batch->target_reads_R);
    free(batch->target_ids_R);
    *batch = (fr_batch){0};
}

fr_status fr_batch_check(fr_ctx *ctx, const fr_batch *batch, int64_t vocab_size,
                         int64_t max_position)
{
    static const fr_place TOKENS = {"a token of a batch", 0};
    static const fr_place TARGETS = {"a target of a batch", 0};
    FR_TRY(fr_vocabulary_check(ctx, TOKENS, batch->ids_T, batch->n_tokens, vocab_size));
    for (int64_t t = 0; t < batch->n_tokens; t++) {
        int32_t position = batch->positions_T[t];
        if (position < 0 || position >= max_position) {
            return FR_FAIL(ctx, FR_ERR_DATA,
                           "a token of a batch stands at position %d; the stage was "
                           "made for 0 to %lld",
                           (int)position, (long long)max_position - 1);
        }
    }
    for (int64_t r = 0; r < batch->n_targets; r++) {
        int32_t id = batch->target_ids_R[r];
        /* -1: in generation the token is still to be chosen */
        if (id != -1) {
            FR_TRY(fr_vocabulary_check_id(ctx, TARGETS, id, vocab_size));
        }
    }
    return FR_OK;
}

/* A target's last token is predicted but nothing follows it, so it needs no row. */
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

/* Make *array hold `needed` elements of `size`, keeping the first `used`. It serves pointers of any type, hence memcpy for
 * the pointer itself. On failure the old array stays. */
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

/* An array of a batch; several share one capacity. */
typedef struct column {
    void *array; /* address of its pointer */
    size_t item_bytes;
    int64_t used;
} column;

/* Half as much again as is needed, so that appending unit after unit copies each item a few times at most. */
static fr_status reserve_columns(fr_ctx *ctx, const column *columns, int n_columns,
                                 int64_t needed, int64_t *capacity)
{
    if (needed <= *capacity) {
        return FR_OK;
    }
    needed += needed / 2;
    for (int i = 0; i < n_columns; i++) {
        FR_TRY(grow(ctx, columns[i].array, columns[i].item_bytes, columns[i].used,
                    needed));
    }
    *capacity = needed;
    return FR_OK;
}

/* Room for so many more of each. read_rows_S shares the targets' capacity: each prediction reads one row at most. */
static fr_status reserve(fr_ctx *ctx, fr_batch *b, int64_t tokens, int64_t segments,
                         int64_t targets)
{
    const column of_tokens[] = {{&b->ids_T, sizeof *b->ids_T, b->n_tokens},
                                {&b->positions_T, sizeof *b->positions_T, b->n_tokens}};
    const column of_segments[] = {{&b->segments, sizeof *b->segments, b->n_segments}};
    const column of_targets[] = {
        {&b->read_rows_S, sizeof *b->read_rows_S, b->n_read},
        {&b->target_reads_R, sizeof *b->target_reads_R, b->n_targets},
        {&b->target_ids_R, sizeof *b->target_ids_R, b->n_targets}};
    FR_TRY(
        reserve_columns(ctx, of_tokens, 2, b->n_tokens + tokens, &b->token_capacity));
    FR_TRY(reserve_columns(ctx, of_segments, 1, b->n_segments + segments,
                           &b->segment_capacity));
    return reserve_columns(ctx, of_targets, 3, b->n_targets + targets,
                           &b->target_capacity);
}

static bool is_empty(fr_span span)
{
    return span.count == 0;
}

/* Append rows as one segment of the unit under construction, which sees those of the two spans that are not empty. */
static void add_rows(fr_batch *b, fr_sequence tokens, int64_t position, fr_span shared,
                     fr_span source)
{
    fr_segment *segment = &b->segments[b->n_segments++];
    *segment = (fr_segment){.q_first = b->n_tokens,
                            .q_count = tokens.count,
                            .own_first = b->n_tokens,
                            .position = position,
                            .unit = b->n_units,
                            .sees_prefix = true};
    if (!is_empty(shared)) {
        segment->spans[segment->n_spans++] = shared;
    }
    if (!is_empty(source)) {
        segment->spans[segment->n_spans++] = source;
    }
    for (int64_t i = 0; i < tokens.count; i++) {
        b->ids_T[b->n_tokens + i] = tokens.ids[i];
        b->positions_T[b->n_tokens + i] = (int32_t)(position + i);
    }
    b->n_tokens += tokens.count;
}

/* A row that several sequences follow. */
typedef struct common_row {
    int64_t row;  /* -1: none */
    int64_t read; /* its place in read_rows_S; -1: not there yet */
} common_row;

static int64_t read_row(fr_batch *b, int64_t row)
{
    b->read_rows_S[b->n_read] = (int32_t)row;
    return b->n_read++;
}

/*
 * Token i of a sequence is predicted by row `first_row` + i - 1; token 0 by the common row, if any.
 * `again`: where in read_rows_S those rows begin if the sequence was added before; -1: it was not.
 * Returns that place.
 */
static int64_t add_predictions(fr_batch *b, const fr_sequence *sequence,
                               int64_t first_row, common_row *before, int64_t again)
{
    int64_t first_read = again;
    for (int64_t i = 0; sequence->counted != NULL && i < sequence->count; i++) {
        int64_t read = 0;
        if (sequence->counted[i] == 0 || (i == 0 && before->row < 0)) {
            continue;
        }
        if (i == 0) {
            before->read = before->read < 0 ? read_row(b, before->row) : before->read;
            read = before->read;
        } else if (again >= 0) {
            read = again++;
        } else {
            read = read_row(b, first_row + i - 1);
            first_read = first_read < 0 ? read : first_read;
        }
        b->target_reads_R[b->n_targets] = (int32_t)read;
        b->target_ids_R[b->n_targets] = sequence->ids[i];
        b->n_targets++;
    }
    return first_read;
}

/* The sequence less its first n tokens. */
static fr_sequence rest_of(fr_sequence s, int64_t n)
{
    if (n > 0) {
        s.ids += n;
        s.counted = s.counted != NULL ? s.counted + n : NULL;
        s.count -= n;
    }
    return s;
}

/* The rest of a source, then its targets. The predictions in the source are repeated before each target's own, as the
 * units would have them one by one; their rows are read once (`reads`). `last_shared` is common to all branches. */
static void add_branch(fr_batch *b, int64_t position, fr_span shared,
                       common_row *last_shared, const fr_branch *branch)
{
    static const fr_span NONE = {0, 0, 0};
    fr_sequence rest = rest_of(branch->source, shared.count);
    fr_span rest_span = {b->n_tokens, rest.count, position + shared.count};
    common_row last = {rest.count > 0 ? b->n_tokens + rest.count - 1 : -1, -1};
    int64_t reads = -1;
    if (!is_empty(rest_span)) {
        add_rows(b, rest, position + shared.count, shared, NONE);
    }
    for (int64_t t = 0; t < branch->n_targets; t++) {
        const fr_sequence *target = &branch->targets[t];
        /* the rows that are computed: without the last token */
        fr_sequence read = {target->ids, NULL, target_rows(target)};
        reads = add_predictions(b, &rest, rest_span.first, last_shared, reads);
        /* before add_rows, which moves n_tokens: the target's rows begin at b->n_tokens */
        (void)add_predictions(b, target, b->n_tokens, &last, -1);
        add_rows(b, read, position + branch->source.count, shared, rest_span);
    }
}

/* Room for a unit; more than it takes where tokens are shared. */
static fr_status reserve_unit(fr_ctx *ctx, fr_batch *batch, const fr_branch *branches,
                              int64_t n_branches)
{
    int64_t rows = 0;
    int64_t segments = 1;
    int64_t predictions = 0;
    for (int64_t i = 0; i < n_branches; i++) {
        const fr_branch *b = &branches[i];
        rows += fr_unit_rows(&b->source, b->targets, b->n_targets);
        segments += 1 + b->n_targets;
        for (int64_t t = 0; t < b->n_targets; t++) {
            predictions += b->source.count + b->targets[t].count;
        }
    }
    return reserve(ctx, batch, rows, segments, predictions);
}

fr_status fr_batch_add_branches(fr_ctx *ctx, fr_batch *batch, int64_t first_position,
                                int64_t n_shared, const fr_branch *branches,
                                int64_t n_branches)
{
    static const fr_span NONE = {0, 0, 0};
    fr_span shared = {batch->n_tokens, n_shared, first_position};
    common_row last = {n_shared > 0 ? batch->n_tokens + n_shared - 1 : -1, -1};
    FR_TRY(reserve_unit(ctx, batch, branches, n_branches));
    if (n_shared > 0) {
        fr_sequence tokens = {branches[0].source.ids, NULL, n_shared};
        add_rows(batch, tokens, first_position, NONE, NONE);
    }
    for (int64_t i = 0; i < n_branches; i++) {
        add_branch(batch, first_position, shared, &last, &branches[i]);
    }
    batch->n_units++;
    return FR_OK;
}

fr_status fr_batch_add(fr_ctx *ctx, fr_batch *batch, int64_t first_position,
                       const fr_sequence *source, const fr_sequence *targets,
                       int64_t n_targets)
{
    fr_branch branch = {*source, targets, n_targets};
    return fr_batch_add_branches(ctx, batch, first_position, 0, &branch, 1);
}

fr_status fr_batch_add_cached(fr_ctx *ctx, fr_batch *batch,
                              const fr_cached_sequence *sequence, const int32_t *ids,
                              int64_t n)
{
    static const fr_span NONE = {0, 0, 0};
    int64_t past = sequence->past;
    fr_sequence tokens = {ids, NULL, n};
    FR_TRY(reserve(ctx, batch, n, 1, 1));
    add_rows(batch, tokens, sequence->prefix_length + past, NONE,
             (fr_span){sequence->first, past, sequence->prefix_length});
    /* rows of the cache, not of the batch: attention reads keys and values there */
    batch->segments[batch->n_segments - 1].own_first = sequence->first + past;
    batch->target_reads_R[batch->n_targets] =
        (int32_t)read_row(batch, batch->n_tokens - 1);
    batch->target_ids_R[batch->n_targets++] = -1;
    batch->n_units++;
    return FR_OK;
}
