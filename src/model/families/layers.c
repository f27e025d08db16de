#include "model/families/layers.h"

#include "model/files/names.h"

#include <stdio.h>
#include <string.h>

void fr_layers_set_window(fr_arch *arch, int64_t in_each, int64_t every)
{
    for (int64_t i = 0; arch->window > 0 && i < arch->n_layers; i++) {
        if (i % every < in_each) {
            arch->layers[i] |= FR_LAYER_WINDOW;
        }
    }
}

void fr_layers_stop_rotation(fr_arch *arch, int64_t every)
{
    for (int64_t i = every - 1; i < arch->n_layers; i += every) {
        arch->layers[i] |= FR_LAYER_NO_ROTATION;
    }
}

void fr_layers_rotate_locally(fr_arch *arch)
{
    for (int64_t i = 0; i < arch->n_layers; i++) {
        if ((arch->layers[i] & FR_LAYER_WINDOW) != 0) {
            arch->layers[i] |= FR_LAYER_LOCAL_ROTATION;
        }
    }
}

void fr_layers_drop_long_window(fr_arch *arch)
{
    int used = 0;
    bool is_long = arch->window >= arch->context_length;
    for (int64_t i = 0; i < arch->n_layers; i++) {
        if (is_long) {
            arch->layers[i] &= (uint8_t)~FR_LAYER_WINDOW;
        }
        used |= arch->layers[i] & FR_LAYER_WINDOW;
    }
    if (used == 0) {
        arch->window = 0;
    }
}

/* ---- config.json ------------------------------------------------------------------------------- */

static fr_status fail_type(const fr_hf_fields *f, const json_t *type, const char *but)
{
    const char *name = json_string_value(type);
    return FR_FAIL(
        f->ctx, FR_ERR_UNSUPPORTED, "%s: layer_types has %s, supported: %s", f->path,
        name != NULL ? fr_show(fr_text_of(name)).text : "a value that is not a string",
        but);
}

/* The list of n_layers items of that name; NULL if the file has none. */
static fr_status find_list(const fr_hf_fields *f, const char *name, int64_t n_layers,
                           const json_t **out)
{
    *out = fr_hf_get(f, name);
    if (*out == NULL) {
        return FR_OK;
    }
    if (!json_is_array(*out) || (int64_t)json_array_size(*out) != n_layers) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT,
                       "%s: %s must be a list with one item for each of %lld layers",
                       f->path, name, (long long)n_layers);
    }
    return FR_OK;
}

/* Windows as layer_types has them; *is_there tells whether the file has the list. */
static fr_status read_layer_types(const fr_hf_fields *f, fr_arch *arch, bool *is_there)
{
    const json_t *types = NULL;
    FR_TRY(find_list(f, "layer_types", arch->n_layers, &types));
    *is_there = types != NULL;
    for (size_t i = 0; i < json_array_size(types); i++) {
        const json_t *item = json_array_get(types, i);
        const char *type = json_string_value(item);
        bool is_window = type != NULL && strcmp(type, "sliding_attention") == 0;
        if (!is_window && (type == NULL || strcmp(type, "full_attention") != 0)) {
            return fail_type(f, item, "full_attention, sliding_attention");
        }
        if (is_window && arch->window == 0) {
            return fail_type(f, item,
                             "full_attention, where the settings give no window");
        }
        if (is_window) {
            arch->layers[i] |= FR_LAYER_WINDOW;
        }
    }
    return FR_OK;
}

fr_status fr_hf_no_windows(const fr_hf_fields *fields, fr_arch *arch)
{
    const json_t *types = fr_hf_get(fields, "layer_types");
    arch->window = 0;
    for (size_t i = 0; i < json_array_size(types); i++) {
        const json_t *item = json_array_get(types, i);
        const char *type = json_string_value(item);
        if (type == NULL || strcmp(type, "full_attention") != 0) {
            return fail_type(fields, item, "full_attention");
        }
    }
    return FR_OK;
}

/* These models never look at layer_types, so a list that says otherwise is of another model. */
fr_status fr_hf_windows_everywhere(const fr_hf_fields *fields, fr_arch *arch)
{
    const json_t *types = fr_hf_get(fields, "layer_types");
    const char *wanted = arch->window > 0 ? "sliding_attention" : "full_attention";
    for (size_t i = 0; i < json_array_size(types); i++) {
        const json_t *item = json_array_get(types, i);
        const char *type = json_string_value(item);
        if (type == NULL || strcmp(type, wanted) != 0) {
            return fail_type(fields, item, wanted);
        }
    }
    fr_layers_set_window(arch, 1, 1);
    return FR_OK;
}

