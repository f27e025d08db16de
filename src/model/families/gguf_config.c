/*
 * The settings of a GGUF file as the description of a model.
 *
 * Order of events: general.architecture names the family. The rows of its table are read into a copy of its description,
 * what follows from other fields and from the tensors is filled in, settings without a counterpart are refused
 * (gguf_rules.c), RoPE is read (gguf_rope.c), and the family's own function finishes.
 */
#include "model/families/gguf_config.h"

#include "model/families/families.h"
#include "model/families/gguf_rope.h"
#include "model/families/gguf_rules.h"
#include "model/families/layers.h"
#include "model/files/names.h"

#include <stdio.h>
#include <string.h>

static fr_status read_row(const fr_gguf_fields *f, const fr_setting *row, fr_arch *arch)
{
    void *field = (char *)arch + row->field;
    bool needed = (row->flags & FR_SETTING_GGUF_NEEDS) != 0;
    bool optional = (row->flags & FR_SETTING_OPTIONAL) != 0;
    bool clears = (row->flags & FR_SETTING_GGUF_CLEARS) != 0;
    double value = 1.0;
    switch (row->kind) {
    case FR_SETTING_COUNT:
        if (clears) {
            *(int64_t *)field = 0;
        }
        /* a default of 0 is no default */
        needed = needed || (*(int64_t *)field == 0 && !optional && !clears);
        return fr_gguf_count(f, row->gguf, needed, field);
    case FR_SETTING_REAL:
        if (clears) {
            *(double *)field = 0.0;
        }
        return fr_gguf_real(f, row->gguf, needed, field);
    case FR_SETTING_RECIPROCAL:
        FR_TRY(fr_gguf_real(f, row->gguf, needed, &value));
        *(double *)field = 1.0 / value;
        return FR_OK;
    default:
        return fr_gguf_flag(f, row->gguf, needed, field);
    }
}

static fr_status read_rows(const fr_gguf_fields *f, const fr_family *family,
                           fr_arch *arch)
{
    for (int s = 0; s < FR_FAMILY_SETTINGS && family->settings[s] != NULL; s++) {
        for (const fr_setting *row = family->settings[s];
             row->hf != NULL || row->gguf != NULL; row++) {
            if (row->gguf != NULL) {
                FR_TRY(read_row(f, row, arch));
            }
        }
    }
    return FR_OK;
}

/* Check a setting that must be absent or `wanted`, since the layers have only this value. */
static fr_status check_count(const fr_gguf_fields *f, const char *name, int64_t wanted)
{
    int64_t found = wanted;
    FR_TRY(fr_gguf_count(f, name, false, &found));
    if (found == wanted) {
        return FR_OK;
    }
    return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED, "%s: %s is %lld, supported: %lld",
                   fr_gguf_path(f->gguf), fr_gguf_key_of(f->architecture, name).text,
                   (long long)found, (long long)wanted);
}

static fr_status derive(const fr_gguf_fields *f, const fr_family *family, fr_arch *arch)
{
    bool has_kv = !family->width_divides;
    bool has_width = has_kv && fr_gguf_has(f, "attention.key_length");
    if (has_kv && !fr_gguf_has(f, "attention.head_count_kv")) {
        arch->n_kv_heads = arch->n_heads;
    }
    if (arch->n_heads < 1 || (!has_width && arch->d_model % arch->n_heads != 0)) {
        return FR_FAIL(
            f->ctx, FR_ERR_FORMAT, "%s: %lld heads do not divide the model width %lld",
            fr_gguf_path(f->gguf), (long long)arch->n_heads, (long long)arch->d_model);
    }
    if (!has_width) {
        arch->head_dim = arch->d_model / arch->n_heads;
    }
    if (family->width_divides) {
        arch->n_kv_heads = arch->n_heads;
        FR_TRY(check_count(f, "attention.head_count_kv", arch->n_heads));
        FR_TRY(check_count(f, "attention.key_length", arch->head_dim));
    }
    return FR_OK;
}

/* Whether layer 0 has the tensor of a role. */
static bool layer_has(const fr_gguf *gguf, const fr_scheme *scheme, fr_weight role)
{
    char name[96];
    (void)snprintf(name, sizeof name, "%s0.%s", scheme->layer_prefix,
                   scheme->names[role]);
    return fr_gguf_find_tensor(gguf, name) != NULL;
}

/* The embedding's rows give the vocabulary size, since the vocab_size key is often absent. */
static fr_status look_at_tensors(const fr_gguf_fields *f, const fr_family *family,
                                 fr_arch *arch)
{
    const fr_scheme *scheme = family->gguf;
    const fr_gguf_tensor *tokens =
        fr_gguf_find_tensor(f->gguf, scheme->names[FR_W_TOKENS]);
    if (tokens == NULL) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: tensor %s is missing",
                       fr_gguf_path(f->gguf), scheme->names[FR_W_TOKENS]);
    }
    arch->vocab_size = tokens->ne[1];
    arch->tied_head = fr_gguf_find_tensor(f->gguf, scheme->names[FR_W_HEAD]) == NULL;
    if (family->biases_show) {
        arch->qkv_bias = layer_has(f->gguf, scheme, FR_W_Q_BIAS);
        arch->o_bias = layer_has(f->gguf, scheme, FR_W_O_BIAS);
        arch->mlp_bias = layer_has(f->gguf, scheme, FR_W_UP_BIAS);
    }
    return FR_OK;
}

static fr_status find_family(fr_ctx *ctx, const fr_gguf *gguf, const fr_family **family,
                             const char **architecture)
{
    fr_text name = {NULL, 0};
    if (!fr_gguf_get_text(gguf, "general.architecture", &name)) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: general.architecture is missing or is not a string",
                       fr_gguf_path(gguf));
    }
    *family = fr_family_of_gguf(name);
    if (*family == NULL) {
        const char *why = fr_family_refusal(name);
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: general.architecture is %s%s%s; supported: %s",
                       fr_gguf_path(gguf), fr_show(name).text, why != NULL ? ": " : "",
                       why != NULL ? why : "", fr_families_supported(true).text);
    }
    for (int i = 0; i < FR_FAMILY_NAMES && (*family)->gguf_types[i] != NULL; i++) {
        if (fr_text_is(name, (*family)->gguf_types[i])) {
            *architecture = (*family)->gguf_types[i];
        }
    }
    return FR_OK;
}

fr_status fr_gguf_config_read(fr_ctx *ctx, const fr_gguf *gguf, fr_arch *arch,
                              const fr_family **family)
{
    fr_gguf_fields f = {ctx, gguf, NULL};
    FR_TRY(find_family(ctx, gguf, family, &f.architecture));
    *arch = (*family)->arch;
    FR_TRY(read_rows(&f, *family, arch));
    FR_TRY(derive(&f, *family, arch));
    FR_TRY(fr_gguf_check_rules(ctx, gguf, f.architecture, *family));
    FR_TRY(look_at_tensors(&f, *family, arch));
    FR_TRY(fr_arch_check_sizes(ctx, fr_gguf_path(gguf), arch));
    FR_TRY(arch->positions == FR_POSITIONS_ROPE ? fr_gguf_read_rope(&f, *family, arch)
                                                : fr_gguf_refuse_rope(&f));
    FR_TRY(check_count(&f, "attention.value_length", arch->head_dim));
    if ((*family)->finish_gguf != NULL) {
        FR_TRY((*family)->finish_gguf(ctx, gguf, arch));
    }
    fr_layers_drop_long_window(arch);
    return fr_arch_check(ctx, fr_gguf_path(gguf), arch);
}
