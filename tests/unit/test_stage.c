/* Properties of a whole model with a prefix, on the tiny models of tests/golden. */
#include "base/mem.h"
#include "base/rng.h"
#include "device/cpu/cpu.h"
#include "device/host.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"
#include "support/tiny_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH = 3, N_IDS = 12 };

static const int32_t IDS[N_IDS] = {5, 17, 99, 3, 64, 21, 7, 120, 33, 2, 90, 11};
static const uint8_t ALL[N_IDS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const char *const MODELS[] = {"golden/tiny_llama", "golden/tiny_gpt2"};
static const fr_recompute MODES[] = {FR_RECOMPUTE_NONE, FR_RECOMPUTE_MLP,
                                     FR_RECOMPUTE_LAYER};
enum { N_MODES = sizeof MODES / sizeof MODES[0] };

static fr_tiny_prefix make_prefix(const fr_tiny *tiny)
{
    return fr_tiny_random_prefix(tiny, LENGTH, (fr_layer_range){0, 0});
}

/* Loss at prefix + step * direction. */
static double loss_along(fr_tiny *tiny, fr_tiny_prefix *p, const double *direction,
                         double step)
{
    float *saved = NULL;
    size_t bytes = (size_t)(2 * p->n) * sizeof(float);
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p->n, sizeof *saved, &saved));
    memcpy(saved, p->values, bytes);
    for (int64_t i = 0; i < 2 * p->n; i++) {
        p->values[i] = (float)((double)p->values[i] + step * direction[i]);
    }
    fr_tiny_prefix_put(p);
    double loss = fr_tiny_loss(tiny, &p->view, NULL);
    memcpy(p->values, saved, bytes);
    fr_tiny_prefix_put(p);
    free(saved);
    return loss;
}

static void check_direction(fr_tiny *tiny, fr_tiny_prefix *p, uint64_t stream)
{
    static const double STEP = 2e-2;
    double *gradient = NULL;
    double *direction = NULL;
    double wanted = 0.0;
    double norm = 0.0;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p->n, sizeof *gradient, &gradient));
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p->n, sizeof *direction, &direction));
    (void)fr_tiny_loss(tiny, &p->view, gradient);
    for (int64_t i = 0; i < 2 * p->n; i++) {
        direction[i] = fr_rng_normal(2, FR_RNG_TEST, stream, (uint64_t)i) / 16.0;
        wanted += direction[i] * gradient[i];
        norm += gradient[i] * gradient[i];
    }
    double got =
        (loss_along(tiny, p, direction, STEP) - loss_along(tiny, p, direction, -STEP)) /
        (2.0 * STEP);
    CU_ASSERT_DOUBLE_EQUAL(got, wanted, 5e-3 * (sqrt(norm) + fabs(wanted)));
    CU_ASSERT(norm > 1e-6);
    free(gradient);
    free(direction);
}

/* Of a prefix on all layers, on the upper one, on the lower one. */
static void gradients_match_finite_differences(void)
{
    static const fr_layer_range LAYERS[] = {{0, 0}, {1, 1}, {0, 1}};
    for (size_t i = 0; i < 2 * N_MODES * 3; i++) {
        fr_tiny tiny;
        fr_tiny_open_lean(fr_test_data(MODELS[i % 2]), FR_F32, MODES[i / 2 % N_MODES],
                          &tiny);
        fr_tiny_prefix p =
            fr_tiny_random_prefix(&tiny, LENGTH, LAYERS[i / (2 * N_MODES)]);
        fr_sequence source = {IDS, NULL, 5};
        fr_sequence targets[] = {{IDS + 5, ALL, 4}, {IDS + 9, ALL, 3}};
        FR_ASSERT_OK(
            fr_batch_add(fr_test_ctx(), &tiny.batch, LENGTH, &source, targets, 2));
        FR_ASSERT_OK(
            fr_batch_add(fr_test_ctx(), &tiny.batch, LENGTH, &targets[0], targets, 1));
        for (uint64_t stream = 0; stream < 4; stream++) {
            check_direction(&tiny, &p, stream);
        }
        fr_tiny_prefix_close(&p);
        fr_tiny_close(&tiny);
    }
}

