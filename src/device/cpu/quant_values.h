/*
 * quant_values.h - the tables of device/quant_values.h, for quant_*.c alone.
 */
#ifndef FR_DEVICE_CPU_QUANT_VALUES_H
#define FR_DEVICE_CPU_QUANT_VALUES_H

#include "device/quant_values.h"

static const int8_t IQ4_VALUES[16] = {FR_IQ4_LOWER, FR_IQ4_UPPER};
static const int8_t MXFP4_VALUES[16] = {FR_MXFP4_LOWER, FR_MXFP4_UPPER};

#endif
