#include "model/quant_bodies.h"

const fr_quant_kernels fr_quant_avx2 = FR_QUANT_TABLE;
