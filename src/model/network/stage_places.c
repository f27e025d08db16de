/*
 * What tells the tokens of a stage their places: tables of rotary angles, and slopes of ALiBi.
 *
 * A stage makes a table only if one of its layers rotates by it. Angles are computed in f64.
 */
#include "base/elementary.h"
#include "model/network/stage_bytes.h"
#include "model/network/stage_impl.h"

/* Whether layer `layer` of the model rotates by the local angles (or by the others); neither where it does not rotate. */
static bool rotates(const fr_arch *arch, int64_t layer, bool local)
{
    unsigned bits = arch->layers[layer];
    return arch->positions == FR_POSITIONS_ROPE && (bits & FR_LAYER_NO_ROTATION) == 0 &&
           ((bits & FR_LAYER_LOCAL_ROTATION) != 0) == local;
}

bool fr_layers_rotate(const fr_arch *arch, fr_layer_range layers, bool local)
{
    bool any = false;
    for (int64_t i = layers.first; i < layers.first + layers.count; i++) {
        any = any || rotates(arch, i, local);
    }
    return any;
}

const fr_angles *fr_stage_angles(const fr_stage *stage, int64_t layer)
{
    return rotates(&stage->arch, layer, false)  ? &stage->angles
           : rotates(&stage->arch, layer, true) ? &stage->local_angles
                                                : NULL;
}

/* LongRoPE; one choice for all rows of a stage, and for all stages of a run, which are made for the same positions. */
static bool turns_long(const fr_rotation *rotation, int64_t n_positions)
{
    return rotation->long_from > 0 && n_positions > rotation->long_from;
}

bool fr_stage_turns_long(const fr_stage *stage)
{
    return turns_long(&stage->arch.rotation, stage->max_position);
}

/* cos and sin of position * theta^(-2i/rotary) / divisor, times the scale: [positions, rotary/2, 2]. */
static void fill_angles(const fr_rotation *rotation, int64_t n_positions, float *table)
{
    int64_t half = rotation->rotary / 2;
    bool is_long = turns_long(rotation, n_positions);
    const double *divisors = is_long ? rotation->long_divisors : rotation->divisors;
    for (int64_t i = 0; i < half; i++) {
        double exponent = -2.0 * (double)i / (double)rotation->rotary;
        double frequency = fr_power_of(rotation->theta, exponent) / divisors[i];
        for (int64_t position = 0; position < n_positions; position++) {
            double angle = (double)position * frequency;
            float *entry = table + (position * half + i) * 2;
            entry[0] = (float)(fr_cos(angle) * rotation->scale);
            entry[1] = (float)(fr_sin(angle) * rotation->scale);
        }
    }
}

static fr_status make_angles(fr_stage *s, const fr_rotation *rotation, fr_angles *out)
{
    int64_t n = s->max_position * rotation->rotary;
    float *table = NULL;
    out->rotary = rotation->rotary;
    FR_TRY(fr_host_alloc(s->device, n, sizeof *table, &table));
    fill_angles(rotation, s->max_position, table);
    fr_status status = fr_constants_put(&s->constants, table, n, &out->table);
    fr_host_free(s->device, table);
    return status;
}

/* 2^(-8 (h+1) / n) for the largest power of two n <= H, then every second slope of 2n heads for those beyond n (Press et
 * al., arXiv:2108.12409, and the code of BLOOM). */
static fr_status make_slopes(fr_stage *s)
{
    int64_t n_heads = s->arch.n_heads;
    int64_t n = 1;
    float *slopes = NULL;
    FR_TRY(fr_host_alloc(s->device, n_heads, sizeof *slopes, &slopes));
    while (2 * n <= n_heads) {
        n *= 2;
    }
    for (int64_t h = 0; h < n_heads; h++) {
        double eighths =
            h < n ? 8.0 * (double)(h + 1) : 4.0 * (double)(2 * (h - n) + 1);
        slopes[h] = (float)fr_power_of(2.0, -eighths / (double)n);
    }
    fr_status status = fr_constants_put(&s->constants, slopes, n_heads, &s->slopes_H);
    fr_host_free(s->device, slopes);
    return status;
}

fr_status fr_stage_make_places(fr_stage *stage)
{
    const fr_arch *arch = &stage->arch;
    fr_layer_range layers = {stage->first_layer, stage->n_layers};
    if (fr_layers_rotate(arch, layers, false)) {
        FR_TRY(make_angles(stage, &arch->rotation, &stage->angles));
    }
    if (fr_layers_rotate(arch, layers, true)) {
        FR_TRY(make_angles(stage, &arch->local_rotation, &stage->local_angles));
    }
    return arch->positions == FR_POSITIONS_ALIBI ? make_slopes(stage) : FR_OK;
}
