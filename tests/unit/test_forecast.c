/* Bytes, memory and time of layouts: by hand on small numbers, and against a real stage. */
#define _GNU_SOURCE /* mallinfo2 */
#include "base/mem.h"
#include "model/stage_bytes.h"
#include "support/rows.h"
#include "support/suite.h"
#include "support/tiny_model.h"
#include "train/forecast.h"
#include "train/load.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fr_arch ARCH = {.family = FR_LLAMA,
                             .n_layers = 8,
                             .d_model = 64,
                             .d_ff = 128,
                             .n_heads = 4,
                             .n_kv_heads = 2,
                             .head_dim = 16,
                             .vocab_size = 100,
                             .context_length = 64};

/* ---- bytes -------------------------------------------------------------------------------- */

static void bytes_follow_the_formulas(void)
{
    CU_ASSERT_EQUAL(fr_edge_bytes(&ARCH, 10), 10 * 64 * 4);
    CU_ASSERT_EQUAL(fr_reduction_bytes(&ARCH, 3, 5), 2 * 3 * 5 * 2 * 16 * 8);
    CU_ASSERT_EQUAL(fr_word_bytes(&ARCH, 4), (4 + 3 * 4 + 8) * 8);
    CU_ASSERT_EQUAL(fr_task_bytes(&ARCH, 3, 5), 3 * 5 * 2 * 16 * 56);
}

/* 2 layers, P 3, N 2 2 16 = 64, M 5, D 7: W2 64 5 and B2 64 a layer, E 3 7, W1 5 7, B1 5, three times and a gradient;
 * P0, prefix, best prefix and gradient 64 3 a layer each; scratch 5 3 5 and 2 3 64; sums 2 3 64 and 3 5. */
static void bytes_of_an_mlp_follow_its_shape(void)
{
    int64_t tensors = 2 * (64 * 5 + 64) + 3 * 7 + 5 * 7 + 5;
    int64_t prefix = 2 * 3 * 64;
    int64_t floats = 4 * tensors + 4 * prefix + 5 * 3 * 5 + 2 * 3 * 64;
    CU_ASSERT_EQUAL(fr_mlp_task_bytes(&ARCH, 2, 3, 5, 7),
                    4 * floats + 8 * (prefix + 3 * 5));
}

/* ---- time --------------------------------------------------------------------------------- */

static const int64_t EVEN[] = {0, 2, 4, 6, 8};

/* Four even stages, rows without targets, ranks of 1 FLOP/s and links that take no time. */
static fr_forecast_params even_stages(const fr_task_load *tasks, int64_t n_tasks)
{
    return (fr_forecast_params){.arch = &ARCH,
                                .n_stages = 4,
                                .n_replicas = 1,
                                .bounds = EVEN,
                                .warmup_depth = 1,
                                .max_position = 32,
                                .n_tasks = n_tasks,
                                .tasks = tasks,
                                .machine = {.flops = 1.0, .link_bytes = 1e300}};
}

static fr_task_load load_of(int64_t n_microbatches)
{
    double rows = 10.0 * (double)n_microbatches;
    return (fr_task_load){.length = 6,
                          .step_rows = rows,
                          .useful_tokens = rows,
                          .replica_rows = rows,
                          .n_microbatches = n_microbatches,
                          .most_rows = 10,
                          .most_units = 1,
                          .unit_rows = 10.0};
}

/* 2 FLOP a weight: 64 (64 + 2 32 + 64 + 3 128) in a layer; 4 64 a key, 6 + 5 keys a row; 2 layers; backward 2.5
 * times the keys; the last stage 2 64 100 a row with a target. */