/* One stage of the tiny model with its activations. */
static void open_part(const fr_tiny *tiny, int64_t first, int64_t n, fr_stage **stage,
                      fr_activations **activations)
{
    fr_stage_params params = {.weights = tiny->weights,
                              .device = tiny->device,
                              .first_layer = first,
                              .n_layers = n,
                              .max_position = 64};
    FR_ASSERT_OK(fr_stage_create(fr_test_ctx(), &params, stage));
    FR_ASSERT_OK(fr_activations_create(*stage, true, activations));
}

/* Layer 0 as in the base, layer 1 with the prefix, each as a stage of its own. */
static void run_apart(const fr_tiny *tiny, const fr_stage_prefix *upper, double *nll,
                      fr_exact_sum *sum)
{
    static const fr_stage_prefix NONE = {0};
    const fr_batch *batch = &tiny->batch;
    size_t bytes = (size_t)(batch->n_tokens * tiny->arch->d_model) * sizeof(float);
    fr_stage *stages[2];
    fr_activations *activations[2];
    for (int i = 0; i < 2; i++) {
        open_part(tiny, i, 1, &stages[i], &activations[i]);
    }
    CU_ASSERT_EQUAL(fr_stage_lowest(stages[0], upper), 1);
    CU_ASSERT_EQUAL(fr_stage_lowest(stages[1], upper), 0);
    FR_ASSERT_OK(fr_activations_prepare(stages[1], activations[1], batch, upper));
    FR_ASSERT_OK(fr_activations_prepare(stages[0], activations[0], batch, &NONE));
    FR_ASSERT_OK(fr_stage_forward(stages[0], batch, &NONE, NULL, activations[0]));
    memcpy(fr_activations_input(activations[1]), fr_activations_output(activations[0]),
           bytes);
    FR_ASSERT_OK(fr_activations_prepare(stages[0], activations[0], batch, upper));
    FR_ASSERT_OK(fr_stage_forward(stages[0], batch, upper, NULL, activations[0]));
    fr_assert_same_bytes("output below the prefix",
                         fr_activations_output(activations[0]),
                         fr_activations_input(activations[1]), bytes);
    CU_ASSERT_PTR_NULL(fr_activations_gradient(activations[0]));
    FR_ASSERT_OK(fr_stage_forward(stages[1], batch, upper, NULL, activations[1]));
    FR_ASSERT_OK(
        fr_stage_loss(stages[1], batch, activations[1], true, fr_host_f64(nll)));
    FR_ASSERT_OK(fr_stage_backward(stages[1], batch, upper, activations[1], sum));
    for (int i = 0; i < 2; i++) {
        fr_activations_destroy(&activations[i]);
        fr_stage_destroy(&stages[i]);
    }
}

