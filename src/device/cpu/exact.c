/* The exact sum of gradients: each value is rounded once to a multiple of 2^-exponent and added as an integer, so
 * the sum has the same bits in any order, for any threads, microbatches and replicas. */
#include "base/exact.h"
#include "base/integer.h"
#include "device/cpu/cpu.h"
#include "device/cpu/kernels.h"
#include "device/loss.h"

#include <math.h>

/* Numbers that a thread takes at a time: 16 KiB of sums stay in the first cache over all units. */
enum { CHUNK = 2048 };

void fr_cpu_exact_add(fr_device *device, int64_t n_units, int64_t n, int exponent,
                      const float *g_Un, int64_t *sum_n, int64_t *n_refused)
{
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_units * n);
    double scale = ldexp(1.0, exponent);
    int64_t refused = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : refused)
    for (int64_t start = 0; start < n; start += CHUNK) {
        int64_t length = fr_min(n - start, CHUNK);
        for (int64_t unit = 0; unit < n_units; unit++) {
            refused += kernels->exact_add(length, scale, g_Un + unit * n + start,
                                          sum_n + start);
        }
    }
    *n_refused += refused;
}

/* One number a target: too few for threads. */
void fr_cpu_exact_add_numbers(fr_device *device, int64_t n, int exponent,
                              const double *x_n, int64_t *sum, int64_t *n_refused)
{
    (void)device;
    for (int64_t i = 0; i < n; i++) {
        fr_exact_add_one(x_n[i], exponent, sum, n_refused);
    }
}
