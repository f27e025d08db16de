/* The MLP that computes a prefix, its gradients and its updates. reparam.h has the formulas and their letters.
 *
 * A step goes through contribute, scale, complete and update. The layers of a stage are independent of each other
 * except in H, which all layers of all stages share. Therefore only dH crosses ranks: each layer adds a part [P, M]
 * to it, and all that follows from dH is computed alike on every rank. E, W1 and b1 are never sent.
 *
 * The parts are added as integers, like the gradients of a prefix (exact.h), so the sum has the same bits for any
 * split of the layers. The unit is chosen from the largest part of the step, so that small gradients keep their
 * bits; the stages agree on that largest part first.
 *
 * H changes only with E, W1 and b1. It is computed at the start, after a restore and after each update, and kept.
 *
 * A row of N numbers is one slot in one layer: the keys of all KV heads, then the values. A prefix keeps keys and
 * values in arrays of their own [P, N/2], so rows are split on their way out (add_move) and joined on their way in
 * (collect_layer). */
#include "train/step/reparam.h"

#include "base/elementary.h"
#include "base/exact.h"
#include "base/mem.h"
#include "base/rng.h"
#include "device/host.h"
#include "device/loss.h"
#include "device/matrix.h"
#include "train/step/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct fr_reparam {
    fr_ctx *ctx;
    fr_device *device;
    const fr_task_config *config;
    int64_t n_all_layers;
    int64_t n_slot; /* N: a slot's numbers in one layer */
    int64_t frozen; /* slots at the start that stay P0 */
    fr_mlp_state state;
    float *gradients[FR_MLP_TENSORS];
    float *hidden_PM;  /* H */
    float *rows_PN;    /* scratch: one layer's P - P0, or its dP */
    float *columns_NP; /* scratch: dP^T */
    float *parts_LPM;  /* what each layer adds to dH */
    int64_t *sum_PM;   /* dH as integers */
    int exponent;      /* of sum_PM */
    bool in_range;     /* of all stages' contributions */
    float *dz_PM;
    float *dz_MP;
};

/* floats of a tensor on this rank */
static int64_t tensor_floats(const fr_reparam *r, fr_mlp_tensor tensor)
{
    fr_mlp_array array =
        fr_mlp_describe(&r->state.shape, FR_MLP_FIRST_TENSOR + 3 * (int)tensor);
    return array.floats * (array.shared ? 1 : r->state.n_layers);
}

/* Floats of each scratch array of a rank with n_layers. */
enum { HIDDEN_PM, ROWS_PN, COLUMNS_NP, PARTS_LPM, DZ_PM, DZ_MP, N_SCRATCH };

/* Allocation and the forecast of memory both count with it. */
static int64_t scratch_floats(const fr_mlp_shape *s, int64_t n_layers, int array)
{
    switch (array) {
    case ROWS_PN:
    case COLUMNS_NP:
        return s->length * 2 * s->n_kv_heads * s->head_dim;
    case PARTS_LPM:
        return n_layers * s->length * s->hidden;
    default:
        return s->length * s->hidden;
    }
}

int64_t fr_reparam_bytes(const fr_mlp_shape *shape, int64_t n_layers)
{
    int64_t floats = 0;
    if (!fr_mlp_floats(shape, n_layers, &floats)) {
        return 0;
    }
    for (int t = 0; t < FR_MLP_TENSORS; t++) { /* gradients */
        fr_mlp_array array = fr_mlp_describe(shape, FR_MLP_FIRST_TENSOR + 3 * t);
        floats += array.floats * (array.shared ? 1 : n_layers);
    }
    for (int i = 0; i < N_SCRATCH; i++) {
        floats += scratch_floats(shape, n_layers, i);
    }
    return floats * (int64_t)sizeof(float) +
           shape->length * shape->hidden * (int64_t)sizeof(int64_t);
}

