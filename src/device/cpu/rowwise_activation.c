/* Activations. They work element by element, but a thread takes whole rows: swiglu's halves lie in
 * one row. */
#include "device/cpu/kernels.h"
#include "device/state.h"

/* A row of the input holds gate and up, of `width` each; the output has one `width`. */
void fr_swiglu(fr_device *device, int64_t n_tokens, int64_t width,
               const float *gate_up_T2F, float *y_TF)
{
    int64_t began = fr_operator_begin(device);
    const fr_kernels *kernels = fr_kernels_select(device->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        kernels->swiglu(width, gate_up_T2F + 2 * t * width, y_TF + t * width);
    }
    fr_operator_end(device, FR_OP_ACTIVATION, began, 0);
}

void fr_swiglu_back(fr_device *device, int64_t n_tokens, int64_t width,
                    const float *gate_up_T2F, const float *dy_TF, float *dgate_up_T2F)
{
    int64_t began = fr_operator_begin(device);
    const fr_kernels *kernels = fr_kernels_select(device->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        kernels->swiglu_back(width, gate_up_T2F + 2 * t * width, dy_TF + t * width,
                             dgate_up_T2F + 2 * t * width);
    }
    fr_operator_end(device, FR_OP_ACTIVATION_BACK, began, 0);
}

/* GELU has no gate: input and output have the same width. */
void fr_gelu(fr_device *device, int64_t n_tokens, int64_t width, const float *x_TF,
             float *y_TF)
{
    int64_t began = fr_operator_begin(device);
    const fr_kernels *kernels = fr_kernels_select(device->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        kernels->gelu(width, x_TF + t * width, y_TF + t * width);
    }
    fr_operator_end(device, FR_OP_ACTIVATION, began, 0);
}

void fr_gelu_back(fr_device *device, int64_t n_tokens, int64_t width, const float *x_TF,
                  const float *dy_TF, float *dx_TF)
{
    int64_t began = fr_operator_begin(device);
    const fr_kernels *kernels = fr_kernels_select(device->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        int64_t row = t * width;
        kernels->gelu_back(width, x_TF + row, dy_TF + row, dx_TF + row);
    }
    fr_operator_end(device, FR_OP_ACTIVATION_BACK, began, 0);
}
