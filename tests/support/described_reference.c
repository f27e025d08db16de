/* The loss of a described model, token by token, in f64: the formulas of model/arch.h without any of the network's parts. */
#include "base/mem.h"
#include "support/described_model.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WIDTH = 64, MAX_TOKENS = 32 };

/* Of one row in one layer. */
typedef struct walk {
    const fr_weights *weights;
    const fr_arch *arch;
    const fr_reference_row *row;
    int64_t layer;
    double x[MAX_TOKENS][MAX_WIDTH];
    double qkv[3][MAX_TOKENS][MAX_WIDTH];
} walk;

static void normalise(fr_norm kind, double eps, int64_t n, const float *w,
                      const float *b, double *x)
{
    double mean = 0.0;
    double square = 0.0;
    for (int64_t i = 0; kind == FR_NORM_LAYER && i < n; i++) {
        mean += x[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        square += (x[i] - mean) * (x[i] - mean) / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        x[i] = (x[i] - mean) / sqrt(square + eps) * (double)w[i] +
               (b != NULL ? (double)b[i] : 0.0);
    }
}

static const float *weight(const walk *m, fr_weight role)
{
    return fr_described_weight(m->weights, role, m->layer);
}

/* In place; without the weight nothing happens. */
static void norm(const walk *m, fr_weight w, fr_weight b, double *x)
{
    if (weight(m, w) != NULL) {
        normalise(m->arch->norm, m->arch->norm_eps, m->arch->d_model, weight(m, w),
                  b != FR_W_COUNT ? weight(m, b) : NULL, x);
    }
}

static void multiply(const walk *m, fr_weight w, fr_weight b, int64_t n_in,
                     const double *x, int64_t n_out, double *y)
{
    const float *matrix = weight(m, w);
    const float *bias = b != FR_W_COUNT ? weight(m, b) : NULL;
    for (int64_t o = 0; o < n_out; o++) {
        y[o] = bias != NULL ? (double)bias[o] : 0.0;
        for (int64_t i = 0; i < n_in; i++) {
            y[o] += (double)matrix[o * n_in + i] * x[i];
        }
    }
}

static double activate(fr_activation activation, double x)
{
    switch (activation) {
    case FR_ACTIVATION_SILU:
        return x / (1.0 + exp(-x));
    case FR_ACTIVATION_GELU_TANH:
        return 0.5 * x *
               (1.0 +
                tanh(sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case FR_ACTIVATION_GELU_ERF:
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    default:
        return x > 0.0 ? x : 0.0;
    }
}

static void turn(const walk *m, int64_t position, double *head)
{
    int bits = m->arch->layers[m->layer];
    const fr_rotation *r = (bits & FR_LAYER_LOCAL_ROTATION) != 0
                               ? &m->arch->local_rotation
                               : &m->arch->rotation;
    int64_t half = r->rotary / 2;
    if (m->arch->positions != FR_POSITIONS_ROPE || (bits & FR_LAYER_NO_ROTATION) != 0) {
        return;
    }
    for (int64_t i = 0; i < half; i++) {
        bool is_long = m->row->is_long && r->long_from > 0;
        double angle = (double)position *
                       pow(r->theta, -2.0 * (double)i / (double)r->rotary) /
                       (is_long ? r->long_divisors[i] : r->divisors[i]);
        double a = head[i];
        double b = head[i + half];
        head[i] = r->scale * (a * cos(angle) - b * sin(angle));
        head[i + half] = r->scale * (b * cos(angle) + a * sin(angle));
    }
}

/* Norms, then rotation, of the heads of queries or keys. */
static void turn_all(const walk *m, int64_t position, fr_weight w, int64_t n_heads,
                     double *x)
{
    int64_t width = m->arch->head_dim;
    if (m->arch->qk_norm == FR_QK_NORM_WHOLE) {
        normalise(FR_NORM_RMS, m->arch->norm_eps, n_heads * width, weight(m, w), NULL,
                  x);
    }
    for (int64_t h = 0; h < n_heads; h++) {
        if (m->arch->qk_norm == FR_QK_NORM_HEAD) {
            normalise(FR_NORM_RMS, m->arch->norm_eps, width, weight(m, w), NULL,
                      x + h * width);
        }
        turn(m, position, x + h * width);
    }
}

/* As BLOOM's code computes them. */
static double slope(int64_t n_heads, int64_t h)
{
    double whole = pow(2.0, floor(log2((double)n_heads)));
    double base = pow(2.0, -pow(2.0, -(log2(whole) - 3.0)));
    double extra = pow(2.0, -pow(2.0, -(log2(2.0 * whole) - 3.0)));
    return (double)h < whole ? pow(base, (double)(h + 1))
                             : pow(extra, 2.0 * ((double)h - whole) + 1.0);
}

/* Score of query and key at a distance; -infinity behind the window. */
static double score(const walk *m, int64_t h, const double *q, const double *k,
                    int64_t distance, bool hides)
{
    const fr_arch *a = m->arch;
    double s = 0.0;
    bool has_window = (a->layers[m->layer] & FR_LAYER_WINDOW) != 0;
    if (has_window && hides && distance >= a->window) {
        return (double)-INFINITY;
    }
    for (int64_t i = 0; i < a->head_dim; i++) {
        s += q[i] * k[i];
    }
    s *= a->attention_scale != 0.0 ? a->attention_scale
                                   : 1.0 / sqrt((double)a->head_dim);
    s = a->attention_cap != 0.0 ? a->attention_cap * tanh(s / a->attention_cap) : s;
    return a->positions == FR_POSITIONS_ALIBI
               ? s - slope(a->n_heads, h) * (double)distance
               : s;
}

/* Head h of token t over the slots and the tokens up to t. */
static void attend(const walk *m, int64_t t, int64_t h, double *o)
{
    const fr_arch *a = m->arch;
    const fr_reference_row *row = m->row;
    int64_t width = a->head_dim;
    int64_t g = h / (a->n_heads / a->n_kv_heads);
    fr_layer_range own = fr_layers_within(row->layers, 0, a->n_layers);
    bool prefixed = m->layer >= own.first && m->layer < own.first + own.count;
    int64_t slots = prefixed ? row->length : 0;
    double sum = 0.0;
    memset(o, 0, (size_t)width * sizeof *o);
    for (int64_t j = 0; j < slots + t + 1; j++) {
        bool is_slot = j < slots;
        int64_t at =
            (((m->layer - own.first) * row->length + j) * a->n_kv_heads + g) * width;
        const double *k = is_slot ? row->k + at : m->qkv[1][j - slots] + g * width;
        const double *v = is_slot ? row->v + at : m->qkv[2][j - slots] + g * width;
        int64_t place = is_slot ? j : row->length + j - slots;
        double e = exp(score(m, h, m->qkv[0][t] + h * width, k, row->length + t - place,
                             row->slides || !is_slot));
        sum += e;
        for (int64_t i = 0; i < width; i++) {
            o[i] += e * v[i];
        }
    }
    for (int64_t i = 0; i < width; i++) {
        o[i] /= sum;
    }
}

static void project(walk *m, int64_t t)
{
    const fr_arch *a = m->arch;
    int64_t position = m->row->length + t;
    int64_t q = a->n_heads * a->head_dim;
    int64_t kv = a->n_kv_heads * a->head_dim;
    double h[MAX_WIDTH];
    memcpy(h, m->x[t], sizeof h);
    norm(m, FR_W_ATTN_NORM, FR_W_ATTN_NORM_BIAS, h);
    multiply(m, FR_W_Q, FR_W_Q_BIAS, a->d_model, h, q, m->qkv[0][t]);
    multiply(m, FR_W_K, FR_W_K_BIAS, a->d_model, h, kv, m->qkv[1][t]);
    multiply(m, FR_W_V, FR_W_V_BIAS, a->d_model, h, kv, m->qkv[2][t]);
    turn_all(m, position, FR_W_Q_NORM, a->n_heads, m->qkv[0][t]);
    turn_all(m, position, FR_W_K_NORM, a->n_kv_heads, m->qkv[1][t]);
}

/* Both halves of token t. */
static void pass(walk *m, int64_t t)
{
    const fr_arch *a = m->arch;
    int64_t d = a->d_model;
    double x1[MAX_WIDTH];
    double o[MAX_WIDTH];
    double half[MAX_WIDTH];
    double gate[MAX_WIDTH];
    double up[MAX_WIDTH];
    memcpy(x1, m->x[t], sizeof x1);
    for (int64_t h = 0; h < a->n_heads; h++) {
        attend(m, t, h, o + h * a->head_dim);
    }
    multiply(m, FR_W_O, FR_W_O_BIAS, a->n_heads * a->head_dim, o, d, half);
    norm(m, FR_W_ATTN_POST_NORM, FR_W_COUNT, half);
    for (int64_t i = 0; i < d; i++) {
        m->x[t][i] += a->residual_scale * half[i];
    }
    double *in = a->parallel ? x1 : memcpy(x1, m->x[t], sizeof x1);
    norm(m, FR_W_MLP_NORM, FR_W_MLP_NORM_BIAS, in);
    multiply(m, FR_W_UP, FR_W_UP_BIAS, d, in, a->d_ff, up);
    if (a->gated) {
        multiply(m, FR_W_GATE, FR_W_GATE_BIAS, d, in, a->d_ff, gate);
    }
    for (int64_t i = 0; i < a->d_ff; i++) {
        up[i] = a->gated ? activate(a->activation, gate[i]) * up[i]
                         : activate(a->activation, up[i]);
    }
    multiply(m, FR_W_DOWN, FR_W_DOWN_BIAS, a->d_ff, up, d, half);
    norm(m, FR_W_MLP_POST_NORM, FR_W_COUNT, half);
    for (int64_t i = 0; i < d; i++) {
        m->x[t][i] += a->residual_scale * half[i];
    }
}

static void embed(walk *m, int64_t t)
{
    const fr_arch *a = m->arch;
    const float *learned = weight(m, FR_W_POSITIONS);
    for (int64_t i = 0; i < a->d_model; i++) {
        m->x[t][i] = a->embedding_scale *
                     (double)weight(m, FR_W_TOKENS)[m->row->ids[t] * a->d_model + i];
        if (learned != NULL) {
            m->x[t][i] += (double)learned[(m->row->length + t) * a->d_model + i];
        }
    }
    if (a->embedding_norm) {
        normalise(FR_NORM_LAYER, a->norm_eps, a->d_model,
                  weight(m, FR_W_EMBEDDING_NORM), weight(m, FR_W_EMBEDDING_NORM_BIAS),
                  m->x[t]);
    }
}

/* Nats of the token after t. */
static double predict(const walk *m, int64_t t)
{
    const fr_arch *a = m->arch;
    double h[MAX_WIDTH];
    double logits[MAX_WIDTH];
    double sum = 0.0;
    memcpy(h, m->x[t], sizeof h);
    norm(m, FR_W_FINAL_NORM, FR_W_FINAL_NORM_BIAS, h);
    multiply(m, FR_W_HEAD, FR_W_COUNT, a->d_model, h, a->vocab_size, logits);
    for (int64_t i = 0; i < a->vocab_size; i++) {
        logits[i] *= a->logit_scale;
        logits[i] = a->logit_cap != 0.0 ? a->logit_cap * tanh(logits[i] / a->logit_cap)
                                        : logits[i];
        sum += exp(logits[i]);
    }
    return log(sum) - logits[m->row->ids[t + 1]];
}

double fr_reference_loss(const fr_weights *weights, const fr_reference_row *row)
{
    walk *m = NULL;
    double loss = 0.0;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 1, sizeof *m, &m));
    m->weights = weights;
    m->arch = fr_weights_arch(weights);
    m->row = row;
    for (int64_t t = 0; t < row->n - 1; t++) {
        embed(m, t);
    }
    for (; m->layer < m->arch->n_layers; m->layer++) {
        for (int64_t t = 0; t < row->n - 1; t++) {
            project(m, t);
        }
        for (int64_t t = 0; t < row->n - 1; t++) {
            pass(m, t);
        }
    }
    m->layer = 0;
    for (int64_t t = 0; t < row->n - 1; t++) {
        loss += predict(m, t);
    }
    free(m);
    return loss;
}
