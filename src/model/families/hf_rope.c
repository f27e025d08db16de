/*
 * RoPE's settings of a config.json.
 *
 * The same settings have stood in three places: beside the others (rope_theta), in rope_scaling, and in rope_parameters.
 * The library uses rope_scaling where both objects are there; its versions differ in that, so the two must agree. A
 * setting in the object comes before one beside it. Families with two rotations have an object for each in
 * rope_parameters, or, in older files, rope_local_base_freq for the local one.
 */
#include "model/families/hf_rope.h"

#include "model/files/names.h"

#include <stdlib.h>
#include <string.h>

/* What an object is read for. */
typedef struct reader {
    const fr_hf_fields *f;      /* the config */
    const fr_family_rope *rope; /* of the family */
    const fr_arch *arch;
    const char *name;   /* of the object, for messages */
    fr_hf_fields inner; /* its fields */
} reader;

static fr_status need_real(const reader *r, const char *name, double *out)
{
    if (fr_hf_get(&r->inner, name) == NULL) {
        return FR_FAIL(r->f->ctx, FR_ERR_FORMAT, "%s: %s lacks %s", r->f->path, r->name,
                       name);
    }
    FR_TRY(fr_hf_real(&r->inner, name, out));
    if (!(*out > 0.0 && *out < 1e12)) {
        return FR_FAIL(r->f->ctx, FR_ERR_FORMAT,
                       "%s: %s of %s is %g, must be in (0, 1e12)", r->f->path, name,
                       r->name, *out);
    }
    return FR_OK;
}

/* A key that may be absent, or 0 where that means the default. */
static fr_status maybe_real(const reader *r, const char *name, double *out)
{
    double value = 0.0;
    FR_TRY(fr_hf_real(&r->inner, name, &value));
    if (value == 0.0) {
        return FR_OK;
    }
    return need_real(r, name, out);
}

/* The context that the model had before it was stretched. */
static fr_status read_original(const reader *r, double *out)
{
    static const char NAME[] = "original_max_position_embeddings";
    double inside = 0.0;
    double beside = r->rope->original_outside ? 4096.0 : 0.0;
    FR_TRY(fr_hf_real(r->f, NAME, &beside));
    FR_TRY(maybe_real(r, NAME, &inside));
    *out = beside != 0.0   ? beside
           : inside != 0.0 ? inside
                           : (double)r->arch->context_length;
    if (!r->rope->original_outside && inside != 0.0 && *out != inside) {
        return FR_FAIL(r->f->ctx, FR_ERR_FORMAT,
                       "%s: %s is %g and that of %s %g; leave the one that the model "
                       "was trained with",
                       r->f->path, NAME, *out, r->name, inside);
    }
    if (!(*out >= 1.0 && *out <= INT32_MAX)) {
        return FR_FAIL(r->f->ctx, FR_ERR_FORMAT,
                       "%s: %s is %g, must be a number of positions", r->f->path, NAME,
                       *out);
    }
    return FR_OK;
}

static fr_status read_linear(const reader *r, fr_rotation *out)
{
    double factor = 1.0;
    FR_TRY(need_real(r, "factor", &factor));
    fr_rotation_linear(out, factor);
    return FR_OK;
}

static fr_status read_llama3(const reader *r, fr_rotation *out)
{
    fr_llama3 by = {0};
    FR_TRY(need_real(r, "factor", &by.factor));
    FR_TRY(need_real(r, "low_freq_factor", &by.low));
    FR_TRY(need_real(r, "high_freq_factor", &by.high));
    FR_TRY(read_original(r, &by.original));
    if (by.high <= by.low) {
        return FR_FAIL(r->f->ctx, FR_ERR_FORMAT,
                       "%s: %s has a high_freq_factor of %g, must be above its "
                       "low_freq_factor of %g",
                       r->f->path, r->name, by.high, by.low);
    }
    fr_rotation_llama3(out, &by);
    return FR_OK;
}

static fr_status read_yarn(const reader *r, fr_rotation *out)
{
    fr_yarn by = {.beta_fast = 32.0, .beta_slow = 1.0, .truncate = true};
    FR_TRY(read_original(r, &by.original));
    by.factor = (double)r->arch->context_length / by.original;
    if (fr_hf_get(&r->inner, "factor") != NULL) {
        FR_TRY(need_real(r, "factor", &by.factor));
    }
    FR_TRY(maybe_real(r, "beta_fast", &by.beta_fast));
    FR_TRY(maybe_real(r, "beta_slow", &by.beta_slow));
    FR_TRY(maybe_real(r, "attention_factor", &by.scale));
    FR_TRY(maybe_real(r, "mscale", &by.mscale));
    FR_TRY(maybe_real(r, "mscale_all_dim", &by.mscale_all));
    FR_TRY(fr_hf_flag(&r->inner, "truncate", &by.truncate));
    fr_rotation_yarn(out, &by);
    return FR_OK;
}

