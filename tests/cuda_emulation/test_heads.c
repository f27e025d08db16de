/* Biases, rotations and the cache's rows on both devices: the same bits. */
#include "device/rows.h"
#include "device/rowwise.h"
#include "pair.h"
#include "support/devices.h"
#include "support/suite.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t SIZES[] = {1, 3, 4, 7, 8, 31, 33, 257, 1030};

/* Subnormal numbers, infinities, and what is infinite in bf16 alone; NaNs are compared on their own. */
static float *numbers_with_extremes(int64_t n, uint64_t stream)
{
    static const float EXTREME[] = {1e-40F,  -1e-42F, INFINITY,
                                    FLT_MAX, -0.0F,   3.39e38F};
    float *x = fr_test_numbers(n, stream, 2);
    for (int64_t i = 5; i < n; i += 11) {
        x[i] = EXTREME[i / 11 % FR_N_CASES(EXTREME)];
    }
    return x;
}

/* As fr_pair_assert_same, but a NaN is a NaN. */
static void assert_same_numbers(const fr_pair *pair)
{
    float *got = fr_pair_fetch(pair);
    float *wanted = pair->cpu;
    for (int64_t i = 0; i < pair->n; i++) {
        if (isnan(wanted[i])) {
            CU_ASSERT(isnan(got[i]));
            wanted[i] = 0;
            got[i] = isnan(got[i]) ? 0.0F : 1.0F;
        }
    }
    fr_pair made = fr_pair_of(pair->two, pair->name, pair->n, pair->on_cuda.dtype, got);
    memcpy(made.cpu, wanted, (size_t)pair->n * sizeof *wanted);
    fr_pair_assert_same(&made);
    fr_pair_free(&made);
    free(got);
}

static fr_pair extreme_pair(const fr_two *two, const char *name, int64_t n,
                            fr_dtype dtype, uint64_t stream)
{
    float *numbers = numbers_with_extremes(n, stream);
    fr_pair pair = fr_pair_of(two, name, n, dtype, numbers);
    free(numbers);
    return pair;
}

static void check_bias(const fr_two *two, int64_t n, int64_t width, int64_t stride,
                       int lead, fr_dtype dtype)
{
    fr_pair x = extreme_pair(two, "x + b", lead + n * stride, dtype, 1);
    fr_pair b = fr_pair_numbers(two, "b", lead + width, FR_F32, 2, 1);
    fr_add_bias(two->cpu, n, width, stride, fr_pair_cpu_f32(&b) + lead,
                fr_view_at(x.on_cpu, lead));
    fr_add_bias(two->cuda, n, width, stride, fr_pair_cuda_f32(&b) + lead,
                fr_view_at(x.on_cuda, lead));
    assert_same_numbers(&x);
    fr_pair_free(&x);
    fr_pair_free(&b);
}

static void a_bias_has_the_bits_of_the_cpu(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < 16 * FR_N_CASES(SIZES); i++) {
        int64_t width = SIZES[i / 16];
        int64_t stride = width + (i / 8 % 2) * (1 + width % 5);
        check_bias(&two, width % 3 * 4 + 1, width, stride, i / 2 % 4,
                   fr_digit_type(i % 2));
    }
    check_bias(&two, 0, 8, 8, 0, FR_F32);
    check_bias(&two, 3, 0, 8, 0, FR_F32);
    check_bias(&two, 9000, 3, 4, 0, FR_BF16); /* more rows than blocks */
    fr_two_close(&two);
}

typedef struct rope_case {
    fr_heads heads;
    int64_t rotary;
    int lead;
    bool inverse;
    fr_dtype dtype;
} rope_case;

static void check_rope(const fr_two *two, const rope_case *c)
{
    enum { POSITIONS = 50 };
    int32_t positions[POSITIONS];
    const fr_heads *heads = &c->heads;
    for (int t = 0; t < POSITIONS; t++) {
        positions[t] = 7 * t % POSITIONS;
    }
    fr_pair x = extreme_pair(two, "x turned", c->lead + heads->n_tokens * heads->stride,
                             c->dtype, 1);
    fr_pair table =
        fr_pair_numbers(two, "table", c->lead + POSITIONS * c->rotary, FR_F32, 2, 1);
    fr_rope(two->cpu, heads, c->rotary, positions, fr_pair_cpu_f32(&table) + c->lead,
            c->inverse, fr_view_at(x.on_cpu, c->lead));
    fr_rope(two->cuda, heads, c->rotary, positions, fr_pair_cuda_f32(&table) + c->lead,
            c->inverse, fr_view_at(x.on_cuda, c->lead));
    memset(positions, 0, sizeof positions); /* they were read during the call */
    assert_same_numbers(&x);
    fr_pair_free(&x);
    fr_pair_free(&table);
}

static void a_rotation_has_the_bits_of_the_cpu(void)
{
    static const rope_case SHAPES[] = {
        {.heads = {5, 3, 64, 200}, .rotary = 64},
        {.heads = {1, 4, 64, 256}, .rotary = 16},
        {.heads = {3, 33, 2, 66}, .rotary = 2},
        {.heads = {50, 1, 7, 9}, .rotary = 6},
        {.heads = {4, 9, 80, 721}, .rotary = 22},
        {.heads = {2, 300, 8, 2400}, .rotary = 8},
        {.heads = {2, 2, 2100, 4200}, .rotary = 2066},
        {.heads = {3, 2, 8, 16}, .rotary = 0},
        {.heads = {0, 2, 8, 16}, .rotary = 8},
        {.heads = {3, 0, 8, 16}, .rotary = 8},
    };
    fr_two two = fr_two_open();
    for (int i = 0; i < 16 * FR_N_CASES(SHAPES); i++) {
        rope_case c = SHAPES[i / 16];
        c.dtype = fr_digit_type(i % 2);
        c.inverse = i / 2 % 2 == 1;
        c.lead = i / 4 % 4;
        check_rope(&two, &c);
    }
    fr_two_close(&two);
}

