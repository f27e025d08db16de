/* fr_qkv_finish: the bits of the operators whose place it takes, for each combination of parts. */
#include "device/bf16.h"
#include "device/host.h"
#include "device/qkv.h"
#include "device/rows.h"
#include "device/rowwise.h"
#include "support/devices.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { TOKENS = 9, POSITIONS = 13, CACHE_ROWS = 20, CACHED = 2, PARTS = 32 };

static const int32_t PLACES[TOKENS] = {0, 1, 2, 3, 12, 5, 5, 0, 7};

/* Not all tokens, and in another order than in the cache. */
static const fr_segment SEGMENTS[CACHED] = {
    {.q_first = 5, .q_count = 3, .own_first = 2},
    {.q_first = 0, .q_count = 4, .own_first = 11}};

static fr_attention_params params_of(const fr_qkv *qkv)
{
    int64_t width = (qkv->n_heads + 2 * qkv->n_kv_heads) * qkv->head_dim;
    return (fr_attention_params){.n_heads = qkv->n_heads,
                                 .n_kv_heads = qkv->n_kv_heads,
                                 .head_dim = qkv->head_dim,
                                 .q_stride = width,
                                 .kv_stride = width,
                                 .n_tokens = qkv->n_tokens,
                                 .n_segments = qkv->n_segments,
                                 .segments = qkv->segments};
}

/* One after the other. */
static void finish_in_steps(fr_device *device, const fr_qkv *qkv, fr_view x,
                            fr_view saved)
{
    fr_attention_params params = params_of(qkv);
    int64_t width = params.q_stride;
    fr_heads turned = {qkv->n_tokens, qkv->n_heads + qkv->n_kv_heads, qkv->head_dim,
                       width};
    if (qkv->bias_W != NULL) {
        fr_add_bias(device, qkv->n_tokens, width, width, qkv->bias_W, x);
    }
    if (qkv->rotary > 0) {
        fr_rope(device, &turned, qkv->rotary, qkv->positions_T, qkv->table, false, x);
    }
    fr_save(device, qkv->n_tokens * width, x, saved);
    if (qkv->cache_k.at != NULL) {
        int64_t q = qkv->n_heads * qkv->head_dim;
        fr_fill_cache(device, &params, fr_view_at(x, q),
                      fr_view_at(x, q + qkv->n_kv_heads * qkv->head_dim), qkv->cache_k,
                      qkv->cache_v);
    }
}

typedef struct shape {
    int64_t heads;
    int64_t kv_heads;
    int64_t head_dim;
    int64_t rotary;
} shape;

/* What a call writes. */
typedef struct results {
    float *x;
    uint16_t *saved; /* or f32 in the same memory */
    float *cache_k;
    float *cache_v;
} results;

static results make_results(int64_t n, int64_t n_cache)
{
    return (results){fr_test_numbers(n, 1, 1.0), (uint16_t *)fr_test_zeros(n),
                     fr_test_numbers(n_cache, 2, 1.0),
                     fr_test_numbers(n_cache, 3, 1.0)};
}

static void free_results(results *r)
{
    free(r->x);
    free(r->saved);
    free(r->cache_k);
    free(r->cache_v);
}

/* Bits of `parts`: bias, rotation, a cache, something saved, and that in bf16, to which x is rounded even if nothing is. */
static void check_parts(fr_device *device, const shape *s, int parts)
{
    int64_t width = (s->heads + 2 * s->kv_heads) * s->head_dim;
    int64_t n = TOKENS * width;
    int64_t n_cache = CACHE_ROWS * s->kv_heads * s->head_dim;
    float *bias = fr_test_numbers(width, 4, 1.0);
    float *table = fr_test_numbers(POSITIONS * s->rotary + 1, 5, 1.0);
    fr_qkv qkv = {.n_tokens = TOKENS,
                  .n_heads = s->heads,
                  .n_kv_heads = s->kv_heads,
                  .head_dim = s->head_dim,
                  .bias_W = (parts & 1) != 0 ? fr_host_f32(bias) : NULL,
                  .rotary = (parts & 2) != 0 ? s->rotary : 0,
                  .positions_T = PLACES,
                  .table = fr_host_f32(table),
                  .n_segments = CACHED,
                  .segments = SEGMENTS};
    results r[2];
    for (int i = 0; i < 2; i++) {
        r[i] = make_results(n, n_cache);
        fr_byte *place = (parts & 8) != 0 ? (fr_byte *)(void *)r[i].saved : NULL;
        fr_view saved = fr_view_of(place, (parts & 16) != 0 ? FR_BF16 : FR_F32);
        qkv.cache_k = fr_view_if((parts & 4) != 0, fr_host_view(r[i].cache_k));
        qkv.cache_v = fr_view_if((parts & 4) != 0, fr_host_view(r[i].cache_v));
        if (i == 0) {
            finish_in_steps(device, &qkv, fr_host_view(r[i].x), saved);
        } else {
            fr_qkv_finish(device, &qkv, fr_host_view(r[i].x), saved);
        }
    }
    size_t bytes = (size_t)n * sizeof(float);
    size_t cache_bytes = (size_t)n_cache * sizeof(float);
    fr_assert_same_bytes("x", r[1].x, r[0].x, bytes);
    fr_assert_same_bytes("saved", r[1].saved, r[0].saved, bytes);
    fr_assert_same_bytes("cached keys", r[1].cache_k, r[0].cache_k, cache_bytes);
    fr_assert_same_bytes("cached values", r[1].cache_v, r[0].cache_v, cache_bytes);
    free_results(&r[0]);
    free_results(&r[1]);
    free(bias);
    free(table);
}

static void check_shapes(fr_device *device, void *user)
{
    static const shape SHAPES[] = {
        {3, 1, 8, 8}, {4, 2, 16, 6}, {2, 2, 5, 4}, {1, 1, 1, 0}, {6, 3, 64, 64}};
    (void)user;
    for (int i = 0; i < PARTS * FR_N_CASES(SHAPES); i++) {
        check_parts(device, &SHAPES[i / PARTS], i % PARTS);
    }
    FR_ASSERT_OK(fr_device_check(device));
}

static void it_has_the_bits_of_single_operators(void)
{
    fr_test_each_device(check_shapes, NULL);
}

static const fr_case CASES[] = {
    FR_CASE(it_has_the_bits_of_single_operators),
};

int main(int argc, char **argv)
{
    return fr_suite_main("qkv", CASES, FR_N_CASES(CASES), argc, argv);
}
