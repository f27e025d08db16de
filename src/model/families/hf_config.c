/*
 * config.json as the description of a model.
 *
 * Order of events: the model_type, or that of the text part, names the family. Settings without a counterpart in the
 * layers are refused (hf_rules.c). Then the rows of the family's table are read into a copy of its description, what
 * follows from other fields is filled in, RoPE is read (hf_rope.c), and the family's own function finishes.
 *
 * Defaults are those of the configuration classes of the transformers library; sizes mostly have none here, since a file
 * without them is seldom whole. Keys about training, dropout, caches and
 * token ids have no effect and are not read.
 */
#include "model/families/hf_config.h"

#include "base/file.h"
#include "model/families/families.h"
#include "model/families/hf_rope.h"
#include "model/families/hf_rules.h"
#include "model/families/layers.h"
#include "model/files/foreign.h"
#include "model/files/names.h"

#include <stdlib.h>
#include <string.h>

typedef fr_hf_fields fields;

/* ---- rows of a table ----------------------------------------------------------------------------- */

static fr_status read_count(const fields *f, const fr_setting *row, int64_t *field)
{
    bool optional = (row->flags & FR_SETTING_OPTIONAL) != 0 || *field != 0;
    bool has_other = row->hf_also != NULL && fr_hf_get(f, row->hf_also) != NULL;
    bool has_one = fr_hf_get(f, row->hf) != NULL;
    int64_t other = *field;
    if (has_other) {
        FR_TRY(fr_hf_count(f, row->hf_also, false, &other));
        *field = other;
    }
    FR_TRY(fr_hf_count(f, row->hf, !optional && !has_other, field));
    if (has_other && other != *field) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT,
                       "%s: %s is %lld and %s %lld, which mean the same; leave one",
                       f->path, row->hf, (long long)*field, row->hf_also,
                       (long long)other);
    }
    int may_be_zero = FR_SETTING_OPTIONAL | FR_SETTING_NULL_CLEARS; /* if not given */
    if (has_one && (row->flags & may_be_zero) != 0 && *field < 1) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: %s is %lld, must be at least 1",
                       f->path, row->hf, (long long)*field);
    }
    return FR_OK;
}

static fr_status read_reciprocal(const fields *f, const fr_setting *row, double *field)
{
    double value = 1.0 / *field;
    FR_TRY(fr_hf_real(f, row->hf, &value));
    if (!(value > 0.0 && value < 1e12)) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: %s is %g, must be in (0, 1e12)",
                       f->path, row->hf, value);
    }
    *field = 1.0 / value;
    return FR_OK;
}

/* The library's names of functions; the first of each kind is the one that messages use. */
static const struct {
    const char *name;
    fr_activation is;
} ACTIVATIONS[] = {
    {"silu", FR_ACTIVATION_SILU},
    {"swish", FR_ACTIVATION_SILU},
    {"gelu_new", FR_ACTIVATION_GELU_TANH},
    {"gelu_pytorch_tanh", FR_ACTIVATION_GELU_TANH},
    {"gelu_fast", FR_ACTIVATION_GELU_TANH},
    {"gelu", FR_ACTIVATION_GELU_ERF},
    {"relu", FR_ACTIVATION_RELU},
};

enum { N_ACTIVATIONS = sizeof ACTIVATIONS / sizeof ACTIVATIONS[0] };

static fr_status read_activation(const fields *f, const fr_setting *row, int accepted,
                                 fr_activation *field)
{
    const char *found = NULL;
    const char *supported = "";
    FR_TRY(fr_hf_text(f, row->hf, &found));
    if (found == NULL) {
        return FR_OK;
    }
    for (int i = 0; i < N_ACTIVATIONS; i++) {
        if ((accepted >> ACTIVATIONS[i].is & 1) == 0) {
            continue;
        }
        supported = supported[0] == '\0' ? ACTIVATIONS[i].name : supported;
        if (strcmp(found, ACTIVATIONS[i].name) == 0) {
            *field = ACTIVATIONS[i].is;
            return FR_OK;
        }
    }
    return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED, "%s: %s is %s, supported: %s", f->path,
                   row->hf, fr_show(fr_text_of(found)).text, supported);
}

/* In descriptions 0 stands for "none" or for the default, so a file's own 0 would become another number. */
static fr_status read_real(const fields *f, const fr_setting *row, double *field)
{
    FR_TRY(fr_hf_real(f, row->hf, field));
    if (fr_hf_get(f, row->hf) != NULL && *field == 0.0) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: %s is 0, must be above 0", f->path,
                       row->hf);
    }
    return FR_OK;
}

/* Null in a row that it clears is a value; elsewhere it counts as absent. */
static fr_status read_row(const fields *f, const fr_family *family,
                          const fr_setting *row, fr_arch *arch)
{
    void *field = (char *)arch + row->field;
    bool cleared = (row->flags & FR_SETTING_NULL_CLEARS) != 0 &&
                   json_is_null(json_object_get(f->object, row->hf));
    switch (row->kind) {
    case FR_SETTING_COUNT:
        if (cleared) {
            *(int64_t *)field = 0;
            return FR_OK;
        }
        return read_count(f, row, field);
    case FR_SETTING_REAL:
        if (cleared) {
            *(double *)field = 0.0;
            return FR_OK;
        }
        return read_real(f, row, field);
    case FR_SETTING_RECIPROCAL:
        return read_reciprocal(f, row, field);
    case FR_SETTING_FLAG:
        return fr_hf_flag(f, row->hf, field);
    default:
        return read_activation(f, row, family->activations, field);
    }
}

