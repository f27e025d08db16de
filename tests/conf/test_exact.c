#include "device/host.h"
#include "device/loss.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNITS = 16, N = 5003, EXPONENT = 41 };

static void reference_add(int64_t n_units, int64_t n, int exponent, const float *g,
                          int64_t *sum)
{
    for (int64_t i = 0; i < n_units * n; i++) {
        sum[i % n] += llrint(ldexp((double)g[i], exponent));
    }
}

/* The count of one call. */
static int64_t refused_by(fr_device *device, int64_t n_units, int64_t n, int exponent,
                          const float *g, int64_t *sum)
{
    int64_t n_refused = 0;
    fr_exact_add(device, n_units, n, exponent, fr_host_f32(g), fr_host_i64(sum),
                 fr_host_i64(&n_refused));
    return n_refused;
}

static void check_sum(fr_device *device, void *user)
{
    const int *exponent = user;
    float *g = fr_test_numbers(UNITS * N, 1, 10);
    int64_t *sum = calloc(N, sizeof *sum);
    int64_t *wanted = calloc(N, sizeof *wanted);
    for (int i = 0; i < N; i++) {
        sum[i] = i - 1000;
        wanted[i] = i - 1000;
        g[i] *= ldexpf(1, -(i % 60)); /* small values round at the last bit */
    }
    reference_add(UNITS, N, *exponent, g, wanted);
    CU_ASSERT_EQUAL(refused_by(device, UNITS, N, *exponent, g, sum), 0);
    fr_assert_same_bytes("exact sum", sum, wanted, N * sizeof *sum);
    free(g);
    free(sum);
    free(wanted);
}

static void sum_adds_the_nearest_integers(void)
{
    static const int EXPONENTS[] = {-3, 0, 20, EXPONENT, 45};
    for (int i = 0; i < FR_N_CASES(EXPONENTS); i++) {
        int exponent = EXPONENTS[i];
        fr_test_each_device(check_sum, &exponent);
    }
}

/* Units in another order, and one at a time, by another number of threads. */
static void check_order(fr_device *device, void *user)
{
    const int64_t *wanted = user;
    float *g = fr_test_numbers(UNITS * N, 1, 1e5);
    int64_t *sum = calloc(N, sizeof *sum);
    for (int u = 0; u < UNITS; u++) {
        int unit = (u * 5 + 3) % UNITS;
        CU_ASSERT_EQUAL(refused_by(device, 1, N, EXPONENT, g + unit * N, sum), 0);
    }
    fr_assert_same_bytes("permuted units", sum, wanted, N * sizeof *sum);
    free(g);
    free(sum);
}

static void sum_is_the_same_in_any_order_of_units(void)
{
    float *g = fr_test_numbers(UNITS * N, 1, 1e5);
    int64_t *sum = calloc(N, sizeof *sum);
    fr_device *device = fr_test_device(FR_ISA_GENERIC, 1);
    CU_ASSERT_EQUAL(refused_by(device, UNITS, N, EXPONENT, g, sum), 0);
    fr_device_destroy(&device);
    fr_test_each_device(check_order, sum);
    free(g);
    free(sum);
}

static void check_bounds(fr_device *device, void *user)
{
    (void)user;
    const float limit = 131072;
    const float below = nextafterf(limit, 0);
    const float g[] = {limit, -limit, below, -below, NAN,   INFINITY, -INFINITY, 1.5F,
                       -1.5F, 2.5F,   0.5F,  -0.5F,  3e38F, -1e-30F,  0.0F};
    enum { COUNT = sizeof g / sizeof g[0] };
    int64_t sum[COUNT] = {0};
    const int64_t wanted[COUNT] = {0, 0, 131072, -131072, 0, 0, 0, 2, -2, 2, 0, 0, 0};
    CU_ASSERT_EQUAL(refused_by(device, 1, COUNT, 0, g, sum), 6);
    fr_assert_same_bytes("sum at the bounds", sum, wanted, sizeof sum);
    int64_t one = 0;
    CU_ASSERT_EQUAL(refused_by(device, 1, 1, 45, &below, &one), 0);
    CU_ASSERT_EQUAL(one, ((int64_t)1 << 62) - ((int64_t)1 << 38));
}

static void values_out_of_bounds_are_counted_and_not_added(void)
{
    fr_test_each_device(check_bounds, NULL);
}

static void check_bad_count(fr_device *device, void *user)
{
    (void)user;
    float *g = fr_test_numbers(UNITS * N, 3, 1);
    int64_t *sum = calloc(N, sizeof *sum);
    int64_t n_nonfinite = 0;
    for (int i = 0; i < UNITS * N; i += 101) {
        g[i] = i % 2 == 0 ? NAN : -2e5F;
        n_nonfinite += 1;
    }
    CU_ASSERT_EQUAL(refused_by(device, UNITS, N, EXPONENT, g, sum), n_nonfinite);
    free(g);
    free(sum);
}

static void check_numbers(fr_device *device, void *user)
{
    (void)user;
    const double x[] = {1.5,      -0.25,    3.0,          (double)INFINITY,
                        131072.0, 131071.5, -(double)NAN, 0.0};
    int64_t sum = 7;
    int64_t n_refused = 2;
    fr_exact_add_numbers(device, 8, 2, fr_host_f64(x), fr_host_i64(&sum),
                         fr_host_i64(&n_refused));
    CU_ASSERT_EQUAL(sum, 7 + 6 - 1 + 12 + 524286);
    CU_ASSERT_EQUAL(n_refused, 2 + 3);
    fr_exact_add_numbers(device, 0, 2, fr_host_f64(x), fr_host_i64(&sum),
                         fr_host_i64(&n_refused));
    CU_ASSERT_EQUAL(n_refused, 5);
}

static void numbers_make_one_sum(void)
{
    fr_test_each_device(check_numbers, NULL);
}

static void every_bad_value_is_counted_by_any_number_of_threads(void)
{
    fr_test_each_device(check_bad_count, NULL);
}

static const fr_case CASES[] = {
    FR_CASE(sum_adds_the_nearest_integers),
    FR_CASE(sum_is_the_same_in_any_order_of_units),
    FR_CASE(values_out_of_bounds_are_counted_and_not_added),
    FR_CASE(every_bad_value_is_counted_by_any_number_of_threads),
    FR_CASE(numbers_make_one_sum),
};

int main(int argc, char **argv)
{
    return fr_suite_main("exact", CASES, FR_N_CASES(CASES), argc, argv);
}
