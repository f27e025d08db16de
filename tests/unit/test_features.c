/*
 * Models with any combination of the description's features: what they compute against the same formulas in f64, and that
 * layouts, recomputation and caches change nothing.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "device/cpu/cpu.h"
#include "device/host.h"
#include "support/described_model.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Enough descriptions that each pair of features occurs. */
enum { N_MODELS = 48, LENGTH = 4, N_IDS = 12, MAX_STAGES = 3 };

static const int32_t IDS[N_IDS] = {5, 17, 9, 3, 14, 21, 7, 12, 0, 2, 19, 11};
static const uint8_t ALL[N_IDS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* A described model and a random prefix for it. */
typedef struct model {
    uint64_t number;
    fr_arch arch;
    fr_weights *weights;
    float *memory;
    fr_device *device;
    int64_t n; /* of the prefix's keys */
    float *values;
    fr_stage_prefix prefix;
} model;

static void open_model(uint64_t number, model *m)
{
    static const fr_layer_range LAYERS[] = {{0, 0}, {1, 1}, {0, 2}, {2, 0}};
    fr_ctx *ctx = fr_test_ctx();
    *m = (model){.number = number, .arch = fr_described_arch(number)};
    m->weights = fr_described_weights(&m->arch, &m->memory);
    m->n = m->arch.n_layers * fr_arch_prefix_elements(&m->arch, LENGTH);
    FR_ASSERT_OK(fr_cpu_create(ctx, 2, fr_isa_detect(), &m->device));
    FR_ASSERT_OK(fr_alloc(ctx, 2 * m->n, sizeof *m->values, &m->values));
    for (int64_t i = 0; i < 2 * m->n; i++) {
        m->values[i] = (float)fr_rng_normal(5, FR_RNG_TEST, number, (uint64_t)i);
    }
    m->prefix = (fr_stage_prefix){.length = LENGTH,
                                  .k = fr_host_f32(m->values),
                                  .v = fr_host_f32(m->values + m->n),
                                  .layers = LAYERS[number % 4],
                                  .slides = number / 4 % 2 == 1};
}

static void close_model(model *m)
{
    fr_weights_close(&m->weights);
    fr_device_destroy(&m->device);
    free(m->memory);
    free(m->values);
}

/* On both sides of the 40 that LongRoPE's short divisors are for. */
static int64_t max_position(const model *m)
{
    return m->number % 2 == 0 ? 48 : 36;
}

/* Says which model it was, once. */
static void check(const model *m, const char *what, bool holds)
{
    if (!holds) {
        (void)fprintf(stderr, "model %d, %s: %s\n", (int)m->number, what,
                      fr_described_name(&m->arch));
    }
    CU_ASSERT(holds);
}

/* How a model is run. */
typedef struct way {
    fr_dtype dtype;
    fr_recompute recompute;
    int n_stages;
    int64_t bounds[MAX_STAGES + 1];
    bool reads_all; /* also rows that predict nothing */
} way;

static const way PLAIN = {FR_F32, FR_RECOMPUTE_NONE, 1, {0, 3}, false};

/* The part of a prefix, or of its sums, that belongs to the layers from `first` on. */
static int64_t offset_of(const model *m, int64_t first)
{
    int64_t skipped = first - m->prefix.layers.first;
    return (skipped > 0 ? skipped : 0) * fr_arch_prefix_elements(&m->arch, LENGTH);
}

static fr_stage_prefix part_of(const model *m, int64_t first)
{
    fr_stage_prefix part = m->prefix;
    part.k += offset_of(m, first);
    part.v += offset_of(m, first);
    return part;
}

/* The stages of one run. */
typedef struct pipeline {
    fr_stage *stages[MAX_STAGES];
    fr_activations *activations[MAX_STAGES];
} pipeline;

static void open_pipeline(const model *m, const way *how, pipeline *p)
{
    for (int s = 0; s < how->n_stages; s++) {
        fr_stage_params params = {.weights = m->weights,
                                  .device = m->device,
                                  .dtype = how->dtype,
                                  .recompute = how->recompute,
                                  .first_layer = how->bounds[s],
                                  .n_layers = how->bounds[s + 1] - how->bounds[s],
                                  .max_position = max_position(m)};
        FR_ASSERT_OK(fr_stage_create(fr_test_ctx(), &params, &p->stages[s]));
        FR_ASSERT_OK(fr_activations_create(p->stages[s], true, &p->activations[s]));
    }
}

static void close_pipeline(const way *how, pipeline *p)
{
    for (int s = 0; s < how->n_stages; s++) {
        fr_activations_destroy(&p->activations[s]);
        fr_stage_destroy(&p->stages[s]);
    }
}

/* Sum of nats. */
static double forward(const model *m, const way *how, pipeline *p,
                      const fr_batch *batch)
{
    double nll[2 * N_IDS];
    double sum = 0.0;
    size_t bytes = (size_t)(batch->n_tokens * m->arch.d_model) * sizeof(float);
    for (int s = 0; s < how->n_stages; s++) {
        fr_stage_prefix prefix = part_of(m, how->bounds[s]);
        FR_ASSERT_OK(
            fr_activations_prepare(p->stages[s], p->activations[s], batch, &prefix));
        if (s > 0) {
            memcpy(fr_activations_input(p->activations[s]),
                   fr_activations_output(p->activations[s - 1]), bytes);
        }
        FR_ASSERT_OK(
            fr_stage_forward(p->stages[s], batch, &prefix, NULL, p->activations[s]));
    }
    int last = how->n_stages - 1;
    FR_ASSERT_OK(fr_stage_loss(p->stages[last], batch, p->activations[last], true,
                               fr_host_f64(nll)));
    for (int64_t r = 0; r < batch->n_targets; r++) {
        sum += nll[r];
    }
    return sum;
}

/* Gradients of keys, then of values, added to sums [2 n]. */
static void backward(const model *m, const way *how, pipeline *p, const fr_batch *batch,
                     int64_t *sums)
{
    size_t bytes = (size_t)(batch->n_tokens * m->arch.d_model) * sizeof(float);
    for (int s = how->n_stages - 1; s >= 0; s--) {
        fr_stage_prefix prefix = part_of(m, how->bounds[s]);
        int64_t offset = offset_of(m, how->bounds[s]);
        int64_t n_refused = 0;
        fr_exact_sum sum = {.k = fr_host_i64(sums + offset),
                            .v = fr_host_i64(sums + m->n + offset),
                            .exponent = 40,
                            .n_refused = fr_host_i64(&n_refused)};
        if (fr_stage_lowest(p->stages[s], &prefix) == fr_stage_n_layers(p->stages[s])) {
            return;
        }
        if (s < how->n_stages - 1) {
            memcpy(fr_activations_gradient(p->activations[s]),
                   fr_activations_gradient(p->activations[s + 1]), bytes);
        }
        FR_ASSERT_OK(
            fr_stage_backward(p->stages[s], batch, &prefix, p->activations[s], &sum));
        check(m, "finite gradients", n_refused == 0);
    }
}

/* A source with two targets, one of which predicts a part, and a row of its own. */
static void add_units(fr_batch *batch)
{
    static const uint8_t SOME[] = {1, 0, 1};
    fr_sequence source = {IDS, NULL, 4};
    fr_sequence targets[] = {{IDS + 4, ALL, 4}, {IDS + 8, SOME, 3}};
    fr_sequence other = {IDS + 5, NULL, 3};
    FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), batch, LENGTH, &source, targets, 2));
    FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), batch, LENGTH, &other, targets, 1));
}

