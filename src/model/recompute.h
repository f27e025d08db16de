/*
 * recompute.h - which activations of a layer are kept between its forward and its backward pass.
 *
 * The choice trades memory for time and never changes a result: the same operators on the same inputs give the same
 * bits.
 */
#ifndef FR_MODEL_RECOMPUTE_H
#define FR_MODEL_RECOMPUTE_H

typedef enum fr_recompute {
    FR_RECOMPUTE_NONE,  /* all that the backward pass needs is kept */
    FR_RECOMPUTE_MLP,   /* all but the output of the up projection (with the gate) */
    FR_RECOMPUTE_LAYER, /* only the layer's input: its forward runs again, less the down
                           projection */
} fr_recompute;

#endif
