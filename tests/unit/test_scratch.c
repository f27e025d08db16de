/* What the operators of a GPU take for themselves, on numbers by hand, and what is known of kinds that are not built in. */
#include "device/kinds.h"
#include "support/suite.h"

enum { MIB = 1 << 20, GRAIN = 64 << 10 };

/* One row of one head: lists take the least that they take. */
static fr_scratch_shape least(void)
{
    return (fr_scratch_shape){.dtype = FR_BF16,
                              .n_tokens = 1,
                              .n_units = 1,
                              .length = 4,
                              .n_heads = 1,
                              .n_kv_heads = 1,
                              .head_dim = 64,
                              .vocab = 1000};
}

static int64_t bytes_of(fr_scratch_shape shape)
{
    return fr_scratch_cuda(&shape) - GRAIN;
}

static void two_numbers_a_row_of_queries(void)
{
    fr_scratch_shape shape = least();
    CU_ASSERT_EQUAL(bytes_of(shape), 2 * 4);
    shape.n_heads = 8;
    shape.n_tokens = 16;
    CU_ASSERT_EQUAL(bytes_of(shape), 2 * 8 * 16 * 4);
}

static void with_matrix(fr_scratch_shape *shape, const fr_scratch_matrix *matrix)
{
    shape->n_matrices = 1;
    shape->matrices = matrix;
}

/* 512 MiB of widened rows at most, at least one, and sums of the backward product where there is more than one slice, or more rows
 * than cuBLASLt takes at once. */
static void rows_are_widened_in_slices(void)
{
    fr_scratch_shape shape = least();
    fr_scratch_matrix w = {.m = 10, .n_out = 1000, .n_in = 512};
    with_matrix(&shape, &w);
    CU_ASSERT_EQUAL(bytes_of(shape), 8); /* in place */
    w.on_demand = true;
    CU_ASSERT_EQUAL(bytes_of(shape), 8 + 1000 * 512 * 2);
    w.n_out = 1 << 20;
    CU_ASSERT_EQUAL(bytes_of(shape), 512 * MIB + 10 * 512 * 4);
    shape.dtype = FR_F32;
    CU_ASSERT_EQUAL(bytes_of(shape), 512 * MIB + 10 * 512 * 4);
    w.on_demand = false;
    w.n_out = (32 << 10) + 8;
    CU_ASSERT_EQUAL(bytes_of(shape), 10 * 512 * 4);
    w = (fr_scratch_matrix){1, 4, 200 * MIB, false, true};
    CU_ASSERT_EQUAL(bytes_of(shape), 800 * (int64_t)MIB + 800 * (int64_t)MIB);
    w.n_out = 40; /* in bf16 a slice has 16 rows at least */
    shape.dtype = FR_BF16;
    CU_ASSERT_EQUAL(bytes_of(shape), 16 * 400 * (int64_t)MIB + 800 * (int64_t)MIB);
}

/* On tensor cores, and a group of rows that lies in two of them. */
static void parts_have_sums_between_them(void)
{
    fr_scratch_shape shape = least();
    fr_scratch_matrix w = {.m = 10, .n_out = 1000, .n_in = 512, .in_parts = true};
    with_matrix(&shape, &w);
    CU_ASSERT_EQUAL(bytes_of(shape), 16 * 512 * 2 + 10 * 512 * 4);
    shape.dtype = FR_F32;
    CU_ASSERT_EQUAL(bytes_of(shape), 10 * 512 * 4);
}

/* Two lists of a vocabulary a row, for as many rows as go into 256 MiB. */
static void tokens_are_chosen_in_a_bounded_room(void)
{
    fr_scratch_shape shape = least();
    shape.n_sampled = 3;
    CU_ASSERT_EQUAL(bytes_of(shape), 3 * 2 * 1000 * 8);
    shape.n_sampled = 100000;
    CU_ASSERT_EQUAL(bytes_of(shape), 256 * 2 * 1000 * 8);
    shape.vocab = 4 * MIB;
    CU_ASSERT_EQUAL(bytes_of(shape), 256 * MIB);
}

/* Lists grow with the rows, by whole grains. */
static void lists_follow_the_rows(void)
{
    fr_scratch_shape shape = least();
    int64_t before = fr_scratch_cuda(&shape);
    for (int64_t n = 128; n <= 8192; n *= 2) {
        shape.n_tokens = n;
        int64_t lists = fr_scratch_cuda(&shape) - 2 * 4 * n;
        CU_ASSERT_EQUAL(lists % GRAIN, 0);
        CU_ASSERT_TRUE(fr_scratch_cuda(&shape) > before);
        /* a segment, a tile of each kind and the views are some hundred bytes */
        CU_ASSERT_TRUE(lists >= 256 * n && lists <= 512 * n + GRAIN);
        before = fr_scratch_cuda(&shape);
    }
}

static void kinds_are_known_without_being_built_in(void)
{
    fr_device_facts facts;
    CU_ASSERT_TRUE(fr_device_facts_elsewhere("cuda", &facts));
    CU_ASSERT_TRUE(!facts.in_host_memory && facts.work == FR_BF16);
    CU_ASSERT_PTR_EQUAL(facts.scratch, fr_scratch_cuda);
    CU_ASSERT_EQUAL(facts.products, 64 << 20);
    CU_ASSERT_TRUE(facts.sums_by_library);
    CU_ASSERT_EQUAL(facts.bytes + facts.available, 0);
    CU_ASSERT_TRUE(fr_device_facts_elsewhere("auto", &facts) && !facts.in_host_memory);
    CU_ASSERT_TRUE(fr_device_facts_elsewhere("cpu", &facts) && facts.in_host_memory);
    CU_ASSERT_FALSE(fr_device_facts_elsewhere("abacus", &facts));
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {
        FR_CASE(two_numbers_a_row_of_queries),
        FR_CASE(rows_are_widened_in_slices),
        FR_CASE(parts_have_sums_between_them),
        FR_CASE(tokens_are_chosen_in_a_bounded_room),
        FR_CASE(lists_follow_the_rows),
        FR_CASE(kinds_are_known_without_being_built_in),
    };
    return fr_suite_main("scratch", CASES, FR_N_CASES(CASES), argc, argv);
}