/* Bit for bit, also in activations that have served a prefix on all layers before. */
static void layers_without_a_prefix_are_those_of_the_base(void)
{
    for (size_t m = 0; m < 2; m++) {
        fr_tiny tiny;
        double nll[N_IDS];
        double *all = NULL;
        double *upper = NULL;
        int64_t *sums = NULL;
        fr_tiny_open(fr_test_data(MODELS[m]), FR_F32, 64, &tiny);
        fr_tiny_prefix p = make_prefix(&tiny);
        int64_t layer = fr_arch_prefix_elements(tiny.arch, LENGTH);
        fr_stage_prefix restricted = p.view;
        restricted.layers = (fr_layer_range){1, 1};
        FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 4 * p.n, sizeof *all, &all));
        FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p.n, sizeof *upper, &upper));
        FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * layer, sizeof *sums, &sums));
        fr_tiny_one_row(&tiny, LENGTH, IDS, N_IDS);
        double before = fr_tiny_loss(&tiny, &p.view, all);
        double got = fr_tiny_loss(&tiny, &restricted, upper);
        CU_ASSERT(fr_tiny_loss(&tiny, &p.view, all + 2 * p.n) == before &&
                  got != before);
        fr_assert_same_bytes("gradient of all layers", all + 2 * p.n, all,
                             (size_t)(2 * p.n) * sizeof *all);
        int64_t n_refused = 0;
        fr_exact_sum sum = {.k = fr_host_i64(sums),
                            .v = fr_host_i64(sums + layer),
                            .exponent = 40,
                            .n_refused = fr_host_i64(&n_refused)};
        run_apart(&tiny, &restricted, nll, &sum);
        double loss = 0.0;
        for (int64_t r = 0; r < tiny.batch.n_targets; r++) {
            loss += nll[r];
        }
        CU_ASSERT(loss == got);
        for (int64_t i = 0; i < layer; i++) {
            CU_ASSERT(upper[i] == ldexp((double)sum.k[i].in_device, -40) &&
                      upper[p.n + i] == ldexp((double)sum.v[i].in_device, -40));
            CU_ASSERT(upper[layer + i] == 0.0);
        }
        free(all);
        free(upper);
        free(sums);
        fr_tiny_prefix_close(&p);
        fr_tiny_close(&tiny);
    }
}

/* Loss and gradient of the batch, the gradient as f32 for comparing. */
static double loss_and_gradient(fr_tiny *tiny, const fr_tiny_prefix *p, float *gradient)
{
    double *exact = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p->n, sizeof *exact, &exact));
    double loss = fr_tiny_loss(tiny, &p->view, exact);
    for (int64_t i = 0; i < 2 * p->n; i++) {
        gradient[i] += (float)exact[i];
    }
    free(exact);
    return loss;
}

static void a_shared_source_gives_the_sum_of_its_rows(void)
{
    for (size_t m = 0; m < 2; m++) {
        fr_tiny tiny;
        float *shared = NULL;
        float *apart = NULL;
        fr_tiny_open(fr_test_data(MODELS[m]), FR_F32, 64, &tiny);
        fr_tiny_prefix p = make_prefix(&tiny);
        FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p.n, sizeof *shared, &shared));
        FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p.n, sizeof *apart, &apart));
        fr_sequence source = {IDS, NULL, 5};
        fr_sequence targets[] = {{IDS + 5, ALL, 4}, {IDS + 9, ALL, 3}};
        FR_ASSERT_OK(
            fr_batch_add(fr_test_ctx(), &tiny.batch, LENGTH, &source, targets, 2));
        double together = loss_and_gradient(&tiny, &p, shared);
        double sum = 0.0;
        for (int t = 0; t < 2; t++) {
            fr_batch_clear(&tiny.batch);
            FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &tiny.batch, LENGTH, &source,
                                      &targets[t], 1));
            sum += loss_and_gradient(&tiny, &p, apart);
        }
        CU_ASSERT_DOUBLE_EQUAL(together, sum, 1e-4);
        fr_assert_close("gradient", shared, apart, 2 * p.n, 1e-4);
        free(shared);
        free(apart);
        fr_tiny_prefix_close(&p);
        fr_tiny_close(&tiny);
    }
}

/* Two sources with three tokens in common and a token of the first in the loss; three targets. */
typedef struct two_branches {
    uint8_t counted[N_IDS];
    fr_sequence targets[3];
    fr_branch branches[2];
} two_branches;

static void make_branches(two_branches *b)
{
    static const int32_t OTHER[] = {5, 17, 99, 40, 41, 42};
    *b = (two_branches){
        .counted = {[4] = 1},
        .targets = {{IDS + 6, ALL, 3}, {IDS + 8, ALL, 4}, {IDS + 2, ALL, 2}}};
    b->branches[0] = (fr_branch){{IDS, b->counted, 6}, b->targets, 2};
    b->branches[1] = (fr_branch){{OTHER, NULL, 6}, b->targets + 2, 1};
}

