/*
 * products.h - the shapes of a model's matrix products, which devices settle at the start (device/products.h).
 */
#ifndef FR_MODEL_NETWORK_PRODUCTS_H
#define FR_MODEL_NETWORK_PRODUCTS_H

#include "device/products.h"
#include "model/arch.h"

enum { FR_MODEL_PRODUCTS = 10 };

typedef struct fr_model_products {
    int n;
    int n_of_layers; /* the first of them; the rest are the head's */
    fr_product_shape shapes[FR_MODEL_PRODUCTS];
} fr_model_products;

/** What layers, all alike, and the head multiply by fr_linear and, with `back`, by fr_linear_back.
 * @param dtype  of matrices   @param work  the device's, for it (fr_device_work) */
fr_model_products fr_model_products_of(const fr_arch *arch, fr_dtype dtype,
                                       fr_dtype work, bool back);

#endif