static fr_status allocate(fr_reparam *r, const fr_reparam_params *params)
{
    const fr_mlp_shape *s = &params->shape;
    int64_t n_hidden = s->length * s->hidden;
    FR_TRY(fr_mlp_init(r->ctx, s, params->n_layers, &r->state));
    for (int t = 0; t < FR_MLP_TENSORS; t++) {
        FR_TRY(fr_alloc(r->ctx, tensor_floats(r, (fr_mlp_tensor)t), sizeof(float),
                        &r->gradients[t]));
    }
    float **const scratch[N_SCRATCH] = {
        [HIDDEN_PM] = &r->hidden_PM,   [ROWS_PN] = &r->rows_PN,
        [COLUMNS_NP] = &r->columns_NP, [PARTS_LPM] = &r->parts_LPM,
        [DZ_PM] = &r->dz_PM,           [DZ_MP] = &r->dz_MP};
    for (int i = 0; i < N_SCRATCH; i++) {
        FR_TRY(fr_alloc(r->ctx, scratch_floats(s, params->n_layers, i), sizeof(float),
                        scratch[i]));
    }
    return fr_alloc(r->ctx, n_hidden, sizeof *r->sum_PM, &r->sum_PM);
}

fr_status fr_reparam_create(fr_ctx *ctx, const fr_reparam_params *params,
                            fr_reparam **out)
{
    fr_reparam *r = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *r, &r));
    r->ctx = ctx;
    r->device = params->device;
    r->config = params->config;
    r->n_all_layers = params->n_all_layers;
    r->n_slot = 2 * params->shape.n_kv_heads * params->shape.head_dim;
    r->frozen = params->config->prefix.freeze_first ? 1 : 0;
    fr_status status = allocate(r, params);
    if (status != FR_OK) {
        fr_reparam_destroy(&r);
    }
    *out = r;
    return status;
}

void fr_reparam_destroy(fr_reparam **reparam)
{
    fr_reparam *r = *reparam;
    if (r == NULL) {
        return;
    }
    fr_mlp_fini(&r->state);
    for (int t = 0; t < FR_MLP_TENSORS; t++) {
        free(r->gradients[t]);
    }
    free(r->hidden_PM);
    free(r->rows_PN);
    free(r->columns_NP);
    free(r->parts_LPM);
    free(r->sum_PM);
    free(r->dz_PM);
    free(r->dz_MP);
    free(r);
    *reparam = NULL;
}

fr_mlp_state *fr_reparam_state(fr_reparam *reparam)
{
    return &reparam->state;
}

/* A tensor's values as a frozen matrix for the device, [n_out, n_in]. */
static fr_matrix matrix_of(const float *values, int64_t n_out, int64_t n_in)
{
    return fr_matrix_of(values, FR_F32, n_out, n_in);
}

/* W2 of all local layers lies in one array [layer][N, M]; the view is one layer of it. */
static fr_matrix w2_of_layer(const fr_reparam *r, int64_t layer)
{
    int64_t m = r->state.shape.hidden;
    const float *w2 = fr_mlp_values(&r->state, FR_MLP_W2, 0);
    return matrix_of(w2 + layer * r->n_slot * m, r->n_slot, m);
}

/* Each number is drawn from its row and column alone: a longer prefix begins with the same rows. */
static void draw(uint64_t seed, fr_rng_purpose purpose, int64_t n_rows, int64_t width,
                 double std, float *out)
{
    for (int64_t row = 0; row < n_rows; row++) {
        for (int64_t i = 0; i < width; i++) {
            double x = fr_rng_normal(seed, purpose, (uint64_t)row, (uint64_t)i);
            out[row * width + i] = (float)(std * x);
        }
    }
}

