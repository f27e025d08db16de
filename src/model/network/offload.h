/*
 * offload.h - layers whose matrices stay in the host's memory and are copied to the device ahead of their use.
 *
 * They are spread evenly over a stage, so that a copy has the layers between two of them to be done in. The device has two slots,
 * each as large as the largest of these layers: while one is computed with, the next one is copied to the other. Which is next
 * follows from the pass, and at its end from the one that is likely to follow: after a forward pass whose activations are kept a
 * backward one, else a forward one. If another follows, its first layer is waited for, and nothing else changes.
 */
#ifndef FR_MODEL_NETWORK_OFFLOAD_H
#define FR_MODEL_NETWORK_OFFLOAD_H

#include "model/network/layer.h"

/** Layers that stay on the host are counted from 0, apart from the others. A way goes over some of them. */
typedef struct fr_offload_way {
    int64_t at;
    int64_t last;
    int64_t step; /* 1 or -1 */
} fr_offload_way;

typedef struct fr_offload {
    fr_ctx *ctx;                     /* borrowed */
    fr_device *device;               /* borrowed */
    int64_t n;                       /* layers that stay on the host; 0: none */
    int64_t n_layers;                /* of the stage */
    struct fr_offload_layer *layers; /* [n] */
    int64_t n_added;
    int64_t slot_bytes;
    fr_byte *slots[FR_AHEAD_SLOTS];
    int64_t in
        [FR_AHEAD_SLOTS]; /* the layer that is in the slot, or on its way there; -1: none */
    bool has_arrived[FR_AHEAD_SLOTS]; /* it was awaited */
    fr_offload_way now;
    fr_offload_way then; /* the way after this one */
} fr_offload;

/** Of a stage with n_layers, `n` of which stay on the host: none where the device works in the host's memory. Holds nothing yet;
 * fr_offload_fini may follow at any time. */
fr_offload fr_offload_of(fr_ctx *ctx, fr_device *device, int64_t n, int64_t n_layers);
void fr_offload_fini(fr_offload *offload);

/** Whether local layer `layer` of n_layers is one of the n that stay on the host. */
static inline bool fr_offload_takes(int64_t n, int64_t n_layers, int64_t layer)
{
    return n > 0 && (layer + 1) * n / n_layers > layer * n / n_layers;
}
static inline bool fr_offload_has(const fr_offload *offload, int64_t layer)
{
    return fr_offload_takes(offload->n, offload->n_layers, layer);
}

/** Bytes that a part of a matrix takes in a slot. */
int64_t fr_offload_bytes(int64_t bytes);

/** Copy the matrices of the next layer that stays, which lie anywhere in the host's memory, to memory that the device copies from
 * well. FR_ERR_NO_MEMORY. */
FR_MUST_CHECK fr_status fr_offload_add(fr_offload *offload, fr_layer *layer);
/** Make the slots, when all layers are there. FR_ERR_NO_MEMORY. */
FR_MUST_CHECK fr_status fr_offload_open(fr_offload *offload);

/** A pass begins: forward over all layers, after which a backward pass is likely or not, or backward down to local layer `lowest`
 * (n_layers: over none). */
void fr_offload_forward(fr_offload *offload, bool is_kept);
void fr_offload_backward(fr_offload *offload, int64_t lowest);

/** The layer with its matrices in the device, for the work that is asked until fr_offload_end. */
fr_layer fr_offload_begin(fr_offload *offload, int64_t index, const fr_layer *layer);
/** All work with the layer was asked. */
void fr_offload_end(fr_offload *offload, int64_t index);

#endif
