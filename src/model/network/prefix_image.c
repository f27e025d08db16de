#include "model/network/prefix_image.h"

#include "device/rowwise.h"

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

fr_status fr_prefix_keys_open(fr_device *device, const fr_prefix_image *image,
                              int64_t n, fr_dtype dtype, fr_prefix_keys *out)
{
    *out = (fr_prefix_keys){.k = fr_view_f32(image->k.device),
                            .v = fr_view_f32(image->v.device)};
    if (dtype == FR_F32) {
        return FR_OK;
    }
    FR_TRY(fr_device_alloc(device, 2 * n, fr_dtype_bytes(dtype), &out->memory));
    out->k = fr_view_of(out->memory, dtype);
    out->v = fr_view_at(out->k, n);
    return FR_OK;
}

void fr_prefix_keys_close(fr_device *device, fr_prefix_keys *keys)
{
    fr_device_free(device, keys->memory);
    *keys = (fr_prefix_keys){0};
}

void fr_prefix_keys_bring(fr_device *device, const fr_prefix_image *image, int64_t n,
                          const fr_prefix_keys *keys)
{
    if (keys->memory != NULL) {
        fr_restore(device, n, keys->k, fr_view_f32(image->k.device));
        fr_restore(device, n, keys->v, fr_view_f32(image->v.device));
    }
}
