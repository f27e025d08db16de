/* Every operator gives the same bits on every instruction set, built by any compiler: the digest of its results is the one
 * kept here. A change that gives other bits says so in CHANGELOG.md and counts up fr_device_arithmetic. */
#include "device/activation.h"
#include "device/host.h"
#include "device/loss.h"
#include "device/matrix.h"
#include "device/rowwise.h"
#include "support/attention_case.h"
#include "support/devices.h"
#include "support/linear_case.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a */
static const uint64_t NOTHING = 0xcbf29ce484222325U;

static uint64_t digest_bytes(uint64_t digest, const void *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        digest = (digest ^ ((const uint8_t *)data)[i]) * 0x100000001b3U;
    }
    return digest;
}

static uint64_t digest_floats(uint64_t digest, const float *x, int64_t n)
{
    return digest_bytes(digest, x, (size_t)n * sizeof *x);
}

typedef struct operator_case {
    const char *name;
    uint64_t (*run)(fr_device *device);
    uint64_t wanted;
} operator_case;

/* Numbers of many sizes and both signs. */
static float *spread_numbers(int64_t n, uint64_t stream)
{
    float *x = fr_test_numbers(n, stream, 2.0);
    for (int64_t i = 0; i < n; i++) {
        x[i] *= x[i] * x[i];
    }
    return x;
}

/* ---- linear maps ------------------------------------------------------------------------------ */

typedef struct map_shape {
    int64_t n_out;
    int64_t n_in;
} map_shape;

static const map_shape SHAPES[] = {{1, 1},    {17, 33},  {80, 48},
                                   {37, 577}, {960, 65}, {48, 1301}};
enum { M = 29 };

/* Weights of many sizes: a run's largest may lie anywhere in it. */
static fr_linear_case spread_weights(map_shape shape, fr_dtype dtype)
{
    fr_linear_case c = fr_linear_case_init(shape.n_out, shape.n_in, dtype);
    float *w = spread_numbers(shape.n_out * shape.n_in, 2);
    for (int64_t i = 0; i < shape.n_out * shape.n_in; i++) {
        fr_linear_case_set(&c, i / shape.n_in, i % shape.n_in, w[i] * w[i] * w[i]);
    }
    free(w);
    return c;
}

static uint64_t digest_maps(fr_device *device, fr_dtype dtype)
{
    uint64_t digest = NOTHING;
    for (int i = 0; i < 2 * FR_N_CASES(SHAPES); i++) {
        bool back = i % 2 == 1;
        fr_linear_case c = spread_weights(SHAPES[i / 2], dtype);
        int64_t columns = fr_linear_case_columns(&c, back);
        float *left = spread_numbers(M * fr_linear_case_depth(&c, back), 3);
        float *y = fr_test_numbers(M * columns, 4, 1.0);
        FR_ASSERT_OK(fr_linear_case_run(device, &c, back, M, left, i % 3 == 0, y));
        digest = digest_floats(digest, y, M * columns);
        free(left);
        free(y);
        fr_linear_case_fini(&c);
    }
    return digest;
}

static uint64_t run_maps_f32(fr_device *device)
{
    return digest_maps(device, FR_F32);
}

static uint64_t run_maps_bf16(fr_device *device)
{
    return digest_maps(device, FR_BF16);
}

static uint64_t run_few_rows(fr_device *device)
{
    enum { FEW = 5 };
    uint64_t digest = NOTHING;
    for (int i = 0; i < 2 * FR_N_CASES(SHAPES); i++) {
        fr_linear_case c = spread_weights(SHAPES[i / 2], i % 2 == 0 ? FR_F32 : FR_BF16);
        float *x = spread_numbers(FEW * c.w.n_in, 3);
        float *y = fr_test_numbers(FEW * c.w.n_out, 4, 1.0);
        FR_ASSERT_OK(fr_linear_few(device, FEW, fr_host_view(x), &c.w, fr_host_view(y),
                                   fr_host_view(y)));
        digest = digest_floats(digest, y, FEW * c.w.n_out);
        free(x);
        free(y);
        fr_linear_case_fini(&c);
    }
    return digest;
}

/* ---- rows -------------------------------------------------------------------------------------- */

enum { ROWS = 7, WIDTH = 93 };