static fr_status read_factors(const reader *r, const char *name, int64_t n,
                              double out[FR_ROTATION_MAX_PAIRS])
{
    const json_t *list = fr_hf_get(&r->inner, name);
    bool right = json_is_array(list) && (int64_t)json_array_size(list) == n;
    for (int64_t i = 0; right && i < n; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        right = json_is_number(item);
        out[i] = json_number_value(item);
    }
    if (right) {
        return FR_OK;
    }
    return FR_FAIL(r->f->ctx, FR_ERR_FORMAT,
                   "%s: %s of %s must be a list of %lld numbers, half of what rotates "
                   "of a head",
                   r->f->path, name, r->name, (long long)n);
}

static fr_status read_longrope(const reader *r, fr_rotation *out)
{
    double shorts[FR_ROTATION_MAX_PAIRS];
    double longs[FR_ROTATION_MAX_PAIRS];
    double original = 0.0;
    fr_longrope by = {.shorts = shorts, .longs = longs};
    FR_TRY(read_factors(r, "short_factor", out->rotary / 2, shorts));
    FR_TRY(read_factors(r, "long_factor", out->rotary / 2, longs));
    FR_TRY(read_original(r, &original));
    by.original = (int64_t)original;
    by.factor = (double)r->arch->context_length / original;
    if (fr_hf_get(&r->inner, "factor") != NULL) {
        FR_TRY(need_real(r, "factor", &by.factor));
    }
    FR_TRY(maybe_real(r, "attention_factor", &by.scale));
    fr_rotation_longrope(out, &by);
    return FR_OK;
}

/* The part of a head that rotates. */
static fr_status read_rotary(const reader *r, int64_t *rotary)
{
    double part = 1.0;
    int64_t max = 2 * FR_ROTATION_MAX_PAIRS;
    if (r->rope->partial_key != NULL) {
        part = r->rope->partial;
        FR_TRY(fr_hf_real(r->f, r->rope->partial_key, &part));
    }
    FR_TRY(fr_hf_real(&r->inner, "partial_rotary_factor", &part));
    if (r->rope->partial_key == NULL && part != 1.0) {
        return FR_FAIL(r->f->ctx, FR_ERR_UNSUPPORTED,
                       "%s: partial_rotary_factor is %g, supported: 1", r->f->path,
                       part);
    }
    if (!(part > 0.0 && part <= 1.0)) {
        return FR_FAIL(r->f->ctx, FR_ERR_FORMAT,
                       "%s: the part of a head that rotates is %g, must be in (0, 1]",
                       r->f->path, part);
    }
    *rotary = (int64_t)((double)r->arch->head_dim * part);
    if (*rotary < 2 || *rotary > max || *rotary % 2 != 0) {
        return FR_FAIL(r->f->ctx, FR_ERR_FORMAT,
                       "%s: %lld elements of a head rotate, must be an even number "
                       "from 2 to %lld",
                       r->f->path, (long long)*rotary, (long long)max);
    }
    return FR_OK;
}

static fr_status read_scaling(const reader *r, const char *type, fr_rotation *out)
{
    static const struct {
        const char *type;
        fr_status (*read)(const reader *r, fr_rotation *out);
    } TYPES[] = {{"linear", read_linear},
                 {"llama3", read_llama3},
                 {"yarn", read_yarn},
                 {"longrope", read_longrope}};
    bool only_long = r->rope->only_long;
    if (strcmp(type, "default") == 0) {
        return FR_OK;
    }
    if (only_long && (strcmp(type, "su") == 0 || strcmp(type, "yarn") == 0)) {
        type = "longrope";
    }
    for (size_t i = only_long ? 3 : 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        if (strcmp(type, TYPES[i].type) == 0) {
            return TYPES[i].read(r, out);
        }
    }
    return FR_FAIL(r->f->ctx, FR_ERR_UNSUPPORTED, "%s: %s type %s, supported: %s",
                   r->f->path, r->name, fr_show(fr_text_of(type)).text,
                   only_long ? "default, longrope"
                             : "default, linear, llama3, yarn, longrope");
}

