/*
 * prefix_image.h - keys and values of a prefix in the host's memory, and their image in a device (device/image.h).
 */
#ifndef FR_MODEL_NETWORK_PREFIX_IMAGE_H
#define FR_MODEL_NETWORK_PREFIX_IMAGE_H

#include "device/image.h"

#include <stdint.h>

/** Zeroed: there is none. */
typedef struct fr_prefix_image {
    fr_image k;
    fr_image v;
} fr_prefix_image;

/** @param k  [n] in the host's memory, borrowed, as v; n may be 0 */
FR_MUST_CHECK fr_status fr_prefix_image_open(fr_device *device, float *k, float *v,
                                             int64_t n, fr_prefix_image *out);
void fr_prefix_image_close(fr_device *device, fr_prefix_image *image);

/** The device sees what the host has now. */
void fr_prefix_image_put(fr_device *device, fr_prefix_image *image);
/** Ask for what the device has now, and bring it to the host once a mark behind that has passed. */
void fr_prefix_image_get(fr_device *device, fr_prefix_image *image);
void fr_prefix_image_take(fr_prefix_image *image);

/** Keys and values that become a prefix, in the type that a cache has: the image's own where that is f32, else in memory of
 * their own. Zeroed: there are none. */
typedef struct fr_prefix_keys {
    fr_view k;
    fr_view v;
    fr_byte *memory; /* NULL: the image's */
} fr_prefix_keys;

/** @param n  numbers of k, and of v, as many as the image has */
FR_MUST_CHECK fr_status fr_prefix_keys_open(fr_device *device,
                                            const fr_prefix_image *image, int64_t n,
                                            fr_dtype dtype, fr_prefix_keys *out);
void fr_prefix_keys_close(fr_device *device, fr_prefix_keys *keys);
/** The image gets them, in f32. */
void fr_prefix_keys_bring(fr_device *device, const fr_prefix_image *image, int64_t n,
                          const fr_prefix_keys *keys);

#endif
