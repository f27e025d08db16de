/* What a stage holds: by hand on small numbers, and against a real one. */
#define _GNU_SOURCE /* mallinfo2 */
#include "model/network/stage_bytes.h"

#include "base/mem.h"
#include "device/cpu/cpu.h"
#include "device/host.h"
#include "device/matrix.h"
#include "support/described_model.h"
#include "support/devices.h"
#include "support/forecast_case.h"
#include "support/suite.h"
#include "support/tiny_model.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A microbatch keeps 8D + (Q + KV + KV + U) kept bytes + 4H + 16 a token and layer, and two more rows. */
static void a_slot_is_what_the_formula_says(void)
{
    enum { TOKENS = 64, LAYERS = 3 };
    fr_stage_shape shape = {
        .arch = &FR_FORECAST_ARCH, .dtype = FR_BF16, .n_layers = LAYERS};
    int64_t layer = 8 * 64 + 2 * (64 + 64 + 64 + 256) + 4 * 4 + 16;
    CU_ASSERT_EQUAL(fr_stage_activation_bytes(&shape, TOKENS, true),
                    TOKENS * (LAYERS * layer + 2 * 4 * 64));
    shape.dtype = FR_F32;
    layer += 2 * (64 + 64 + 64 + 256);
    CU_ASSERT_EQUAL(fr_stage_activation_bytes(&shape, TOKENS, true),
                    TOKENS * (LAYERS * layer + 2 * 4 * 64));
    shape.recompute = FR_RECOMPUTE_MLP;
    CU_ASSERT_EQUAL(fr_stage_activation_bytes(&shape, TOKENS, true),
                    TOKENS * (LAYERS * (layer - 4 * 256) + 2 * 4 * 64));
    shape.recompute = FR_RECOMPUTE_LAYER;
    CU_ASSERT_EQUAL(fr_stage_activation_bytes(&shape, TOKENS, true),
                    TOKENS * (LAYERS + 2) * 4 * 64);
}

static int64_t weight_bytes(const fr_arch *arch, fr_dtype dtype, int64_t first,
                            int64_t n)
{
    fr_stage_shape shape = {
        .arch = arch, .dtype = dtype, .first_layer = first, .n_layers = n};
    shape.max_position = 20;
    return fr_stage_weight_bytes(&shape) - (int64_t)sizeof *arch;
}

/* GPT-2: D 8, Q 8, W 24, F 16; a layer has 8 (24 + 8 + 16 + 16) matrix elements and vectors of 4 8 for norms,
 * 24 + 8 for attention, 16 + 8 for the MLP. Llama: KV 4, W 16, gate and up 32, two norms, RoPE of 20 4. */
static void weights_follow_the_shape(void)
{
    fr_arch a = {.family = "gpt2",
                 .norm = FR_NORM_LAYER,
                 .attn_norm = true,
                 .mlp_norm = true,
                 .activation = FR_ACTIVATION_GELU_TANH,
                 .positions = FR_POSITIONS_LEARNED,
                 .embedding_scale = 1.0,
                 .residual_scale = 1.0,
                 .logit_scale = 1.0,
                 .n_layers = 3,
                 .d_model = 8,
                 .d_ff = 16,
                 .n_heads = 2,
                 .n_kv_heads = 2,
                 .head_dim = 4,
                 .vocab_size = 10,
                 .context_length = 12,
                 .qkv_bias = true,
                 .o_bias = true,
                 .mlp_bias = true,
                 .tied_head = true};
    int64_t layer = 2 * 8 * 64 + 4 * (32 + 32 + 24);
    CU_ASSERT_EQUAL(weight_bytes(&a, FR_BF16, 1, 1), layer);
    CU_ASSERT_EQUAL(weight_bytes(&a, FR_BF16, 0, 2),
                    2 * layer + 2 * 10 * 8 + 4 * 12 * 8);
    CU_ASSERT_EQUAL(weight_bytes(&a, FR_BF16, 2, 1), layer + 2 * 10 * 8 + 4 * 16);
    CU_ASSERT_EQUAL(weight_bytes(&a, FR_BF16, 0, 3),
                    3 * layer + 2 * 10 * 8 + 4 * (12 * 8 + 16));
    a.family = "llama";
    a.norm = FR_NORM_RMS;
    a.gated = true;
    a.activation = FR_ACTIVATION_SILU;
    a.positions = FR_POSITIONS_ROPE;
    a.rotation = fr_rotation_plain(1e4, 4);
    a.n_kv_heads = 1;
    a.qkv_bias = a.o_bias = a.mlp_bias = a.tied_head = false;
    layer = 4 * (8 * (16 + 8 + 32 + 16) + 16);
    CU_ASSERT_EQUAL(weight_bytes(&a, FR_F32, 1, 1), layer + 4 * 20 * 4);
    CU_ASSERT_EQUAL(weight_bytes(&a, FR_F32, 0, 3),
                    3 * layer + 4 * (20 * 4 + 2 * 10 * 8 + 8));
}

