#include "base/mem.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static void memory_is_zeroed_and_aligned(void)
{
    static const int64_t COUNTS[] = {1, 7, 8, 63, 64, 65, 1000};
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        double *values = NULL;
        FR_ASSERT_OK(fr_alloc(fr_test_ctx(), COUNTS[i], sizeof *values, &values));
        CU_ASSERT_PTR_NOT_NULL_FATAL(values);
        CU_ASSERT_EQUAL((uintptr_t)values % 64, 0);
        double sum = 0.0;
        for (int64_t k = 0; k < COUNTS[i]; k++) {
            sum += values[k] == 0.0 ? 0.0 : 1.0;
        }
        CU_ASSERT_EQUAL(sum, 0.0);
        free(values);
    }
}

static void reused_memory_is_zeroed_too(void)
{
    enum { BYTES = 4096 };
    unsigned char *bytes = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), BYTES, 1, &bytes));
    memset(bytes, 0xAB, BYTES);
    free(bytes);
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), BYTES, 1, &bytes));
    int n_set = 0;
    for (int i = 0; i < BYTES; i++) {
        n_set += bytes[i] != 0;
    }
    CU_ASSERT_EQUAL(n_set, 0);
    free(bytes);
}

static void count_zero_gives_a_pointer(void)
{
    int *none = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 0, sizeof *none, &none));
    CU_ASSERT_PTR_NOT_NULL(none);
    free(none);
}

static void negative_count_is_refused(void)
{
    int value = 5;
    int *pointer = &value;
    FR_ASSERT_FAILS(fr_alloc(fr_test_ctx(), -1, 4, &pointer), FR_ERR_NO_MEMORY,
                    "-1 elements");
    CU_ASSERT_PTR_NULL(pointer);
    FR_ASSERT_FAILS(fr_alloc(fr_test_ctx(), INT64_MIN, 4, &pointer), FR_ERR_NO_MEMORY,
                    "overflows");
}

static void overflowing_product_is_refused(void)
{
    void *pointer = NULL;
    FR_ASSERT_FAILS(fr_alloc(fr_test_ctx(), INT64_MAX / 4 + 1, 4, &pointer),
                    FR_ERR_NO_MEMORY, "overflows");
    FR_ASSERT_FAILS(fr_alloc(fr_test_ctx(), INT64_MAX, 1, &pointer), FR_ERR_NO_MEMORY,
                    "overflows");
    FR_ASSERT_FAILS(fr_alloc(fr_test_ctx(), 2, SIZE_MAX, &pointer), FR_ERR_NO_MEMORY,
                    "overflows");
    CU_ASSERT_PTR_NULL(pointer);
}

static void string_copy_is_separate_and_equal(void)
{
    char text[] = "one two";
    char *copy = NULL;
    FR_ASSERT_OK(fr_copy_string(fr_test_ctx(), text, &copy));
    text[0] = 'X';
    CU_ASSERT_STRING_EQUAL(copy, "one two");
    free(copy);
    FR_ASSERT_OK(fr_copy_string(fr_test_ctx(), "", &copy));
    CU_ASSERT_STRING_EQUAL(copy, "");
    free(copy);
}

static void product_is_exact_or_refused(void)
{
    int64_t product = -5;
    CU_ASSERT_TRUE(fr_mul_i64(3, 7, &product));
    CU_ASSERT_EQUAL(product, 21);
    CU_ASSERT_TRUE(fr_mul_i64(0, INT64_MAX, &product));
    CU_ASSERT_EQUAL(product, 0);
    CU_ASSERT_TRUE(fr_mul_i64(INT64_MAX, 0, &product));
    CU_ASSERT_EQUAL(product, 0);
    CU_ASSERT_TRUE(fr_mul_i64(INT64_MAX, 1, &product));
    CU_ASSERT_EQUAL(product, INT64_MAX);
    CU_ASSERT_TRUE(fr_mul_i64(INT64_C(3037000499), INT64_C(3037000499), &product));
    CU_ASSERT_EQUAL(product, INT64_C(3037000499) * INT64_C(3037000499));
    CU_ASSERT_FALSE(fr_mul_i64(INT64_C(3037000500), INT64_C(3037000500), &product));
    CU_ASSERT_FALSE(fr_mul_i64(INT64_MAX, 2, &product));
    CU_ASSERT_FALSE(fr_mul_i64(-1, 1, &product));
    CU_ASSERT_FALSE(fr_mul_i64(1, -1, &product));
}

static const fr_case CASES[] = {
    FR_CASE(memory_is_zeroed_and_aligned),   FR_CASE(reused_memory_is_zeroed_too),
    FR_CASE(count_zero_gives_a_pointer),     FR_CASE(negative_count_is_refused),
    FR_CASE(overflowing_product_is_refused), FR_CASE(string_copy_is_separate_and_equal),
    FR_CASE(product_is_exact_or_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("mem", CASES, FR_N_CASES(CASES), argc, argv);
}
