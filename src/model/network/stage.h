/*
 * stage.h - a contiguous run of frozen layers on this rank, with the embedding or the head where
 * they belong.
 *
 * The first stage embeds, the last one owns the final norm and the
 * vocabulary. Not thread-safe. Shape letters as in device.h.
 */
#ifndef FR_MODEL_NETWORK_STAGE_H
#define FR_MODEL_NETWORK_STAGE_H

#include "model/network/layer.h"
#include "model/recompute.h"

typedef struct fr_stage fr_stage;

typedef struct fr_stage_params {
    const fr_weights *
        weights; /* only read during create; with in_file used by the stage to its end */
    fr_device *device;      /* borrowed */
    fr_dtype dtype;         /* of matrices: the precision of device.h */
    fr_recompute recompute; /* what the activations keep of each layer */
    int64_t first_layer;
    int64_t n_layers;
    int64_t max_position; /* positions 0 .. max_position - 1 may occur */
    bool
        in_file; /* matrices stay in the file as they are and are converted whenever they are used */
    int64_t
        offload; /* layers, at most n_layers, whose matrices stay on the host and are
                    copied ahead (offload.h); where the device works in the host's memory
                    nothing is copied */
    fr_group
        *node; /* the ranks of this node, that all create a stage; NULL: this alone */
} fr_stage_params;

/** Load this stage's weights. Collective over the node's ranks, which share them, and all leave alike. FR_ERR_CONFIG if max_position exceeds what learned positions offer.
 * Angles of LongRoPE depend on max_position (model/rotation.h), so a model's stages must all get the same. */
FR_MUST_CHECK fr_status fr_stage_create(fr_ctx *ctx, const fr_stage_params *params,
                                        fr_stage **out);
void fr_stage_destroy(fr_stage **stage);

/** The device that it was made for. */
fr_device *fr_stage_device(const fr_stage *stage);
const fr_arch *fr_stage_arch(const fr_stage *stage);
int64_t fr_stage_first_layer(const fr_stage *stage);
int64_t fr_stage_n_layers(const fr_stage *stage);
/** Positions 0 .. this - 1 may occur. */
int64_t fr_stage_max_position(const fr_stage *stage);
/** Whether rotations turn by LongRoPE's long divisors (model/rotation.h), in all rows. */
bool fr_stage_turns_long(const fr_stage *stage);
bool fr_stage_is_first(const fr_stage *stage);
bool fr_stage_is_last(const fr_stage *stage);
/** The type of a cache's keys and values (fr_device_work). */
fr_dtype fr_stage_work(const fr_stage *stage);

/** The prefix of one task for the layers of this stage, borrowed memory of the stage's device. Layers outside `layers` attend as in the base; real
 * tokens stand at the positions after `length` in all layers. */
typedef struct fr_stage_prefix {
    int64_t length;
    const fr_f32 *k; /* [layers of this stage that have a prefix, P, G, K] */
    const fr_f32 *v;
    fr_layer_range layers; /* of the model; count 0: from `first` to the last */
    bool
        slides; /* in layers with a window, slot j counts as the key at position j; false: every token sees all slots */
} fr_stage_prefix;

/** The lowest layer of this stage, from 0, that a backward pass reaches: nothing goes below the first layer that has
 * a prefix. fr_stage_n_layers: none, the stage runs forward only. */
int64_t fr_stage_lowest(const fr_stage *stage, const fr_stage_prefix *prefix);

/** Saved activations of one microbatch in flight. With `keep` the layers from fr_stage_lowest on serve a backward pass
 * (what is kept of each is the stage's `recompute`); without, and below, only the residual stream is there. */
typedef struct fr_activations fr_activations;

FR_MUST_CHECK fr_status fr_activations_create(fr_stage *stage, bool keep,
                                              fr_activations **out);
void fr_activations_destroy(fr_activations **activations);
/** Bytes that the activations of a microbatch and the stage's scratch hold for n_tokens rows, by formula. */
int64_t fr_activations_bytes(const fr_stage *stage, int64_t n_tokens, bool keep);

/** Check a batch (fr_batch_check: every stage comes to the same verdict, before a message) and make room for it under
 * this prefix (grows, never shrinks); call before the input is written and before each fr_stage_forward. */