static int64_t allocated(void)
{
    struct mallinfo2 info = mallinfo2();
    return (int64_t)(info.uordblks + info.hblkhd);
}

static bool allocations_are_counted(void)
{
    int64_t before = allocated();
    char *block = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 1 << 20, 1, &block));
    int64_t after = allocated();
    free(block);
    return after - before >= 1 << 20;
}

/* Every allocation is padded to a cache line and has a header. */
static void check_near(const char *what, int64_t got, int64_t wanted, int64_t n_blocks)
{
    bool near = got >= wanted && got <= wanted + n_blocks * 192;
    if (!near) {
        (void)fprintf(stderr, "%s: %lld allocated, %lld forecast\n", what,
                      (long long)got, (long long)wanted);
    }
    CU_ASSERT(near);
}

static void check_stage(const fr_tiny *tiny, fr_dtype dtype, fr_recompute recompute,
                        int64_t first, int64_t n)
{
    enum { ROWS = 11, LENGTH = 3, POSITIONS = 48 };
    fr_ctx *ctx = fr_test_ctx();
    fr_stage_shape shape = {.arch = tiny->arch,
                            .dtype = dtype,
                            .first_layer = first,
                            .n_layers = n,
                            .max_position = POSITIONS,
                            .recompute = recompute};
    fr_stage_params params = {.weights = tiny->weights,
                              .device = tiny->device,
                              .dtype = dtype,
                              .recompute = recompute,
                              .first_layer = first,
                              .n_layers = n,
                              .max_position = POSITIONS};
    fr_stage *stage = NULL;
    fr_activations *activations = NULL;
    int64_t before = allocated();
    FR_ASSERT_OK(fr_stage_create(ctx, &params, &stage));
    int64_t created = allocated();
    check_near("weights", created - before, fr_stage_weight_bytes(&shape), 14 * n + 32);
    FR_ASSERT_OK(fr_activations_create(stage, true, &activations));
    FR_ASSERT_OK(fr_activations_prepare(stage, activations, &tiny->batch,
                                        &(fr_stage_prefix){0}));
    check_near("activations and workspace", allocated() - created,
               fr_stage_activation_bytes(&shape, tiny->batch.n_tokens, true) +
                   fr_stage_workspace_bytes(&shape, tiny->batch.n_tokens),
               8 + 12 * n);
    for (int keep = 0; keep < 2; keep++) {
        CU_ASSERT_EQUAL(fr_stage_activation_bytes(&shape, ROWS, keep != 0) +
                            fr_stage_workspace_bytes(&shape, ROWS),
                        fr_activations_bytes(stage, ROWS, keep != 0));
    }
    if (fr_stage_is_last(stage)) {
        double nll[12];
        FR_ASSERT_OK(
            fr_stage_loss(stage, &tiny->batch, activations, true, fr_host_f64(nll)));
    }
    fr_activations_destroy(&activations);
    int64_t in_the_end = allocated();
    fr_stage_destroy(&stage);
    check_near("stage", in_the_end - allocated(),
               fr_stage_weight_bytes(&shape) +
                   fr_stage_head_bytes(&shape, tiny->batch.n_targets) +
                   fr_stage_workspace_bytes(&shape, tiny->batch.n_tokens),
               14 * n + 40);
}

static void a_real_stage_holds_what_was_forecast(void)
{
    static const char *const MODELS[] = {"golden/tiny_llama", "golden/tiny_gpt2"};
    static const fr_dtype TYPES[] = {FR_F32, FR_BF16};
    static const int32_t IDS[] = {5, 17, 99, 3, 64, 21, 7, 120, 33, 2, 90, 11};
    if (!allocations_are_counted()) {
        fr_skip("this allocator does not count");
        return;
    }
    for (size_t m = 0; m < 2; m++) {
        fr_tiny tiny;
        fr_tiny_open(fr_test_data(MODELS[m]), FR_F32, 48, &tiny);
        fr_tiny_one_row(&tiny, 3, IDS, 12);
        for (size_t t = 0; t < 2; t++) {
            int64_t n = tiny.arch->n_layers;
            check_stage(&tiny, TYPES[t], FR_RECOMPUTE_NONE, 0, n);
            check_stage(&tiny, TYPES[t], FR_RECOMPUTE_MLP, 0, 1);
            check_stage(&tiny, TYPES[t], FR_RECOMPUTE_LAYER, n - 1, 1);
        }
        fr_tiny_close(&tiny);
    }
}

