/* The emulated cuBLASLt as a library: what of it is in the arithmetic's name, and what becomes of its errors. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "lt_case.h"
#include "product_case.h"

#include "device/products.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the arithmetic's name ------------------------------------------------------------------- */

static void read_arithmetic(const char *words, bool own, char out[128])
{
    fr_device *device = NULL;
    out[0] = '\0';
    FR_ASSERT_OK(fr_lt_case_open(words, own, &device));
    if (device != NULL) {
        (void)snprintf(out, 128, "%s", fr_device_arithmetic(device));
        fr_device_destroy(&device);
    }
}

static void the_name_says_library_and_algorithms(void)
{
    static const char START[] =
        "cuda sm_90, 132 processors, 4, cublaslt 13.1.0, algorithms ";
    char first[128];
    char again[128];
    read_arithmetic("", false, first);
    read_arithmetic("", false, again);
    CU_ASSERT_STRING_EQUAL(first, again);
    CU_ASSERT_NSTRING_EQUAL(first, START, strlen(START));
    CU_ASSERT_EQUAL(strlen(first), strlen(START) + 8);
    read_arithmetic("unwanted", false, again);
    CU_ASSERT_STRING_EQUAL(first, again);
    read_arithmetic("other", false, again);
    CU_ASSERT_NSTRING_EQUAL(again, START, strlen(START));
    CU_ASSERT_STRING_NOT_EQUAL(first, again);
    read_arithmetic("none", false, again);
    CU_ASSERT_STRING_NOT_EQUAL(first, again);
    read_arithmetic("", true, again);
    CU_ASSERT_STRING_EQUAL(again, "cuda sm_90, 132 processors, 4");
    (void)setenv("FR_EMULATED_LT_VERSION", "13.2.7", 1);
    read_arithmetic("", false, again);
    CU_ASSERT_PTR_NOT_NULL(strstr(again, "cublaslt 13.2.7, "));
    (void)unsetenv("FR_EMULATED_LT_VERSION");
}

/* There is one for CUDA 13 alone. */
static void an_older_driver_needs_an_older_library(void)
{
    char name[128];
    (void)setenv("FR_EMULATED_VERSION", "12080", 1);
    read_arithmetic("", false, name);
    CU_ASSERT_STRING_EQUAL(name, "cuda sm_90, 132 processors, 4");
    (void)unsetenv("FR_EMULATED_VERSION");
}

/* ---- errors ---------------------------------------------------------------------------------- */

static fr_status open_with(const char *error, fr_device **out)
{
    (void)setenv("FR_EMULATED_LT_ERROR", error, 1);
    return fr_lt_case_open("", false, out);
}

/* The own kernels compute instead. */
static void a_library_that_does_not_start_is_not_used(void)
{
    static const char *const ERRORS[] = {"cublasLtCreate:1:1",
                                         "cublasLtMatmulPreferenceCreate:1:3",
                                         "cublasLtMatmulPreferenceSetAttribute:1:7",
                                         "cublasLtMatmulPreferenceSetAttribute:6:7"};
    for (int i = 0; i < FR_N_CASES(ERRORS); i++) {
        fr_device *device = NULL;
        FR_ASSERT_OK(open_with(ERRORS[i], &device));
        CU_ASSERT_PTR_NOT_NULL(device);
        if (device != NULL) {
            CU_ASSERT_STRING_EQUAL(fr_device_arithmetic(device),
                                   "cuda sm_90, 132 processors, 4");
        }
        fr_device_destroy(&device);
    }
    (void)unsetenv("FR_EMULATED_LT_ERROR");
}

