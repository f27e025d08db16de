/*
 * activation.h - activations of the feed-forward half, gated and plain, forward and backward.
 *
 * Words, shape letters and promises as in device.h.
 */
#ifndef FR_DEVICE_ACTIVATION_H
#define FR_DEVICE_ACTIVATION_H

#include "device/memory.h"

/** Functions of one number. NaN stays NaN. Of -infinity all but ReLU give a value that is not finite either, so that it shows. */
typedef enum fr_activation {
    FR_ACTIVATION_SILU,      /* x / (1 + e^-x) */
    FR_ACTIVATION_GELU_TANH, /* x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2: GPT-2's gelu_new, gelu_pytorch_tanh */
    FR_ACTIVATION_GELU_ERF,  /* x (1 + erf(x / sqrt 2)) / 2 (arXiv:1606.08415) */
    FR_ACTIVATION_RELU,      /* max(x, 0); its slope at 0 is 0 */
    FR_ACTIVATIONS
} fr_activation;

/** y = activation(gate) * up; gate_up_T2F holds gate then up in each row (arXiv:2002.05202). */
void fr_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
              int64_t width, const fr_f32 *gate_up_T2F, fr_f32 *y_TF);

/** dgate_up from dy and the saved gate_up; dgate_up may be gate_up itself. */
void fr_gated_back(fr_device *device, fr_activation activation, int64_t n_tokens,
                   int64_t width, const fr_f32 *gate_up_T2F, const fr_f32 *dy_TF,
                   fr_f32 *dgate_up_T2F);

/** fr_save of gate_up, then fr_gated, row by row, so that each row is read from memory once. */
void fr_save_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
                   int64_t width, fr_dtype dtype, fr_f32 *gate_up_T2F, fr_byte *saved,
                   fr_f32 *y_TF);

/** fr_restore of gate_up, then fr_gated_back, likewise. */
void fr_restore_gated_back(fr_device *device, fr_activation activation,
                           int64_t n_tokens, int64_t width, fr_dtype dtype,
                           const fr_byte *saved, const fr_f32 *dy_TF,
                           fr_f32 *dgate_up_T2F);

/** y = activation(x) of n numbers. y may be x. */
void fr_activate(fr_device *device, fr_activation activation, int64_t n,
                 const fr_f32 *x, fr_f32 *y);

/** dx = activation'(x) * dy; dx may be x or dy. */
void fr_activate_back(fr_device *device, fr_activation activation, int64_t n,
                      const fr_f32 *x, const fr_f32 *dy, fr_f32 *dx);

#endif
