/*
 * The operators of one layer in a training step, on the emulated GPU: a stage in the middle of a pipeline, forward and backward
 * over one microbatch, under a prefix. What they ask a GPU for is counted (traffic.cpp, sectors.cpp, cublaslt.cpp): counts.py runs it and
 * reads the counts. An earlier, smaller pass is not counted, so that what happens once is not.
 *
 *   layer_step MODEL ROWS TOKENS PREFIX    MODEL: a folder of make_model.py, with three layers; ROWS of so many TOKENS each
 */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "base/mem.h"
#include "lt_case.h"
#include "model/network/products.h"
#include "support/device_memory.h"
#include "support/tiny_model.h"
#include "traffic.h"

#include <dlfcn.h>
#include <string.h>

enum { EXPONENT = 40, FIRST_TOKENS = 32 };

/* As a run does at its start. */
static void settle_products(const fr_tiny *tiny)
{
    fr_model_products all = fr_model_products_of(
        tiny->arch, FR_BF16, fr_device_work(tiny->device, FR_BF16), true);
    int64_t refused[FR_MODEL_PRODUCTS] = {0};
    FR_ASSERT_OK(fr_products_try(tiny->device, all.n_of_layers, all.shapes, refused));
    for (int i = 0; i < all.n_of_layers; i++) {
        CU_ASSERT_EQUAL(refused[i], 0);
    }
    FR_ASSERT_OK(fr_products_settle(tiny->device, all.n, all.shapes, refused));
}

static fr_tiny open_middle(const char *path, int64_t max_position)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_tiny tiny = {0};
    FR_ASSERT_OK(fr_weights_open(ctx, path, &tiny.weights));
    tiny.arch = fr_weights_arch(tiny.weights);
    FR_ASSERT_OK(fr_lt_case_open("uncomputed", false, &tiny.device));
    settle_products(&tiny);
    fr_stage_params params = {.weights = tiny.weights,
                              .device = tiny.device,
                              .dtype = FR_BF16,
                              .first_layer = 1,
                              .n_layers = 1,
                              .max_position = max_position};
    FR_ASSERT_OK(fr_stage_create(ctx, &params, &tiny.stage));
    FR_ASSERT_OK(fr_activations_create(tiny.stage, true, &tiny.activations));
    return tiny;
}

/* Each row is a source whose one target follows it, so that its tokens form one segment. */
static void pack(fr_tiny *tiny, int64_t prefix, int64_t rows, int64_t tokens)
{
    static const uint8_t COUNTED = 1;
    int32_t *ids = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), tokens + 1, sizeof *ids, &ids));
    memset(ids, 0, (size_t)(tokens + 1) * sizeof *ids);
    fr_sequence source = {ids, NULL, tokens};
    fr_sequence target = {ids + tokens, &COUNTED, 1};
    fr_batch_clear(&tiny->batch);
    for (int64_t i = 0; i < rows; i++) {
        FR_ASSERT_OK(
            fr_batch_add(fr_test_ctx(), &tiny->batch, prefix, &source, &target, 1));
    }
    free(ids);
}

static void run(fr_tiny *tiny, const fr_stage_prefix *prefix, fr_exact_sum *sum)
{
    fr_stage *stage = tiny->stage;
    fr_activations *kept = tiny->activations;
    FR_ASSERT_OK(fr_activations_prepare(stage, kept, &tiny->batch, prefix));
    fr_device_zero(tiny->device, fr_activations_input(kept),
                   tiny->batch.n_tokens * tiny->arch->d_model *
                       (int64_t)sizeof(fr_f32));
    FR_ASSERT_OK(fr_stage_forward(stage, &tiny->batch, prefix, NULL, kept));
    fr_device_zero(tiny->device, fr_activations_gradient(kept),
                   tiny->batch.n_tokens * tiny->arch->d_model *
                       (int64_t)sizeof(fr_f32));
    FR_ASSERT_OK(fr_stage_backward(stage, &tiny->batch, prefix, kept, sum));
    int64_t n_refused = 0;
    fr_test_fetch(tiny->device, &n_refused, sum->n_refused, sizeof n_refused);
    FR_ASSERT_OK(fr_device_check(tiny->device));
    CU_ASSERT_EQUAL(n_refused, 0);
}

/* Counts of an emulated library begin anew. */
static void forget_of(const char *name, const char *function)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_NOLOAD);
    void *found = library != NULL ? dlsym(library, function) : NULL;
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    void (*forget)(void) = NULL;
    memcpy(&forget, &found, sizeof found);
    forget();
    (void)dlclose(library);
}

static void forget(void)
{
    forget_of("libcublasLt.so.13", "fr_emulated_lt_forget");
    forget_of("libcuda.so.1", "fr_emulated_moved_forget");
    fr_traffic_forget();
}

static struct {
    const char *model;
    int64_t rows;
    int64_t tokens;
    int64_t prefix;
} asked;

static void one_step_of_a_layer(void)
{
    fr_tiny tiny = open_middle(asked.model, asked.prefix + asked.tokens + FIRST_TOKENS);
    fr_tiny_prefix prefix =
        fr_tiny_random_prefix(&tiny, asked.prefix, (fr_layer_range){0, 0});
    fr_exact_sum sum = {.k = fr_test_room(tiny.device, prefix.n, sizeof *sum.k),
                        .v = fr_test_room(tiny.device, prefix.n, sizeof *sum.v),
                        .exponent = EXPONENT,
                        .n_refused =
                            fr_test_room(tiny.device, 1, sizeof *sum.n_refused)};
    pack(&tiny, asked.prefix, 1, FIRST_TOKENS);
    run(&tiny, &prefix.view, &sum);
    forget();
    pack(&tiny, asked.prefix, asked.rows, asked.tokens);
    CU_ASSERT_EQUAL(tiny.batch.n_tokens, asked.rows * asked.tokens);
    run(&tiny, &prefix.view, &sum);
    fr_device_free(tiny.device, sum.k);
    fr_device_free(tiny.device, sum.v);
    fr_device_free(tiny.device, sum.n_refused);
    fr_tiny_prefix_close(&prefix);
    fr_tiny_close(&tiny);
}

static const fr_case CASES[] = {FR_CASE(one_step_of_a_layer)};

int main(int argc, char **argv)
{
    if (argc != 5) {
        (void)fprintf(stderr, "usage: layer_step MODEL ROWS TOKENS PREFIX\n");
        return 2;
    }
    asked.model = argv[1];
    asked.rows = strtol(argv[2], NULL, 10);
    asked.tokens = strtol(argv[3], NULL, 10);
    asked.prefix = strtol(argv[4], NULL, 10);
    return fr_suite_main("layer_step", CASES, FR_N_CASES(CASES), 1, argv);
}
