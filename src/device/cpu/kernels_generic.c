#include "device/cpu/kernels_simd_generic.h"

#include "device/cpu/kernels_table.h"

const fr_kernels fr_kernels_generic = FR_KERNEL_TABLE;