static void gradients_through_a_common_beginning_match_finite_differences(void)
{
    for (size_t m = 0; m < 2; m++) {
        fr_tiny tiny;
        two_branches b;
        make_branches(&b);
        fr_tiny_open(fr_test_data(MODELS[m]), FR_F32, 64, &tiny);
        fr_tiny_prefix p = make_prefix(&tiny);
        FR_ASSERT_OK(fr_batch_add_branches(fr_test_ctx(), &tiny.batch, LENGTH, 3,
                                           b.branches, 2));
        for (uint64_t stream = 0; stream < 4; stream++) {
            check_direction(&tiny, &p, stream);
        }
        fr_tiny_prefix_close(&p);
        fr_tiny_close(&tiny);
    }
}

static void a_common_beginning_gives_the_sum_of_its_examples(void)
{
    for (size_t m = 0; m < 2; m++) {
        fr_tiny tiny;
        two_branches b;
        float *shared = NULL;
        float *apart = NULL;
        double sum = 0.0;
        make_branches(&b);
        fr_tiny_open(fr_test_data(MODELS[m]), FR_F32, 64, &tiny);
        fr_tiny_prefix p = make_prefix(&tiny);
        FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p.n, sizeof *shared, &shared));
        FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p.n, sizeof *apart, &apart));
        FR_ASSERT_OK(fr_batch_add_branches(fr_test_ctx(), &tiny.batch, LENGTH, 3,
                                           b.branches, 2));
        double together = loss_and_gradient(&tiny, &p, shared);
        for (int t = 0; t < 3; t++) {
            const fr_branch *branch = &b.branches[t / 2];
            fr_batch_clear(&tiny.batch);
            FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &tiny.batch, LENGTH,
                                      &branch->source, &b.targets[t], 1));
            sum += loss_and_gradient(&tiny, &p, apart);
        }
        CU_ASSERT_DOUBLE_EQUAL(together, sum, 1e-4);
        fr_assert_close("gradient", shared, apart, 2 * p.n, 1e-4);
        free(shared);
        free(apart);
        fr_tiny_prefix_close(&p);
        fr_tiny_close(&tiny);
    }
}

/* The exact sum of a unit must not depend on what else is in the batch. */
static void packing_does_not_change_a_bit(void)
{
    for (int d = 0; d < 2; d++) {
        fr_tiny tiny;
        double *alone = NULL;
        double *packed = NULL;
        double *others = NULL;
        fr_tiny_open(fr_test_data(MODELS[0]), d == 0 ? FR_F32 : FR_BF16, 64, &tiny);
        fr_tiny_prefix p = make_prefix(&tiny);
        FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p.n, sizeof *alone, &alone));
        FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p.n, sizeof *packed, &packed));
        FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p.n, sizeof *others, &others));
        fr_sequence source = {IDS, NULL, 5};
        fr_sequence target = {IDS + 5, ALL, 7};
        fr_sequence other = {IDS + 3, ALL, 6};
        FR_ASSERT_OK(
            fr_batch_add(fr_test_ctx(), &tiny.batch, LENGTH, &source, &target, 1));
        (void)fr_tiny_loss(&tiny, &p.view, alone);
        fr_batch_clear(&tiny.batch);
        FR_ASSERT_OK(
            fr_batch_add(fr_test_ctx(), &tiny.batch, LENGTH, &other, &other, 1));
        (void)fr_tiny_loss(&tiny, &p.view, others);
        FR_ASSERT_OK(
            fr_batch_add(fr_test_ctx(), &tiny.batch, LENGTH, &source, &target, 1));
        (void)fr_tiny_loss(&tiny, &p.view, packed);
        for (int64_t i = 0; i < 2 * p.n; i++) {
            others[i] +=
                alone[i]; /* multiples of 2^-40 far below 2^13: the sum is exact */
        }
        fr_assert_same_bytes("gradient", packed, others,
                             (size_t)(2 * p.n) * sizeof *packed);
        free(alone);
        free(packed);
        free(others);
        fr_tiny_prefix_close(&p);
        fr_tiny_close(&tiny);
    }
}