static void a_pass_takes_its_flop(void)
{
    fr_task_load load = load_of(3);
    fr_forecast_params p = even_stages(&load, 1);
    double weights = 64.0 * (64 + 64 + 64 + 384);
    CU_ASSERT_DOUBLE_EQUAL(fr_pass_seconds(&p, 1, true, 10.0, 4.0),
                           10.0 * 2.0 * (2.0 * weights + 4.0 * 64.0 * 11.0), 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(fr_pass_seconds(&p, 0, false, 10.0, 4.0),
                           10.0 * 2.0 * (2.0 * weights + 10.0 * 64.0 * 11.0), 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(fr_pass_seconds(&p, 3, true, 10.0, 4.0) -
                               fr_pass_seconds(&p, 2, true, 10.0, 4.0),
                           2.0 * 4.0 * 64.0 * 100.0, 1e-6);
}

static void one_task_takes_the_formulas_time(void)
{
    static const int64_t COUNTS[] = {1, 3, 16, 17, 1000};
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        fr_task_load load = load_of(COUNTS[i]);
        fr_forecast_params p = even_stages(&load, 1);
        fr_forecast f;
        FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
        double pass = fr_pass_seconds(&p, 0, true, 10.0, 0.0) +
                      fr_pass_seconds(&p, 0, false, 10.0, 0.0);
        double round = (double)(COUNTS[i] + 3) * pass;
        CU_ASSERT_DOUBLE_EQUAL(f.round_seconds / round, 1.0, 1e-9);
        CU_ASSERT_DOUBLE_EQUAL(f.bubble, 3.0 / (double)(COUNTS[i] + 3), 1e-9);
        CU_ASSERT_DOUBLE_EQUAL(f.bubble, f.bubble_formula, 1e-9);
        CU_ASSERT_DOUBLE_EQUAL(f.tokens_per_second * round, load.useful_tokens, 1e-6);
        CU_ASSERT_DOUBLE_EQUAL(f.balance, 1.0, 1e-9);
        fr_forecast_fini(&f);
    }
}

static void two_tasks_fill_each_others_bubble(void)
{
    static const int64_t COUNTS[] = {3, 8, 100};
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        fr_task_load loads[] = {load_of(COUNTS[i]), load_of(COUNTS[i])};
        fr_forecast_params p = even_stages(loads, 2);
        fr_forecast f;
        FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
        CU_ASSERT(fabs(f.bubble) < 1e-9);
        CU_ASSERT(f.bubble_formula < 1e-9);
        fr_forecast_fini(&f);
    }
}

/* Links slower than computing: a round is at least as long as its rows take. 10 rows are 2560 bytes. */
static void slow_links_bound_the_round(void)
{
    fr_task_load loads[] = {load_of(8), load_of(8)};
    fr_forecast_params p = even_stages(loads, 2);
    fr_forecast f;
    double pass = fr_pass_seconds(&p, 0, true, 10.0, 0.0);
    p.machine.link_bytes = 2560.0 / (3.0 * pass);
    p.machine.link_seconds = pass;
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    CU_ASSERT_EQUAL(f.message_bytes, 2560);
    CU_ASSERT_EQUAL(f.edge_bytes, 16 * 2560);
    CU_ASSERT_DOUBLE_EQUAL(f.message_seconds / pass, 4.0, 1e-9);
    CU_ASSERT(!f.link_hides);
    CU_ASSERT(f.round_seconds >= 16.0 * 3.0 * pass * (1.0 - 1e-9));
    fr_forecast_fini(&f);
    p.machine.link_bytes = 1e300;
    p.machine.link_seconds = 0.0;
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    CU_ASSERT(f.link_hides && !f.link_bound);
    fr_forecast_fini(&f);
}

/* With more in flight latency hides and only the bandwidth is left: 16 messages of 100 passes. */
static void the_bandwidth_bounds_a_deep_warm_up(void)
{
    fr_task_load loads[] = {load_of(8), load_of(8)};
    fr_forecast_params p = even_stages(loads, 2);
    fr_forecast f;
    double pass = fr_pass_seconds(&p, 0, true, 10.0, 0.0);
    p.warmup_depth = 2;
    p.machine.link_bytes = 2560.0 / (100.0 * pass);
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    CU_ASSERT(f.link_bound);
    CU_ASSERT_DOUBLE_EQUAL(f.round_seconds / pass, 1600.0, 1e-6);
    fr_forecast_fini(&f);
}

/* The sum of 2 2 6 32 numbers over 4 replicas travels 2 3/4 times and passes 2 log2 4 latencies; the word goes over
 * 16 ranks. */
static void the_reduction_is_in_the_step(void)
{
    fr_task_load load = load_of(2);
    fr_forecast_params p = even_stages(&load, 1);
    fr_forecast f;
    p.n_replicas = 4;
    p.machine.link_bytes = 1000.0;
    p.machine.link_seconds = 0.5;
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    double bytes = 2.0 * 2 * 6 * 32 * 8;
    double word = (4 + 3 * 4 + 8) * 8.0;
    CU_ASSERT_DOUBLE_EQUAL(f.update_seconds,
                           2.0 * bytes * 0.75 / 1000.0 + 4 * 0.5 +
                               2.0 * word * 15.0 / 16.0 / 1000.0 + 8 * 0.5,
                           1e-9);
    CU_ASSERT_EQUAL(f.stages[1].reduction_bytes, (int64_t)bytes);
    fr_forecast_fini(&f);
}