static fr_status read_rows(const fields *f, const fr_family *family, fr_arch *arch)
{
    for (int s = 0; s < FR_FAMILY_SETTINGS && family->settings[s] != NULL; s++) {
        for (const fr_setting *row = family->settings[s];
             row->hf != NULL || row->gguf != NULL; row++) {
            if (row->hf != NULL) {
                FR_TRY(read_row(f, family, row, arch));
            }
        }
    }
    return FR_OK;
}

/* ---- the rest ------------------------------------------------------------------------------------ */

/* Sizes that follow from others. */
static fr_status derive(const fields *f, const fr_family *family, fr_arch *arch)
{
    if (arch->n_kv_heads == 0) {
        arch->n_kv_heads = arch->n_heads;
    }
    if (arch->d_ff == 0 && arch->d_model <= INT64_MAX / 4) {
        arch->d_ff = family->ff_times * arch->d_model;
    }
    if (arch->head_dim != 0) {
        return FR_OK;
    }
    if (arch->n_heads < 1 || arch->d_model % arch->n_heads != 0) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT,
                       "%s: %lld heads do not divide the model width %lld", f->path,
                       (long long)arch->n_heads, (long long)arch->d_model);
    }
    arch->head_dim = arch->d_model / arch->n_heads;
    return FR_OK;
}

static fr_status read_family(const fields *f, const fr_family *family, fr_arch *arch)
{
    FR_TRY(fr_hf_check_quantization(f));
    FR_TRY(fr_hf_check_rules(f, family));
    FR_TRY(read_rows(f, family, arch));
    FR_TRY(derive(f, family, arch));
    FR_TRY(fr_arch_check_sizes(f->ctx, f->path, arch));
    if (arch->positions == FR_POSITIONS_ROPE) {
        FR_TRY(fr_hf_read_rope(f, family, arch));
    }
    if (family->finish_hf != NULL) {
        FR_TRY(family->finish_hf(f, arch));
    }
    fr_layers_drop_long_window(arch);
    return fr_arch_check(f->ctx, f->path, arch);
}

static fr_status refuse_type(const fields *f, const char *type)
{
    const char *why = fr_family_refusal(fr_text_of(type));
    return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED,
                   "%s: model_type is %s%s%s; supported: %s", f->path,
                   fr_show(fr_text_of(type)).text, why != NULL ? ": " : "",
                   why != NULL ? why : "", fr_families_supported(false).text);
}

/* The family, and in *f the object that describes it: the whole, or the text part of a model with other parts. */
static fr_status find_family(fields *f, fr_hf_config *out)
{
    const char *type = NULL;
    const char *inner = NULL;
    FR_TRY(fr_hf_text(f, "model_type", &type));
    if (type == NULL) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: model_type is missing", f->path);
    }
    out->family = fr_family_of_hf(type);
    const json_t *text = fr_hf_get(f, "text_config");
    if (out->family != NULL) {
        return FR_OK;
    }
    if (!json_is_object(text) && fr_family_of_text(type) != NULL) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT,
                       "%s: text_config is %s; a model of type %s needs it", f->path,
                       text != NULL ? "not an object" : "missing", type);
    }
    if (!json_is_object(text)) {
        return refuse_type(f, type);
    }
    fields part = {f->ctx, f->path, text};
    FR_TRY(fr_hf_text(&part, "model_type", &inner));
    out->family = inner != NULL ? fr_family_of_hf(inner) : fr_family_of_text(type);
    if (out->family == NULL && inner != NULL && fr_family_of_text(inner) != NULL) {
        return FR_FAIL(
            f->ctx, FR_ERR_FORMAT,
            "%s: text_config has the model_type %s, which is that of a whole "
            "model; give its text part's",
            f->path, inner);
    }
    if (out->family == NULL) {
        return refuse_type(f, inner != NULL ? inner : type);
    }
    FR_TRY(fr_hf_check_quantization(f));
    out->has_other_parts = true;
    out->arch = out->family->arch;
    FR_TRY(fr_hf_flag(f, "tie_word_embeddings", &out->arch.tied_head));
    *f = part;
    return FR_OK;
}

static fr_status read_root(fields *f, fr_hf_config *out)
{
    if (!json_is_object(f->object)) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: must be a JSON object", f->path);
    }
    FR_TRY(find_family(f, out));
    if (!out->has_other_parts) {
        out->arch = out->family->arch;
    }
    return read_family(f, out->family, &out->arch);
}

fr_status fr_hf_config_read(fr_ctx *ctx, const char *path, fr_hf_config *out)
{
    json_t *root = NULL;
    *out = (fr_hf_config){.family = NULL};
    FR_TRY(fr_hf_load(ctx, path, &root));
    fields f = {ctx, path, root};
    fr_status status = read_root(&f, out);
    json_decref(root);
    return status;
}

fr_status fr_hf_folder_config(fr_ctx *ctx, const char *folder, fr_hf_config *config)
{
    char *path = NULL;
    fr_status status = fr_join_path(ctx, folder, "config.json", &path);
    if (status == FR_OK && !fr_file_exists(path)) {
        status = fr_foreign_folder(ctx, folder);
    }
    if (status == FR_OK) {
        status = fr_hf_config_read(ctx, path, config);
    }
    free(path);
    return status;
}
