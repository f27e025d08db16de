/*
 * activation.h - activations of the feed-forward half, gated and plain, forward and backward.
 *
 * Words, shape letters and promises as in device.h. Views of a call have one type, but for `saved`.
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
              int64_t width, fr_view gate_up_T2F, fr_view y_TF);

/** dgate_up from dy and the saved gate_up; dgate_up may be gate_up itself. */
void fr_gated_back(fr_device *device, fr_activation activation, int64_t n_tokens,
                   int64_t width, fr_view gate_up_T2F, fr_view dy_TF,
                   fr_view dgate_up_T2F);

/** fr_save of gate_up, then fr_gated, row by row, so that each row is read from memory once. */
void fr_save_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
                   int64_t width, fr_view gate_up_T2F, fr_view saved, fr_view y_TF);

/** fr_restore of gate_up, then fr_gated_back, likewise. */
void fr_restore_gated_back(fr_device *device, fr_activation activation,
                           int64_t n_tokens, int64_t width, fr_view saved,
                           fr_view dy_TF, fr_view dgate_up_T2F);

/** y = activation(x) of n numbers. y may be x. */
void fr_activate(fr_device *device, fr_activation activation, int64_t n, fr_view x,
                 fr_view y);

/** dx = activation'(x) * dy; dx may be x or dy. */
void fr_activate_back(fr_device *device, fr_activation activation, int64_t n, fr_view x,
                      fr_view dy, fr_view dx);

#endif