fr_status fr_hf_windows_late(const fr_hf_fields *fields, fr_arch *arch)
{
    bool use = false;
    bool listed = false;
    int64_t first = 28;
    FR_TRY(fr_hf_flag(fields, "use_sliding_window", &use));
    FR_TRY(fr_hf_count(fields, "max_window_layers", false, &first));
    arch->window = use ? arch->window : 0;
    FR_TRY(read_layer_types(fields, arch, &listed));
    for (int64_t i = first > 0 ? first : 0; !listed && i < arch->n_layers; i++) {
        arch->layers[i] |= arch->window > 0 ? FR_LAYER_WINDOW : 0;
    }
    return FR_OK;
}

fr_status fr_hf_windows_but_every(const fr_hf_fields *fields, fr_arch *arch,
                                  const char *key, int64_t n)
{
    bool listed = false;
    if (key != NULL) {
        FR_TRY(fr_hf_count(fields, key, false, &n));
    }
    if (n < 1) {
        return FR_FAIL(fields->ctx, FR_ERR_FORMAT, "%s: %s is %lld, must be at least 1",
                       fields->path, key, (long long)n);
    }
    FR_TRY(read_layer_types(fields, arch, &listed));
    if (!listed && arch->window == 0 && n > 1) {
        return FR_FAIL(fields->ctx, FR_ERR_UNSUPPORTED,
                       "%s: sliding_window is null, supported: a number", fields->path);
    }
    if (!listed) {
        fr_layers_set_window(arch, n - 1, n);
    }
    return FR_OK;
}

static fr_status read_rotated_layers(const fr_hf_fields *f, fr_arch *arch)
{
    const json_t *rotated = NULL;
    int64_t every = 4;
    FR_TRY(fr_hf_count(f, "no_rope_layer_interval", false, &every));
    FR_TRY(find_list(f, "no_rope_layers", arch->n_layers, &rotated));
    if (rotated == NULL && every < 1) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT,
                       "%s: no_rope_layer_interval is %lld, must be at least 1",
                       f->path, (long long)every);
    }
    if (rotated == NULL) {
        fr_layers_stop_rotation(arch, every);
    }
    for (size_t i = 0; i < json_array_size(rotated); i++) {
        const json_t *item = json_array_get(rotated, i);
        if (!json_is_integer(item) || json_integer_value(item) < 0 ||
            json_integer_value(item) > 1) {
            return FR_FAIL(f->ctx, FR_ERR_FORMAT,
                           "%s: item %zu of no_rope_layers must be 0 or 1", f->path, i);
        }
        arch->layers[i] |= json_integer_value(item) == 0 ? FR_LAYER_NO_ROTATION : 0;
    }
    return FR_OK;
}

fr_status fr_hf_windows_unrotated(const fr_hf_fields *fields, fr_arch *arch)
{
    bool use = false;
    bool listed = false;
    FR_TRY(read_rotated_layers(fields, arch));
    FR_TRY(fr_hf_flag(fields, "use_sliding_window", &use));
    arch->window = use ? arch->window : 0;
    FR_TRY(read_layer_types(fields, arch, &listed));
    for (int64_t i = 0; !listed && arch->window > 0 && i < arch->n_layers; i++) {
        arch->layers[i] |=
            (arch->layers[i] & FR_LAYER_NO_ROTATION) != 0 ? FR_LAYER_WINDOW : 0;
    }
    return FR_OK;
}

/* ---- GGUF -------------------------------------------------------------------------------------- */

fr_status fr_gguf_windows_but_every(fr_ctx *ctx, const fr_gguf *gguf,
                                    const char *architecture, int64_t n, fr_arch *arch)
{
    char key[96];
    (void)snprintf(key, sizeof key, "%s.attention.sliding_window_pattern",
                   architecture);
    const fr_gguf_value *value = fr_gguf_find(gguf, key);
    bool is_list = value != NULL && value->type == FR_GGUF_ARRAY &&
                   value->item_type == FR_GGUF_BOOL;
    if (is_list && value->count == (uint64_t)arch->n_layers) {
        for (int64_t i = 0; i < arch->n_layers; i++) {
            bool has_window = value->data[i] != 0 && arch->window > 0;
            arch->layers[i] |= has_window ? FR_LAYER_WINDOW : 0;
        }
        return FR_OK;
    }
    if (is_list || (value != NULL && (!fr_gguf_get_int(gguf, key, &n) || n < 1))) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: %s must be a number from 1 on, or a flag for each of %lld "
                       "layers",
                       fr_gguf_path(gguf), key, (long long)arch->n_layers);
    }
    fr_layers_set_window(arch, n - 1, n);
    return FR_OK;
}
