#include "model/network/prefix_image.h"

fr_status fr_prefix_image_open(fr_device *device, float *k, float *v, int64_t n,
                               fr_prefix_image *out)
{
    int64_t bytes = n * (int64_t)sizeof(float);
    *out = (fr_prefix_image){0};
    fr_status status = fr_image_open(device, k, bytes, &out->k);
    if (status == FR_OK) {
        status = fr_image_open(device, v, bytes, &out->v);
    }
    if (status != FR_OK) {
        fr_prefix_image_close(device, out);
    }
    return status;
}

void fr_prefix_image_close(fr_device *device, fr_prefix_image *image)
{
    fr_image_close(device, &image->k);
    fr_image_close(device, &image->v);
}

void fr_prefix_image_put(fr_device *device, fr_prefix_image *image)
{
    fr_image_put(device, &image->k);
    fr_image_put(device, &image->v);
}

void fr_prefix_image_get(fr_device *device, fr_prefix_image *image)
{
    fr_image_get(device, &image->k);
    fr_image_get(device, &image->v);
}

void fr_prefix_image_take(fr_prefix_image *image)
{
    fr_image_take(&image->k);
    fr_image_take(&image->v);
}
