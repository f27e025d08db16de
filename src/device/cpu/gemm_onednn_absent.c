/* In the place of gemm_onednn.c where the library is not installed: no handle, so no product comes here. */
#include "device/cpu/gemm_onednn.h"

#include "device/device_impl.h"

fr_status fr_onednn_create(fr_ctx *ctx, fr_onednn **out)
{
    (void)ctx;
    *out = NULL;
    return FR_OK;
}

void fr_onednn_destroy(fr_onednn **onednn)
{
    *onednn = NULL;
}

bool fr_onednn_has_bf16(void)
{
    return false;
}

fr_status fr_onednn_multiply(fr_device *device, const fr_product *product)
{
    (void)product;
    return FR_FAIL(device->ctx, FR_ERR_INTERNAL,
                   "this program is built without oneDNN");
}
