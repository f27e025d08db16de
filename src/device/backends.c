#include "device/backends.h"

#include "device/cpu/cpu.h"

#include <stddef.h>

const fr_backend *const fr_backends[] = {&fr_cpu_backend, NULL};
