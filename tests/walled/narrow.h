/*
 * narrow.h - bf16 between operators, on a device whose operators are the CPU's, which compute with f32. For walled.c.
 *
 * Each bf16 number in the device's memory has a place for an f32 number: its address in that memory, doubled, in an address
 * space of its own. So the places of a view are a view in f32 with the same strides, and views that overlap have places that
 * overlap. Around an operator the numbers of its views go to their places and come back, rounded. In between, and for
 * everybody else, memory holds bf16: who takes it for f32, or f32 for bf16, computes with rubbish.
 */
#ifndef FR_TESTS_WALLED_NARROW_H
#define FR_TESTS_WALLED_NARROW_H

#include "device/backend.h"

typedef struct narrow {
    const char *memory; /* the device's */
    char *places;       /* NULL: this device works in f32 */
} narrow;

/** A view of an operator, which reads or writes some of its first n numbers, gaps of its strides included. */
typedef struct narrow_use {
    fr_view *view; /* NULL: none; in f32 from narrow_begin on */
    int64_t n;
    fr_view given; /* as it was */
} narrow_use;

static inline narrow_use narrow_use_of(fr_view *view, int64_t n)
{
    return (narrow_use){
        .view = view, .n = n, .given = view != NULL ? *view : (fr_view){0}};
}

/** For memory of that many bytes. Returns false where there is no address space. */
bool narrow_open(narrow *w, const char *memory, int64_t bytes);
void narrow_close(narrow *w, int64_t bytes);

void narrow_begin(const narrow *w, int n_uses, const narrow_use *uses);
void narrow_end(const narrow *w, int n_uses, const narrow_use *uses);

/* ---- how many numbers ----------------------------------------------------------------------------- */

static inline int64_t numbers_of_rows(int64_t n, int64_t width, int64_t stride)
{
    return n > 0 ? (n - 1) * stride + width : 0;
}

static inline int64_t numbers_of_heads(const fr_heads *heads)
{
    return numbers_of_rows(heads->n_tokens, heads->n_heads * heads->head_dim,
                           heads->stride);
}

/** Rows that a list names, from the first on. */
static inline int64_t rows_of_list(int64_t n, const int32_t *rows)
{
    int64_t max = 0;
    for (int64_t i = 0; i < n; i++) {
        max = rows[i] >= max ? rows[i] + 1 : max;
    }
    return max;
}

static inline int64_t numbers_of_queries(const fr_attention_params *p)
{
    return numbers_of_rows(p->n_tokens, p->n_heads * p->head_dim, p->q_stride);
}

static inline int64_t numbers_of_outputs(const fr_attention_params *p)
{
    return p->n_tokens * p->n_heads * p->head_dim;
}

/** Rows of keys that the segments name. */
static inline int64_t key_rows(const fr_attention_params *p)
{
    int64_t max = 0;
    for (int64_t i = 0; i < p->n_segments; i++) {
        const fr_segment *s = &p->segments[i];
        int64_t end = s->own_first + s->q_count;
        max = end > max ? end : max;
        for (int k = 0; k < s->n_spans; k++) {
            end = s->spans[k].first + s->spans[k].count;
            max = end > max ? end : max;
        }
    }
    return max;
}

static inline int64_t numbers_of_keys(const fr_attention_params *p)
{
    return numbers_of_rows(key_rows(p), p->n_kv_heads * p->head_dim, p->kv_stride);
}

/** Of keys, or values, of a cache whose rows the segments name, and of those that go there. */
static inline int64_t numbers_of_cache(const fr_attention_params *p)
{
    return key_rows(p) * p->n_kv_heads * p->head_dim;
}

static inline int64_t numbers_of_qkv(const fr_qkv *qkv)
{
    return qkv->n_tokens * (qkv->n_heads + 2 * qkv->n_kv_heads) * qkv->head_dim;
}

static inline int64_t numbers_of_qkv_cache(const fr_qkv *qkv)
{
    fr_attention_params own = {.n_kv_heads = qkv->n_kv_heads,
                               .head_dim = qkv->head_dim,
                               .n_segments = qkv->n_segments,
                               .segments = qkv->segments};
    return numbers_of_cache(&own);
}

static inline int64_t numbers_of_new_keys(const fr_attention_params *p)
{
    return numbers_of_rows(p->n_tokens, p->n_kv_heads * p->head_dim, p->kv_stride);
}

#endif
