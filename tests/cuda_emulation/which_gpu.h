/*
 * which_gpu.h - whether a test's kernels are the emulated ones. Said by what the program is linked with (kernels_image.c,
 * tests/gpu/real.c), so that one source of a test serves both.
 */
#ifndef FR_CUDA_EMULATION_WHICH_GPU_H
#define FR_CUDA_EMULATION_WHICH_GPU_H

#include <stdbool.h>

extern const bool fr_gpu_is_emulated;

#endif
