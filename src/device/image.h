/*
 * image.h - memory of the host and its image in a device: where the host has the numbers (a prefix, whose optimizer and
 * checkpoints are the host's) and the device computes with them, or adds to them.
 *
 * Where the device works in the host's memory the two are one, and nothing is copied. Otherwise the image has memory of its
 * own on the device and a block of the host through which copies go.
 */
#ifndef FR_DEVICE_IMAGE_H
#define FR_DEVICE_IMAGE_H

#include "device/memory.h"

/** Zeroed: there is none. */
typedef struct fr_image {
    void *device; /* device memory, of the host's size */
    void *host;   /* borrowed */
    int64_t bytes;
    void *block; /* NULL: device and host are one */
} fr_image;

/** An image of `bytes` at `host`, which it shows at once. FR_ERR_NO_MEMORY (*out zeroed). */
FR_MUST_CHECK fr_status fr_image_open(fr_device *device, void *host, int64_t bytes,
                                      fr_image *out);
void fr_image_close(fr_device *device, fr_image *image);

/** The device sees what the host has now. */
void fr_image_put(fr_device *device, fr_image *image);

/** Ask for what the device has now: after a mark behind this call has passed, fr_image_take brings it to the host. */
void fr_image_get(fr_device *device, fr_image *image);
void fr_image_take(fr_image *image);

#endif
