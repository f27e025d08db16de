#include "device/device.h"

size_t fr_dtype_bytes(fr_dtype dtype)
{
    return dtype == FR_BF16 ? 2 : 4;
}
