#include "device/cpu/quant_short.h"

const fr_quant_kernels fr_quant_avx2 = {FR_QUANT_WIDEN, .round_bf16 = round_bf16};
