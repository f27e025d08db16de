/* Of a test with nvcc's images. */
#include "cuda_emulation/which_gpu.h"

const bool fr_gpu_is_emulated = false;