/* Any bits, also those of NaNs, which fr_pair_of would round. */
static fr_pair any_bits(const fr_two *two, int64_t n, size_t size)
{
    unsigned char *bytes = malloc((size_t)n * size + 1);
    for (int64_t i = 0; i < n * (int64_t)size; i++) {
        bytes[i] = (unsigned char)(i * 151 + i / 256 * 31);
    }
    fr_pair pair = fr_pair_bytes(two, "k or v", n, size, bytes);
    free(bytes);
    return pair;
}

typedef struct cache_case {
    int64_t heads;
    int64_t head_dim;
    int64_t kv_stride;
    int lead;
    int lead_v; /* of the values' cache */
    int n_segments;
    const fr_segment *segments;
    fr_dtype dtype;
} cache_case;

/* What must be in the cache: rows of `from` at number `at` and on. */
static void expect_rows(const cache_case *c, const fr_pair *from, int64_t at,
                        const fr_pair *cache, int64_t place)
{
    size_t size = from->bytes;
    int64_t width = c->heads * c->head_dim;
    for (int s = 0; s < c->n_segments; s++) {
        const fr_segment *segment = &c->segments[s];
        for (int64_t t = 0; t < segment->q_count; t++) {
            int64_t row = at + (segment->q_first + t) * c->kv_stride;
            int64_t own = place + (segment->own_first + t) * width;
            memcpy((char *)cache->cpu + (size_t)own * size,
                   (const char *)from->cpu + (size_t)row * size, (size_t)width * size);
        }
    }
}

/* Values lie behind keys in a row. Rows of the cache that no segment calls its own stay 0. */
static void check_cache(const fr_two *two, const cache_case *c)
{
    enum { TOKENS = 300, ROWS = 700 };
    size_t size = fr_dtype_bytes(c->dtype);
    int64_t width = c->heads * c->head_dim;
    fr_attention_params params = {.n_heads = c->heads,
                                  .n_kv_heads = c->heads,
                                  .head_dim = c->head_dim,
                                  .q_stride = width,
                                  .kv_stride = c->kv_stride,
                                  .n_tokens = TOKENS,
                                  .n_segments = c->n_segments,
                                  .segments = c->segments};
    fr_pair kv = any_bits(two, c->lead + (TOKENS + 1) * c->kv_stride, size);
    fr_pair cache_k = fr_pair_bytes(two, "cache", c->lead + ROWS * width, size, NULL);
    fr_pair cache_v = fr_pair_bytes(two, "cache", c->lead_v + ROWS * width, size, NULL);
    fr_fill_cache(two->cuda, &params,
                  fr_view_at(fr_view_of(kv.cuda, c->dtype), c->lead),
                  fr_view_at(fr_view_of(kv.cuda, c->dtype), c->lead + width),
                  fr_view_at(fr_view_of(cache_k.cuda, c->dtype), c->lead),
                  fr_view_at(fr_view_of(cache_v.cuda, c->dtype), c->lead_v));
    expect_rows(c, &kv, c->lead, &cache_k, c->lead);
    expect_rows(c, &kv, c->lead + width, &cache_v, c->lead_v);
    fr_pair_assert_same(&cache_k);
    fr_pair_assert_same(&cache_v);
    fr_pair_free(&kv);
    fr_pair_free(&cache_k);
    fr_pair_free(&cache_v);
}

/* More segments than a kernel takes, of one token and of several, in no order; one that is long; none. */
static void own_rows_go_to_the_cache_and_others_stay(void)
{
    enum { MANY = 270 };
    fr_segment many[MANY] = {{0}};
    const fr_segment one = {.q_first = 2, .q_count = 290, .own_first = 400};
    for (int s = 0; s < MANY; s++) {
        many[s] = (fr_segment){.q_first = MANY - 1 - s,
                               .q_count = s % 3,
                               .own_first = 2 * (s * 77 % MANY) + 5};
    }
    static const struct {
        int64_t heads;
        int64_t head_dim;
        int64_t kv_stride;
    } WIDTHS[] = {{2, 8, 40}, {1, 3, 7}, {3, 2, 18}, {1, 8, 16}, {1, 8, 21}};
    fr_two two = fr_two_open();
    for (int i = 0; i < 2 * FR_N_CASES(WIDTHS); i++) {
        cache_case c = {.heads = WIDTHS[i / 2].heads,
                        .head_dim = WIDTHS[i / 2].head_dim,
                        .kv_stride = WIDTHS[i / 2].kv_stride,
                        .lead = i == 6 ? 1 : 0,
                        .lead_v = i == 1 || i == 6 ? 1 : 0,
                        .dtype = fr_digit_type(i % 2)};
        check_cache(&two, &c);
        c.n_segments = 1;
        c.segments = &one;
        check_cache(&two, &c);
        c.n_segments = MANY;
        c.segments = many;
        check_cache(&two, &c);
    }
    fr_two_close(&two);
}

static const fr_case CASES[] = {
    FR_CASE(a_bias_has_the_bits_of_the_cpu),
    FR_CASE(a_rotation_has_the_bits_of_the_cpu),
    FR_CASE(own_rows_go_to_the_cache_and_others_stay),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_heads", CASES, FR_N_CASES(CASES), argc, argv);
}
