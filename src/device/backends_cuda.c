/* The list of a program with the kernels of CUDA in it (WITH_CUDA), in the place of backends.c. */
#include "device/backends.h"

#include "device/cpu/cpu.h"
#include "device/cuda/cuda.h"

#include <stddef.h>

const fr_backend *const fr_backends[] = {&fr_cuda_backend, &fr_cpu_backend, NULL};