/* Keys and values of a text as prefix, against the same text in front of the row. */
static void a_prefix_from_text_equals_the_prompted_model(void)
{
    enum { TEXT = 4 };
    static const fr_stage_prefix NONE = {0};
    for (size_t m = 0; m < 2; m++) {
        fr_tiny tiny;
        double nll[N_IDS];
        double prompted = 0.0;
        fr_tiny_open(fr_test_data(MODELS[m]), FR_F32, 64, &tiny);
        fr_tiny_one_row(&tiny, 0, IDS, N_IDS);
        (void)fr_tiny_loss(&tiny, &NONE, NULL);
        fr_tiny_nats(&tiny, nll);
        for (int64_t r = TEXT; r < N_IDS - 1; r++) {
            prompted += nll[r]; /* predictions of the tokens after IDS[TEXT] */
        }
        fr_sequence text = {IDS, NULL, TEXT};
        fr_batch_clear(&tiny.batch);
        FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &tiny.batch, 0, &text, NULL, 0));
        fr_cache cache;
        FR_ASSERT_OK(fr_cache_init(fr_test_ctx(), tiny.stage, TEXT, 1, &cache));
        cache.prefixes_U[0] = &NONE;
        FR_ASSERT_OK(
            fr_activations_prepare(tiny.stage, tiny.activations, &tiny.batch, &NONE));
        FR_ASSERT_OK(
            fr_stage_forward(tiny.stage, &tiny.batch, &NONE, &cache, tiny.activations));
        int64_t layer = fr_arch_prefix_elements(tiny.arch, TEXT);
        float *values = NULL;
        int64_t n = tiny.arch->n_layers * layer;
        FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * n, sizeof *values, &values));
        for (int64_t l = 0; l < tiny.arch->n_layers; l++) {
            size_t bytes = (size_t)layer * sizeof *values;
            memcpy(values + l * layer, cache.layers[l].k.at, bytes);
            memcpy(values + n + l * layer, cache.layers[l].v.at, bytes);
        }
        fr_cache_fini(&cache);
        fr_stage_prefix prefix = {
            .length = TEXT, .k = fr_host_f32(values), .v = fr_host_f32(values + n)};
        fr_tiny_one_row(&tiny, TEXT, IDS + TEXT, N_IDS - TEXT);
        double with_prefix = fr_tiny_loss(&tiny, &prefix, NULL);
        CU_ASSERT_DOUBLE_EQUAL(with_prefix, prompted, 1e-4);
        free(values);
        fr_tiny_close(&tiny);
    }
}

static void bf16_stays_near_f32(void)
{
    double loss[2];
    for (int d = 0; d < 2; d++) {
        fr_tiny tiny;
        fr_tiny_open(fr_test_data(MODELS[0]), d == 0 ? FR_F32 : FR_BF16, 64, &tiny);
        fr_tiny_prefix p = make_prefix(&tiny);
        fr_tiny_one_row(&tiny, LENGTH, IDS, N_IDS);
        loss[d] = fr_tiny_loss(&tiny, &p.view, NULL);
        fr_tiny_prefix_close(&p);
        fr_tiny_close(&tiny);
    }
    CU_ASSERT_DOUBLE_EQUAL(loss[0], loss[1], 0.02 * loss[0]);
    CU_ASSERT(loss[0] < loss[1] || loss[0] > loss[1]);
}

