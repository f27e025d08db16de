#include "base/mem.h"
#include "support/checkpoints.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two equal checkpoints of 2 tasks that a case then makes differ. */
static fr_checkpoint *a;
static fr_checkpoint *b;

static void make_pair(void)
{
    a = fr_fixture_checkpoint(2, true, 7);
    b = fr_fixture_checkpoint(2, true, 7);
}

static void drop_pair(void)
{
    fr_checkpoint_destroy(&a);
    fr_checkpoint_destroy(&b);
}

static fr_difference compare(void)
{
    fr_difference difference;
    FR_ASSERT_OK(fr_checkpoint_compare(fr_test_ctx(), a, b, &difference));
    return difference;
}

static void assert_different(double largest, const char *place)
{
    fr_difference d = compare();
    CU_ASSERT_FALSE(d.identical);
    CU_ASSERT_EQUAL(d.largest, largest);
    CU_ASSERT_STRING_EQUAL(d.place, place);
}

static void equal_content_is_identical(void)
{
    make_pair();
    fr_difference d = compare();
    CU_ASSERT_TRUE(d.identical);
    CU_ASSERT_EQUAL(d.largest, 0.0);
    CU_ASSERT_STRING_EQUAL(d.place, "");
    drop_pair();
}

static void where_and_how_the_run_was_laid_out_does_not_matter(void)
{
    make_pair();
    free(b->config);
    b->config = NULL;
    FR_ASSERT_OK(fr_copy_string(fr_test_ctx(), "2x2", &b->layout));
    b->isa[0] = 'x';
    b->arithmetic[0] = 'x';
    b->tasks[0].progress.last_loss = 99;
    fr_checkpoint_task first = b->tasks[0];
    b->tasks[0] = b->tasks[1];
    b->tasks[1] = first;
    CU_ASSERT_TRUE(compare().identical);
    drop_pair();
}

static void equal_numbers_under_other_windows_differ(void)
{
    make_pair();
    b->tasks[1].slides = true;
    assert_different(0.0, "task beta: window always against slides");
    drop_pair();
}

/* Layer 1, slot 2, head 1, element 3: 24 + 2 * 8 + 1 * 4 + 3 */
static void largest_difference_is_named_with_its_place(void)
{
    make_pair();
    a->tasks[1].state.k[5] = 1.0f;
    b->tasks[1].state.k[5] = 1.25f;
    a->tasks[1].state.s_v[47] = 2.0f;
    b->tasks[1].state.s_v[47] = -1.0f;
    a->tasks[1].state.s_v[0] = 0.5f;
    b->tasks[1].state.s_v[0] = 0.0f;
    assert_different(3.0, "task beta layer 2 s_v[2, 1, 3]: 2 against -1");
    drop_pair();
}

static void signs_of_zero_differ_in_bits(void)
{
    make_pair();
    a->tasks[0].state.v[8] = 0.0f;
    b->tasks[0].state.v[8] = -0.0f;
    assert_different(0.0, "task alpha layer 0 v[1, 0, 0]: 0 against -0");
    drop_pair();
}

static void values_that_are_no_numbers_are_compared_by_bits(void)
{
    make_pair();
    a->tasks[0].state.k[0] = NAN;
    b->tasks[0].state.k[0] = NAN;
    a->tasks[0].state.k[1] = INFINITY;
    b->tasks[0].state.k[1] = INFINITY;
    CU_ASSERT_TRUE(compare().identical);
    b->tasks[0].state.k[0] = 1.0f;
    fr_difference d = compare();
    CU_ASSERT_FALSE(d.identical);
    CU_ASSERT_TRUE(isinf(d.largest));
    CU_ASSERT_PTR_NOT_NULL(strstr(d.place, "task alpha layer 0 k[0, 0, 0]"));
    drop_pair();
}

static void moments_count_only_where_both_have_them(void)
{
    make_pair();
    b->tasks[0].state.m_v[3] += 1.0f;
    CU_ASSERT_FALSE(compare().identical);
    fr_checkpoint_destroy(&b);
    b = fr_fixture_checkpoint(2, false, 7);
    memcpy(b->tasks[0].state.k, a->tasks[0].state.k, 4);
    CU_ASSERT_TRUE(compare().identical);
    drop_pair();
}

static void step_and_cursor_count(void)
{
    make_pair();
    b->tasks[1].progress.cursor = 1;
    assert_different(0.0, "task beta: cursor 113 against 1");
    b->tasks[1].progress.step = 9;
    assert_different(0.0, "task beta: step 7 against 9");
    a->tasks[0].state.k[0] = 1.0f;
    b->tasks[0].state.k[0] = 1.5f;
    assert_different(0.5, "task beta: step 7 against 9; task alpha layer 0 k[0, 0, 0]: "
                          "1 against 1.5");
    drop_pair();
}

