/* Activations. They work element by element; a thread takes whole rows where gate and up lie in one row. */
#include "base/integer.h"
#include "device/activation.h"
#include "device/cpu/cpu.h"
#include "device/cpu/kernels.h"

/* Numbers of a chunk of the plain ones: 16 KiB, short enough for an even share. */
enum { CHUNK = 4096 };

static fr_activation_kernels kernels_of(const fr_device *device,
                                        fr_activation activation)
{
    return fr_kernels_select(fr_cpu_of(device)->isa)->activation[activation];
}

/* A row of the input holds gate and up, of `width` each; the output has one `width`. */
void fr_cpu_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
                  int64_t width, const float *gate_up_T2F, float *y_TF)
{
    fr_activation_kernels kernels = kernels_of(device, activation);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        kernels.gated(width, gate_up_T2F + 2 * t * width, y_TF + t * width);
    }
}

void fr_cpu_gated_back(fr_device *device, fr_activation activation, int64_t n_tokens,
                       int64_t width, const float *gate_up_T2F, const float *dy_TF,
                       float *dgate_up_T2F)
{
    fr_activation_kernels kernels = kernels_of(device, activation);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        kernels.gated_back(width, gate_up_T2F + 2 * t * width, dy_TF + t * width,
                           dgate_up_T2F + 2 * t * width);
    }
}

void fr_cpu_activate(fr_device *device, fr_activation activation, int64_t n,
                     const float *x, float *y)
{
    fr_activation_kernels kernels = kernels_of(device, activation);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        kernels.plain(fr_min(n - start, CHUNK), x + start, y + start);
    }
}

void fr_cpu_activate_back(fr_device *device, fr_activation activation, int64_t n,
                          const float *x, const float *dy, float *dx)
{
    fr_activation_kernels kernels = kernels_of(device, activation);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        kernels.plain_back(fr_min(n - start, CHUNK), x + start, dy + start, dx + start);
    }
}