static void read_all_rows(fr_batch *batch)
{
    for (int32_t row = 0; row < batch->n_tokens; row++) {
        bool is_read = false;
        for (int64_t s = 0; s < batch->n_read; s++) {
            is_read = is_read || batch->read_rows_S[s] == row;
        }
        if (!is_read) { /* there is room for a prediction of every token */
            batch->read_rows_S[batch->n_read++] = row;
        }
    }
}

/* Loss and exact gradients of those units. */
static double run(const model *m, const way *how, int64_t *sums)
{
    fr_batch batch = {0};
    pipeline p;
    add_units(&batch);
    if (how->reads_all) {
        read_all_rows(&batch);
    }
    open_pipeline(m, how, &p);
    memset(sums, 0, (size_t)(2 * m->n) * sizeof *sums);
    double loss = forward(m, how, &p, &batch);
    backward(m, how, &p, &batch, sums);
    close_pipeline(how, &p);
    fr_batch_fini(&batch);
    return loss;
}

static int64_t *make_sums(const model *m)
{
    int64_t *sums = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * m->n, sizeof *sums, &sums));
    return sums;
}

/* ---- against f64 -------------------------------------------------------------------------------- */

/* The reference at prefix + step * direction; NULL: at the prefix. */
static double reference(const model *m, const double *direction, double step)
{
    double *values = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * m->n, sizeof *values, &values));
    for (int64_t i = 0; i < 2 * m->n; i++) {
        values[i] = (double)m->values[i];
        values[i] += direction != NULL ? step * direction[i] : 0.0;
    }
    fr_reference_row row = {.ids = IDS,
                            .n = N_IDS,
                            .length = LENGTH,
                            .k = values,
                            .v = values + m->n,
                            .layers = m->prefix.layers,
                            .slides = m->prefix.slides,
                            .is_long = max_position(m) > 40};
    double loss = fr_reference_loss(m->weights, &row);
    free(values);
    return loss;
}