static void other_tasks_are_not_comparable(void)
{
    make_pair();
    fr_checkpoint_destroy(&b);
    b = fr_fixture_checkpoint(1, true, 7);
    assert_different((double)INFINITY, "task beta is only in the first file");
    fr_checkpoint *swapped = a;
    a = b;
    b = swapped;
    assert_different((double)INFINITY, "task beta is only in the second file");
    drop_pair();
}

static void other_shapes_are_not_comparable(void)
{
    make_pair();
    b->tasks[0].length = 2;
    assert_different((double)INFINITY,
                     "task alpha: shape 2 x 3 x 2 x 4 against 2 x 2 x 2 x 4");
    drop_pair();
    make_pair();
    b->tasks[1].first_layer = 0;
    assert_different((double)INFINITY, "task beta: first layer 1 against 0");
    drop_pair();
}

static void one_task_is_compared_with_one_whatever_the_names(void)
{
    fr_difference d;
    make_pair();
    free(b->tasks[0].name);
    b->tasks[0].name = NULL;
    FR_ASSERT_OK(fr_copy_string(fr_test_ctx(), "other", &b->tasks[0].name));
    FR_ASSERT_OK(
        fr_checkpoint_compare_task(fr_test_ctx(), &a->tasks[0], &b->tasks[0], &d));
    CU_ASSERT_TRUE(d.identical);
    FR_ASSERT_OK(
        fr_checkpoint_compare_task(fr_test_ctx(), &a->tasks[0], &b->tasks[1], &d));
    CU_ASSERT_FALSE(d.identical);
    b->tasks[0].state.k[0] += 1.0f;
    FR_ASSERT_OK(
        fr_checkpoint_compare_task(fr_test_ctx(), &a->tasks[0], &b->tasks[0], &d));
    CU_ASSERT_FALSE(d.identical);
    CU_ASSERT_PTR_NOT_NULL(strstr(d.place, "task alpha layer 0 k[0, 0, 0]"));
    drop_pair();
}

static void every_array_of_an_mlp_is_compared(void)
{
    static const char *const PLACES[FR_MLP_ARRAYS] = {
        "layer 2 p0_k", "layer 2 p0_v", "layer 2 w2",   "layer 2 m_w2", "layer 2 s_w2",
        "layer 2 b2",   "layer 2 m_b2", "layer 2 s_b2", "shared e",     "shared m_e",
        "shared s_e",   "shared w1",    "shared m_w1",  "shared s_w1",  "shared b1",
        "shared m_b1",  "shared s_b1"};
    for (int i = 0; i < FR_MLP_ARRAYS; i++) {
        char place[256];
        make_pair();
        fr_fixture_add_mlp(&a->tasks[1]);
        fr_fixture_add_mlp(&b->tasks[1]);
        CU_ASSERT_TRUE(compare().identical);
        fr_mlp_array array = fr_mlp_describe(&a->tasks[1].mlp.shape, i);
        int64_t at = 1 + (array.shared ? 0 : array.floats);
        a->tasks[1].mlp.arrays[i][at] = 2.0f;
        b->tasks[1].mlp.arrays[i][at] = 2.5f;
        (void)snprintf(place, sizeof place, "task beta %s element 1: 2 against 2.5",
                       PLACES[i]);
        assert_different(0.5, place);
        drop_pair();
    }
}

static void mlps_of_other_sizes_are_not_identical(void)
{
    make_pair();
    fr_fixture_add_mlp(&a->tasks[1]);
    fr_fixture_add_mlp(&b->tasks[1]);
    b->tasks[1].mlp.shape.width = 4;
    assert_different(0.0, "task beta: mlp.width 6 against 4");
    drop_pair();
}

/* As with moments: a prefix for inference equals the checkpoint that it was made from. */
static void mlp_in_one_file_alone_does_not_matter(void)
{
    make_pair();
    fr_fixture_add_mlp(&a->tasks[1]);
    CU_ASSERT_TRUE(compare().identical);
    drop_pair();
}

static const fr_case CASES[] = {
    FR_CASE(every_array_of_an_mlp_is_compared),
    FR_CASE(mlps_of_other_sizes_are_not_identical),
    FR_CASE(mlp_in_one_file_alone_does_not_matter),
    FR_CASE(equal_content_is_identical),
    FR_CASE(where_and_how_the_run_was_laid_out_does_not_matter),
    FR_CASE(equal_numbers_under_other_windows_differ),
    FR_CASE(largest_difference_is_named_with_its_place),
    FR_CASE(signs_of_zero_differ_in_bits),
    FR_CASE(values_that_are_no_numbers_are_compared_by_bits),
    FR_CASE(moments_count_only_where_both_have_them),
    FR_CASE(step_and_cursor_count),
    FR_CASE(other_tasks_are_not_comparable),
    FR_CASE(other_shapes_are_not_comparable),
    FR_CASE(one_task_is_compared_with_one_whatever_the_names),
};

int main(int argc, char **argv)
{
    return fr_suite_main("checkpoint_compare", CASES, FR_N_CASES(CASES), argc, argv);
}
