/*
 * constants.h - what a stage loads into its device once and frees with itself: vectors, tables, and matrices where the
 * device cannot read them in the host's memory.
 */
#ifndef FR_MODEL_NETWORK_CONSTANTS_H
#define FR_MODEL_NETWORK_CONSTANTS_H

#include "device/matrix.h"
#include "model/weights/weights.h"

struct fr_constant;

/** Memory goes into the list at once, so that fr_constants_fini frees it whatever fails later. */
typedef struct fr_constants {
    fr_ctx *ctx;                /* borrowed */
    fr_device *device;          /* borrowed */
    const fr_weights *weights;  /* borrowed, read while loading */
    struct fr_constant *newest; /* owned */
} fr_constants;

void fr_constants_fini(fr_constants *constants);

/** n zeroed numbers of the device, which the list owns. */
FR_MUST_CHECK fr_status fr_constants_floats(fr_constants *constants, int64_t n,
                                            fr_f32 **out);

/** The same with n numbers of the host, which are used up (fr_device_put). */
FR_MUST_CHECK fr_status fr_constants_put(fr_constants *constants, float *from,
                                         int64_t n, fr_f32 **out);

/** The same with the numbers of a weight of the model, all its rows. */
FR_MUST_CHECK fr_status fr_constants_load(fr_constants *constants, fr_weight role,
                                          int64_t layer, fr_f32 **out);

/** A weight to numbers that the list has: as many as fr_weights_shape says. */
FR_MUST_CHECK fr_status fr_constants_read(fr_constants *constants, fr_weight role,
                                          int64_t layer, fr_f32 *to);

/** Bytes of a part from its first stored row to its last. */
int64_t fr_constants_part_bytes(const fr_matrix *matrix, const fr_matrix_part *part);

/** The matrix as the device can use it: its parts as they are where the device works in the host's memory, else copies of
 * them, in their format. */
FR_MUST_CHECK fr_status fr_constants_bring(fr_constants *constants, fr_matrix *matrix);

#endif
