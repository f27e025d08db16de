/*
 * RoPE's settings of a GGUF file.
 *
 * Keys name the base, the part of a head that rotates and a method of scaling: none, linear, yarn or longrope. The factors
 * of two methods are tensors: rope_freqs.weight are divisors that the converter has computed (Llama 3.1), and
 * rope_factors_short.weight with rope_factors_long.weight are LongRoPE's. A factor alone, without a type, is linear: so
 * files say it from before the type existed.
 */
#include "model/families/gguf_rope.h"

#include "model/files/names.h"

#include <string.h>

static const char FREQS[] = "rope_freqs.weight";
static const char SHORTS[] = "rope_factors_short.weight";
static const char LONGS[] = "rope_factors_long.weight";

/* ggml's number of the type F32 */
enum { TYPE_F32 = 0 };

bool fr_gguf_is_rope_tensor(fr_text name)
{
    return fr_text_is(name, FREQS) || fr_text_is(name, SHORTS) ||
           fr_text_is(name, LONGS);
}

static fr_status read_factors(const fr_gguf_fields *f, const char *name, int64_t n,
                              double out[FR_ROTATION_MAX_PAIRS])
{
    const fr_gguf_tensor *tensor = fr_gguf_find_tensor(f->gguf, name);
    if (tensor == NULL) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: tensor %s is missing",
                       fr_gguf_path(f->gguf), name);
    }
    if (tensor->type != TYPE_F32 || tensor->ne[0] != n ||
        tensor->bytes != (size_t)n * sizeof(float)) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT,
                       "%s: tensor %s must hold %lld numbers of type F32, half of what "
                       "rotates of a head",
                       fr_gguf_path(f->gguf), name, (long long)n);
    }
    for (int64_t i = 0; i < n; i++) {
        float value = 0.0F;
        memcpy(&value, tensor->data + (size_t)i * sizeof value, sizeof value);
        out[i] = (double)value;
    }
    return FR_OK;
}

/* 0 means none, as an absent one does. */
static fr_status read_factor(const fr_gguf_fields *f, double *factor)
{
    FR_TRY(fr_gguf_real(f, "rope.scale_linear", false, factor));
    FR_TRY(fr_gguf_real(f, "rope.scaling.factor", false, factor));
    if (*factor == 0.0) {
        *factor = 1.0;
    }
    if (*factor > 0.0 && *factor < 1e12) {
        return FR_OK;
    }
    return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: %s is %g, must be in [0, 1e12)",
                   fr_gguf_path(f->gguf),
                   fr_gguf_key_of(f->architecture, "rope.scaling.factor").text,
                   *factor);
}

static fr_status read_original(const fr_gguf_fields *f, const fr_arch *arch,
                               int64_t *out)
{
    static const char NAME[] = "rope.scaling.original_context_length";
    *out = arch->context_length;
    FR_TRY(fr_gguf_count(f, NAME, false, out));
    if (*out >= 1 && *out <= INT32_MAX) {
        return FR_OK;
    }
    return FR_FAIL(f->ctx, FR_ERR_FORMAT,
                   "%s: %s is %lld, must be a number of positions",
                   fr_gguf_path(f->gguf), fr_gguf_key_of(f->architecture, NAME).text,
                   (long long)*out);
}

/* A number above 0; an absent one leaves *out. */
static fr_status read_positive(const fr_gguf_fields *f, const char *name, double *out)
{
    double value = *out;
    FR_TRY(fr_gguf_real(f, name, false, &value));
    if (!fr_gguf_has(f, name) || (value > 0.0 && value < 1e12)) {
        *out = value;
        return FR_OK;
    }
    return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: %s is %g, must be in (0, 1e12)",
                   fr_gguf_path(f->gguf), fr_gguf_key_of(f->architecture, name).text,
                   value);
}

/* What cos and sin are multiplied by; absent, 0 or -1: *out is 0, the method's own formula. */
static fr_status read_scale(const fr_gguf_fields *f, const char *name, double *out)
{
    double value = 0.0;
    *out = 0.0;
    FR_TRY(fr_gguf_real(f, name, false, &value));
    return value == 0.0 || value == -1.0 ? FR_OK : read_positive(f, name, out);
}

