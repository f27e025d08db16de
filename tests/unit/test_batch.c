#include "model/network/batch.h"
#include "support/suite.h"

static fr_batch make_batch(int64_t position)
{
    static const int32_t SOURCE[] = {10, 11, 12};
    static const int32_t FIRST[] = {20, 21};
    static const int32_t SECOND[] = {30, 31, 32};
    static const uint8_t COUNTED[] = {1, 1, 1};
    fr_batch batch = {0};
    fr_sequence source = {SOURCE, NULL, 3};
    fr_sequence targets[] = {{FIRST, COUNTED, 2}, {SECOND, COUNTED, 3}};
    FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &batch, position, &source, targets, 2));
    return batch;
}

/* Attention's positions are those of the rows: of a segment's first one, and of the rows that its spans name. */
static void check_positions(const fr_batch *batch)
{
    for (int64_t i = 0; i < batch->n_segments; i++) {
        const fr_segment *segment = &batch->segments[i];
        if (segment->q_count > 0) {
            CU_ASSERT_EQUAL(segment->position, batch->positions_T[segment->q_first]);
        }
        for (int s = 0; s < segment->n_spans; s++) {
            CU_ASSERT_EQUAL(segment->spans[s].position,
                            batch->positions_T[segment->spans[s].first]);
        }
    }
}

static void a_shared_source_takes_its_rows_once(void)
{
    fr_batch batch = make_batch(4);
    CU_ASSERT_EQUAL(batch.n_tokens, 3 + 1 + 2);
    CU_ASSERT_EQUAL(batch.n_segments, 3);
    CU_ASSERT_EQUAL(batch.n_units, 1);
    CU_ASSERT_EQUAL(batch.segments[1].n_spans, 1);
    CU_ASSERT_EQUAL(batch.segments[1].spans[0].first, 0);
    CU_ASSERT_EQUAL(batch.segments[1].spans[0].count, 3);
    CU_ASSERT_EQUAL(batch.segments[2].q_first, 4);
    fr_batch_fini(&batch);
}

static void every_target_starts_at_the_position_after_the_source(void)
{
    static const int32_t POSITIONS[] = {4, 5, 6, 7, 7, 8};
    fr_batch batch = make_batch(4);
    fr_assert_same_bytes("positions", batch.positions_T, POSITIONS, sizeof POSITIONS);
    check_positions(&batch);
    CU_ASSERT_EQUAL(batch.segments[2].spans[0].position, 4);
    fr_batch_fini(&batch);
}

/* Rows of a cache are not rows of the batch, so their positions follow from the prefix alone. */
static void cached_rows_stand_behind_the_prefix(void)
{
    static const int32_t IDS[] = {7, 8};
    fr_batch batch = {0};
    fr_cached_sequence sequence = {.first = 40, .past = 9, .prefix_length = 5};
    FR_ASSERT_OK(fr_batch_add_cached(fr_test_ctx(), &batch, &sequence, IDS, 2));
    CU_ASSERT_EQUAL(batch.segments[0].position, 5 + 9);
    CU_ASSERT_EQUAL(batch.segments[0].spans[0].first, 40);
    CU_ASSERT_EQUAL(batch.segments[0].spans[0].position, 5);
    CU_ASSERT_EQUAL(batch.positions_T[1], 15);
    fr_batch_fini(&batch);
}

static void the_last_source_row_predicts_the_first_token_of_each_target(void)
{
    static const int32_t ROWS[] = {2, 3, 4, 5};
    static const int32_t READS[] = {0, 1, 0, 2, 3};
    static const int32_t IDS[] = {20, 21, 30, 31, 32};
    fr_batch batch = make_batch(0);
    CU_ASSERT_EQUAL_FATAL(batch.n_targets, 5);
    CU_ASSERT_EQUAL_FATAL(batch.n_read, 4);
    fr_assert_same_bytes("rows", batch.read_rows_S, ROWS, sizeof ROWS);
    fr_assert_same_bytes("reads", batch.target_reads_R, READS, sizeof READS);
    fr_assert_same_bytes("ids", batch.target_ids_R, IDS, sizeof IDS);
    fr_batch_fini(&batch);
}

static void what_would_index_past_a_table_is_refused(void)
{
    fr_batch batch = make_batch(4);
    FR_ASSERT_OK(fr_batch_check(fr_test_ctx(), &batch, 33, 9));
    FR_ASSERT_FAILS(fr_batch_check(fr_test_ctx(), &batch, 32, 9), FR_ERR_DATA,
                    "a target of a batch: the id 32 is outside the model's vocabulary, "
                    "0 to 31");
    FR_ASSERT_FAILS(fr_batch_check(fr_test_ctx(), &batch, 30, 9), FR_ERR_DATA,
                    "a token of a batch: the id 30 is outside");
    FR_ASSERT_FAILS(fr_batch_check(fr_test_ctx(), &batch, 33, 8), FR_ERR_DATA,
                    "stands at position 8; the stage was made for 0 to 7");
    batch.ids_T[5] = -1;
    FR_ASSERT_FAILS(fr_batch_check(fr_test_ctx(), &batch, 33, 9), FR_ERR_DATA,
                    "the id -1 is outside");
    batch.ids_T[5] = 1;
    batch.target_ids_R[0] = -1; /* one that is not known: generation */
    FR_ASSERT_OK(fr_batch_check(fr_test_ctx(), &batch, 33, 9));
    batch.target_ids_R[0] = -2;
    FR_ASSERT_FAILS(fr_batch_check(fr_test_ctx(), &batch, 33, 9), FR_ERR_DATA,
                    "the id -2 is outside");
    fr_batch_fini(&batch);
}