static uint64_t run_norms(fr_device *device)
{
    enum { N = ROWS * WIDTH };
    float stats[2 * ROWS];
    float *x = spread_numbers(N, 5);
    float *w = fr_test_numbers(WIDTH, 6, 1.0);
    float *b = fr_test_numbers(WIDTH, 7, 1.0);
    float *y = fr_test_zeros(N);
    float *dx = fr_test_numbers(N, 8, 1.0);
    uint64_t digest = NOTHING;
    fr_rmsnorm(device, ROWS, WIDTH, fr_host_view(x), fr_host_f32(w), 1e-5F,
               fr_host_view(y), fr_host_f32(stats));
    fr_rmsnorm_back(device, ROWS, WIDTH, fr_host_view(x), fr_host_f32(w),
                    fr_host_f32(stats), fr_host_view(y), fr_host_f32(dx),
                    fr_view_none());
    digest = digest_floats(digest, y, N);
    digest = digest_floats(digest, dx, N);
    fr_layernorm(device, ROWS, WIDTH, fr_host_view(x), fr_host_f32(w), fr_host_f32(b),
                 1e-5F, fr_host_view(y), fr_host_f32(stats));
    fr_layernorm_back(device, ROWS, WIDTH, fr_host_view(x), fr_host_f32(w),
                      fr_host_f32(stats), fr_host_view(y), fr_host_f32(dx),
                      fr_view_none());
    digest = digest_floats(digest, y, N);
    digest = digest_floats(digest, dx, N);
    digest = digest_floats(digest, stats, 2 * ROWS);
    free(x);
    free(w);
    free(b);
    free(y);
    free(dx);
    return digest;
}

static uint64_t run_activations(fr_device *device)
{
    enum { N = ROWS * WIDTH };
    float *x = spread_numbers(2 * N, 9);
    float *dy = spread_numbers(N, 10);
    float *y = fr_test_zeros(2 * N);
    uint64_t digest = NOTHING;
    for (int64_t i = 0; i < 2 * N; i++) {
        x[i] *= 12.0F; /* where the exponential ends, too */
    }
    fr_gated(device, FR_ACTIVATION_SILU, ROWS, WIDTH, fr_host_view(x), fr_host_view(y));
    digest = digest_floats(digest, y, N);
    fr_gated_back(device, FR_ACTIVATION_SILU, ROWS, WIDTH, fr_host_view(x),
                  fr_host_view(dy), fr_host_view(y));
    digest = digest_floats(digest, y, 2 * N);
    fr_activate(device, FR_ACTIVATION_GELU_TANH, N, fr_host_view(x), fr_host_view(y));
    digest = digest_floats(digest, y, N);
    fr_activate_back(device, FR_ACTIVATION_GELU_TANH, N, fr_host_view(x),
                     fr_host_view(dy), fr_host_view(y));
    digest = digest_floats(digest, y, N);
    free(x);
    free(dy);
    free(y);
    return digest;
}

static uint64_t run_storage(fr_device *device)
{
    enum { HEAD = 22, HEADS = 3, N = ROWS * HEAD * HEADS };
    static const int32_t POSITIONS[ROWS] = {4, 0, 1, 3, 2, 4, 4};
    uint16_t saved[N];
    int64_t sums[HEAD * HEADS] = {0};
    int64_t n_refused = 0;
    float *x = spread_numbers(N, 11);
    float *table = fr_test_numbers((int64_t)5 * HEAD, 12, 1.0);
    fr_heads heads = {ROWS, HEADS, HEAD, HEAD * HEADS};
    uint64_t digest = NOTHING;
    fr_rope(device, &heads, HEAD, POSITIONS, fr_host_f32(table), false,
            fr_host_view(x));
    digest = digest_floats(digest, x, N);
    fr_exact_add(device, ROWS, HEAD * HEADS, 40, fr_host_f32(x), fr_host_i64(sums),
                 fr_host_i64(&n_refused));
    CU_ASSERT_EQUAL(n_refused, 0);
    digest = digest_bytes(digest, sums, sizeof sums);
    fr_save(device, N, fr_host_view(x), fr_view_of(fr_host_bytes(saved), FR_BF16));
    digest = digest_bytes(digest, saved, sizeof saved);
    fr_rope(device, &heads, HEAD, POSITIONS, fr_host_f32(table), true, fr_host_view(x));
    digest = digest_floats(digest, x, N);
    free(x);
    free(table);
    return digest;
}