static fr_status read_yarn(const fr_gguf_fields *f, const fr_arch *arch,
                           fr_rotation *out)
{
    fr_yarn by = {.factor = 1.0, .beta_fast = 32.0, .beta_slow = 1.0, .truncate = true};
    int64_t original = 0;
    FR_TRY(read_factor(f, &by.factor));
    FR_TRY(read_original(f, arch, &original));
    FR_TRY(read_positive(f, "rope.scaling.yarn_beta_fast", &by.beta_fast));
    FR_TRY(read_positive(f, "rope.scaling.yarn_beta_slow", &by.beta_slow));
    FR_TRY(read_scale(f, "rope.scaling.yarn_attn_factor", &by.scale));
    by.original = (double)original;
    fr_rotation_yarn(out, &by);
    return FR_OK;
}

static fr_status read_longrope(const fr_gguf_fields *f, const fr_arch *arch,
                               fr_rotation *out)
{
    double shorts[FR_ROTATION_MAX_PAIRS];
    double longs[FR_ROTATION_MAX_PAIRS];
    fr_longrope by = {.shorts = shorts, .longs = longs};
    FR_TRY(read_factors(f, SHORTS, out->rotary / 2, shorts));
    FR_TRY(read_factors(f, LONGS, out->rotary / 2, longs));
    FR_TRY(read_original(f, arch, &by.original));
    FR_TRY(read_scale(f, "rope.scaling.attn_factor", &by.scale));
    by.factor = (double)arch->context_length / (double)by.original;
    fr_rotation_longrope(out, &by);
    return FR_OK;
}

/* Divisors of a file, on top of a factor. */
static fr_status read_freqs(const fr_gguf_fields *f, fr_rotation *out)
{
    double divisors[FR_ROTATION_MAX_PAIRS];
    FR_TRY(read_factors(f, FREQS, out->rotary / 2, divisors));
    for (int64_t i = 0; i < out->rotary / 2; i++) {
        out->divisors[i] *= divisors[i];
    }
    return FR_OK;
}

/* Multipliers that belong to one method, in files of another. */
static fr_status check_multiplier(const fr_gguf_fields *f, const char *name)
{
    double value = 1.0;
    FR_TRY(fr_gguf_real(f, name, false, &value));
    if (value == 1.0 || value == -1.0) {
        return FR_OK;
    }
    return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED, "%s: %s is %g, supported: 1",
                   fr_gguf_path(f->gguf), fr_gguf_key_of(f->architecture, name).text,
                   value);
}

static fr_status fail_type(const fr_gguf_fields *f, const char *found,
                           const char *supported)
{
    return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED, "%s: %s is %s, supported: %s",
                   fr_gguf_path(f->gguf),
                   fr_gguf_key_of(f->architecture, "rope.scaling.type").text, found,
                   supported);
}

static fr_status read_scaling(const fr_gguf_fields *f, const fr_family *family,
                              const fr_arch *arch, fr_rotation *out)
{
    fr_gguf_key key = fr_gguf_key_of(f->architecture, "rope.scaling.type");
    fr_text type = fr_text_of("linear");
    double factor = 1.0;
    bool has_long = fr_gguf_find_tensor(f->gguf, SHORTS) != NULL ||
                    fr_gguf_find_tensor(f->gguf, LONGS) != NULL;
    bool has_freqs = fr_gguf_find_tensor(f->gguf, FREQS) != NULL;
    bool has_type = fr_gguf_find(f->gguf, key.text) != NULL;
    if (has_type && !fr_gguf_get_text(f->gguf, key.text, &type)) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: %s must be a string",
                       fr_gguf_path(f->gguf), key.text);
    }
    if (has_freqs && has_long) {
        return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED,
                       "%s: the file has both %s and %s; supported: one of them",
                       fr_gguf_path(f->gguf), FREQS, LONGS);
    }
    if (has_long || fr_text_is(type, "longrope")) {
        FR_TRY(check_multiplier(f, "rope.scaling.yarn_attn_factor"));
        return read_longrope(f, arch, out);
    }
    FR_TRY(check_multiplier(f, "rope.scaling.attn_factor"));
    if (fr_text_is(type, "yarn") && !family->rope.only_long && !has_freqs) {
        return read_yarn(f, arch, out);
    }
    FR_TRY(check_multiplier(f, "rope.scaling.yarn_attn_factor"));
    if (fr_text_is(type, "linear") && (!has_type || !family->rope.only_long)) {
        FR_TRY(read_factor(f, &factor));
        fr_rotation_linear(out, factor);
    } else if (!fr_text_is(type, "none")) {
        return fail_type(f, fr_show(type).text,
                         family->rope.only_long ? "none, longrope"
                         : has_freqs ? "none, linear (with rope_freqs.weight)"
                                     : "none, linear, yarn, longrope");
    }
    return has_freqs ? read_freqs(f, out) : FR_OK;
}