/* W2 and b2 stay the zeros of their allocation, so P = P0 at the first step. */
fr_status fr_reparam_start(fr_reparam *reparam, const fr_prefix_state *start)
{
    uint64_t seed = reparam->config->seed;
    const fr_mlp_state *state = &reparam->state;
    const fr_mlp_shape *s = &state->shape;
    size_t bytes = (size_t)(state->n_layers * s->length * s->n_kv_heads * s->head_dim) *
                   sizeof(float);
    memcpy(state->arrays[FR_MLP_P0_K], start->k, bytes);
    memcpy(state->arrays[FR_MLP_P0_V], start->v, bytes);
    draw(seed, FR_RNG_MLP_E, s->length, s->width, 1.0,
         fr_mlp_values(state, FR_MLP_E, 0));
    draw(seed, FR_RNG_MLP_W1, s->hidden, s->width, 1.0 / sqrt((double)s->width),
         fr_mlp_values(state, FR_MLP_W1, 0));
    return fr_reparam_hidden(reparam);
}

fr_status fr_reparam_hidden(fr_reparam *reparam)
{
    const fr_mlp_shape *s = &reparam->state.shape;
    const float *b1 = fr_mlp_values(&reparam->state, FR_MLP_B1, 0);
    fr_matrix w1 =
        matrix_of(fr_mlp_values(&reparam->state, FR_MLP_W1, 0), s->hidden, s->width);
    FR_TRY(fr_linear(reparam->device, s->length,
                     fr_host_view(fr_mlp_values(&reparam->state, FR_MLP_E, 0)), &w1,
                     fr_view_none(), fr_host_view(reparam->hidden_PM)));
    for (int64_t i = 0; i < s->length * s->hidden; i++) {
        double z = (double)reparam->hidden_PM[i] + (double)b1[i % s->hidden];
        reparam->hidden_PM[i] = (float)fr_tanh(z);
    }
    return FR_OK;
}

/* to = p0 + (move + b2), slot by slot; what does not move keeps its bits, a -0 too. */
static void add_move(const fr_reparam *r, const float *move_PN, const float *b2,
                     const float *p0, float *to)
{
    int64_t width = r->n_slot / 2;
    for (int64_t slot = r->frozen; slot < r->state.shape.length; slot++) {
        for (int64_t i = 0; i < width; i++) {
            float move = move_PN[slot * r->n_slot + i] + b2[i];
            float start = p0[slot * width + i];
            to[slot * width + i] = move == 0.0f ? start : start + move;
        }
    }
}

fr_status fr_reparam_apply(const fr_reparam *reparam, const fr_prefix_state *prefix)
{
    const fr_mlp_state *state = &reparam->state;
    int64_t width = reparam->n_slot / 2;
    for (int64_t layer = 0; layer < state->n_layers; layer++) {
        int64_t at = layer * state->shape.length * width;
        fr_matrix w2 = w2_of_layer(reparam, layer);
        const float *b2 = fr_mlp_values(state, FR_MLP_B2, 0) + layer * reparam->n_slot;
        FR_TRY(fr_linear(reparam->device, state->shape.length,
                         fr_host_view(reparam->hidden_PM), &w2, fr_view_none(),
                         fr_host_view(reparam->rows_PN)));
        add_move(reparam, reparam->rows_PN, b2, state->arrays[FR_MLP_P0_K] + at,
                 prefix->k + at);
        add_move(reparam, reparam->rows_PN + width, b2 + width,
                 state->arrays[FR_MLP_P0_V] + at, prefix->v + at);
    }
    return FR_OK;
}

/* One layer's dP from its keys and values [P, N/2] each: as rows and as columns. */
static void collect_layer(const fr_reparam *r, const float *dk, const float *dv)
{
    int64_t width = r->n_slot / 2;
    int64_t n_slots = r->state.shape.length;
    for (int64_t slot = 0; slot < n_slots; slot++) {
        float *row = r->rows_PN + slot * r->n_slot;
        memcpy(row, dk + slot * width, (size_t)width * sizeof *row);
        memcpy(row + width, dv + slot * width, (size_t)width * sizeof *row);
        for (int64_t i = 0; i < r->n_slot; i++) {
            r->columns_NP[i * n_slots + slot] = row[i];
        }
    }
}

/* out[i] = sum of row i of [n, width], in order */
static void sum_rows(int64_t n, int64_t width, const float *rows, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (int64_t j = 0; j < width; j++) {
            sum += (double)rows[i * width + j];
        }
        out[i] = (float)sum;
    }
}