/* Whichever target is the first to count its first token. */
static void the_last_source_row_is_read_once(void)
{
    static const int32_t IDS[] = {7, 8};
    static const uint8_t COUNTED[][2] = {{0, 1}, {1, 1}, {1, 0}};
    static const int32_t ROWS[] = {2, 1, 3, 5, 6};
    static const int32_t READS[] = {0, 1, 2, 1, 3, 4, 3};
    fr_batch batch = {0};
    fr_sequence source = {IDS, NULL, 2};
    fr_sequence targets[3];
    for (int t = 0; t < 3; t++) {
        targets[t] = (fr_sequence){IDS, COUNTED[t], 2};
    }
    FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &batch, 0, &source, targets, 3));
    source.count = 1;
    FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &batch, 0, &source, targets + 1, 2));
    CU_ASSERT_EQUAL_FATAL(batch.n_read, 5);
    CU_ASSERT_EQUAL_FATAL(batch.n_targets, 7);
    fr_assert_same_bytes("rows", batch.read_rows_S, ROWS, sizeof ROWS);
    fr_assert_same_bytes("reads", batch.target_reads_R, READS, sizeof READS);
    fr_batch_fini(&batch);
}

static void without_a_source_the_first_token_is_not_counted(void)
{
    static const int32_t IDS[] = {7, 8, 9};
    static const uint8_t COUNTED[] = {1, 1, 1};
    fr_batch batch = {0};
    fr_sequence source = {NULL, NULL, 0};
    fr_sequence target = {IDS, COUNTED, 3};
    FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &batch, 0, &source, &target, 1));
    CU_ASSERT_EQUAL(batch.n_tokens, 2);
    CU_ASSERT_EQUAL(batch.n_segments, 1);
    CU_ASSERT_EQUAL(batch.n_targets, 2);
    CU_ASSERT_EQUAL(batch.target_ids_R[0], 8);
    CU_ASSERT_EQUAL(fr_sequence_predictions(&target, false), 2);
    CU_ASSERT_EQUAL(fr_sequence_predictions(&target, true), 3);
    fr_batch_fini(&batch);
}

static void counted_source_tokens_are_predicted_inside_the_source(void)
{
    static const int32_t IDS[] = {1, 2, 3, 4};
    static const uint8_t COUNTED[] = {1, 0, 1, 0};
    static const int32_t TARGET[] = {5};
    static const uint8_t ONE[] = {1};
    fr_batch batch = {0};
    fr_sequence source = {IDS, COUNTED, 4};
    fr_sequence target = {TARGET, ONE, 1};
    FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &batch, 0, &source, &target, 1));
    CU_ASSERT_EQUAL_FATAL(batch.n_targets, 2);
    CU_ASSERT_EQUAL_FATAL(batch.n_read, 2);
    CU_ASSERT_EQUAL(batch.read_rows_S[batch.target_reads_R[0]], 1);
    CU_ASSERT_EQUAL(batch.target_ids_R[0], 3);
    CU_ASSERT_EQUAL(batch.read_rows_S[batch.target_reads_R[1]], 3);
    CU_ASSERT_EQUAL(batch.target_ids_R[1], 5);
    fr_batch_fini(&batch);
}

/* Each target is predicted by its row, and no row is read twice. */
static void check_rows(const fr_batch *batch, const int32_t *rows)
{
    for (int64_t r = 0; r < batch->n_targets; r++) {
        CU_ASSERT_EQUAL(batch->read_rows_S[batch->target_reads_R[r]], rows[r]);
    }
    for (int64_t a = 0; a < batch->n_read; a++) {
        for (int64_t b = 0; b < a; b++) {
            CU_ASSERT_NOT_EQUAL(batch->read_rows_S[a], batch->read_rows_S[b]);
        }
    }
}

