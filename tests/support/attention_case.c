#include "support/attention_case.h"

#include "base/elementary.h"
#include "device/host.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { Q_GAP = 5, KEY_GAP = 3 };

int64_t fr_attention_case_q_count(const fr_attention_case *c)
{
    return c->params.n_tokens * c->params.q_stride;
}

int64_t fr_attention_case_key_count(const fr_attention_case *c)
{
    return c->n_key_rows * c->params.kv_stride;
}

int64_t fr_attention_case_o_count(const fr_attention_case *c)
{
    return c->params.n_tokens * c->params.n_heads * c->params.head_dim;
}

int64_t fr_attention_case_prefix_count(const fr_attention_case *c)
{
    return c->params.prefix_length * c->params.n_kv_heads * c->params.head_dim;
}

static float *untouched(int64_t n)
{
    float *numbers = fr_test_zeros(n);
    for (int64_t i = 0; i < n; i++) {
        numbers[i] = FR_CASE_UNTOUCHED;
    }
    return numbers;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void count_rows(fr_attention_case *c)
{
    for (int64_t i = 0; i < c->params.n_segments; i++) {
        const fr_segment *s = c->segments + i;
        c->params.n_tokens = larger(c->params.n_tokens, s->q_first + s->q_count);
        c->n_key_rows = larger(c->n_key_rows, s->own_first + s->q_count);
        for (int j = 0; j < s->n_spans; j++) {
            c->n_key_rows =
                larger(c->n_key_rows, s->spans[j].first + s->spans[j].count);
        }
        c->n_units = larger(c->n_units, s->unit + 1);
    }
}

/* Spans one after the other behind the prefix, then the segment's own keys. */
static void place_keys(fr_attention_case *c)
{
    for (int64_t i = 0; i < c->params.n_segments; i++) {
        fr_segment *s = c->segments + i;
        s->position = c->params.prefix_length;
        for (int j = 0; j < s->n_spans; j++) {
            s->spans[j].position = s->position;
            s->position += s->spans[j].count;
        }
    }
}

static void create_buffers(fr_attention_case *c)
{
    int64_t q_count = fr_attention_case_q_count(c);
    int64_t key_count = fr_attention_case_key_count(c);
    int64_t o_count = fr_attention_case_o_count(c);
    int64_t prefix_count = fr_attention_case_prefix_count(c);
    c->q = fr_test_numbers(q_count, 1, 2);
    c->k = fr_test_numbers(key_count, 2, 1);
    c->v = fr_test_numbers(key_count, 3, 1);
    c->prefix_k = fr_test_numbers(prefix_count, 4, 1);
    c->prefix_v = fr_test_numbers(prefix_count, 5, 1);
    c->slopes = fr_test_zeros(c->params.n_heads);
    c->d_o = fr_test_numbers(o_count, 6, 1);
    c->o = untouched(o_count);
    c->lse = untouched(c->params.n_tokens * c->params.n_heads);
    c->dq = untouched(q_count);
    c->dk = untouched(key_count);
    c->dv = untouched(key_count);
    c->dprefix_k = untouched(c->n_units * prefix_count);
    c->dprefix_v = untouched(c->n_units * prefix_count);
}

fr_attention_case *fr_attention_case_create(const fr_attention_shape *shape,
                                            int n_segments, const fr_segment *segments)
{
    fr_attention_case *c = calloc(1, sizeof *c);
    if (c == NULL || n_segments > FR_CASE_SEGMENTS) {
        exit(EXIT_FAILURE);
    }
    memcpy(c->segments, segments, (size_t)n_segments * sizeof *segments);
    c->params = (fr_attention_params){
        .n_heads = shape->n_heads,
        .n_kv_heads = shape->n_kv_heads,
        .head_dim = shape->head_dim,
        .q_stride = shape->n_heads * shape->head_dim + Q_GAP,
        .kv_stride = shape->n_kv_heads * shape->head_dim + KEY_GAP,
        .prefix_length = shape->prefix_length,
        .n_segments = n_segments,
        .segments = c->segments,
        .scale = 1.0 / sqrt((double)shape->head_dim),
    };
    place_keys(c);
    count_rows(c);
    create_buffers(c);
    c->params.prefix_k_PGK = fr_host_f32(c->prefix_k);
    c->params.prefix_v_PGK = fr_host_f32(c->prefix_v);
    return c;
}

void fr_attention_case_score(fr_attention_case *c, const fr_attention_scores *scores)
{
    int64_t n_heads = c->params.n_heads;
    for (int64_t h = 0; h < n_heads; h++) {
        c->slopes[h] = (float)fr_power_of(2, -8.0 * (double)(h + 1) / (double)n_heads);
    }
    c->params.scale = scores->factor / sqrt((double)c->params.head_dim);
    c->params.cap = scores->cap;
    c->params.window = scores->window;
    c->params.prefix_slides = scores->prefix_slides;
    c->params.slopes_H = scores->slopes ? fr_host_f32(c->slopes) : NULL;
}

void fr_attention_case_destroy(fr_attention_case **c)
{
    float *buffers[] = {(*c)->slopes,    (*c)->prefix_k, (*c)->prefix_v, (*c)->q,
                        (*c)->k,         (*c)->v,        (*c)->d_o,      (*c)->o,
                        (*c)->lse,       (*c)->dq,       (*c)->dk,       (*c)->dv,
                        (*c)->dprefix_k, (*c)->dprefix_v};
    for (int i = 0; i < FR_N_CASES(buffers); i++) {
        free(buffers[i]);
    }
    free(*c);
    *c = NULL;
}

void fr_attention_case_forward(fr_device *device, fr_attention_case *c)
{
    FR_ASSERT_OK(fr_attention(device, &c->params, fr_host_view(c->q),
                              fr_host_view(c->k), fr_host_view(c->v),
                              fr_host_view(c->o), fr_host_f32(c->lse)));
}

void fr_attention_case_backward(fr_device *device, fr_attention_case *c,
                                bool prefix_only)
{
    bool has_prefix = c->params.prefix_length > 0;
    fr_attention_gradients gradients = {
        .dq = fr_host_view(prefix_only ? NULL : c->dq),
        .dk = fr_host_view(prefix_only ? NULL : c->dk),
        .dv = fr_host_view(prefix_only ? NULL : c->dv),
        .dprefix_k_UPGK = has_prefix ? fr_host_f32(c->dprefix_k) : NULL,
        .dprefix_v_UPGK = has_prefix ? fr_host_f32(c->dprefix_v) : NULL,
        .n_units = c->n_units,
    };
    FR_ASSERT_OK(fr_attention_back(
        device, &c->params, fr_host_view(c->q), fr_host_view(c->k), fr_host_view(c->v),
        fr_host_view(c->o), fr_host_f32(c->lse), fr_host_view(c->d_o), &gradients));
}

void fr_attention_case_copy_inputs(const fr_attention_case *from, fr_attention_case *to,
                                   int64_t first, int64_t rows)
{
    const fr_attention_params *p = &to->params;
    int64_t width = p->n_heads * p->head_dim;
    size_t q_bytes = (size_t)(rows * p->q_stride) * sizeof(float);
    size_t key_bytes = (size_t)(rows * p->kv_stride) * sizeof(float);
    memcpy(to->q + first * p->q_stride, from->q, q_bytes);
    memcpy(to->k + first * p->kv_stride, from->k, key_bytes);
    memcpy(to->v + first * p->kv_stride, from->v, key_bytes);
    memcpy(to->d_o + first * width, from->d_o, (size_t)(rows * width) * sizeof(float));
}