static fr_status backward_layers(fr_reparam *r, const float *dprefix)
{
    const fr_mlp_shape *s = &r->state.shape;
    int64_t layer_floats = s->length * r->n_slot / 2;
    const float *dvalues = dprefix + r->state.n_layers * layer_floats;
    fr_matrix hidden = matrix_of(r->hidden_PM, s->length, s->hidden);
    for (int64_t layer = 0; layer < r->state.n_layers; layer++) {
        fr_matrix w2 = w2_of_layer(r, layer);
        collect_layer(r, dprefix + layer * layer_floats,
                      dvalues + layer * layer_floats);
        /* dW2 = dP^T H: here H takes the place of a weight matrix [P, M] and the transposed dP that of its gradient
         * rows. */
        FR_TRY(fr_linear_back(
            r->device, r->n_slot, fr_host_view(r->columns_NP), &hidden, false,
            fr_host_view(r->gradients[FR_MLP_W2] + layer * r->n_slot * s->hidden)));
        sum_rows(r->n_slot, s->length, r->columns_NP,
                 r->gradients[FR_MLP_B2] + layer * r->n_slot);
        FR_TRY(
            fr_linear_back(r->device, s->length, fr_host_view(r->rows_PN), &w2, false,
                           fr_host_view(r->parts_LPM + layer * s->length * s->hidden)));
    }
    return FR_OK;
}

/* The bits of the largest |value|: they order like the values, with infinities and NaN above all numbers. */
static int64_t largest_bits(int64_t n, const float *values)
{
    int64_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = 0;
        memcpy(&bits, &values[i], sizeof bits);
        bits &= 0x7fffffffU;
        largest = (int64_t)bits > largest ? (int64_t)bits : largest;
    }
    return largest;
}

/* The bits of an infinity or a NaN give that value back, which no comparison with the limit lets through. */
static double value_of_bits(int64_t bits)
{
    uint32_t word = (uint32_t)bits;
    float value = 0.0f;
    memcpy(&value, &word, sizeof value);
    return (double)value;
}

/* Every rank computes it from the same dZ, so all of them hold the same gradients of E, W1 and b1. */
static fr_status backward_shared(fr_reparam *r)
{
    const fr_mlp_shape *s = &r->state.shape;
    fr_matrix e = matrix_of(fr_mlp_values(&r->state, FR_MLP_E, 0), s->length, s->width);
    fr_matrix w1 =
        matrix_of(fr_mlp_values(&r->state, FR_MLP_W1, 0), s->hidden, s->width);
    for (int64_t i = 0; i < s->length * s->hidden; i++) {
        r->dz_MP[i % s->hidden * s->length + i / s->hidden] = r->dz_PM[i];
    }
    sum_rows(s->hidden, s->length, r->dz_MP, r->gradients[FR_MLP_B1]);
    FR_TRY(fr_linear_back(r->device, s->hidden, fr_host_view(r->dz_MP), &e, false,
                          fr_host_view(r->gradients[FR_MLP_W1])));
    return fr_linear_back(r->device, s->length, fr_host_view(r->dz_PM), &w1, false,
                          fr_host_view(r->gradients[FR_MLP_E]));
}

fr_status fr_reparam_contribute(fr_reparam *reparam, const float *dprefix,
                                int64_t *largest)
{
    fr_reparam *r = reparam;
    FR_TRY(backward_layers(r, dprefix));
    *largest =
        largest_bits(r->state.n_layers * r->state.shape.length * r->state.shape.hidden,
                     r->parts_LPM);
    return FR_OK;
}

