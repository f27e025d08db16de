/* fr_qkv_finish on a CUDA device: the CPU's bits, which are those of single operators (conf/test_qkv.c); in bf16 the same, rounded
 * once. */
#include "device/bf16.h"
#include "device/qkv.h"
#include "device/rows.h"
#include "device/rowwise.h"
#include "pair.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { POSITIONS = 13, CACHE_ROWS = 400, PARTS = 32 };

typedef struct qkv_case {
    int64_t n_tokens;
    int64_t heads;
    int64_t kv_heads;
    int64_t head_dim;
    int64_t rotary;
    int lead; /* numbers before the first of each buffer */
    bool has_bias;
    bool turns;
    bool has_cache;
    bool is_saved;
    fr_dtype dtype;
    fr_dtype saved_type;
} qkv_case;

typedef struct qkv_pairs {
    fr_pair x;
    fr_pair bias;
    fr_pair table;
    fr_pair saved;
    fr_pair cache_k;
    fr_pair cache_v;
} qkv_pairs;

static qkv_pairs make_pairs(const fr_two *two, const qkv_case *c)
{
    int64_t kv = c->kv_heads * c->head_dim;
    int64_t width = c->heads * c->head_dim + 2 * kv;
    int64_t n = c->lead + c->n_tokens * width;
    int64_t n_cache = c->lead + CACHE_ROWS * kv;
    return (qkv_pairs){
        .x = fr_pair_numbers(two, "x", n + 1, c->dtype, 1, 1.0),
        .bias = fr_pair_numbers(two, "bias", c->lead + width, FR_F32, 4, 1.0),
        .table = fr_pair_numbers(two, "table", c->lead + POSITIONS * c->rotary + 1,
                                 FR_F32, 5, 1.0),
        .saved = fr_pair_numbers(two, "saved", n + 1, c->saved_type, 6, 1.0),
        .cache_k = fr_pair_numbers(two, "cached keys", n_cache, c->dtype, 2, 1.0),
        .cache_v = fr_pair_numbers(two, "cached values", n_cache, c->dtype, 3, 1.0)};
}

static void free_pairs(qkv_pairs *p)
{
    fr_pair *all[] = {&p->x, &p->bias, &p->table, &p->saved, &p->cache_k, &p->cache_v};
    for (int i = 0; i < FR_N_CASES(all); i++) {
        fr_pair_free(all[i]);
    }
}

static float narrowed(fr_dtype dtype, float x)
{
    return dtype == FR_BF16 ? fr_bf16_widen(fr_bf16_round(x)) : x;
}

/* The CPU's call, in f32; then the numbers in the narrower type, which go to `saved` too. */
static void finish_on_cpu(const fr_two *two, const qkv_case *c, const fr_qkv *qkv,
                          qkv_pairs *p)
{
    fr_view x = fr_view_at(p->x.on_cpu, c->lead);
    float *numbers = (float *)p->x.cpu + c->lead;
    fr_dtype narrow = c->dtype == FR_BF16 ? FR_BF16 : c->saved_type;
    fr_qkv_finish(two->cpu, qkv, x, fr_view_of(NULL, c->saved_type));
    for (int64_t i = 0; i < p->x.n - 1 - c->lead; i++) {
        numbers[i] = narrowed(narrow, numbers[i]);
        if (c->is_saved) {
            ((float *)p->saved.cpu)[c->lead + i] = numbers[i];
        }
    }
}

static fr_qkv qkv_of(const qkv_case *c, const int32_t *positions, int64_t n_segments,
                     const fr_segment *segments)
{
    return (fr_qkv){.n_tokens = c->n_tokens,
                    .n_heads = c->heads,
                    .n_kv_heads = c->kv_heads,
                    .head_dim = c->head_dim,
                    .rotary = c->turns ? c->rotary : 0,
                    .positions_T = positions,
                    .n_segments = n_segments,
                    .segments = segments};
}

