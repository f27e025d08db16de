#include "device/cpu/kernels_simd_generic.h"

#include "device/cpu/kernels_table.h"

#include "device/cpu/kernels_product.h"

const fr_kernels fr_kernels_generic = FR_KERNEL_TABLE(tile_product);
