/* What a stage keeps and which rows it leaves out change memory and time, not a bit. */
#include "base/mem.h"
#include "support/suite.h"
#include "support/tiny_model.h"

#include <stdlib.h>

enum { LENGTH = 3, N_IDS = 12 };

static const int32_t IDS[N_IDS] = {5, 17, 99, 3, 64, 21, 7, 120, 33, 2, 90, 11};
static const uint8_t ALL[N_IDS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const char *const MODELS[] = {"golden/tiny_llama", "golden/tiny_gpt2"};

/* A dialogue's source that predicts two of its own tokens, and two targets that share its last row: 7 of the 10 rows
 * are read. */
static void add_dialogue(fr_batch *batch)
{
    static const uint8_t SOME[] = {0, 0, 1, 1, 0};
    static const uint8_t FEW[] = {1, 0, 1};
    fr_sequence source = {IDS, SOME, 5};
    fr_sequence targets[] = {{IDS + 5, FEW, 3}, {IDS + 8, ALL, 4}};
    FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), batch, LENGTH, &source, targets, 2));
}

/* Rows that nobody predicts with are read as well: what the last layer leaves out is then computed. */
static void read_all_rows(fr_batch *batch)
{
    for (int32_t row = 0; row < batch->n_tokens; row++) {
        bool is_read = false;
        for (int64_t s = 0; s < batch->n_read; s++) {
            is_read = is_read || batch->read_rows_S[s] == row;
        }
        if (!is_read) { /* there is room for a prediction of every token */
            batch->read_rows_S[batch->n_read++] = row;
        }
    }
}

/* Loss, then the gradient, of a dialogue and a plain row; the caller frees. */
static double *results_of(size_t model, fr_dtype dtype, fr_recompute mode, bool all)
{
    fr_tiny tiny;
    double *results = NULL;
    fr_sequence source = {IDS + 2, NULL, 4};
    fr_sequence target = {IDS, ALL, 5};
    fr_tiny_open_lean(fr_test_data(MODELS[model]), dtype, mode, &tiny);
    fr_tiny_prefix p = fr_tiny_random_prefix(&tiny, LENGTH, (fr_layer_range){0, 0});
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p.n + 1, sizeof *results, &results));
    add_dialogue(&tiny.batch);
    FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &tiny.batch, LENGTH, &source, &target, 1));
    CU_ASSERT_EQUAL(tiny.batch.n_tokens, 10 + 8);
    CU_ASSERT_EQUAL(tiny.batch.n_read, 7 + 5);
    if (all) {
        read_all_rows(&tiny.batch);
        CU_ASSERT_EQUAL(tiny.batch.n_read, tiny.batch.n_tokens);
    }
    results[0] = fr_tiny_loss(&tiny, &p.view, results + 1);
    fr_tiny_prefix_close(&p);
    fr_tiny_close(&tiny);
    return results;
}

static void check_same_results(bool all, fr_recompute mode)
{
    for (size_t i = 0; i < 4; i++) {
        fr_tiny tiny;
        fr_dtype dtype = i / 2 == 0 ? FR_F32 : FR_BF16;
        fr_tiny_open(fr_test_data(MODELS[i % 2]), dtype, 64, &tiny);
        int64_t n = tiny.arch->n_layers * fr_arch_prefix_elements(tiny.arch, LENGTH);
        fr_tiny_close(&tiny);
        double *wanted = results_of(i % 2, dtype, FR_RECOMPUTE_NONE, false);
        double *got = results_of(i % 2, dtype, mode, all);
        fr_assert_same_bytes("loss and gradient", got, wanted,
                             (size_t)(2 * n + 1) * sizeof *got);
        free(wanted);
        free(got);
    }
}

static void recomputing_does_not_change_a_bit(void)
{
    check_same_results(false, FR_RECOMPUTE_MLP);
    check_same_results(false, FR_RECOMPUTE_LAYER);
}

static void rows_that_are_not_read_do_not_change_a_bit(void)
{
    check_same_results(true, FR_RECOMPUTE_NONE);
    check_same_results(true, FR_RECOMPUTE_LAYER);
}

static const fr_case CASES[] = {
    FR_CASE(recomputing_does_not_change_a_bit),
    FR_CASE(rows_that_are_not_read_do_not_change_a_bit),
};

int main(int argc, char **argv)
{
    return fr_suite_main("stage_modes", CASES, FR_N_CASES(CASES), argc, argv);
}