/* One object, or NULL, and the base that it has if it names none. */
static fr_status read_object(reader *r, const json_t *object, double theta,
                             fr_rotation *out)
{
    int64_t rotary = 0;
    const char *type = NULL;
    if (object != NULL && !json_is_object(object)) {
        return FR_FAIL(r->f->ctx, FR_ERR_FORMAT, "%s: %s must be an object or null",
                       r->f->path, r->name);
    }
    r->inner = (fr_hf_fields){r->f->ctx, r->f->path, object};
    FR_TRY(fr_hf_text(&r->inner, "type", &type));
    FR_TRY(fr_hf_text(&r->inner, "rope_type", &type));
    FR_TRY(fr_hf_real(&r->inner, "rope_theta", &theta));
    size_t n_known = (fr_hf_get(&r->inner, "rope_theta") != NULL ? 1U : 0U) +
                     (fr_hf_get(&r->inner, "partial_rotary_factor") != NULL ? 1U : 0U);
    if (type == NULL && json_object_size(object) > n_known) {
        return FR_FAIL(r->f->ctx, FR_ERR_UNSUPPORTED,
                       "%s: %s has no rope_type; supported: default, linear, llama3, "
                       "yarn, longrope",
                       r->f->path, r->name);
    }
    if (!(theta >= 1.0 && theta < 1e12)) {
        return FR_FAIL(r->f->ctx, FR_ERR_FORMAT,
                       "%s: rope_theta is %g, must be in [1, 1e12)", r->f->path, theta);
    }
    FR_TRY(read_rotary(r, &rotary));
    *out = fr_rotation_plain(theta, rotary);
    return type != NULL ? read_scaling(r, type, out) : FR_OK;
}

static bool is_set(const json_t *object)
{
    return object != NULL && (!json_is_object(object) || json_object_size(object) > 0);
}

static bool same_numbers(const double *a, const double *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

static fr_status check_agreement(const fr_hf_fields *f, const fr_rotation *a,
                                 const fr_rotation *b)
{
    if (a->theta != b->theta) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT,
                       "%s: rope_scaling means a rope_theta of %g, rope_parameters one "
                       "of %g; leave the one that the model was trained with",
                       f->path, a->theta, b->theta);
    }
    if (a->rotary != b->rotary || a->scale != b->scale ||
        a->long_from != b->long_from ||
        !same_numbers(a->divisors, b->divisors, FR_ROTATION_MAX_PAIRS) ||
        !same_numbers(a->long_divisors, b->long_divisors, FR_ROTATION_MAX_PAIRS)) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT,
                       "%s: rope_scaling and rope_parameters mean different rotations; "
                       "leave the one that the model was trained with",
                       f->path);
    }
    return FR_OK;
}

static fr_status read_one(reader *r, fr_arch *arch)
{
    const json_t *scaling = fr_hf_get(r->f, "rope_scaling");
    const json_t *parameters = fr_hf_get(r->f, "rope_parameters");
    double theta = r->rope->theta;
    FR_TRY(fr_hf_real(r->f, r->rope->theta_key, &theta));
    fr_rotation of_scaling;
    r->name = "rope_scaling";
    FR_TRY(read_object(r, scaling, theta, &of_scaling));
    r->name = "rope_parameters";
    FR_TRY(read_object(r, parameters, theta, &arch->rotation));
    if (is_set(scaling) && is_set(parameters)) {
        FR_TRY(check_agreement(r->f, &of_scaling, &arch->rotation));
    }
    if (is_set(scaling)) {
        arch->rotation = of_scaling;
    }
    return FR_OK;
}

/* rope_scaling is an older file's way to say what full_attention says. */
static fr_status read_two(reader *r, fr_arch *arch)
{
    const json_t *scaling = fr_hf_get(r->f, "rope_scaling");
    const json_t *parameters = fr_hf_get(r->f, "rope_parameters");
    const json_t *full = json_object_get(parameters, "full_attention");
    const json_t *local = json_object_get(parameters, "sliding_attention");
    double theta = r->rope->theta;
    double local_theta = r->rope->local_theta;
    size_t n_known = (full != NULL ? 1U : 0U) + (local != NULL ? 1U : 0U);
    if (parameters != NULL &&
        (!json_is_object(parameters) || json_object_size(parameters) != n_known)) {
        return FR_FAIL(r->f->ctx, FR_ERR_UNSUPPORTED,
                       "%s: rope_parameters has other fields than full_attention and "
                       "sliding_attention; supported: these two",
                       r->f->path);
    }
    if (is_set(scaling) && n_known > 0) {
        return FR_FAIL(r->f->ctx, FR_ERR_UNSUPPORTED,
                       "%s: both rope_scaling and rope_parameters are set; supported: "
                       "one of them",
                       r->f->path);
    }
    FR_TRY(fr_hf_real(r->f, r->rope->theta_key, &theta));
    FR_TRY(fr_hf_real(r->f, "rope_local_base_freq", &local_theta));
    r->name = is_set(scaling) ? "rope_scaling" : "full_attention";
    full = is_set(scaling) ? scaling : full;
    FR_TRY(read_object(r, json_is_null(full) ? NULL : full, theta, &arch->rotation));
    r->name = "sliding_attention";
    return read_object(r, json_is_null(local) ? NULL : local, local_theta,
                       &arch->local_rotation);
}

fr_status fr_hf_read_rope(const fr_hf_fields *fields, const fr_family *family,
                          fr_arch *arch)
{
    reader r = {.f = fields, .rope = &family->rope, .arch = arch};
    return family->rope.local_theta > 0.0 ? read_two(&r, arch) : read_one(&r, arch);
}