fr_status fr_gguf_refuse_rope(const fr_gguf_fields *fields)
{
    fr_gguf_key key = fr_gguf_key_of(fields->architecture, "rope.scaling.type");
    fr_text type = {NULL, 0};
    double factor = 1.0;
    bool is_text = fr_gguf_get_text(fields->gguf, key.text, &type);
    if (is_text && !fr_text_is(type, "none")) {
        return fail_type(fields, fr_show(type).text, "none");
    }
    FR_TRY(check_multiplier(fields, "rope.scaling.attn_factor"));
    FR_TRY(check_multiplier(fields, "rope.scaling.yarn_attn_factor"));
    FR_TRY(read_factor(fields, &factor));
    if (factor == 1.0 || is_text) {
        return FR_OK;
    }
    return FR_FAIL(
        fields->ctx, FR_ERR_UNSUPPORTED, "%s: %s is %g, supported: 1",
        fr_gguf_path(fields->gguf),
        fr_gguf_key_of(fields->architecture, fr_gguf_has(fields, "rope.scaling.factor")
                                                 ? "rope.scaling.factor"
                                                 : "rope.scale_linear")
            .text,
        factor);
}

/* The local rotation has a base of its own and no scaling. */
fr_status fr_gguf_read_rope(const fr_gguf_fields *fields, const fr_family *family,
                            fr_arch *arch)
{
    int64_t rotary = arch->head_dim;
    double theta = 10000.0;
    double local_theta = family->rope.local_theta;
    bool partial = family->rope.partial_key != NULL;
    int64_t max = 2 * FR_ROTATION_MAX_PAIRS;
    FR_TRY(fr_gguf_real(fields, "rope.freq_base", false, &theta));
    FR_TRY(fr_gguf_count(fields, "rope.dimension_count", false, &rotary));
    if (!partial && rotary != arch->head_dim) {
        return FR_FAIL(
            fields->ctx, FR_ERR_UNSUPPORTED, "%s: %s is %lld, supported: %lld",
            fr_gguf_path(fields->gguf),
            fr_gguf_key_of(fields->architecture, "rope.dimension_count").text,
            (long long)rotary, (long long)arch->head_dim);
    }
    if (rotary < 2 || rotary > max || rotary % 2 != 0 || !(theta >= 1.0)) {
        return FR_FAIL(fields->ctx, FR_ERR_FORMAT,
                       "%s: %lld elements of a head rotate, with a base of %g; must be "
                       "an even number from 2 to %lld, and at least 1",
                       fr_gguf_path(fields->gguf), (long long)rotary, theta,
                       (long long)max);
    }
    arch->rotation = fr_rotation_plain(theta, rotary);
    FR_TRY(read_scaling(fields, family, arch, &arch->rotation));
    bool has_local = local_theta > 0.0;
    local_theta = has_local ? local_theta : theta;
    FR_TRY(fr_gguf_real(fields, "rope.freq_base_swa", false, &local_theta));
    if (!has_local && local_theta != theta) {
        return FR_FAIL(fields->ctx, FR_ERR_UNSUPPORTED,
                       "%s: %s is %g, supported: that of all layers (%g)",
                       fr_gguf_path(fields->gguf),
                       fr_gguf_key_of(fields->architecture, "rope.freq_base_swa").text,
                       local_theta, theta);
    }
    if (has_local) {
        arch->local_rotation = fr_rotation_plain(local_theta, rotary);
    }
    return FR_OK;
}
