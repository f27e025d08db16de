/*
 * few.h - the products of device/few.h with rows in memory, one for each instruction set.
 *
 * For the sources of src/device alone.
 */
#ifndef FR_DEVICE_CPU_FEW_H
#define FR_DEVICE_CPU_FEW_H

#include "device/few.h"

typedef void fr_few_kernel(const fr_few *few);

fr_few_kernel fr_few_generic;
fr_few_kernel fr_few_avx2;
fr_few_kernel fr_few_avx512;

#endif
