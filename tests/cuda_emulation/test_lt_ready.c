/* Products that are settled at the start: a shape that any rank was refused, or that nobody tried, has the bits of the own kernels,
 * and the arithmetic's name tells refused shapes apart. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "lt_case.h"
#include "product_case.h"

#include "device/cuda/memory_impl.h"
#include "device/products.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_OUT = 72, N_IN = 40 };

static const fr_product_shape SHAPES[] = {
    {N_OUT, N_IN, false, FR_BF16, FR_BF16},
    {N_OUT, N_IN, false, FR_BF16, FR_F32},
    {N_OUT, N_IN, true, FR_BF16, FR_F32},
    {N_OUT, 12, true, FR_BF16, FR_F32}, /* never for the library */
};
enum { N_SHAPES = sizeof SHAPES / sizeof SHAPES[0] };

/* Of bf16 by bf16 to f32, forward. @return whether they are those of the own kernels */
static bool has_own_bits(const fr_two *two, const fr_product_case *p)
{
    enum { M = 5 };
    fr_product_setting s = {.types = 6};
    fr_two own = fr_two_open();
    fr_product_case q = fr_product_case_init(&own, &s, N_OUT, N_IN);
    fr_product_call by_device;
    fr_product_call by_own;
    fr_product_call_run(two, p, &s, M, &by_device);
    fr_product_call_run(&own, &q, &s, M, &by_own);
    float *got = fr_pair_fetch(&by_device.out);
    float *wanted = fr_pair_fetch(&by_own.out);
    bool is_same = memcmp(got, wanted, (size_t)by_device.n * sizeof *got) == 0;
    free(got);
    free(wanted);
    fr_product_call_fini(&by_device);
    fr_product_call_fini(&by_own);
    fr_product_case_fini(&own, &q);
    fr_two_close(&own);
    return is_same;
}

/* A device that tried SHAPES and settles on its verdicts and these. @param own  the second shape's product is the own kernels' */
static void check_settled(const char *words, const int64_t *elsewhere, bool own,
                          char name[128])
{
    fr_product_setting s = {.types = 6};
    int64_t refused[N_SHAPES];
    fr_two two = fr_lt_case_two(words);
    FR_ASSERT_OK(fr_products_try(two.cuda, N_SHAPES, SHAPES, refused));
    CU_ASSERT_EQUAL(refused[N_SHAPES - 1], 0);
    for (int i = 0; i < N_SHAPES; i++) {
        refused[i] |= elsewhere[i];
    }
    FR_ASSERT_OK(fr_products_settle(two.cuda, N_SHAPES, SHAPES, refused));
    fr_product_case p = fr_product_case_untried(&two, &s, N_OUT, N_IN);
    CU_ASSERT_EQUAL(has_own_bits(&two, &p), own);
    (void)snprintf(name, 128, "%s", fr_device_arithmetic(two.cuda));
    fr_product_case_fini(&two, &p);
    fr_two_close(&two);
}

static void what_a_rank_was_refused_no_rank_uses(void)
{
    static const int64_t NONE[N_SHAPES] = {0};
    static const int64_t OF_OTHER_TYPE[N_SHAPES] = {1};
    static const int64_t SECOND[N_SHAPES] = {0, 1};
    static const int64_t THREE[N_SHAPES] = {1, 1, 1};
    char plain[128];
    char first[128];
    char second[128];
    char three[128];
    char rows[128];
    check_settled("", NONE, false, plain);
    check_settled("", OF_OTHER_TYPE, false, first);
    check_settled("", SECOND, true, second);
    check_settled("", THREE, true, three);
    check_settled("rows", NONE, true, rows);
    CU_ASSERT_PTR_NULL(strstr(plain, ", own "));
    CU_ASSERT_NSTRING_EQUAL(first, plain, strlen(plain));
    CU_ASSERT_NSTRING_EQUAL(first + strlen(plain), ", own ", 6);
    CU_ASSERT_EQUAL(strlen(first), strlen(plain) + 6 + 8);
    CU_ASSERT_STRING_NOT_EQUAL(first, second);
    CU_ASSERT_STRING_NOT_EQUAL(second, three);
    CU_ASSERT_STRING_EQUAL(three, rows); /* its own verdict, and that of another rank */
}

static void what_nobody_tried_is_for_the_own_kernels(void)
{
    fr_product_setting s = {.types = 6};
    fr_two two = fr_lt_case_two("");
    char name[128];
    (void)snprintf(name, sizeof name, "%s", fr_device_arithmetic(two.cuda));
    fr_product_case p = fr_product_case_untried(&two, &s, N_OUT, N_IN);
    CU_ASSERT(has_own_bits(&two, &p));
    CU_ASSERT(has_own_bits(&two, &p));
    CU_ASSERT_STRING_EQUAL(fr_device_arithmetic(two.cuda), name);
    fr_product_case_fini(&two, &p);
    fr_two_close(&two);
}

/* A stage's pool has what its forecast says, so nothing may stay. */
static void memory_of_a_probe_is_given_back(void)
{
    int64_t refused[N_SHAPES];
    fr_two two = fr_lt_case_two("");
    const fr_pool *pool = fr_cuda_of(two.cuda)->memory->pool;
    int64_t before = fr_pool_used(pool);
    FR_ASSERT_OK(fr_products_try(two.cuda, N_SHAPES, SHAPES, refused));
    CU_ASSERT_EQUAL(fr_pool_used(pool), before);
    CU_ASSERT(fr_pool_most_used(pool) <= before + 2 * N_OUT * N_IN + FR_POOL_ALIGNMENT);
    fr_two_close(&two);
}

static void devices_without_a_library_refuse_nothing(void)
{
    int64_t refused[N_SHAPES] = {1, 1, 1, 1};
    fr_two two = fr_two_open();
    fr_device *both[] = {two.cpu, two.cuda};
    for (int i = 0; i < 2; i++) {
        char name[128];
        (void)snprintf(name, sizeof name, "%s", fr_device_arithmetic(both[i]));
        FR_ASSERT_OK(fr_products_try(both[i], N_SHAPES, SHAPES, refused));
        for (int k = 0; k < N_SHAPES; k++) {
            CU_ASSERT_EQUAL(refused[k], 0);
            refused[k] = 1;
        }
        FR_ASSERT_OK(fr_products_settle(both[i], N_SHAPES, SHAPES, refused));
        CU_ASSERT_STRING_EQUAL(fr_device_arithmetic(both[i]), name);
    }
    fr_two_close(&two);
}

static const fr_case CASES[] = {
    FR_CASE(what_a_rank_was_refused_no_rank_uses),
    FR_CASE(what_nobody_tried_is_for_the_own_kernels),
    FR_CASE(memory_of_a_probe_is_given_back),
    FR_CASE(devices_without_a_library_refuse_nothing),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_lt_ready", CASES, FR_N_CASES(CASES), argc, argv);
}
