/* The devices of a program whose GPU is emulated: it is the only one, so that "auto" takes it or fails. */
#include "device/backends.h"

#include "device/cuda/cuda.h"

#include <stddef.h>

const fr_backend *const fr_backends[] = {&fr_cuda_backend, NULL};