static const fr_arch LARGE = {.family = FR_LLAMA,
                              .n_layers = 80,
                              .d_model = 8192,
                              .d_ff = 28672,
                              .n_heads = 64,
                              .n_kv_heads = 8,
                              .head_dim = 128,
                              .vocab_size = 128256,
                              .context_length = 8192};

/* However large the step, one replica and some microbatches are played. */
static void what_is_simulated_is_bounded(void)
{
    int64_t bounds[65];
    fr_task_load load = load_of(1000000);
    for (int i = 0; i <= 64; i++) {
        bounds[i] = i < 17 ? 2 * i : i + 16;
    }
    fr_forecast_params p = even_stages(&load, 1);
    p.arch = &LARGE;
    p.n_stages = 64;
    p.n_replicas = 16;
    p.bounds = bounds;
    fr_forecast f;
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    CU_ASSERT_EQUAL(f.n_simulated, 2 * 6 * 64 * (4 * 64));
    CU_ASSERT(f.round_seconds > 0.0);
    fr_forecast_fini(&f);
}

/* ---- memory ------------------------------------------------------------------------------- */

static void caps_and_kinds_add_up(void)
{
    fr_task_load loads[] = {load_of(4), load_of(4)};
    fr_forecast_params p = even_stages(loads, 2);
    fr_forecast f;
    loads[1].most_rows = 20;
    loads[1].length = 9;
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    for (int i = 0; i < 4; i++) {
        const fr_rank_memory *m = &f.stages[i].memory;
        fr_stage_shape shape = {.arch = &ARCH,
                                .dtype = FR_F32,
                                .first_layer = 2 * i,
                                .n_layers = 2,
                                .max_position = 32};
        int64_t slot = fr_stage_slot_bytes(&shape, 20, true);
        CU_ASSERT_EQUAL(f.stages[i].cap, 4 - i);
        int64_t message = fr_edge_bytes(&ARCH, 20);
        int64_t ahead = i > 0 ? message : 0;
        CU_ASSERT_EQUAL(m->activations + m->edges, (4 - i) * slot + ahead);
        CU_ASSERT_EQUAL(m->edges, (4 - i) * 2 * message + ahead);
        CU_ASSERT_EQUAL(m->tasks,
                        fr_task_bytes(&ARCH, 2, 6) + fr_task_bytes(&ARCH, 2, 9));
        CU_ASSERT_EQUAL(m->total, m->weights + m->activations + m->edges + m->forward +
                                      m->workspace + m->head + m->tasks + m->process);
        CU_ASSERT_EQUAL(m->head > 0, i == 3);
    }
    CU_ASSERT_EQUAL(f.largest, 0);
    fr_forecast_fini(&f);
}

/* A slot keeps 8D + (Q + KV + KV + U) kept bytes + 4H + 16 a token and layer, and two more rows. */
static void a_slot_is_what_the_formula_says(void)
{
    enum { TOKENS = 64, LAYERS = 3 };
    fr_stage_shape shape = {.arch = &ARCH, .dtype = FR_BF16, .n_layers = LAYERS};
    int64_t layer = 8 * 64 + 2 * (64 + 64 + 64 + 256) + 4 * 4 + 16;
    CU_ASSERT_EQUAL(fr_stage_slot_bytes(&shape, TOKENS, true),
                    TOKENS * (LAYERS * layer + 2 * 4 * 64));
    shape.dtype = FR_F32;
    layer += 2 * (64 + 64 + 64 + 256);
    CU_ASSERT_EQUAL(fr_stage_slot_bytes(&shape, TOKENS, true),
                    TOKENS * (LAYERS * layer + 2 * 4 * 64));
}

static int64_t weight_bytes(const fr_arch *arch, fr_dtype dtype, int64_t first,
                            int64_t n)
{
    fr_stage_shape shape = {arch, dtype, first, n, 20};
    return fr_stage_weight_bytes(&shape);
}

/* GPT-2: D 8, Q 8, W 24, F 16; a layer has 8 (24 + 8 + 16 + 16) matrix elements and vectors of 4 8 for norms,
 * 24 + 8 for attention, 16 + 8 for the MLP. Llama: KV 4, W 16, gate and up 32, two norms, RoPE of 20 4. */
