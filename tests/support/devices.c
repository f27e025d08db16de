#include "support/devices.h"

#include "base/mem.h"
#include "base/rng.h"
#include "device/cpu/cpu.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>

static void stop_unless(fr_status status, const char *what)
{
    if (status != FR_OK) {
        (void)fprintf(stderr, "%s: %s\n", what, fr_ctx_error(fr_test_ctx()));
        exit(EXIT_FAILURE);
    }
}

fr_device *fr_test_device(fr_isa isa, int n_threads)
{
    fr_device *device = NULL;
    stop_unless(fr_cpu_create(fr_test_ctx(), n_threads, isa, &device), "test device");
    return device;
}

fr_isa fr_test_isa(const fr_device *device)
{
    return fr_cpu_of(device)->isa;
}

static void each_device(int max_threads, void (*body)(fr_device *device, void *user),
                        void *user)
{
    for (int isa = FR_ISA_GENERIC; isa <= (int)fr_isa_detect(); isa++) {
        for (int n_threads = 1; n_threads <= max_threads; n_threads++) {
            fr_device *device = fr_test_device((fr_isa)isa, n_threads);
            body(device, user);
            fr_device_destroy(&device);
        }
    }
}

void fr_test_each_device(void (*body)(fr_device *device, void *user), void *user)
{
    enum { MAX_THREADS = 4 };
    each_device(MAX_THREADS, body, user);
}

void fr_test_each_isa(void (*body)(fr_device *device, void *user), void *user)
{
    each_device(1, body, user);
}

float *fr_test_zeros(int64_t n)
{
    float *numbers = NULL;
    stop_unless(fr_alloc(fr_test_ctx(), n, sizeof *numbers, &numbers), "test numbers");
    return numbers;
}

float *fr_test_numbers(int64_t n, uint64_t stream, double scale)
{
    float *numbers = fr_test_zeros(n);
    for (int64_t i = 0; i < n; i++) {
        double uniform = fr_rng_uniform(1, FR_RNG_TEST, stream, (uint64_t)i);
        numbers[i] = (float)(scale * (2 * uniform - 1));
    }
    return numbers;
}