static void the_memory_of_a_token_follows_the_formula(void)
{
    fr_tiny tiny;
    fr_tiny_open(fr_test_data(MODELS[0]), FR_BF16, 64, &tiny);
    const fr_arch *a = tiny.arch;
    int64_t q = a->n_heads * a->head_dim;
    int64_t kv = a->n_kv_heads * a->head_dim;
    int64_t layer = 8 * a->d_model + 4 * q + 4 * kv + 4 * a->d_ff + 4 * a->n_heads + 16;
    const int64_t layers[] = {layer, layer - 4 * a->d_ff, 4 * a->d_model};
    enum { T = 1024 };
    fr_tiny_close(&tiny);
    for (size_t m = 0; m < N_MODES; m++) {
        fr_tiny_open_lean(fr_test_data(MODELS[0]), FR_BF16, MODES[m], &tiny);
        int64_t kept = fr_activations_bytes(tiny.stage, T, true) -
                       fr_activations_bytes(tiny.stage, T, false);
        CU_ASSERT_EQUAL(kept, T * tiny.arch->n_layers * layers[m]);
        fr_tiny_close(&tiny);
    }
}

/* Loss and gradient of the model at `path`, K then V: [1 + n]. */
static double *measure(const char *path, fr_dtype dtype, bool in_file, int64_t *n)
{
    fr_tiny tiny;
    double *out = NULL;
    fr_tiny_open_held(path, dtype, in_file, 64, &tiny);
    fr_tiny_prefix p = make_prefix(&tiny);
    *n = 1 + 2 * p.n;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), *n, sizeof *out, &out));
    fr_tiny_one_row(&tiny, LENGTH, IDS, N_IDS);
    out[0] = fr_tiny_loss(&tiny, &p.view, out + 1);
    fr_tiny_prefix_close(&p);
    fr_tiny_close(&tiny);
    return out;
}

static void check_in_file(const char *path)
{
    for (int d = 0; d < 2; d++) {
        fr_dtype dtype = d == 0 ? FR_F32 : FR_BF16;
        int64_t n = 0;
        double *wanted = measure(path, dtype, false, &n);
        double *got = measure(path, dtype, true, &n);
        fr_assert_same_bytes(path, got, wanted, (size_t)n * sizeof *got);
        free(wanted);
        free(got);
    }
}

static void weights_left_in_the_file_give_the_same_bits(void)
{
    for (size_t m = 0; m < 2; m++) {
        const char *folder = fr_test_data(MODELS[m]);
        const char *file = fr_test_path(fr_test_folder(), "model.gguf");
        fr_gguf_writer *writer = fr_gguf_writer_create();
        fr_gguf_writer_add_folder(writer, folder);
        fr_gguf_writer_write(writer, file);
        fr_gguf_writer_destroy(&writer);
        check_in_file(folder);
        check_in_file(file);
    }
}

static void too_many_positions_for_learned_ones_are_refused(void)
{
    fr_weights *weights = NULL;
    fr_device *device = NULL;
    fr_stage *stage = NULL;
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), fr_test_data(MODELS[1]), &weights));
    FR_ASSERT_OK(fr_cpu_create(fr_test_ctx(), 1, FR_ISA_GENERIC, &device));
    fr_stage_params stage_params = {
        .weights = weights, .device = device, .n_layers = 2, .max_position = 1 << 20};
    FR_ASSERT_FAILS(fr_stage_create(fr_test_ctx(), &stage_params, &stage),
                    FR_ERR_CONFIG, "positions");
    fr_device_destroy(&device);
    fr_weights_close(&weights);
}

static const fr_case CASES[] = {
    FR_CASE(gradients_match_finite_differences),
    FR_CASE(layers_without_a_prefix_are_those_of_the_base),
    FR_CASE(a_shared_source_gives_the_sum_of_its_rows),
    FR_CASE(gradients_through_a_common_beginning_match_finite_differences),
    FR_CASE(a_common_beginning_gives_the_sum_of_its_examples),
    FR_CASE(packing_does_not_change_a_bit),
    FR_CASE(a_prefix_from_text_equals_the_prompted_model),
    FR_CASE(bf16_stays_near_f32),
    FR_CASE(the_memory_of_a_token_follows_the_formula),
    FR_CASE(weights_left_in_the_file_give_the_same_bits),
    FR_CASE(too_many_positions_for_learned_ones_are_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("stage", CASES, FR_N_CASES(CASES), argc, argv);
}
