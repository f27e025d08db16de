#include "device/image.h"

#include <string.h>

fr_status fr_image_open(fr_device *device, void *host, int64_t bytes, fr_image *out)
{
    *out = (fr_image){.device = host, .host = host, .bytes = bytes};
    if (fr_device_in_host_memory(device)) {
        return FR_OK;
    }
    out->device = NULL;
    fr_status status = fr_device_alloc(device, bytes, 1, &out->device);
    if (status == FR_OK) {
        status = fr_host_alloc(device, bytes, 1, &out->block);
    }
    if (status != FR_OK) {
        fr_image_close(device, out);
        return status;
    }
    fr_image_put(device, out);
    return FR_OK;
}

void fr_image_close(fr_device *device, fr_image *image)
{
    if (image->device != image->host) {
        fr_device_free(device, image->device);
        fr_host_free(device, image->block);
    }
    *image = (fr_image){0};
}

/* The block may be used again at once: a put has read it when it returns. */
void fr_image_put(fr_device *device, fr_image *image)
{
    if (image->block != NULL && image->bytes > 0) {
        memcpy(image->block, image->host, (size_t)image->bytes);
        fr_device_put(device, image->device, image->block, image->bytes);
    }
}

void fr_image_get(fr_device *device, fr_image *image)
{
    if (image->block != NULL) {
        fr_device_get(device, image->block, image->device, image->bytes);
    }
}

void fr_image_take(fr_image *image)
{
    if (image->block != NULL && image->bytes > 0) {
        memcpy(image->host, image->block, (size_t)image->bytes);
    }
}