static void weights_follow_the_shape(void)
{
    fr_arch a = {.family = FR_GPT2,
                 .n_layers = 3,
                 .d_model = 8,
                 .d_ff = 16,
                 .n_heads = 2,
                 .n_kv_heads = 2,
                 .head_dim = 4,
                 .vocab_size = 10,
                 .context_length = 12,
                 .attention_bias = true,
                 .mlp_bias = true,
                 .tied_head = true};
    int64_t layer = 2 * 8 * 64 + 4 * (32 + 32 + 24);
    CU_ASSERT_EQUAL(weight_bytes(&a, FR_BF16, 1, 1), layer);
    CU_ASSERT_EQUAL(weight_bytes(&a, FR_BF16, 0, 2),
                    2 * layer + 2 * 10 * 8 + 4 * 12 * 8);
    CU_ASSERT_EQUAL(weight_bytes(&a, FR_BF16, 2, 1), layer + 2 * 10 * 8 + 4 * 16);
    CU_ASSERT_EQUAL(weight_bytes(&a, FR_BF16, 0, 3),
                    3 * layer + 2 * 10 * 8 + 4 * (12 * 8 + 16));
    a.family = FR_LLAMA;
    a.n_kv_heads = 1;
    a.attention_bias = a.mlp_bias = a.tied_head = false;
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

static void check_stage(const fr_tiny *tiny, fr_dtype dtype, int64_t first, int64_t n)
{
    enum { ROWS = 11, LENGTH = 3, POSITIONS = 48 };
    fr_ctx *ctx = fr_test_ctx();
    fr_stage_shape shape = {tiny->arch, dtype, first, n, POSITIONS};
    fr_stage_params params = {tiny->weights, tiny->device, dtype, first, n, POSITIONS};
    fr_stage *stage = NULL;
    fr_slot *slot = NULL;
    int64_t before = allocated();
    FR_ASSERT_OK(fr_stage_create(ctx, &params, &stage));
    int64_t created = allocated();
    check_near("weights and head", created - before,
               fr_stage_weight_bytes(&shape) + fr_stage_head_bytes(&shape),
               14 * n + 16);
    FR_ASSERT_OK(fr_slot_create(stage, true, &slot));
    FR_ASSERT_OK(fr_slot_prepare(stage, slot, &tiny->batch, &(fr_stage_prefix){0}));
    check_near("slot and workspace", allocated() - created,
               fr_stage_slot_bytes(&shape, tiny->batch.n_tokens, true) +
                   fr_stage_workspace_bytes(&shape, tiny->batch.n_tokens),
               8 + 12 * n);
    for (int keep = 0; keep < 2; keep++) {
        CU_ASSERT_EQUAL(fr_stage_slot_bytes(&shape, ROWS, keep != 0) +
                            fr_stage_workspace_bytes(&shape, ROWS),
                        fr_slot_bytes(stage, ROWS, keep != 0));
    }
    fr_slot_destroy(&slot);
    fr_stage_destroy(&stage);
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
            check_stage(&tiny, TYPES[t], 0, n);
            check_stage(&tiny, TYPES[t], 0, 1);
            check_stage(&tiny, TYPES[t], n - 1, 1);
        }
        fr_tiny_close(&tiny);
    }
}

/* ---- loads -------------------------------------------------------------------------------- */

static fr_task_config batch_of(int64_t examples, int64_t microbatch_tokens)
{
    fr_task_config task = {.name = NULL};
    task.batch.examples = examples;
    task.batch.microbatch_tokens = microbatch_tokens;
    return task;
}