FR_MUST_CHECK fr_status fr_activations_prepare(fr_stage *stage,
                                               fr_activations *activations,
                                               const fr_batch *batch,
                                               const fr_stage_prefix *prefix);
/** Memory of a stage's input [T, D], which can be filled before activations are free that will use it. Zeroed at first. */
typedef struct fr_stage_input {
    fr_f32 *x_TD;
    int64_t capacity; /* token rows */
} fr_stage_input;
FR_MUST_CHECK fr_status fr_stage_input_reserve(fr_stage *stage, int64_t n_tokens,
                                               fr_stage_input *input);
void fr_stage_input_fini(fr_stage *stage, fr_stage_input *input);
/** Exchange the memory of an input with that of the activations; fr_activations_prepare must follow. */
void fr_activations_swap_input(fr_activations *activations, fr_stage_input *input);

/** Where the input [T, D] of this stage goes (received from the stage before). */
fr_f32 *fr_activations_input(fr_activations *activations);
/** The output after forward: [T, D]; on the last stage, of a pass without a cache, [S, D]: the rows that the batch
 * reads. */
fr_f32 *fr_activations_output(fr_activations *activations);
/** d loss / d output, of the output's shape: written by the next stage or the head, turned into d loss / d input
 * [T, D]. NULL where nothing is kept. */
fr_f32 *fr_activations_gradient(fr_activations *activations);

/** Caches for generation, one entry a layer of this stage; NULL in training. */
typedef struct fr_cache {
    fr_device *device; /* borrowed; of keys and values */
    int64_t n_layers;
    fr_layer_cache *layers;                /* k none: that layer keeps nothing */
    fr_attention_prefix *layer_prefixes_U; /* scratch of a pass */
    const fr_stage_prefix **prefixes_U;    /* each unit's prefix, the caller's to set */
} fr_cache;
/** Room for `rows` keys of at most n_units sequences a pass. */
FR_MUST_CHECK fr_status fr_cache_init(fr_ctx *ctx, const fr_stage *stage, int64_t rows,
                                      int64_t n_units, fr_cache *out);
/** Bytes of `rows` keys and values of this stage's layers. */
int64_t fr_cache_bytes(const fr_stage *stage, int64_t rows);
void fr_cache_fini(fr_cache *cache);

/** Output of this stage from its input; the first stage embeds the batch's tokens instead. The activations must have been
 * prepared for this batch and prefix since their last pass (else FR_ERR_INTERNAL). With a
 * cache the segments' keys and values go to their own rows there, and `prefix` is not used but the cache's. */
FR_MUST_CHECK fr_status fr_stage_forward(fr_stage *stage, const fr_batch *batch,
                                         const fr_stage_prefix *prefix, fr_cache *cache,
                                         fr_activations *activations);

/** Where unit gradients go, as exact integers (fr_exact_add); memory of the device. */
typedef struct fr_exact_sum {
    fr_i64 *k; /* like fr_stage_prefix.k */
    fr_i64 *v;
    int exponent;
    fr_i64 *n_refused; /* counts up for values that are not finite or too large */
} fr_exact_sum;

/** Backward through the stage down to fr_stage_lowest: fr_activations_gradient in, fr_activations_gradient out (undefined if layers
 * below have no prefix); adds every unit's prefix gradient to `sum`. Once for each forward pass, whose activations it uses up. */
FR_MUST_CHECK fr_status fr_stage_backward(fr_stage *stage, const fr_batch *batch,
                                          const fr_stage_prefix *prefix,
                                          fr_activations *activations,
                                          fr_exact_sum *sum);

/**
 * Last stage: nats of each target of the batch from fr_activations_output.
 * @param want_gradient  also write d (sum of nats) / d output into fr_activations_gradient
 */
FR_MUST_CHECK fr_status fr_stage_loss(fr_stage *stage, const fr_batch *batch,
                                      fr_activations *activations, bool want_gradient,
                                      fr_f64 *nll_R);

/** Last stage: logits of n rows of fr_activations_output, by fr_linear_few, to memory of the stage's device. */
FR_MUST_CHECK fr_status fr_stage_logits(fr_stage *stage, fr_activations *activations,
                                        int64_t n, const int32_t *rows_N,
                                        fr_f32 *logits_NV);

#endif