/* What fails once it has started, is a failure: another arithmetic than that of other ranks would follow. */
static void a_choice_that_fails_is_an_error(void)
{
    static const char *const ERRORS[][2] = {
        {"cublasLtMatmulDescCreate:1:3", "cublasLtMatmulDescCreate gave "
                                         "CUBLAS_STATUS_ALLOC_FAILED (3)"},
        {"cublasLtMatmulDescSetAttribute:1:7", "cublasLtMatmulDescSetAttribute gave"},
        {"cublasLtMatrixLayoutCreate:2:3", "cublasLtMatrixLayoutCreate gave"},
        {"cublasLtMatrixLayoutSetAttribute:9:7", "cublasLtMatrixLayoutSetAttribute"},
        {"cublasLtMatmulAlgoGetHeuristic:3:14", "run.products: own"}};
    for (int i = 0; i < FR_N_CASES(ERRORS); i++) {
        fr_device *device = NULL;
        FR_ASSERT_FAILS(open_with(ERRORS[i][0], &device), FR_ERR_DEVICE, ERRORS[i][1]);
        CU_ASSERT_PTR_NULL(device);
    }
    (void)unsetenv("FR_EMULATED_LT_ERROR");
}

/* A product that fails is the device's failure, with the name of the function. */
static void check_product_fails(const char *error, bool fails_early, const char *part)
{
    enum { M = 5, N_OUT = 16, N_IN = 24 };
    fr_two two = fr_lt_case_two("");
    fr_product_setting s = {.types = 6};
    fr_product_shape shape = {N_OUT, N_IN, false, FR_BF16, FR_F32};
    int64_t refused = 0;
    fr_product_case p = fr_product_case_untried(&two, &s, N_OUT, N_IN);
    fr_pair x = fr_pair_numbers(&two, "x", M * N_IN, FR_BF16, 5, 1.0);
    fr_pair y = fr_pair_numbers(&two, "y", M * N_OUT, FR_F32, 9, 1.0);
    (void)setenv("FR_EMULATED_LT_ERROR", error, 1);
    fr_status status = fr_products_try(two.cuda, 1, &shape, &refused);
    CU_ASSERT_EQUAL(status, fails_early ? FR_ERR_DEVICE : FR_OK);
    for (int i = 0; i < 2; i++) {
        FR_ASSERT_OK(
            fr_linear(two.cuda, M, x.on_cuda, &p.w, fr_view_none(), y.on_cuda));
    }
    (void)unsetenv("FR_EMULATED_LT_ERROR");
    FR_ASSERT_FAILS(fr_device_check(two.cuda), FR_ERR_DEVICE, part);
    fr_pair_free(&x);
    fr_pair_free(&y);
    fr_product_case_fini(&two, &p);
    fr_device_destroy(&two.cpu);
    fr_device_destroy(&two.cuda);
}

/* Products 1 to 16 are those of the probe; the check of the algorithm comes once for each number of rows. */
static void a_product_that_fails_is_the_devices_failure(void)
{
    check_product_fails("cublasLtMatmul:1:13", true,
                        "cublasLtMatmul gave CUBLAS_STATUS_EXECUTION_FAILED (13)");
    check_product_fails("cublasLtMatmul:17:14", false,
                        "cublasLtMatmul gave CUBLAS_STATUS_INTERNAL_ERROR (14); the "
                        "last kernel started was cublasLtMatmul, but an earlier one");
    check_product_fails("cublasLtMatmul:18:14", false, "run.products: own");
    (void)setenv("FORERUN_SYNC", "1", 1);
    check_product_fails("cublasLtMatmul:18:14", false,
                        "the last kernel started was cublasLtMatmul; run.products");
    (void)unsetenv("FORERUN_SYNC");
}

static const fr_case CASES[] = {
    FR_CASE(the_name_says_library_and_algorithms),
    FR_CASE(an_older_driver_needs_an_older_library),
    FR_CASE(a_library_that_does_not_start_is_not_used),
    FR_CASE(a_choice_that_fails_is_an_error),
    FR_CASE(a_product_that_fails_is_the_devices_failure),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_lt_library", CASES, FR_N_CASES(CASES), argc, argv);
}
