/*
 * layers.h - which layers of a model have a window, rotate, or rotate by the local rotation.
 *
 * A window that is no shorter than the context hides nothing, so it counts as none.
 */
#ifndef FR_MODEL_FAMILIES_LAYERS_H
#define FR_MODEL_FAMILIES_LAYERS_H

#include "model/families/family.h"

/** Give a window, if arch->window is one, to `in_each` of each `every` layers, the first ones. */
void fr_layers_set_window(fr_arch *arch, int64_t in_each, int64_t every);

/** Layers of which `every`-th ones, counted from 1, do not rotate. */
void fr_layers_stop_rotation(fr_arch *arch, int64_t every);

/** Layers with a window rotate by the local rotation. It is called before windows are dropped for their length. */
void fr_layers_rotate_locally(fr_arch *arch);

/** Drop a window that no token's positions exceed. The readers call it last. */
void fr_layers_drop_long_window(fr_arch *arch);

/* Readers of config.json. All take the list layer_types where it is there.
 * They return FR_OK; FR_ERR_FORMAT (a list of another length or type); FR_ERR_UNSUPPORTED (another type of layer, or windows
 * in layers where the family has none). */

/** No layer has a window. */
FR_MUST_CHECK fr_status fr_hf_no_windows(const fr_hf_fields *fields, fr_arch *arch);
/** Every layer has the window, if there is one. */
FR_MUST_CHECK fr_status fr_hf_windows_everywhere(const fr_hf_fields *fields,
                                                 fr_arch *arch);
/** With use_sliding_window, layers from max_window_layers on. */
FR_MUST_CHECK fr_status fr_hf_windows_late(const fr_hf_fields *fields, fr_arch *arch);
/** All layers but each n-th one; `key`, unless NULL, may hold another n. */
FR_MUST_CHECK fr_status fr_hf_windows_but_every(const fr_hf_fields *fields,
                                                fr_arch *arch, const char *key,
                                                int64_t n);
/** Rotation as no_rope_layers or no_rope_layer_interval says; with use_sliding_window, those that do not rotate have the
 * window. */
FR_MUST_CHECK fr_status fr_hf_windows_unrotated(const fr_hf_fields *fields,
                                                fr_arch *arch);

/** As fr_hf_windows_but_every, from "ARCHITECTURE.attention.sliding_window_pattern" (a number, or a flag for each layer).
 * @return FR_OK; FR_ERR_FORMAT */
FR_MUST_CHECK fr_status fr_gguf_windows_but_every(fr_ctx *ctx, const fr_gguf *gguf,
                                                  const char *architecture, int64_t n,
                                                  fr_arch *arch);

#endif