/* Floats of a model's weights, and of a bias for each layer norm that has none. */
static int64_t weight_floats(const fr_weights *weights)
{
    static const fr_weight NORMS[][2] = {{FR_W_FINAL_NORM, FR_W_FINAL_NORM_BIAS},
                                         {FR_W_ATTN_NORM, FR_W_ATTN_NORM_BIAS},
                                         {FR_W_MLP_NORM, FR_W_MLP_NORM_BIAS},
                                         {FR_W_ATTN_POST_NORM, FR_W_COUNT},
                                         {FR_W_MLP_POST_NORM, FR_W_COUNT}};
    const fr_arch *arch = fr_weights_arch(weights);
    int64_t floats = 0;
    for (int64_t layer = 0; layer < arch->n_layers; layer++) {
        for (int role = layer == 0 ? 0 : FR_W_ATTN_NORM; role < FR_W_COUNT; role++) {
            int64_t rows = 0;
            int64_t columns = 0;
            bool tied = role == FR_W_HEAD && arch->tied_head;
            if (!tied && fr_weights_has(weights, (fr_weight)role, layer)) {
                fr_weights_shape(weights, (fr_weight)role, layer, &rows, &columns);
                floats += rows * columns;
            }
        }
        for (size_t i = layer == 0 ? 0 : 1; i < sizeof NORMS / sizeof *NORMS; i++) {
            bool has_bias = NORMS[i][1] != FR_W_COUNT &&
                            fr_weights_has(weights, NORMS[i][1], layer);
            floats += arch->norm == FR_NORM_LAYER && !has_bias &&
                              fr_weights_has(weights, NORMS[i][0], layer)
                          ? arch->d_model
                          : 0;
        }
    }
    return floats;
}

/* Cosines and sines of 48 positions for the rotations that the layers have, or slopes. */
static int64_t place_floats(const fr_arch *a)
{
    int64_t rotary[2] = {0, 0};
    for (int64_t i = 0; i < a->n_layers && a->positions == FR_POSITIONS_ROPE; i++) {
        bool local = (a->layers[i] & FR_LAYER_LOCAL_ROTATION) != 0;
        if ((a->layers[i] & FR_LAYER_NO_ROTATION) == 0) {
            rotary[local] = local ? a->local_rotation.rotary : a->rotation.rotary;
        }
    }
    return a->positions == FR_POSITIONS_ALIBI ? a->n_heads
                                              : 48 * (rotary[0] + rotary[1]);
}

/* Of any features: each kind of norm, half, bias, table and statistic is in some of these. */
static void a_stage_of_any_description_holds_what_was_forecast(void)
{
    static const int32_t IDS[] = {5, 17, 9, 3, 14, 21, 7, 12, 0, 2, 19, 11};
    static const fr_recompute MODES[] = {FR_RECOMPUTE_NONE, FR_RECOMPUTE_MLP,
                                         FR_RECOMPUTE_LAYER};
    if (!allocations_are_counted()) {
        fr_skip("this allocator does not count");
        return;
    }
    for (uint64_t number = 0; number < 24; number++) {
        fr_arch arch = fr_described_arch(number);
        float *memory = NULL;
        fr_tiny tiny = {.weights = fr_described_weights(&arch, &memory),
                        .device = fr_test_device(fr_isa_detect(), 2),
                        .arch = &arch};
        fr_stage_shape whole = {
            .arch = &arch, .n_layers = arch.n_layers, .max_position = 48};
        CU_ASSERT_EQUAL(fr_stage_weight_bytes(&whole),
                        4 * (weight_floats(tiny.weights) + place_floats(&arch)) +
                            (int64_t)sizeof arch);
        fr_tiny_one_row(&tiny, 3, IDS, 12);
        for (int64_t first = 0; first < arch.n_layers; first++) {
            fr_dtype dtype = (number + (uint64_t)first) % 2 == 0 ? FR_F32 : FR_BF16;
            check_stage(&tiny, dtype, MODES[first], first, arch.n_layers - first);
            check_stage(&tiny, dtype, MODES[first], 0, first + 1);
        }
        fr_tiny_close(&tiny);
        free(memory);
    }
}