void fr_reparam_scale(fr_reparam *reparam, int64_t largest, int64_t **sum, int64_t *n)
{
    fr_reparam *r = reparam;
    int above = 0; /* every contribution is below 2^above */
    *sum = r->sum_PM;
    *n = r->state.shape.length * r->state.shape.hidden;
    /* Out of range the sum stays zero and is reduced all the same: every rank takes part in every reduction. */
    r->in_range = value_of_bits(largest) < FR_EXACT_LIMIT;
    memset(r->sum_PM, 0, (size_t)*n * sizeof *r->sum_PM);
    if (r->in_range) {
        (void)frexp(value_of_bits(largest), &above);
        /* fr_exact_exponent assumes terms below 2^FR_EXACT_LIMIT_BITS. These are below 2^above, so the exponent moves
         * by the difference. */
        r->exponent = fr_exact_exponent(r->n_all_layers) + FR_EXACT_LIMIT_BITS - above;
        int64_t n_refused = 0; /* none: all lie below 2^above */
        fr_exact_add(r->device, r->state.n_layers, *n, r->exponent,
                     fr_host_f32(r->parts_LPM), fr_host_i64(r->sum_PM),
                     fr_host_i64(&n_refused));
    }
}

fr_status fr_reparam_complete(fr_reparam *reparam, int64_t *n_nonfinite)
{
    fr_reparam *r = reparam;
    int64_t n = r->state.shape.length * r->state.shape.hidden;
    if (!r->in_range) {
        ++*n_nonfinite;
        return FR_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        double h = (double)r->hidden_PM[i];
        r->dz_PM[i] =
            (float)(fr_exact_value(r->sum_PM[i], r->exponent) * (1.0 - h * h));
    }
    FR_TRY(backward_shared(r));
    *n_nonfinite += isfinite(fr_reparam_shared_norm(r)) ? 0 : 1;
    return FR_OK;
}

const float *fr_reparam_gradient(const fr_reparam *reparam, fr_mlp_tensor tensor)
{
    return reparam->gradients[tensor];
}

double fr_reparam_layer_norm(const fr_reparam *reparam, int64_t layer)
{
    int64_t n_b2 = reparam->n_slot;
    int64_t n_w2 = n_b2 * reparam->state.shape.hidden;
    return fr_squared_norm(reparam->gradients[FR_MLP_W2] + layer * n_w2, n_w2) +
           fr_squared_norm(reparam->gradients[FR_MLP_B2] + layer * n_b2, n_b2);
}

/* Identical on every rank: the caller adds it once to the norms of the layers, and does not reduce it. */
double fr_reparam_shared_norm(const fr_reparam *reparam)
{
    double sum = 0.0;
    for (int t = FR_MLP_E; t < FR_MLP_TENSORS; t++) {
        sum += fr_squared_norm(reparam->gradients[t],
                               tensor_floats(reparam, (fr_mlp_tensor)t));
    }
    return sum;
}

/* Element by element, so that chunks on threads change no bit. */
static void update_tensor(const fr_reparam *r, fr_mlp_tensor tensor, int64_t step,
                          double learning_rate, double scale)
{
    enum { CHUNK = 16384 }; /* elements: a thread's piece fits its caches */
    int64_t n = tensor_floats(r, tensor);
    fr_update whole = {n, fr_mlp_values(&r->state, tensor, 0), r->gradients[tensor],
                       fr_mlp_values(&r->state, tensor, 1),
                       fr_mlp_values(&r->state, tensor, 2)};
#pragma omp parallel for num_threads(fr_device_threads(r->device)) if (n > CHUNK)
    for (int64_t at = 0; at < n; at += CHUNK) {
        fr_update part = {n - at < CHUNK ? n - at : CHUNK, whole.value_N + at,
                          whole.gradient_N + at, whole.m_N + at, whole.s_N + at};
        fr_optimizer_update(r->config, step, learning_rate, scale, &part);
    }
}

/* H after all tensors, and P after H: each is a function of the one before. */
fr_status fr_reparam_update(fr_reparam *reparam, int64_t step, double learning_rate,
                            double scale, const fr_prefix_state *prefix)
{
    for (int t = 0; t < FR_MLP_TENSORS; t++) {
        update_tensor(reparam, (fr_mlp_tensor)t, step, learning_rate, scale);
    }
    FR_TRY(fr_reparam_hidden(reparam));
    return fr_reparam_apply(reparam, prefix);
}
