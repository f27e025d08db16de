/*
 * products.h - what a device multiplies by, settled at the start: some devices have a library for products, and own kernels beside
 * it with other bits. Which of the two computes a product must be the same on all ranks, or bits would depend on the layout.
 *
 * So every rank tries the shapes that it will use (fr_products_try), ranks take the worst of their verdicts for each shape, and
 * every rank settles on that (fr_products_settle). A shape that was not tried is for the own kernels. Devices without a
 * library do nothing here.
 */
#ifndef FR_DEVICE_PRODUCTS_H
#define FR_DEVICE_PRODUCTS_H

#include "device/device.h"

#include <stdint.h>

/** What products have in common: a matrix [n_out, n_in], a direction (fr_linear, or fr_linear_back), and types. */
typedef struct fr_product_shape {
    int64_t n_out;
    int64_t n_in;
    bool back;
    fr_dtype in;  /* of the matrix, which the other operand is converted to */
    fr_dtype out; /* of the result, and of what is added */
} fr_product_shape;

/** What products are computed by, for people: "cuBLASLt 13.1.0", or "Forerun's own kernels, since cuBLASLt is not used: " and why. ""
 * of a device that never has a library. Lives as long as the device. */
const char *fr_device_products(const fr_device *device);

/**
 * Try shapes, with numbers of the device's own. Waits for the device, whose memory it takes and gives back as much of as a
 * matrix has, at most: before there are weights.
 * @param[out] refused_N  [n] 1: the library is not for such products here; 0: it is, or the shape is for the own kernels on
 *                        every device of this kind
 * @return FR_OK; FR_ERR_NO_MEMORY; FR_ERR_DEVICE
 */
FR_MUST_CHECK fr_status fr_products_try(fr_device *device, int n,
                                        const fr_product_shape *shapes,
                                        int64_t *refused_N);

/**
 * Shapes that any rank was refused go to the own kernels, and the arithmetic's name gets a digest of them. Once a device, on all
 * ranks with the same arguments, also with shapes that only others tried. Errors as above.
 */
FR_MUST_CHECK fr_status fr_products_settle(fr_device *device, int n,
                                           const fr_product_shape *shapes,
                                           const int64_t *refused_N);

#endif
