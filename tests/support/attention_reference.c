#include "support/attention_case.h"

#include "device/host.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>

static double *copy_f64(const float *from, int64_t n)
{
    double *to = malloc((size_t)(n + 1) * sizeof *to);
    if (to == NULL) {
        exit(EXIT_FAILURE);
    }
    for (int64_t i = 0; i < n; i++) {
        to[i] = (double)(from == NULL ? FR_CASE_UNTOUCHED : from[i]);
    }
    return to;
}

fr_attention_reference *fr_attention_reference_create(const fr_attention_case *c)
{
    int64_t q_count = fr_attention_case_q_count(c);
    int64_t key_count = fr_attention_case_key_count(c);
    int64_t prefix_count = fr_attention_case_prefix_count(c);
    fr_attention_reference *r = calloc(1, sizeof *r);
    if (r == NULL) {
        exit(EXIT_FAILURE);
    }
    r->of = c;
    r->prefix_k = copy_f64(c->prefix_k, prefix_count);
    r->prefix_v = copy_f64(c->prefix_v, prefix_count);
    r->q = copy_f64(c->q, q_count);
    r->k = copy_f64(c->k, key_count);
    r->v = copy_f64(c->v, key_count);
    r->o = copy_f64(NULL, fr_attention_case_o_count(c));
    r->lse = copy_f64(NULL, c->params.n_tokens * c->params.n_heads);
    r->dq = copy_f64(NULL, q_count);
    r->dk = copy_f64(NULL, key_count);
    r->dv = copy_f64(NULL, key_count);
    r->dprefix_k = copy_f64(NULL, c->n_units * prefix_count);
    r->dprefix_v = copy_f64(NULL, c->n_units * prefix_count);
    return r;
}

void fr_attention_reference_destroy(fr_attention_reference **r)
{
    double *buffers[] = {(*r)->prefix_k,  (*r)->prefix_v, (*r)->q,  (*r)->k,  (*r)->v,
                         (*r)->o,         (*r)->lse,      (*r)->dq, (*r)->dk, (*r)->dv,
                         (*r)->dprefix_k, (*r)->dprefix_v};
    for (int i = 0; i < FR_N_CASES(buffers); i++) {
        free(buffers[i]);
    }
    free(*r);
    *r = NULL;
}

/** One key that a query sees: its vectors and where their gradients go. */
typedef struct key {
    const double *k;
    const double *v;
    double *dk;
    double *dv;
    int64_t position;
    double p;     /* probability */
    double slope; /* of the score over the product of q and k */
} key;

/* The window hides keys; slots of the prefix only if they slide. */
static bool is_hidden(const fr_attention_params *p, int64_t query, int64_t position,
                      bool is_slot)
{
    return p->window > 0 && query - position >= p->window &&
           (!is_slot || p->prefix_slides);
}

/* Rows of a span, as far as the query sees them. */
static void add_buffer_keys(fr_attention_reference *r, fr_span span, int64_t head,
                            int64_t query, key *keys, int64_t *n)
{
    const fr_attention_params *p = &r->of->params;
    for (int64_t i = 0; i < span.count; i++) {
        int64_t at = (span.first + i) * p->kv_stride + head * p->head_dim;
        if (!is_hidden(p, query, span.position + i, false)) {
            keys[(*n)++] = (key){r->k + at,         r->v + at, r->dk + at, r->dv + at,
                                 span.position + i, 0,         0};
        }
    }
}

/* Keys of query `i` of a segment for one key head, in the operator's order. */
static int64_t list_keys(fr_attention_reference *r, const fr_segment *s, int64_t i,
                         int64_t head, key *keys)
{
    const fr_attention_params *p = &r->of->params;
    int64_t query = s->position + i;
    fr_span own = {s->own_first, i + 1, s->position};
    int64_t n = 0;
    for (int64_t slot = 0; slot < p->prefix_length && s->sees_prefix; slot++) {
        int64_t at = (slot * p->n_kv_heads + head) * p->head_dim;
        int64_t grad = at + s->unit * fr_attention_case_prefix_count(r->of);
        if (!is_hidden(p, query, slot, true)) {
            keys[n++] = (key){r->prefix_k + at,
                              r->prefix_v + at,
                              r->dprefix_k + grad,
                              r->dprefix_v + grad,
                              slot,
                              0,
                              0};
        }
    }
    for (int j = 0; j < s->n_spans; j++) {
        add_buffer_keys(r, s->spans[j], head, query, keys, &n);
    }
    add_buffer_keys(r, own, head, query, keys, &n);
    return n;
}

/* Fills the keys' probabilities; returns the log-sum-exp. The last key is the query's own. */
static double softmax(const fr_attention_params *p, const double *q, int64_t head,
                      int64_t n, key *keys)
{
    int64_t query = keys[n - 1].position;
    double cap = (double)p->cap;
    double sum = 0;
    for (int64_t j = 0; j < n; j++) {
        double score = 0;
        for (int64_t i = 0; i < p->head_dim; i++) {
            score += q[i] * keys[j].k[i] * p->scale;
        }
        keys[j].slope = 1;
        if (cap > 0) {
            double t = tanh(score / cap);
            score = cap * t;
            keys[j].slope = 1 - t * t;
        }
        if (p->slopes_H != NULL) {
            score += (double)p->slopes_H[head].in_device *
                     (double)(keys[j].position - query);
        }
        keys[j].p = exp(score);
        sum += keys[j].p;
    }
    for (int64_t j = 0; j < n; j++) {
        keys[j].p /= sum;
    }
    return log(sum);
}

