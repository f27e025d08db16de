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
                  int64_t width, fr_view gate_up, fr_view y)
{
    const float *gate_up_T2F = fr_view_floats(gate_up);
    float *y_TF = fr_view_floats(y);
    fr_activation_kernels kernels = kernels_of(device, activation);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        kernels.gated(width, gate_up_T2F + 2 * t * width, y_TF + t * width);
    }
}

void fr_cpu_gated_back(fr_device *device, fr_activation activation, int64_t n_tokens,
                       int64_t width, fr_view gate_up, fr_view dy, fr_view dgate_up)
{
    const float *gate_up_T2F = fr_view_floats(gate_up);
    const float *dy_TF = fr_view_floats(dy);
    float *dgate_up_T2F = fr_view_floats(dgate_up);
    fr_activation_kernels kernels = kernels_of(device, activation);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        kernels.gated_back(width, gate_up_T2F + 2 * t * width, dy_TF + t * width,
                           dgate_up_T2F + 2 * t * width);
    }
}

void fr_cpu_activate(fr_device *device, fr_activation activation, int64_t n, fr_view x,
                     fr_view y)
{
    const float *from = fr_view_floats(x);
    float *to = fr_view_floats(y);
    fr_activation_kernels kernels = kernels_of(device, activation);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        kernels.plain(fr_min(n - start, CHUNK), from + start, to + start);
    }
}

void fr_cpu_activate_back(fr_device *device, fr_activation activation, int64_t n,
                          fr_view x, fr_view dy, fr_view dx)
{
    const float *from = fr_view_floats(x);
    const float *d_to = fr_view_floats(dy);
    float *d_from = fr_view_floats(dx);
    fr_activation_kernels kernels = kernels_of(device, activation);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        kernels.plain_back(fr_min(n - start, CHUNK), from + start, d_to + start,
                           d_from + start);
    }
}
