/* Bytes, memory and time of layouts, by hand on small numbers. */
#include "base/mem.h"
#include "comm/link.h"
#include "model/network/stage_bytes.h"
#include "support/forecast_case.h"
#include "support/suite.h"
#include "train/forecast/forecast.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bytes -------------------------------------------------------------------------------- */

static void bytes_follow_the_formulas(void)
{
    CU_ASSERT_EQUAL(fr_edge_bytes(&FR_FORECAST_ARCH, 10), 10 * 64 * 4);
    CU_ASSERT_EQUAL(fr_reduction_bytes(&FR_FORECAST_ARCH, 3, 5),
                    2 * 3 * 5 * 2 * 16 * 8);
    CU_ASSERT_EQUAL(fr_step_summary_bytes(&FR_FORECAST_ARCH, 4), (4 + 3 * 4 + 8) * 8);
    CU_ASSERT_EQUAL(fr_task_bytes(&FR_FORECAST_ARCH, 3, 5), 3 * 5 * 2 * 16 * 56);
}

/* 2 layers, P 3, N 2 2 16 = 64, M 5, D 7: W2 64 5 and B2 64 a layer, E 3 7, W1 5 7, B1 5, three times and a gradient;
 * P0, prefix, best prefix and gradient 64 3 a layer each; scratch 5 3 5 and 2 3 64; sums 2 3 64 and 3 5. */
static void bytes_of_an_mlp_follow_its_shape(void)
{
    int64_t tensors = 2 * (64 * 5 + 64) + 3 * 7 + 5 * 7 + 5;
    int64_t prefix = 2 * 3 * 64;
    int64_t floats = 4 * tensors + 4 * prefix + 5 * 3 * 5 + 2 * 3 * 64;
    CU_ASSERT_EQUAL(fr_mlp_task_bytes(&FR_FORECAST_ARCH, 2, 3, 5, 7),
                    4 * floats + 8 * (prefix + 3 * 5));
}

/* ---- time --------------------------------------------------------------------------------- */

/* 2 FLOP a weight: 64 (64 + 2 32 + 64 + 3 128) in a layer; 4 64 a key, 6 + 5 keys a row; 2 layers; backward 2.5
 * times the keys; the last stage 2 64 100 a row with a target. */
