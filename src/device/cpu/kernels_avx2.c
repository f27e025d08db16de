#include "device/cpu/kernels_simd_avx2.h"

#include "device/cpu/kernels_table.h"

#include "device/cpu/kernels_product.h"

const fr_kernels fr_kernels_avx2 = FR_KERNEL_TABLE(tile_product);