/* SmolLM2-135M in bf16, one row of 8,000 tokens, no layer kept. */
static void a_long_row_of_a_real_model_fits(void)
{
    enum { ROWS = 8000, LENGTH = 32 };
    fr_arch arch = {.family = "llama",
                    .attn_norm = true,
                    .mlp_norm = true,
                    .gated = true,
                    .embedding_scale = 1.0,
                    .residual_scale = 1.0,
                    .logit_scale = 1.0,
                    .n_layers = 30,
                    .d_model = 576,
                    .d_ff = 1536,
                    .n_heads = 9,
                    .n_kv_heads = 3,
                    .head_dim = 64,
                    .vocab_size = 49152,
                    .context_length = 8192,
                    .tied_head = true};
    fr_stage_shape shape = {.arch = &arch,
                            .dtype = FR_BF16,
                            .n_layers = 30,
                            .max_position = ROWS + LENGTH,
                            .recompute = FR_RECOMPUTE_LAYER};
    int64_t bytes = fr_stage_weight_bytes(&shape) + fr_stage_head_bytes(&shape, ROWS) +
                    fr_stage_activation_bytes(&shape, ROWS, true) +
                    fr_stage_workspace_bytes(&shape, ROWS) +
                    fr_stage_gradient_bytes(&shape, 1, LENGTH);
    CU_ASSERT(bytes < 1300000000);
    shape.recompute = FR_RECOMPUTE_MLP;
    CU_ASSERT(fr_stage_activation_bytes(&shape, ROWS, true) > 1500000000);
}

/* Bytes that a device takes for the rows of matrices with these sides that lie nowhere as a whole. */
static int64_t reading_bytes(fr_isa isa, fr_dtype dtype, const int64_t (*sides)[2],
                             int n)
{
    fr_device *device = fr_test_device(isa, 1);
    for (int i = 0; i < n; i++) {
        float *row = fr_test_zeros(sides[i][1]);
        fr_matrix w = fr_matrix_of(row, dtype, sides[i][0], sides[i][1]);
        w.parts[0].head = 1; /* and a step of 0: all rows are this one */
        float *x = fr_test_zeros(w.n_in);
        float *y = fr_test_zeros(w.n_out);
        FR_ASSERT_OK(
            fr_linear(device, 1, fr_host_view(x), &w, fr_view_none(), fr_host_view(y)));
        FR_ASSERT_OK(
            fr_linear_back(device, 1, fr_host_view(y), &w, false, fr_host_view(x)));
        free(row);
        free(x);
        free(y);
    }
    int64_t bytes =
        fr_cpu_of(device)->scratch[FR_SCRATCH_ROWS].count * (int64_t)sizeof(float);
    fr_device_destroy(&device);
    return bytes;
}

/* Wide layers, whose slices are the rows of one block, and narrow ones beside a large vocabulary. */
static void rows_are_read_into_what_was_forecast(void)
{
    static const int64_t WIDTHS[] = {64, 2048};
    for (int i = 0; i < 8; i++) {
        fr_arch a = FR_FORECAST_ARCH;
        a.d_model = WIDTHS[i % 2];
        a.d_ff = 4 * a.d_model;
        a.vocab_size = 40000 / (i % 2 == 0 ? 1 : 16);
        const int64_t sides[][2] = {{fr_arch_qkv_width(&a), a.d_model},
                                    {a.d_model, fr_arch_q_width(&a)},
                                    {fr_arch_up_width(&a), a.d_model},
                                    {a.d_model, a.d_ff},
                                    {a.vocab_size, a.d_model}};
        fr_stage_shape shape = {.arch = &a,
                                .dtype = i / 2 % 2 == 0 ? FR_F32 : FR_BF16,
                                .first_layer = i / 4,
                                .n_layers = a.n_layers - 1};
        CU_ASSERT_EQUAL(fr_stage_reading_bytes(&shape), 0);
        shape.in_file = (const fr_weights *)&shape; /* only asked whether it is there */
        int64_t forecast = fr_stage_reading_bytes(&shape);
        for (int isa = FR_ISA_GENERIC; isa <= (int)fr_isa_detect(); isa++) {
            int64_t taken = reading_bytes((fr_isa)isa, shape.dtype, sides, 4 + i / 4);
            CU_ASSERT(taken <= forecast && 5 * taken >= 4 * forecast);
        }
    }
}

static const fr_case CASES[] = {
    FR_CASE(a_slot_is_what_the_formula_says),
    FR_CASE(weights_follow_the_shape),
    FR_CASE(a_real_stage_holds_what_was_forecast),
    FR_CASE(a_stage_of_any_description_holds_what_was_forecast),
    FR_CASE(a_long_row_of_a_real_model_fits),
    FR_CASE(rows_are_read_into_what_was_forecast),
};

int main(int argc, char **argv)
{
    return fr_suite_main("stage_bytes", CASES, FR_N_CASES(CASES), argc, argv);
}