static uint64_t run_loss(fr_device *device)
{
    enum { VOCABULARY = 1003 };
    static const int32_t TARGETS[ROWS] = {0, 1002, 5, 77, 500, 501, 999};
    double nll[ROWS];
    float *logits = spread_numbers(ROWS * VOCABULARY, 13);
    uint64_t digest = NOTHING;
    fr_cross_entropy(device, ROWS, VOCABULARY, NULL, fr_host_f32(logits), TARGETS, true,
                     fr_host_f64(nll));
    digest = digest_bytes(digest, nll, sizeof nll);
    digest = digest_floats(digest, logits, (int64_t)ROWS * VOCABULARY);
    free(logits);
    return digest;
}

static uint64_t digest_attention(uint64_t digest, fr_device *device,
                                 fr_attention_case *c)
{
    int64_t n_q = fr_attention_case_q_count(c);
    int64_t n_keys = fr_attention_case_key_count(c);
    int64_t n_prefix = fr_attention_case_prefix_count(c) * c->n_units;
    fr_attention_case_forward(device, c);
    fr_attention_case_backward(device, c, false);
    digest = digest_floats(digest, c->o, fr_attention_case_o_count(c));
    digest = digest_floats(digest, c->dq, n_q);
    digest = digest_floats(digest, c->dk, n_keys);
    digest = digest_floats(digest, c->dv, n_keys);
    digest = digest_floats(digest, c->dprefix_k, n_prefix);
    return digest_floats(digest, c->dprefix_v, n_prefix);
}

static uint64_t run_attention(fr_device *device)
{
    uint64_t digest = NOTHING;
    for (int i = 0; i < FR_TRAINING_LAYOUTS * FR_ATTENTION_SHAPES; i++) {
        const fr_attention_layout *layout =
            &fr_training_layouts[i / FR_ATTENTION_SHAPES];
        fr_attention_case *c =
            fr_attention_case_create(&fr_attention_shapes[i % FR_ATTENTION_SHAPES],
                                     layout->n_segments, layout->segments);
        digest = digest_attention(digest, device, c);
        fr_attention_case_destroy(&c);
    }
    return digest;
}

static uint64_t run_attention_scores(fr_device *device)
{
    static const int SHAPES_OF[] = {2, 5};
    const fr_attention_layout *layout = &fr_training_layouts[1];
    uint64_t digest = NOTHING;
    for (int i = 0; i < 2 * FR_ATTENTION_SCORES; i++) {
        fr_attention_case *c =
            fr_attention_case_create(&fr_attention_shapes[SHAPES_OF[i % 2]],
                                     layout->n_segments, layout->segments);
        fr_attention_case_score(c, &fr_attention_scores_list[i / 2]);
        digest = digest_attention(digest, device, c);
        fr_attention_case_destroy(&c);
    }
    return digest;
}

/* ---- the descriptions of other model families ---------------------------------------------------- */

static uint64_t run_all_activations(fr_device *device)
{
    enum { N = ROWS * WIDTH };
    float *x = spread_numbers(2 * N, 14);
    float *dy = spread_numbers(N, 15);
    float *y = fr_test_zeros(2 * N);
    uint64_t digest = NOTHING;
    for (int64_t i = 0; i < 2 * N; i++) {
        x[i] *= 2.0F; /* beyond where the normal distribution ends, too */
    }
    for (int i = 0; i < FR_ACTIVATIONS; i++) {
        fr_activation activation = (fr_activation)i;
        fr_gated(device, activation, ROWS, WIDTH, fr_host_view(x), fr_host_view(y));
        digest = digest_floats(digest, y, N);
        fr_gated_back(device, activation, ROWS, WIDTH, fr_host_view(x),
                      fr_host_view(dy), fr_host_view(y));
        digest = digest_floats(digest, y, 2 * N);
        fr_activate(device, activation, N, fr_host_view(x), fr_host_view(y));
        digest = digest_floats(digest, y, N);
        fr_activate_back(device, activation, N, fr_host_view(x), fr_host_view(dy),
                         fr_host_view(y));
        digest = digest_floats(digest, y, N);
    }
    free(x);
    free(dy);
    free(y);
    return digest;
}

