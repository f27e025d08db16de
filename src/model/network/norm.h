/*
 * norm.h - the norm of rows that a description names: RMS norm, or layer norm with a bias.
 */
#ifndef FR_MODEL_NETWORK_NORM_H
#define FR_MODEL_NETWORK_NORM_H

#include "model/arch.h"

/** Vectors of one norm. */
typedef struct fr_norm_weights {
    fr_f32
        *w; /* [D]; NULL: there is no norm, and nobody may call the functions below */
    fr_f32 *b; /* [D], layer norm only */
} fr_norm_weights;

/** y = norm(x) of n rows of d_model numbers. statistics_N2 may be NULL. y is another buffer than x. */
void fr_norm_forward(fr_device *device, const fr_arch *arch,
                     const fr_norm_weights *norm, int64_t n, fr_view x, fr_view y,
                     fr_f32 *statistics_N2);

/** dx += d norm / dx^T dy, from the saved x and statistics. @param again  see fr_rmsnorm_back */
void fr_norm_backward(fr_device *device, const fr_arch *arch,
                      const fr_norm_weights *norm, int64_t n, fr_view x,
                      const fr_f32 *statistics_N2, fr_view dy, fr_f32 *dx,
                      fr_view again);

#endif
