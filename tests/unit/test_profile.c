#include "device/host.h"
#include "device/matrix.h"
#include "device/profile.h"
#include "device/rowwise.h"
#include "support/devices.h"
#include "support/suite.h"

#include <stdlib.h>

enum { M = 3, WIDTH = 64, CALLS = 4 };

static void run_operators(fr_device *device, float *x, float *y, const float *w)
{
    fr_matrix matrix = fr_matrix_of(w, FR_F32, WIDTH, WIDTH);
    for (int i = 0; i < CALLS; i++) {
        CU_ASSERT_EQUAL(fr_linear(device, M, fr_host_view(x), &matrix, fr_view_none(),
                                  fr_host_view(y)),
                        FR_OK);
        fr_rmsnorm(device, M, WIDTH, fr_host_view(x), fr_host_f32(w), 1e-5F,
                   fr_host_view(y), NULL);
    }
    CU_ASSERT_EQUAL(
        fr_linear_back(device, M, fr_host_view(x), &matrix, false, fr_host_view(y)),
        FR_OK);
}

static void calls_flops_and_time_are_counted(void)
{
    fr_device *device = fr_test_device(FR_ISA_GENERIC, 1);
    float *x = fr_test_numbers((int64_t)M * WIDTH, 1, 1);
    float *w = fr_test_numbers((int64_t)WIDTH * WIDTH, 2, 1);
    float *y = fr_test_zeros((int64_t)M * WIDTH);
    const fr_operator_time *times = fr_device_profile(device);
    run_operators(device, x, y, w);
    CU_ASSERT_EQUAL(times[FR_OP_LINEAR].calls, 0); /* off until asked for */
    for (int round = 0; round < 2; round++) {
        fr_device_profile_start(device);
        run_operators(device, x, y, w);
        CU_ASSERT_EQUAL(times[FR_OP_LINEAR].calls, CALLS);
        CU_ASSERT_EQUAL(times[FR_OP_LINEAR].flops, 2LL * CALLS * M * WIDTH * WIDTH);
        CU_ASSERT_TRUE(times[FR_OP_LINEAR].ns > 0);
        CU_ASSERT_EQUAL(times[FR_OP_LINEAR_BACK].calls, 1);
        CU_ASSERT_EQUAL(times[FR_OP_NORM].calls, CALLS);
        CU_ASSERT_EQUAL(times[FR_OP_NORM].flops, 0);
        CU_ASSERT_EQUAL(times[FR_OP_NORM_BACK].calls, 0);
    }
    free(x);
    free(w);
    free(y);
    fr_device_destroy(&device);
}

static void every_operator_has_a_name(void)
{
    for (int i = 0; i < FR_OPERATORS; i++) {
        CU_ASSERT_PTR_NOT_NULL(fr_operator_name((fr_operator)i));
    }
}

static const fr_case CASES[] = {
    FR_CASE(calls_flops_and_time_are_counted),
    FR_CASE(every_operator_has_a_name),
};

int main(int argc, char **argv)
{
    return fr_suite_main("profile", CASES, FR_N_CASES(CASES), argc, argv);
}
