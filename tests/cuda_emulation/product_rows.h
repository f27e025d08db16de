/*
 * product_rows.h - rows of a product on a CUDA device in calls of their own, for shapes of whole models.
 *
 * Two kinds of products are compared: Forerun's own kernels and cuBLASLt. What the probe at the start refuses to cuBLASLt is
 * multiplied by it all the same, so that a test sees it.
 */
#ifndef FR_CUDA_EMULATION_PRODUCT_ROWS_H
#define FR_CUDA_EMULATION_PRODUCT_ROWS_H

#include "device/matrix.h"

typedef struct fr_product_rows {
    fr_device *device;
    fr_matrix w; /* on the device, dense */
    bool back;
    int64_t rows;
    int64_t depth;
    int64_t columns;
    fr_view left;  /* [rows, depth] */
    fr_view start; /* [rows, columns], zeros: what products are added to */
    fr_view out;   /* [rows, columns] */
    char *all;     /* the same on the host: results of one call, */
    char *some;    /* and of a later one */
} fr_product_rows;

/** n numbers of that type on the device, rubbish with full mantissas, a function of `seed`. */
fr_view fr_rubbish(fr_device *device, fr_dtype dtype, int64_t n, uint64_t seed);

/** A library for products may be used for such a product, if it passes the probe. */
void fr_product_rows_try(fr_device *device, const fr_matrix *w, bool back,
                         fr_dtype out);

/** A product with w that was tried, whose `left` is for the caller to set, from memory of the device. */
fr_product_rows fr_product_rows_open(fr_device *device, const fr_matrix *w, bool back,
                                     int64_t rows, fr_dtype out);
/** Gives `left` back, too. */
void fr_product_rows_close(fr_product_rows *p);

/** start + product of these rows to the host. @return false: the device has failed */
bool fr_product_rows_run(fr_product_rows *p, int64_t first, int64_t count, char *host);

/** In bf16, let products be added to what they are now, negated: digits that rounding cuts off are what remains. Nothing happens
 * in f32, which shows all digits, and where a product is rounded before something is added to it. Fills p->all. */
void fr_product_rows_subtract(fr_product_rows *p);

/** Whether rows in a call of their own have other bits than in p->all. */
bool fr_product_rows_differ(fr_product_rows *p, int64_t first, int64_t count);

/** The bytes of a row of results. */
int64_t fr_product_rows_bytes(const fr_product_rows *p);

/** Let cuBLASLt compute what it is pinned for and the probe has refused. @return how many shapes that are; 0 without it */
int fr_product_rows_force(fr_device *device);
/** Shapes that cuBLASLt computes. */
int fr_product_rows_pinned(const fr_device *device);

/** Wait until the device has done what was asked. */
void fr_product_rows_wait(fr_device *device);

#endif