static void a_pass_takes_its_flop(void)
{
    fr_task_workload load = fr_forecast_load(3);
    fr_forecast_params p = fr_forecast_even_stages(&load, 1);
    double weights = 64.0 * (64 + 64 + 64 + 384);
    CU_ASSERT_DOUBLE_EQUAL(fr_pass_seconds(&p, 1, true, 10.0, 4.0),
                           10.0 * 2.0 * (2.0 * weights + 4.0 * 64.0 * 11.0), 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(fr_pass_seconds(&p, 0, false, 10.0, 4.0),
                           10.0 * 2.0 * (2.0 * weights + 10.0 * 64.0 * 11.0), 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(fr_pass_seconds(&p, 3, true, 10.0, 4.0) -
                               fr_pass_seconds(&p, 2, true, 10.0, 4.0),
                           2.0 * 4.0 * 64.0 * 100.0, 1e-6);
}

/* Only backward passes compute again: what is no longer kept. */
static void recomputing_takes_its_flop(void)
{
    fr_task_workload load = fr_forecast_load(3);
    fr_forecast_params p = fr_forecast_even_stages(&load, 1);
    double forward = fr_pass_seconds(&p, 1, true, 10.0, 0.0);
    double backward = fr_pass_seconds(&p, 1, false, 10.0, 0.0);
    p.recompute = FR_RECOMPUTE_MLP;
    CU_ASSERT_DOUBLE_EQUAL(fr_pass_seconds(&p, 1, true, 10.0, 0.0), forward, 0.0);
    CU_ASSERT_DOUBLE_EQUAL(fr_pass_seconds(&p, 1, false, 10.0, 0.0) - backward,
                           10.0 * 2.0 * 2.0 * 64.0 * 256.0, 1e-6);
    p.recompute = FR_RECOMPUTE_LAYER;
    CU_ASSERT_DOUBLE_EQUAL(fr_pass_seconds(&p, 1, false, 10.0, 0.0) - backward,
                           forward - 10.0 * 2.0 * 2.0 * 64.0 * 128.0, 1e-6);
}

/* The first of each stage's two layers has a window of 3 of the 5 keys that a row sees. */
static void a_window_bounds_a_rows_keys(void)
{
    fr_task_workload load = fr_forecast_load(3);
    fr_forecast_params p = fr_forecast_even_stages(&load, 1);
    fr_arch arch = *p.arch;
    double all = fr_pass_seconds(&p, 1, true, 10.0, 0.0);
    double back = fr_pass_seconds(&p, 1, false, 10.0, 0.0);
    arch.window = 3;
    arch.layers[2] = FR_LAYER_WINDOW;
    p.arch = &arch;
    CU_ASSERT_DOUBLE_EQUAL(all - fr_pass_seconds(&p, 1, true, 10.0, 0.0),
                           10.0 * 4.0 * 64.0 * 2.0, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(back - fr_pass_seconds(&p, 1, false, 10.0, 0.0),
                           10.0 * 10.0 * 64.0 * 2.0, 1e-6);
    arch.window = 6;
    CU_ASSERT_DOUBLE_EQUAL(fr_pass_seconds(&p, 1, true, 10.0, 0.0), all, 1e-6);
}

/* With a norm behind it, the down projection is computed again; parallel halves leave o out. */
static void a_layer_repeats_what_its_norms_ask_for(void)
{
    fr_task_workload load = fr_forecast_load(3);
    fr_forecast_params p = fr_forecast_even_stages(&load, 1);
    fr_arch arch = *p.arch;
    p.arch = &arch;
    p.recompute = FR_RECOMPUTE_LAYER;
    double plain = fr_pass_seconds(&p, 1, false, 10.0, 0.0);
    arch.mlp_post_norm = true;
    CU_ASSERT_DOUBLE_EQUAL(fr_pass_seconds(&p, 1, false, 10.0, 0.0) - plain,
                           10.0 * 2.0 * 2.0 * 64.0 * 128.0, 1e-6);
    arch.mlp_post_norm = false;
    arch.parallel = true;
    CU_ASSERT_DOUBLE_EQUAL(plain - fr_pass_seconds(&p, 1, false, 10.0, 0.0),
                           10.0 * 2.0 * 2.0 * 64.0 * 64.0, 1e-6);
    arch.attn_post_norm = true;
    CU_ASSERT_DOUBLE_EQUAL(fr_pass_seconds(&p, 1, false, 10.0, 0.0), plain, 1e-6);
}

static void one_task_takes_the_formulas_time(void)
{
    static const int64_t COUNTS[] = {1, 3, 16, 17, 1000};
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        fr_task_workload load = fr_forecast_load(COUNTS[i]);
        fr_forecast_params p = fr_forecast_even_stages(&load, 1);
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
        fr_task_workload loads[] = {fr_forecast_load(COUNTS[i]),
                                    fr_forecast_load(COUNTS[i])};
        fr_forecast_params p = fr_forecast_even_stages(loads, 2);
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
    fr_task_workload loads[] = {fr_forecast_load(8), fr_forecast_load(8)};
    fr_forecast_params p = fr_forecast_even_stages(loads, 2);
    fr_forecast f;
    double pass = fr_pass_seconds(&p, 0, true, 10.0, 0.0);
    p.machine.between.bytes = 2560.0 / (3.0 * pass);
    p.machine.between.seconds = pass;
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    CU_ASSERT_EQUAL(f.message_bytes, 2560);
    CU_ASSERT_EQUAL(f.edge_bytes, 16 * 2560);
    CU_ASSERT_DOUBLE_EQUAL(f.message_seconds / pass, 4.0, 1e-9);
    CU_ASSERT(!f.link_hides);
    CU_ASSERT(f.round_seconds >= 16.0 * 3.0 * pass * (1.0 - 1e-9));
    fr_forecast_fini(&f);
    p.machine.between.bytes = 1e300;
    p.machine.between.seconds = 0.0;
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    CU_ASSERT(f.link_hides && !f.link_bound);
    fr_forecast_fini(&f);
}

/* With more in flight latency hides and only the bandwidth is left: 16 messages of 100 passes. */
static void the_bandwidth_bounds_a_deep_warm_up(void)
{
    fr_task_workload loads[] = {fr_forecast_load(8), fr_forecast_load(8)};
    fr_forecast_params p = fr_forecast_even_stages(loads, 2);
    fr_forecast f;
    double pass = fr_pass_seconds(&p, 0, true, 10.0, 0.0);
    p.warmup_depth = 2;
    p.machine.between.bytes = 2560.0 / (100.0 * pass);
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    CU_ASSERT(f.link_bound);
    CU_ASSERT_DOUBLE_EQUAL(f.round_seconds / pass, 1600.0, 1e-6);
    fr_forecast_fini(&f);
}

/* The sum of 2 2 6 32 numbers over 4 replicas travels 2 3/4 times and passes 2 log2 4 latencies; the word goes over
 * 16 ranks. */
static void the_reduction_is_in_the_step(void)
{
    fr_task_workload load = fr_forecast_load(2);
    fr_forecast_params p = fr_forecast_even_stages(&load, 1);
    fr_forecast f;
    p.n_replicas = 4;
    p.machine.between.bytes = 1000.0;
    p.machine.between.seconds = 0.5;
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

static const fr_arch LARGE = {.family = "llama",
                              .attn_norm = true,
                              .mlp_norm = true,
                              .gated = true,
                              .embedding_scale = 1.0,
                              .residual_scale = 1.0,
                              .logit_scale = 1.0,
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
    fr_task_workload load = fr_forecast_load(1000000);
    for (int i = 0; i <= 64; i++) {
        bounds[i] = i < 17 ? 2 * i : i + 16;
    }
    fr_forecast_params p = fr_forecast_even_stages(&load, 1);
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
    fr_task_workload loads[] = {fr_forecast_load(4), fr_forecast_load(4)};
    fr_forecast_params p = fr_forecast_even_stages(loads, 2);
    fr_forecast f;
    loads[1].max_rows = 20;
    loads[1].length = 9;
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    for (int i = 0; i < 4; i++) {
        const fr_rank_memory *m = &f.stages[i].memory;
        fr_stage_shape shape = {.arch = &FR_FORECAST_ARCH,
                                .dtype = FR_F32,
                                .first_layer = 2 * i,
                                .n_layers = 2,
                                .max_position = 32};
        int64_t slot = fr_stage_activation_bytes(&shape, 20, true);
        CU_ASSERT_EQUAL(f.stages[i].max_in_flight, 4 - i);
        int64_t message = fr_edge_bytes(&FR_FORECAST_ARCH, 20);
        int64_t ahead = i > 0 ? message : 0;
        CU_ASSERT_EQUAL(m->activations + m->edges, (4 - i) * slot + ahead);
        CU_ASSERT_EQUAL(m->edges, (4 - i) * 2 * message + ahead);
        CU_ASSERT_EQUAL(m->forward,
                        (i < 3 ? 2 : 1) * fr_stage_activation_bytes(&shape, 20, false));
        CU_ASSERT_EQUAL(m->tasks, fr_task_bytes(&FR_FORECAST_ARCH, 2, 6) +
                                      fr_task_bytes(&FR_FORECAST_ARCH, 2, 9));
        CU_ASSERT_EQUAL(m->total, m->weights + m->activations + m->edges + m->forward +
                                      m->workspace + m->head + m->tasks + m->process);
        CU_ASSERT_EQUAL(m->head > 0, i == 3);
    }
    CU_ASSERT_EQUAL(f.largest, 0);
    fr_forecast_fini(&f);
}

/* Of S stages, N ranks in a row hold each at least N / S times; one copy of the matrices serves those of a node. */
static void replicas_on_a_node_share_their_weights(void)
{
    static const struct {
        int64_t node_ranks;
        int64_t sharers;
    } SHARED[] = {{0, 1}, {1, 1}, {4, 1}, {7, 1}, {8, 2}, {12, 3}, {100, 3}};
    fr_task_workload load = fr_forecast_load(1);
    fr_forecast_params p = fr_forecast_even_stages(&load, 1);
    fr_stage_shape shape = {.arch = p.arch, .n_layers = 2, .max_position = 32};
    int64_t matrices = fr_stage_matrix_bytes(&shape);
    int64_t own = fr_stage_weight_bytes(&shape) - matrices;
    fr_rank_memory alone;
    CU_ASSERT_TRUE(own > 0 && matrices > own);
    p.n_replicas = 3;
    fr_forecast_memory(&p, 0, &alone);
    for (size_t i = 0; i < sizeof SHARED / sizeof SHARED[0]; i++) {
        fr_rank_memory memory;
        p.node_ranks = SHARED[i].node_ranks;
        fr_forecast_memory(&p, 0, &memory);
        CU_ASSERT_EQUAL(memory.weights,
                        own + (matrices + SHARED[i].sharers - 1) / SHARED[i].sharers);
        CU_ASSERT_EQUAL(alone.total - memory.total, alone.weights - memory.weights);
    }
}

/* Scratch of a device that shows what it is asked for. */
static int64_t rows_and_predictions(const fr_scratch_shape *shape)
{
    return shape->n_tokens * 1000 + shape->n_units * 100 + shape->n_targets;
}

/* A library for products has memory on every rank, one for sums where there are replicas; slack is of neither. */
static void libraries_have_memory_of_a_device_apart(void)
{
    enum { MIB = 1 << 20 };
    fr_task_workload load = fr_forecast_load(4);
    fr_forecast_params p = fr_forecast_even_stages(&load, 1);
    fr_rank_memory none;
    fr_rank_memory m;
    p.device_is_apart = true;
    fr_forecast_memory(&p, 0, &none);
    p.products = FR_SCRATCH_CUDA_PRODUCTS;
    p.sums_by_library = true;
    fr_forecast_memory(&p, 0, &m);
    CU_ASSERT_EQUAL(m.products, 64 * MIB);
    CU_ASSERT_EQUAL(m.sums, 0);
    CU_ASSERT_EQUAL(m.device, none.device + 64 * MIB);
    p.n_replicas = 2;
    fr_forecast_memory(&p, 0, &m);
    CU_ASSERT_EQUAL(m.sums, 640 * MIB);
    CU_ASSERT_EQUAL(m.device, none.device + (64 + 640) * MIB);
    CU_ASSERT_EQUAL(m.slack, none.slack);
    p.sums_by_library = false;
    fr_forecast_memory(&p, 0, &m);
    CU_ASSERT_EQUAL(m.device, none.device + 64 * MIB);
    p.sums_by_library = true;
    p.device_is_apart = false;
    fr_forecast_memory(&p, 0, &m);
    CU_ASSERT_EQUAL(m.products + m.sums + m.device, 0);
}

/* What a device with memory of its own has is no longer the host's, but for what goes through it. */
static void a_device_apart_has_memory_of_its_own(void)
{
    fr_task_workload loads[] = {fr_forecast_load(4), fr_forecast_load(2)};
    fr_forecast_params p = fr_forecast_even_stages(loads, 2);
    p.n_replicas = 3;
    p.node_ranks = 12;
    int64_t n = 2 * fr_arch_prefix_elements(&FR_FORECAST_ARCH, 6);
    int64_t images = 2 * 2 * n * (4 + 8); /* two tasks, K and V, a prefix and its sum */
    for (int i = 0; i < 4; i++) {
        fr_rank_memory one;
        fr_rank_memory apart;
        p.device_is_apart = false;
        fr_forecast_memory(&p, i, &one);
        CU_ASSERT_EQUAL(one.images + one.copies + one.loading + one.device, 0);
        p.device_is_apart = true;
        fr_forecast_memory(&p, i, &apart);
        fr_stage_shape shape = {.arch = &FR_FORECAST_ARCH,
                                .first_layer = 2 * i,
                                .n_layers = 2,
                                .max_position = 32};
        CU_ASSERT_EQUAL(apart.weights, fr_stage_weight_bytes(&shape));
        CU_ASSERT_EQUAL(apart.loading, (fr_stage_matrix_bytes(&shape) + 2) / 3);
        CU_ASSERT_EQUAL(apart.images, images);
        /* up and down to each neighbour, and the sums */
        CU_ASSERT_EQUAL(apart.copies, images + (i == 0 || i == 3 ? 3 : 5) * 2 *
                                                   (int64_t)FR_LINK_PIECE_BYTES);
        int64_t parts = apart.weights + apart.activations + apart.edges +
                        apart.forward + apart.workspace + apart.head + apart.images;
        CU_ASSERT_EQUAL(apart.scratch, 0);
        CU_ASSERT_EQUAL(apart.slack, parts / 64);
        CU_ASSERT_EQUAL(apart.products + apart.sums, 0);
        CU_ASSERT_EQUAL(apart.device, parts + apart.slack);
        CU_ASSERT_EQUAL(apart.activations, one.activations);
        p.scratch = rows_and_predictions;
        fr_forecast_memory(&p, i, &one);
        p.scratch = NULL;
        /* of the larger microbatch; a target of n tokens takes n - 1 rows */
        CU_ASSERT_EQUAL(one.scratch, loads[0].max_rows * (i < 3 ? 1000 : 1002) +
                                         loads[0].max_units * 100);
        CU_ASSERT_EQUAL(one.workspace, apart.workspace);
        CU_ASSERT_EQUAL(one.device, parts + one.scratch + one.slack);
        CU_ASSERT_EQUAL(one.slack, (parts + one.scratch) / 64);
        CU_ASSERT_EQUAL(apart.total, apart.process + apart.tasks + apart.copies);
    }
    /* matrices wait in the host's memory for their way: here they are more than what comes after */
    p.node_ranks = 0;
    fr_arch large = FR_FORECAST_ARCH;
    fr_rank_memory memory;
    large.vocab_size = 1 << 20;
    p.arch = &large;
    fr_forecast_memory(&p, 0, &memory);
    CU_ASSERT_TRUE(memory.loading > memory.tasks + memory.copies);
    CU_ASSERT_EQUAL(memory.total, memory.process + memory.loading);
}

static const fr_case CASES[] = {
    FR_CASE(a_device_apart_has_memory_of_its_own),
    FR_CASE(libraries_have_memory_of_a_device_apart),
    FR_CASE(bytes_follow_the_formulas),
    FR_CASE(bytes_of_an_mlp_follow_its_shape),
    FR_CASE(a_pass_takes_its_flop),
    FR_CASE(recomputing_takes_its_flop),
    FR_CASE(a_window_bounds_a_rows_keys),
    FR_CASE(a_layer_repeats_what_its_norms_ask_for),
    FR_CASE(one_task_takes_the_formulas_time),
    FR_CASE(two_tasks_fill_each_others_bubble),
    FR_CASE(slow_links_bound_the_round),
    FR_CASE(the_bandwidth_bounds_a_deep_warm_up),
    FR_CASE(the_reduction_is_in_the_step),
    FR_CASE(what_is_simulated_is_bounded),
    FR_CASE(caps_and_kinds_add_up),
    FR_CASE(replicas_on_a_node_share_their_weights),
};

int main(int argc, char **argv)
{
    return fr_suite_main("forecast", CASES, FR_N_CASES(CASES), argc, argv);
}