/* Sources 1 2 3 and 1 2 4* with two tokens in common; the second has two targets. */
static void a_common_beginning_takes_its_rows_once(void)
{
    static const int32_t FIRST[] = {1, 2, 3};
    static const int32_t SECOND[] = {1, 2, 4};
    static const uint8_t LAST[] = {0, 0, 1};
    static const int32_t TARGET[] = {20, 21};
    static const uint8_t COUNTED[] = {1, 1};
    static const int32_t IDS[] = {1, 2, 3, 20, 4, 20, 20};
    static const int32_t POSITIONS[] = {5, 6, 7, 8, 7, 8, 8};
    static const int32_t ROWS[] = {2, 3, 1, 4, 5, 1, 4, 6};
    static const int32_t PREDICTED[] = {20, 21, 4, 20, 21, 4, 20, 21};
    fr_batch batch = {0};
    fr_sequence targets[] = {{TARGET, COUNTED, 2}, {TARGET, COUNTED, 2}};
    fr_branch branches[] = {{{FIRST, NULL, 3}, targets, 1},
                            {{SECOND, LAST, 3}, targets, 2}};
    FR_ASSERT_OK(fr_batch_add_branches(fr_test_ctx(), &batch, 5, 2, branches, 2));
    CU_ASSERT_EQUAL(batch.n_units, 1);
    CU_ASSERT_EQUAL_FATAL(batch.n_tokens, 7);
    CU_ASSERT_EQUAL_FATAL(batch.n_segments, 6);
    CU_ASSERT_EQUAL_FATAL(batch.n_targets, 8);
    fr_assert_same_bytes("ids", batch.ids_T, IDS, sizeof IDS);
    fr_assert_same_bytes("positions", batch.positions_T, POSITIONS, sizeof POSITIONS);
    check_rows(&batch, ROWS);
    fr_assert_same_bytes("predicted", batch.target_ids_R, PREDICTED, sizeof PREDICTED);
    CU_ASSERT_EQUAL(batch.segments[0].n_spans, 0);
    CU_ASSERT_EQUAL(batch.segments[3].n_spans, 1);
    CU_ASSERT_EQUAL(batch.segments[3].spans[0].count, 2);
    CU_ASSERT_EQUAL(batch.segments[5].n_spans, 2);
    CU_ASSERT_EQUAL(batch.segments[5].spans[0].first, 0);
    CU_ASSERT_EQUAL(batch.segments[5].spans[1].first, 4);
    CU_ASSERT_EQUAL(batch.segments[5].spans[1].count, 1);
    check_positions(&batch);
    CU_ASSERT_EQUAL(batch.segments[5].position, 8);
    CU_ASSERT_EQUAL(batch.segments[5].spans[1].position, 7);
    fr_batch_fini(&batch);
}

/* Or sharing would lower the weight of a dialogue's earlier turns. */
static void a_source_is_predicted_once_for_each_target(void)
{
    static const int32_t IDS[] = {1, 2};
    static const uint8_t COUNTED[] = {0, 1};
    static const int32_t ROWS[] = {0, 1, 0, 1};
    fr_batch batch = {0};
    fr_sequence source = {IDS, COUNTED, 2};
    fr_sequence targets[] = {{IDS + 1, COUNTED + 1, 1}, {IDS + 1, COUNTED + 1, 1}};
    FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &batch, 0, &source, targets, 2));
    CU_ASSERT_EQUAL_FATAL(batch.n_targets, 4);
    check_rows(&batch, ROWS);
    fr_batch_fini(&batch);
}

static void many_units_keep_what_came_before(void)
{
    fr_batch batch = {0};
    int32_t ids[] = {0, 1, 2};
    uint8_t counted[] = {1, 1, 1};
    for (int32_t u = 0; u < 100; u++) {
        ids[0] = u;
        fr_sequence source = {ids, NULL, 1};
        fr_sequence target = {ids, counted, 3};
        FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &batch, 0, &source, &target, 1));
    }
    CU_ASSERT_EQUAL(batch.n_units, 100);
    CU_ASSERT_EQUAL(batch.n_tokens, 300);
    CU_ASSERT_EQUAL(batch.ids_T[3 * 57], 57);
    CU_ASSERT_EQUAL(batch.segments[2 * 99].unit, 99);
    fr_batch_clear(&batch);
    CU_ASSERT_EQUAL(batch.n_tokens, 0);
    fr_batch_fini(&batch);
}

static const fr_case CASES[] = {
    FR_CASE(a_shared_source_takes_its_rows_once),
    FR_CASE(every_target_starts_at_the_position_after_the_source),
    FR_CASE(cached_rows_stand_behind_the_prefix),
    FR_CASE(the_last_source_row_predicts_the_first_token_of_each_target),
    FR_CASE(what_would_index_past_a_table_is_refused),
    FR_CASE(the_last_source_row_is_read_once),
    FR_CASE(without_a_source_the_first_token_is_not_counted),
    FR_CASE(counted_source_tokens_are_predicted_inside_the_source),
    FR_CASE(a_common_beginning_takes_its_rows_once),
    FR_CASE(a_source_is_predicted_once_for_each_target),
    FR_CASE(many_units_keep_what_came_before),
};

int main(int argc, char **argv)
{
    return fr_suite_main("batch", CASES, FR_N_CASES(CASES), argc, argv);
}
