#include "model/arch.h"

fr_arch fr_arch_plain(void)
{
    return (fr_arch){.norm_eps = 1e-5, FR_ARCH_PLAIN};
}

int64_t fr_arch_window(const fr_arch *arch, int64_t layer)
{
    return (arch->layers[layer] & FR_LAYER_WINDOW) != 0 ? arch->window : 0;
}

static fr_status check_range(fr_ctx *ctx, const char *path, const char *name,
                             int64_t value, int64_t highest)
{
    if (value >= 1 && value <= highest) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: %s is %lld, must be 1 to %lld", path, name,
                   (long long)value, (long long)highest);
}

fr_status fr_arch_check_sizes(fr_ctx *ctx, const char *path, const fr_arch *arch)
{
    /* Bounds far above any published model; the bytes of all layers together fit int64. */
    static const int64_t MAX_WIDTH = 1 << 20;
    static const int64_t MAX_VOCABULARY = 1 << 24;
    FR_TRY(check_range(ctx, path, "number of layers", arch->n_layers, FR_MAX_LAYERS));
    FR_TRY(check_range(ctx, path, "model width", arch->d_model, MAX_WIDTH));
    FR_TRY(check_range(ctx, path, "feed-forward width", arch->d_ff, MAX_WIDTH));
    FR_TRY(check_range(ctx, path, "number of heads", arch->n_heads, MAX_WIDTH));
    FR_TRY(check_range(ctx, path, "number of key/value heads", arch->n_kv_heads,
                       arch->n_heads));
    FR_TRY(check_range(ctx, path, "head width", arch->head_dim, MAX_WIDTH));
    FR_TRY(check_range(ctx, path, "vocabulary size", arch->vocab_size, MAX_VOCABULARY));
    FR_TRY(check_range(ctx, path, "width of all heads", arch->n_heads * arch->head_dim,
                       MAX_WIDTH));
    FR_TRY(check_range(ctx, path, "context length", arch->context_length, INT32_MAX));
    if (arch->n_heads % arch->n_kv_heads != 0) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: %lld heads are not a multiple of %lld key/value heads",
                       path, (long long)arch->n_heads, (long long)arch->n_kv_heads);
    }
    if (arch->head_dim % 2 != 0) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: head width %lld is odd, must be even",
                       path, (long long)arch->head_dim);
    }
    return FR_OK;
}

/* A number that multiplies, or the width of a range. */
static fr_status check_positive(fr_ctx *ctx, const char *path, const char *name,
                                double value)
{
    if (value > 1e-12 && value < 1e12) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: %s is %g, must be in (1e-12, 1e12)", path,
                   name, value);
}

static fr_status check_divisors(fr_ctx *ctx, const char *path, const double *divisors,
                                int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        FR_TRY(check_positive(ctx, path, "a RoPE divisor", divisors[i]));
    }
    return FR_OK;
}

static fr_status check_rotation(fr_ctx *ctx, const char *path, const fr_arch *arch,
                                const fr_rotation *rotation)
{
    int64_t max = 2 * FR_ROTATION_MAX_PAIRS;
    if (!(rotation->theta >= 1.0 && rotation->theta < 1e12)) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: rope_theta is %g, must be in [1, 1e12)",
                       path, rotation->theta);
    }
    FR_TRY(check_range(ctx, path, "number of elements that rotate", rotation->rotary,
                       arch->head_dim < max ? arch->head_dim : max));
    if (rotation->rotary % 2 != 0) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: %lld elements of a head rotate, must be even", path,
                       (long long)rotation->rotary);
    }
    FR_TRY(check_positive(ctx, path, "the RoPE scale", rotation->scale));
    FR_TRY(check_divisors(ctx, path, rotation->divisors, rotation->rotary / 2));
    if (rotation->long_from == 0) {
        return FR_OK;
    }
    FR_TRY(check_range(ctx, path, "original context length", rotation->long_from,
                       INT32_MAX));
    return check_divisors(ctx, path, rotation->long_divisors, rotation->rotary / 2);
}

static fr_status check_scales(fr_ctx *ctx, const char *path, const fr_arch *arch)
{
    FR_TRY(check_positive(ctx, path, "embedding scale", arch->embedding_scale));
    FR_TRY(check_positive(ctx, path, "residual scale", arch->residual_scale));
    FR_TRY(check_positive(ctx, path, "logit scale", arch->logit_scale));
    const double caps[] = {arch->attention_scale, arch->attention_cap, arch->logit_cap};
    const char *const names[] = {"attention scale", "attention cap", "logit cap"};
    for (int i = 0; i < 3; i++) {
        if (caps[i] != 0.0) {
            FR_TRY(check_positive(ctx, path, names[i], caps[i]));
        }
    }
    return FR_OK;
}

fr_status fr_arch_check(fr_ctx *ctx, const char *path, const fr_arch *arch)
{
    int all = 0;
    FR_TRY(fr_arch_check_sizes(ctx, path, arch));
    if (!(arch->norm_eps > 0.0 && arch->norm_eps < 1.0)) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: norm epsilon is %g, must be in (0, 1)",
                       path, arch->norm_eps);
    }
    FR_TRY(check_scales(ctx, path, arch));
    for (int64_t i = 0; i < arch->n_layers; i++) {
        all |= arch->layers[i];
    }
    if ((all & FR_LAYER_WINDOW) != 0) {
        FR_TRY(check_range(ctx, path, "attention window", arch->window, INT32_MAX));
    }
    if (arch->positions == FR_POSITIONS_ROPE) {
        FR_TRY(check_rotation(ctx, path, arch, &arch->rotation));
    }
    if ((all & FR_LAYER_LOCAL_ROTATION) != 0) {
        FR_TRY(check_rotation(ctx, path, arch, &arch->local_rotation));
    }
    return FR_OK;
}

fr_layer_range fr_layers_within(fr_layer_range range, int64_t first, int64_t n)
{
    int64_t last = first + n;
    int64_t from = range.first > first ? range.first : first;
    int64_t end = range.count > 0 ? range.first + range.count : last;
    from = from < last ? from : last;
    end = end < last ? end : last;
    return (fr_layer_range){from, end > from ? end - from : 0};
}

int64_t fr_arch_prefix_elements(const fr_arch *arch, int64_t length)
{
    return length * arch->n_kv_heads * arch->head_dim;
}