static void check_case(const fr_two *two, const qkv_case *c)
{
    int32_t positions[CACHE_ROWS];
    const fr_segment segments[] = {
        {.q_first = c->n_tokens / 2, .q_count = c->n_tokens / 3, .own_first = 2},
        {.q_first = 0, .q_count = c->n_tokens / 2, .own_first = 150}};
    for (int t = 0; t < CACHE_ROWS; t++) {
        positions[t] = 7 * t % POSITIONS;
    }
    qkv_pairs p = make_pairs(two, c);
    fr_qkv qkv = qkv_of(c, positions, FR_N_CASES(segments), segments);
    qkv.bias_W = c->has_bias ? fr_pair_cpu_f32(&p.bias) + c->lead : NULL;
    qkv.table = fr_pair_cpu_f32(&p.table) + c->lead;
    qkv.cache_k = fr_view_if(c->has_cache, fr_view_at(p.cache_k.on_cpu, c->lead));
    qkv.cache_v = fr_view_if(c->has_cache, fr_view_at(p.cache_v.on_cpu, c->lead));
    finish_on_cpu(two, c, &qkv, &p);
    qkv.bias_W = c->has_bias ? fr_pair_cuda_f32(&p.bias) + c->lead : NULL;
    qkv.table = fr_pair_cuda_f32(&p.table) + c->lead;
    qkv.cache_k = fr_view_if(c->has_cache, fr_view_at(p.cache_k.on_cuda, c->lead));
    qkv.cache_v = fr_view_if(c->has_cache, fr_view_at(p.cache_v.on_cuda, c->lead));
    fr_view saved = fr_view_at(p.saved.on_cuda, c->lead);
    fr_qkv_finish(two->cuda, &qkv, fr_view_at(p.x.on_cuda, c->lead),
                  c->is_saved ? saved : fr_view_of(NULL, c->saved_type));
    fr_pair_assert_same(&p.x);
    fr_pair_assert_same(&p.saved);
    fr_pair_assert_same(&p.cache_k);
    fr_pair_assert_same(&p.cache_v);
    free_pairs(&p);
}

/* Heads of every kind of width and turned part; more pairs than a block has threads; one token, none, and many. */
static const qkv_case SHAPES[] = {
    {.n_tokens = 9, .heads = 3, .kv_heads = 1, .head_dim = 8, .rotary = 8},
    {.n_tokens = 1, .heads = 4, .kv_heads = 2, .head_dim = 64, .rotary = 64},
    {.n_tokens = 7, .heads = 4, .kv_heads = 2, .head_dim = 16, .rotary = 6},
    {.n_tokens = 6, .heads = 2, .kv_heads = 2, .head_dim = 5, .rotary = 4},
    {.n_tokens = 5, .heads = 33, .kv_heads = 11, .head_dim = 2, .rotary = 2},
    {.n_tokens = 5, .heads = 1, .kv_heads = 1, .head_dim = 1, .rotary = 0},
    {.n_tokens = 2, .heads = 2, .kv_heads = 1, .head_dim = 2100, .rotary = 2066},
    {.n_tokens = 0, .heads = 2, .kv_heads = 1, .head_dim = 8, .rotary = 8},
    {.n_tokens = 300, .heads = 2, .kv_heads = 1, .head_dim = 4, .rotary = 4}};

static void it_has_the_bits_of_the_cpu(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < PARTS * FR_N_CASES(SHAPES); i++) {
        for (int types = 0; types < 4; types++) {
            qkv_case c = SHAPES[i / PARTS];
            c.has_bias = (i & 1) != 0;
            c.turns = (i & 2) != 0;
            c.has_cache = (i & 4) != 0;
            c.is_saved = (i & 8) != 0;
            c.lead = (i & 16) != 0 ? 1 + types % 3 : 0;
            c.dtype = fr_digit_type(types / 2);
            c.saved_type = fr_digit_type(types % 2);
            check_case(&two, &c);
        }
    }
    fr_two_close(&two);
}

static const fr_case CASES[] = {
    FR_CASE(it_has_the_bits_of_the_cpu),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_qkv", CASES, FR_N_CASES(CASES), argc, argv);
}