static void check_gradient(const model *m, const int64_t *sums)
{
    static const double STEP = 1e-4;
    double *direction = NULL;
    double wanted = 0.0;
    double norm = 0.0;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * m->n, sizeof *direction, &direction));
    for (uint64_t stream = 0; stream < 2; stream++) {
        double got = 0.0;
        norm = 0.0;
        for (int64_t i = 0; i < 2 * m->n; i++) {
            double gradient = ldexp((double)sums[i], -40);
            direction[i] = fr_rng_normal(2, FR_RNG_TEST, stream, (uint64_t)i);
            got += direction[i] * gradient;
            norm += gradient * gradient;
        }
        wanted = (reference(m, direction, STEP) - reference(m, direction, -STEP)) /
                 (2.0 * STEP);
        check(m, "gradient", fabs(got - wanted) <= 1e-3 * sqrt(norm));
        check(m, "gradient above 0", norm > 1e-8);
    }
    free(direction);
}

static void loss_and_gradient_are_those_of_the_formulas(void)
{
    for (uint64_t number = 0; number < N_MODELS; number++) {
        model m;
        pipeline p;
        fr_batch batch = {0};
        fr_sequence source = {IDS, NULL, 1};
        fr_sequence target = {IDS + 1, ALL, N_IDS - 1};
        open_model(number, &m);
        int64_t *sums = make_sums(&m);
        FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &batch, LENGTH, &source, &target, 1));
        open_pipeline(&m, &PLAIN, &p);
        double loss = forward(&m, &PLAIN, &p, &batch);
        backward(&m, &PLAIN, &p, &batch, sums);
        double wanted = reference(&m, NULL, 0.0);
        check(&m, "loss", fabs(loss - wanted) <= 2e-5 * wanted);
        check_gradient(&m, sums);
        close_pipeline(&PLAIN, &p);
        fr_batch_fini(&batch);
        free(sums);
        close_model(&m);
    }
}

/* ---- nothing changes a bit ---------------------------------------------------------------------- */

static void layouts_and_recomputation_do_not_change_a_bit(void)
{
    static const way WAYS[] = {{FR_F32, FR_RECOMPUTE_MLP, 1, {0, 3}, false},
                               {FR_F32, FR_RECOMPUTE_LAYER, 1, {0, 3}, false},
                               {FR_F32, FR_RECOMPUTE_NONE, 1, {0, 3}, true},
                               {FR_F32, FR_RECOMPUTE_LAYER, 1, {0, 3}, true},
                               {FR_F32, FR_RECOMPUTE_NONE, 2, {0, 1, 3}, false},
                               {FR_F32, FR_RECOMPUTE_LAYER, 2, {0, 2, 3}, false},
                               {FR_F32, FR_RECOMPUTE_NONE, 3, {0, 1, 2, 3}, false}};
    for (uint64_t number = 0; number < 2 * N_MODELS; number++) {
        model m;
        way how = PLAIN;
        open_model(number / 2, &m);
        int64_t *wanted = make_sums(&m);
        int64_t *got = make_sums(&m);
        how.dtype = number % 2 == 0 ? FR_F32 : FR_BF16;
        double loss = run(&m, &how, wanted);
        for (size_t i = 0; i < sizeof WAYS / sizeof *WAYS; i++) {
            char what[48];
            how = WAYS[i];
            how.dtype = number % 2 == 0 ? FR_F32 : FR_BF16;
            (void)snprintf(what, sizeof what, "%s, way %d",
                           number % 2 == 0 ? "f32" : "bf16", (int)i);
            check(&m, what, run(&m, &how, got) == loss);
            check(&m, what, memcmp(got, wanted, (size_t)(2 * m.n) * sizeof *got) == 0);
        }
        free(got);
        free(wanted);
        close_model(&m);
    }
}