/* 10 examples of 8 rows, 3 to a microbatch: 4 microbatches; on 3 replicas the busiest has 2 of them. */
static void loads_of_numbers_are_packed(void)
{
    fr_load_source source;
    fr_task_load load;
    fr_task_config task = batch_of(10, 30);
    fr_load_from_numbers(5, 8, 0.25, &source);
    FR_ASSERT_OK(fr_load_of_task(fr_test_ctx(), &task, 1, &source, 3, &load));
    CU_ASSERT_EQUAL(load.n_microbatches, 2);
    CU_ASSERT_EQUAL(load.most_units, 3);
    CU_ASSERT_EQUAL(load.most_rows, 24);
    CU_ASSERT_DOUBLE_EQUAL(load.step_rows, 80.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(load.replica_rows, 40.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(load.counted_tokens, 20.0, 1e-9);
    FR_ASSERT_OK(fr_load_of_task(fr_test_ctx(), &task, 1, &source, 10, &load));
    CU_ASSERT_EQUAL(load.n_microbatches, 1);
    CU_ASSERT_EQUAL(load.most_units, 1);
    CU_ASSERT_EQUAL(fr_load_max_position(&source, 1), 13);
    CU_ASSERT_DOUBLE_EQUAL(fr_load_target_share(&source, 1), 0.25, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(fr_load_target_share(NULL, 0), 1.0, 0.0);
}

/* Rows of 3 + 2 tokens: 4 rows each, of which 2 are predictions. */
static void loads_of_equal_rows_agree_with_numbers(void)
{
    char text[40 * 64] = "";
    for (int i = 0; i < 40; i++) {
        (void)strcat(text, "{\"source_ids\":[1,2,3],\"target_ids\":[4,5]}\n");
    }
    fr_data_params params = fr_test_id_params(fr_test_rows(text));
    fr_dataset *rows = NULL;
    fr_load_source sources[2];
    fr_task_load loads[2];
    fr_task_config task = batch_of(10, 13);
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &rows));
    fr_load_from_rows(rows, 5, &sources[0]);
    fr_load_from_numbers(5, 4, 0.5, &sources[1]);
    CU_ASSERT_EQUAL(sources[0].n_examples, 40);
    CU_ASSERT_EQUAL(sources[0].longest, 5);
    for (int i = 0; i < 2; i++) {
        FR_ASSERT_OK(
            fr_load_of_task(fr_test_ctx(), &task, 1, &sources[i], 2, &loads[i]));
    }
    CU_ASSERT_EQUAL(loads[0].n_microbatches, loads[1].n_microbatches);
    CU_ASSERT_EQUAL(loads[0].most_rows, loads[1].most_rows);
    CU_ASSERT_DOUBLE_EQUAL(loads[0].step_rows, loads[1].step_rows, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(loads[0].counted_tokens, loads[1].counted_tokens, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(loads[0].unit_rows, 4.0, 1e-9);
    fr_dataset_close(&rows);
}

/* A look at the first lines gives what the whole file gives, or `plan` and `train` would choose differently. */
static void a_sample_gives_the_load_of_the_whole_file(void)
{
    enum { LINES = FR_LOAD_LINES + 500, LINE = 96 };
    char *text = calloc(LINES, LINE);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    size_t at = 0;
    for (int i = 0; i < LINES; i++) {
        const char *more = i % 7 == 0 ? "1,2,3,4,5,6,7,8,9," : "";
        const char *end = i % 100 == 0 ? "\n\n" : "\n"; /* blank lines */
        at += (size_t)snprintf(text + at, LINE,
                               "{\"source_ids\":[%s%d],\"target_ids\":[4,5]}%s", more,
                               i % 50, end);
    }
    fr_data_params params = fr_test_id_params(fr_test_rows(text));
    fr_task_load loads[2];
    for (int i = 0; i < 2; i++) {
        fr_dataset *rows = NULL;
        fr_load_source source;
        fr_task_config task = batch_of(16, 40);
        params.sample = i == 1;
        params.max_rows = i == 1 ? FR_LOAD_LINES : 0;
        FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &rows));
        CU_ASSERT_EQUAL(fr_dataset_stats(rows)->n_rows, i == 1 ? FR_LOAD_LINES : LINES);
        fr_load_from_rows(rows, 5, &source);
        CU_ASSERT(source.n_examples < FR_LOAD_LINES);
        memset(&loads[i], 0, sizeof loads[i]);
        FR_ASSERT_OK(fr_load_of_task(fr_test_ctx(), &task, 1, &source, 3, &loads[i]));
        fr_dataset_close(&rows);
    }
    fr_assert_same_bytes("loads", &loads[1], &loads[0], sizeof loads[0]);
    free(text);
}

static const fr_case CASES[] = {
    FR_CASE(bytes_follow_the_formulas),
    FR_CASE(bytes_of_an_mlp_follow_its_shape),
    FR_CASE(a_pass_takes_its_flop),
    FR_CASE(one_task_takes_the_formulas_time),
    FR_CASE(two_tasks_fill_each_others_bubble),
    FR_CASE(slow_links_bound_the_round),
    FR_CASE(the_bandwidth_bounds_a_deep_warm_up),
    FR_CASE(the_reduction_is_in_the_step),
    FR_CASE(what_is_simulated_is_bounded),
    FR_CASE(caps_and_kinds_add_up),
    FR_CASE(a_slot_is_what_the_formula_says),
    FR_CASE(weights_follow_the_shape),
    FR_CASE(a_real_stage_holds_what_was_forecast),
    FR_CASE(loads_of_numbers_are_packed),
    FR_CASE(loads_of_equal_rows_agree_with_numbers),
    FR_CASE(a_sample_gives_the_load_of_the_whole_file),
};

int main(int argc, char **argv)
{
    return fr_suite_main("forecast", CASES, FR_N_CASES(CASES), argc, argv);
}
