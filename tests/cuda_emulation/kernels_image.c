/* The emulated kernels of this program, in the place of nvcc's images. */
#include "block.h"
#include "device/cuda/runtime.h"
#include "which_gpu.h"

#include <stddef.h>

const bool fr_gpu_is_emulated = true;

#define FR_K(name) extern const fr_emulated_kernel fr_emulated_##name;
FR_CUDA_KERNELS(FR_K, FR_DIGIT_1, FR_DIGIT_2, FR_DIGIT_3)
#undef FR_K

#define FR_K(name) &fr_emulated_##name,
static const fr_emulated_kernel *const KERNELS[] = {
    FR_CUDA_KERNELS(FR_K, FR_DIGIT_1, FR_DIGIT_2, FR_DIGIT_3) NULL};
#undef FR_K

static const fr_emulated_image IMAGE = {FR_EMULATED_MAGIC, FR_CUDA_KERNEL_COUNT,
                                        KERNELS, fr_emulated_run};

const void *const fr_cuda_images[] = {&IMAGE, NULL};