/* ---- with a cache ------------------------------------------------------------------------------- */

/* Nats of each token but the first in one pass. */
static void whole_row(model *m, const fr_stage_prefix *prefix, pipeline *p, double *nll)
{
    fr_batch batch = {0};
    fr_sequence source = {IDS, NULL, 1};
    fr_sequence target = {IDS + 1, ALL, N_IDS - 1};
    m->prefix = *prefix;
    FR_ASSERT_OK(
        fr_batch_add(fr_test_ctx(), &batch, prefix->length, &source, &target, 1));
    (void)forward(m, &PLAIN, p, &batch);
    FR_ASSERT_OK(fr_stage_loss(p->stages[0], &batch, p->activations[0], false,
                               fr_host_f64(nll)));
    fr_batch_fini(&batch);
}

static double nats(const float *logits, int64_t n, int32_t id)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += exp((double)logits[i]);
    }
    return log(sum) - (double)logits[id];
}

/* Two rows with prefixes of their own, side by side: a prompt of 5 tokens, then token by token. */
static void check_cached(const model *m, const fr_stage_prefix *prefixes, pipeline *p,
                         double nll[2][N_IDS])
{
    static const fr_stage_prefix NONE = {0};
    enum { PROMPT = 5, VOCAB = 23 };
    fr_ctx *ctx = fr_test_ctx();
    fr_cache cache;
    fr_batch batch = {0};
    float logits[2 * VOCAB];
    FR_ASSERT_OK(fr_cache_init(ctx, p->stages[0], 2 * N_IDS, 2, &cache));
    for (int64_t past = 0; past < N_IDS - 1; past += past == 0 ? PROMPT : 1) {
        int64_t n = past == 0 ? PROMPT : 1;
        fr_batch_clear(&batch);
        for (int64_t u = 0; u < 2; u++) {
            fr_cached_sequence sequence = {u * N_IDS, past, prefixes[u].length};
            cache.prefixes_U[u] = &prefixes[u];
            FR_ASSERT_OK(fr_batch_add_cached(ctx, &batch, &sequence, IDS + past, n));
        }
        batch.is_decode = past > 0 && n == 1;
        FR_ASSERT_OK(
            fr_activations_prepare(p->stages[0], p->activations[0], &batch, &NONE));
        FR_ASSERT_OK(
            fr_stage_forward(p->stages[0], &batch, &NONE, &cache, p->activations[0]));
        FR_ASSERT_OK(fr_stage_logits(p->stages[0], p->activations[0], 2,
                                     batch.read_rows_S, fr_host_f32(logits)));
        for (int64_t u = 0; u < 2; u++) {
            double got = nats(logits + u * VOCAB, VOCAB, IDS[past + n]);
            check(m, "nats with a cache", fabs(got - nll[u][past + n - 1]) < 1e-4);
        }
    }
    fr_batch_fini(&batch);
    fr_cache_fini(&cache);
}

static void a_cache_does_not_change_what_comes_next(void)
{
    for (uint64_t number = 0; number < N_MODELS; number++) {
        model m;
        pipeline p;
        double nll[2][N_IDS];
        open_model(number, &m);
        open_pipeline(&m, &PLAIN, &p);
        fr_stage_prefix prefixes[] = {m.prefix, m.prefix};
        prefixes[0].layers = (fr_layer_range){0, 0};
        prefixes[0].slides = true;
        prefixes[1].length = 2;
        prefixes[1].slides = false;
        for (int u = 0; u < 2; u++) {
            whole_row(&m, &prefixes[u], &p, nll[u]);
        }
        check_cached(&m, prefixes, &p, nll);
        close_pipeline(&PLAIN, &p);
        close_model(&m);
    }
}

static const fr_case CASES[] = {
    FR_CASE(loss_and_gradient_are_those_of_the_formulas),
    FR_CASE(layouts_and_recomputation_do_not_change_a_bit),
    FR_CASE(a_cache_does_not_change_what_comes_next),
};

int main(int argc, char **argv)
{
    return fr_suite_main("features", CASES, FR_N_CASES(CASES), argc, argv);
}