static uint64_t run_heads(fr_device *device)
{
    enum { HEAD = 22, HEADS = 3, GAP = 4, N = ROWS * (HEAD * HEADS + GAP) };
    static const int32_t POSITIONS[ROWS] = {4, 0, 1, 3, 2, 4, 4};
    fr_heads heads = {ROWS, HEADS, HEAD, HEAD * HEADS + GAP};
    float rstd[ROWS * HEADS];
    float *x = spread_numbers(N, 16);
    float *dy = spread_numbers(N, 17);
    float *w = fr_test_numbers(HEAD, 18, 1.0);
    float *y = fr_test_zeros(N);
    float *table = fr_test_numbers((int64_t)5 * HEAD, 12, 1.0);
    uint64_t digest = NOTHING;
    fr_rmsnorm_heads(device, &heads, fr_host_view(x), fr_host_f32(w), 1e-5F,
                     fr_host_view(y), fr_host_f32(rstd));
    digest = digest_floats(digest, y, N);
    fr_rope(device, &heads, 10, POSITIONS, fr_host_f32(table), false, fr_host_view(y));
    digest = digest_floats(digest, y, N);
    fr_rmsnorm_heads_back(device, &heads, fr_host_view(x), fr_host_f32(w),
                          fr_host_f32(rstd), fr_host_view(dy), fr_host_view(dy));
    digest = digest_floats(digest, dy, N);
    fr_add_scaled(device, N, 0.22F, fr_host_view(x), fr_host_f32(y));
    fr_scale(device, N, 12.3F, fr_host_f32(y));
    digest = digest_floats(digest, y, N);
    free(x);
    free(dy);
    free(w);
    free(y);
    free(table);
    return digest;
}

static uint64_t run_shaped_loss(fr_device *device)
{
    enum { VOCABULARY = 1003, N = ROWS * VOCABULARY };
    static const int32_t TARGETS[ROWS] = {0, 1002, 5, 77, 500, 501, 999};
    static const fr_logit_shape SHAPES_OF[] = {{0.125F, 0}, {1, 30}, {3, 2}};
    uint64_t digest = NOTHING;
    for (int i = 0; i < FR_N_CASES(SHAPES_OF); i++) {
        double nll[ROWS];
        float *x = spread_numbers(N, 19);
        fr_cross_entropy(device, ROWS, VOCABULARY, &SHAPES_OF[i], fr_host_f32(x),
                         TARGETS, true, fr_host_f64(nll));
        digest = digest_bytes(digest, nll, sizeof nll);
        digest = digest_floats(digest, x, N);
        fr_shape_logits(device, N, &SHAPES_OF[i], fr_host_f32(x));
        digest = digest_floats(digest, x, N);
        free(x);
    }
    return digest;
}

/* ---- all sets ---------------------------------------------------------------------------------- */

static const operator_case OPERATORS[] = {
    {"linear maps, f32", run_maps_f32, 0xc36140f7e726efbfU},
    {"linear maps, bf16", run_maps_bf16, 0x5ccd1eaf60c16319U},
    {"few rows", run_few_rows, 0x291aca255e86926fU},
    {"norms", run_norms, 0x0468f918c6df233fU},
    {"activations", run_activations, 0x0e603b24804fbb99U},
    {"rotation, storage, sums", run_storage, 0x3b9e67634b571f71U},
    {"loss", run_loss, 0xe04b0b15b8b8f56fU},
    {"attention", run_attention, 0xd43f7ac5d422a8d4U},
    {"attention, scores of all kinds", run_attention_scores, 0xb43108d1785a7e15U},
    {"all activations", run_all_activations, 0xa00a13111f5b1040U},
    {"heads, factors", run_heads, 0xfcc2979be5355cf3U},
    {"loss of shaped logits", run_shaped_loss, 0x93346e8797f6bb36U},
};

static void check_operators(fr_device *device, void *user)
{
    (void)user;
    for (int i = 0; i < FR_N_CASES(OPERATORS); i++) {
        uint64_t digest = OPERATORS[i].run(device);
        if (digest != OPERATORS[i].wanted) {
            printf("%s, %s: 0x%016llxU\n", OPERATORS[i].name,
                   fr_isa_name(fr_test_isa(device)), (unsigned long long)digest);
        }
        CU_ASSERT_EQUAL(digest, OPERATORS[i].wanted);
    }
}

static void all_sets_give_the_bits_that_are_kept(void)
{
    fr_test_each_isa(check_operators, NULL);
}

static const fr_case CASES[] = {FR_CASE(all_sets_give_the_bits_that_are_kept)};

int main(int argc, char **argv)
{
    return fr_suite_main("one_arithmetic", CASES, FR_N_CASES(CASES), argc, argv);
}