/** What is done with each (query row, head) and its keys. */
typedef void (*row_action)(fr_attention_reference *r, int64_t token, int64_t head,
                           int64_t n, key *keys);

static void each_row(fr_attention_reference *r, row_action action)
{
    const fr_attention_params *p = &r->of->params;
    key *keys =
        malloc((size_t)(p->prefix_length + 4 * r->of->n_key_rows + 1) * sizeof *keys);
    if (keys == NULL) {
        exit(EXIT_FAILURE);
    }
    for (int64_t s = 0; s < p->n_segments; s++) {
        const fr_segment *segment = p->segments + s;
        for (int64_t i = 0; i < segment->q_count * p->n_heads; i++) {
            int64_t head = i % p->n_heads;
            int64_t kv_head = head / (p->n_heads / p->n_kv_heads);
            int64_t n = list_keys(r, segment, i / p->n_heads, kv_head, keys);
            action(r, segment->q_first + i / p->n_heads, head, n, keys);
        }
    }
    free(keys);
}

static void row_forward(fr_attention_reference *r, int64_t token, int64_t head,
                        int64_t n, key *keys)
{
    const fr_attention_params *p = &r->of->params;
    double *o = r->o + (token * p->n_heads + head) * p->head_dim;
    const double *q = r->q + token * p->q_stride + head * p->head_dim;
    r->lse[token * p->n_heads + head] = softmax(p, q, head, n, keys);
    for (int64_t i = 0; i < p->head_dim; i++) {
        o[i] = 0;
        for (int64_t j = 0; j < n; j++) {
            o[i] += keys[j].p * keys[j].v[i];
        }
    }
}

static void row_backward(fr_attention_reference *r, int64_t token, int64_t head,
                         int64_t n, key *keys)
{
    const fr_attention_params *p = &r->of->params;
    int64_t dim = p->head_dim;
    const float *d_o = r->of->d_o + (token * p->n_heads + head) * dim;
    const double *q = r->q + token * p->q_stride + head * dim;
    double *dq = r->dq + token * p->q_stride + head * dim;
    double delta = 0;
    (void)softmax(p, q, head, n, keys);
    for (int64_t i = 0; i < dim; i++) {
        delta += (double)d_o[i] * r->o[(token * p->n_heads + head) * dim + i];
        dq[i] = 0;
    }
    for (int64_t j = 0; j < n; j++) {
        double dp = 0;
        for (int64_t i = 0; i < dim; i++) {
            dp += (double)d_o[i] * keys[j].v[i];
            keys[j].dv[i] += keys[j].p * (double)d_o[i];
        }
        double ds = keys[j].p * (dp - delta) * keys[j].slope * p->scale;
        for (int64_t i = 0; i < dim; i++) {
            dq[i] += ds * keys[j].k[i];
            keys[j].dk[i] += ds * q[i];
        }
    }
}

void fr_attention_reference_forward(fr_attention_reference *r)
{
    each_row(r, row_forward);
}

void fr_attention_reference_backward(fr_attention_reference *r)
{
    const fr_attention_params *p = &r->of->params;
    int64_t width = p->n_kv_heads * p->head_dim;
    for (int64_t i = 0; i < r->of->n_units * p->prefix_length * width; i++) {
        r->dprefix_k[i] = 0;
        r->dprefix_v[i] = 0;
    }
    for (int64_t s = 0; s < p->n_segments; s++) {
        for (int64_t i = 0; i < p->segments[s].q_count * width; i++) {
            int64_t row = p->segments[s].own_first + i / width;
            r->dk[row * p->kv_stride + i % width] = 0;
            r->dv[row * p->kv_stride + i % width] = 0;
        }
    }
    each_row(r, row_backward);
}

double fr_attention_reference_loss(fr_attention_reference *r)
{
    const fr_attention_params *p = &r->of->params;
    double loss = 0;
    fr_attention_reference_forward(r);
    for (int64_t s = 0; s < p->n_segments; s++) {
        int64_t width = p->n_heads * p->head_dim;
        int64_t first = p->segments[s].q_first * width;
        for (int64_t i = 0; i < p->segments[s].q_count * width; i++) {
            loss += r->o[first + i] * (double)r->of->d_o[first + i];
        }
    }
    return loss;
}

void fr_assert_close_f64(const char *what, const float *got, const double *wanted,
                         int64_t n, double tolerance)
{
    float *narrow = fr_test_zeros(n);
    for (int64_t i = 0; i < n; i++) {
        narrow[i] = (float)wanted[i];
    }
    fr_assert_close(what, got, narrow, n, tolerance);
    free(narrow);
}
