#include "support/suite.h"
#include "train/forecast/layout.h"

#include <stdlib.h>
#include <string.h>

static double cost_of(const int64_t *bounds, int n_stages, double head)
{
    double worst = 0.0;
    for (int s = 0; s < n_stages; s++) {
        double cost =
            (double)(bounds[s + 1] - bounds[s]) + (s == n_stages - 1 ? head : 0.0);
        worst = cost > worst ? cost : worst;
    }
    return worst;
}

/* The best contiguous split by trying every one (few layers). */
static double best_cost(int64_t n_layers, double head, int n_stages)
{
    if (n_stages == 1) {
        return (double)n_layers + head;
    }
    double best = 1e300;
    for (int64_t first = 1; first <= n_layers - (n_stages - 1); first++) {
        double rest = best_cost(n_layers - first, head, n_stages - 1);
        double cost = (double)first > rest ? (double)first : rest;
        best = cost < best ? cost : best;
    }
    return best;
}

static void every_layer_has_one_stage_and_the_split_is_optimal(void)
{
    static const double HEADS[] = {0.0, 0.4, 1.0, 2.5, 8.0, 50.0};
    int64_t bounds[16];
    for (int64_t layers = 1; layers <= 10; layers++) {
        for (int stages = 1; stages <= layers && stages <= 6; stages++) {
            for (size_t h = 0; h < sizeof HEADS / sizeof HEADS[0]; h++) {
                memset(bounds, 0xff, sizeof bounds);
                fr_split_layers(layers, HEADS[h], stages, bounds);
                CU_ASSERT_EQUAL(bounds[0], 0);
                CU_ASSERT_EQUAL(bounds[stages], layers);
                for (int s = 0; s < stages; s++) {
                    CU_ASSERT(bounds[s] < bounds[s + 1]);
                }
                CU_ASSERT_DOUBLE_EQUAL(cost_of(bounds, stages, HEADS[h]),
                                       best_cost(layers, HEADS[h], stages), 1e-9);
            }
        }
    }
}

static void an_uneven_split_keeps_all_thirty_layers(void)
{
    int64_t bounds[5];
    fr_split_layers(30, 2.0, 4, bounds);
    CU_ASSERT_EQUAL(bounds[4], 30);
    CU_ASSERT_EQUAL(bounds[4] - bounds[3], 6);
}

static const fr_arch ARCH = {.family = "llama",
                             .attn_norm = true,
                             .mlp_norm = true,
                             .gated = true,
                             .embedding_scale = 1.0,
                             .residual_scale = 1.0,
                             .logit_scale = 1.0,
                             .n_layers = 4,
                             .d_model = 64,
                             .d_ff = 128,
                             .n_heads = 4,
                             .n_kv_heads = 2,
                             .head_dim = 16,
                             .vocab_size = 128,
                             .context_length = 64};

/* Rows of 10 tokens, 40 to a microbatch, a prefix of 4: examples a step decide how many microbatches there are. */
typedef struct choice {
    int64_t stages;
    int64_t replicas;
    int64_t examples;
    int ranks;
    int64_t memory;
} choice;

enum { PLENTY = 1 << 30 };

typedef struct problem {
    fr_task_config task;
    fr_workload_source source;
    fr_layout_problem problem;
} problem;

static void make_problem(const choice *c, problem *out)
{
    *out = (problem){.task.name = (char *)(uintptr_t) "t"};
    out->task.batch.examples = c->examples;
    out->task.batch.microbatch_tokens = 40;
    fr_workload_from_numbers(4, 10, 0.5, &out->source);
    out->problem = (fr_layout_problem){.arch = &ARCH,
                                       .stages = c->stages,
                                       .replicas = c->replicas,
                                       .offload = FR_NONE,
                                       .n_tasks = 1,
                                       .tasks = &out->task,
                                       .n_ranks = c->ranks,
                                       .limits.memory = c->memory,
                                       .sources = &out->source,
                                       .machine = fr_machine_assumed()};
    out->problem.machine.flops = 1e6; /* links cost nothing beside computing */
}

static fr_status resolve(const choice *c, fr_layout *out)
{
    problem p;
    make_problem(c, &p);
    return fr_layout_resolve(fr_test_ctx(), &p.problem, out);
}

static void check_choice(const choice *c, int stages, int replicas)
{
    fr_layout layout = {0};
    FR_ASSERT_OK(resolve(c, &layout));
    CU_ASSERT_EQUAL(layout.n_stages, stages);
    CU_ASSERT_EQUAL(layout.n_replicas, replicas);
}

/* Bytes of the largest rank of a layout, out of the list. */
static int64_t bytes_of(int stages, int replicas)
{
    problem p;
    fr_layout_candidate *list = NULL;
    int64_t n = 0;
    int64_t bytes = 0;
    make_problem(&(choice){0, 0, 8, stages * replicas, PLENTY}, &p);
    FR_ASSERT_OK(fr_layout_list(fr_test_ctx(), &p.problem, &list, &n));
    for (int64_t i = 0; i < n; i++) {
        bytes = list[i].layout.n_stages == stages ? list[i].largest_bytes : bytes;
    }
    free(list);
    return bytes;
}

static void auto_prefers_replicas_while_memory_lasts(void)
{
    double share = fr_layout_memory_share();
    int64_t enough = (int64_t)((double)bytes_of(1, 4) / share) + 2;
    check_choice(&(choice){0, 0, 8, 4, PLENTY}, 1, 4);
    check_choice(&(choice){0, 0, 8, 4, enough}, 1, 4);
    check_choice(&(choice){0, 0, 8, 4, enough - 4}, 2, 2);
}

static void where_nothing_fits_the_smallest_is_taken(void)
{
    CU_ASSERT(bytes_of(4, 1) < bytes_of(2, 2));
    check_choice(&(choice){0, 0, 8, 4, 1000}, 4, 1);
}

static void too_few_examples_make_stages(void)
{
    check_choice(&(choice){0, 0, 2, 4, PLENTY}, 2, 2);
    check_choice(&(choice){0, 0, 1, 4, PLENTY}, 4, 1);
}

/* Five examples on four replicas leave three idle half of the time; on two they are three to two. */
static void an_uneven_number_of_examples_counts(void)
{
    problem p;
    fr_layout_candidate *list = NULL;
    int64_t n = 0;
    make_problem(&(choice){0, 0, 5, 4, PLENTY}, &p);
    p.task.batch.microbatch_tokens = 10;
    FR_ASSERT_OK(fr_layout_list(fr_test_ctx(), &p.problem, &list, &n));
    CU_ASSERT_EQUAL(n, 3);
    for (int64_t i = 1; i < n; i++) {
        CU_ASSERT(list[i - 1].fits && list[i].fits);
        CU_ASSERT(list[i - 1].seconds <= list[i].seconds);
    }
    fr_layout chosen;
    FR_ASSERT_OK(fr_layout_resolve(fr_test_ctx(), &p.problem, &chosen));
    CU_ASSERT_EQUAL(chosen.n_stages, list[0].layout.n_stages);
    free(list);
}

static void others_say_why_not(void)
{
    problem p;
    fr_layout_candidate *list = NULL;
    int64_t n = 0;
    make_problem(&(choice){0, 0, 3, 8, 1000}, &p);
    FR_ASSERT_OK(fr_layout_list(fr_test_ctx(), &p.problem, &list, &n));
    CU_ASSERT_EQUAL(n, 4);
    CU_ASSERT(list[0].possible && !list[0].fits);
    CU_ASSERT_PTR_NOT_NULL(strstr(list[0].reason, "MiB"));
    CU_ASSERT_EQUAL(list[1].layout.n_stages, 1);
    CU_ASSERT_STRING_EQUAL(list[1].reason, "8 replicas, task t has 3 examples a step");
    CU_ASSERT_EQUAL(list[2].layout.n_stages, 2);
    CU_ASSERT_STRING_EQUAL(list[3].reason, "8 stages, the model has 4 layers");
    free(list);
}

/* Without tasks (inference) the weights decide. */
static void without_tasks_the_fewest_stages_that_fit_are_taken(void)
{
    problem p;
    fr_layout layout;
    make_problem(&(choice){0, 0, 8, 4, PLENTY}, &p);
    p.problem.n_tasks = 0;
    FR_ASSERT_OK(fr_layout_resolve(fr_test_ctx(), &p.problem, &layout));
    CU_ASSERT_EQUAL(layout.n_stages, 1);
    p.problem.limits.memory = 1000;
    FR_ASSERT_OK(fr_layout_resolve(fr_test_ctx(), &p.problem, &layout));
    CU_ASSERT_EQUAL(layout.n_stages, 4);
}

/* A byte too little for 4 replicas where each holds the weights for itself. */
static void replicas_of_a_node_fit_because_they_share(void)
{
    problem p;
    fr_layout layout;
    make_problem(&(choice){0, 0, 8, 4, PLENTY}, &p);
    p.problem.n_tasks = 0;
    fr_layout_candidate *list = NULL;
    int64_t n = 0;
    FR_ASSERT_OK(fr_layout_list(fr_test_ctx(), &p.problem, &list, &n));
    CU_ASSERT_EQUAL(list[0].layout.n_stages, 1);
    p.problem.limits.memory =
        (int64_t)((double)(list[0].largest_bytes - 1) / fr_layout_memory_share());
    free(list);
    FR_ASSERT_OK(fr_layout_resolve(fr_test_ctx(), &p.problem, &layout));
    CU_ASSERT_TRUE(layout.n_stages > 1);
    p.problem.limits.node_ranks = 4;
    FR_ASSERT_OK(fr_layout_resolve(fr_test_ctx(), &p.problem, &layout));
    CU_ASSERT_EQUAL(layout.n_stages, 1);
}

/* The host has plenty; the device's own memory decides, and the reason names it. */
static void a_devices_own_memory_decides(void)
{
    problem p;
    fr_layout layout;
    fr_device_needs needs = {0};
    fr_layout_candidate *list = NULL;
    int64_t n = 0;
    make_problem(&(choice){0, 0, 8, 4, PLENTY}, &p);
    FR_ASSERT_OK(fr_layout_settle(fr_test_ctx(), &p.problem, &layout, &needs));
    CU_ASSERT_EQUAL(layout.n_stages, 1);
    CU_ASSERT_EQUAL(needs.bytes, 0);
    p.problem.limits.device_is_apart = true;
    p.problem.limits.device_memory = PLENTY;
    FR_ASSERT_OK(fr_layout_settle(fr_test_ctx(), &p.problem, &layout, &needs));
    CU_ASSERT_EQUAL(layout.n_stages, 1);
    CU_ASSERT_TRUE(needs.bytes > 0);
    int64_t reserved = needs.bytes;
    p.problem.sums_by_library = true; /* which takes its memory beside that */
    p.problem.limits.sums_by_library = true;
    FR_ASSERT_OK(fr_layout_settle(fr_test_ctx(), &p.problem, &layout, &needs));
    CU_ASSERT_EQUAL(needs.bytes, reserved);
    p.problem.sums_by_library = false;
    p.problem.limits.device_memory =
        (int64_t)((double)(needs.bytes - 1) / fr_layout_memory_share());
    FR_ASSERT_OK(fr_layout_resolve(fr_test_ctx(), &p.problem, &layout));
    CU_ASSERT_EQUAL(layout.n_stages, 2);
    FR_ASSERT_OK(fr_layout_list(fr_test_ctx(), &p.problem, &list, &n));
    CU_ASSERT_TRUE(list[n - 1].possible && !list[n - 1].fits);
    CU_ASSERT_EQUAL(list[n - 1].layout.n_stages, 1);
    CU_ASSERT_EQUAL(list[n - 1].device_bytes, needs.bytes);
    CU_ASSERT_PTR_NOT_NULL(strstr(list[n - 1].reason, "a rank in its device; 90 %"));
    free(list);
    /* where nothing fits, the layout that is the least too large */
    p.problem.limits.device_memory = 1000;
    FR_ASSERT_OK(fr_layout_resolve(fr_test_ctx(), &p.problem, &layout));
    CU_ASSERT_EQUAL(layout.n_stages, 4);
    /* and the host's memory decides as ever */
    p.problem.limits.device_memory = PLENTY;
    p.problem.limits.memory = 1000;
    FR_ASSERT_OK(fr_layout_list(fr_test_ctx(), &p.problem, &list, &n));
    CU_ASSERT_PTR_NOT_NULL(strstr(list[0].reason, "a rank; 90 %"));
    free(list);
}

/* A size that is left open is the largest with which a layout fits, and one that is given stays. */
static void microbatches_are_as_large_as_fits(void)
{
    problem p;
    int64_t tokens = 0;
    fr_device_needs needs;
    fr_layout layout;
    make_problem(&(choice){1, 1, 1 << 16, 1, PLENTY}, &p);
    p.task.batch.microbatch_tokens = FR_AUTO;
    p.problem.offload = FR_NONE;
    p.problem.limits.memory *= 16;
    FR_ASSERT_OK(fr_layout_microbatch(fr_test_ctx(), &p.problem, &tokens));
    CU_ASSERT_EQUAL(tokens, FR_MICROBATCH_TOKENS);
    p.problem.limits.device_is_apart = true;
    p.problem.limits.device_memory = (int64_t)PLENTY * 16;
    FR_ASSERT_OK(fr_layout_microbatch(fr_test_ctx(), &p.problem, &tokens));
    CU_ASSERT_EQUAL(tokens, 8192);
    for (int64_t n = 8192; n >= 128; n /= 2) {
        p.problem.microbatch_tokens = n;
        FR_ASSERT_OK(fr_layout_settle(fr_test_ctx(), &p.problem, &layout, &needs));
        p.problem.microbatch_tokens = 0;
        double enough = (double)needs.bytes / fr_layout_memory_share();
        p.problem.limits.device_memory = (int64_t)enough + 1;
        FR_ASSERT_OK(fr_layout_microbatch(fr_test_ctx(), &p.problem, &tokens));
        CU_ASSERT_EQUAL(tokens, n);
        p.problem.limits.device_memory = (int64_t)enough - 1;
        FR_ASSERT_OK(fr_layout_microbatch(fr_test_ctx(), &p.problem, &tokens));
        CU_ASSERT_EQUAL(tokens, n > 128 ? n / 2 : 128);
        if (n ==
            FR_MICROBATCH_TOKENS) { /* from here on layers stay on the host, if they may */
            p.problem.offload = FR_AUTO;
            FR_ASSERT_OK(fr_layout_microbatch(fr_test_ctx(), &p.problem, &tokens));
            CU_ASSERT(tokens >= n);
            p.problem.offload = FR_NONE;
        }
    }
    p.task.batch.microbatch_tokens = 77;
    FR_ASSERT_OK(fr_layout_microbatch(fr_test_ctx(), &p.problem, &tokens));
    CU_ASSERT_EQUAL(fr_microbatch_tokens(&p.task, tokens), 77);
    p.task.batch.microbatch_tokens = FR_AUTO;
    CU_ASSERT_EQUAL(fr_microbatch_tokens(&p.task, 256), 256);
    CU_ASSERT_EQUAL(fr_microbatch_tokens(&p.task, 0), 1024);
}

/* 16384 rows on eight stages: two microbatches would leave most of them idle. One stage never idles. */
static void a_pipeline_gets_more_microbatches(void)
{
    enum { MANY_LAYERS = 8, EXAMPLES = 1638 };
    problem p;
    fr_arch deep = ARCH;
    int64_t tokens = 0;
    deep.n_layers = MANY_LAYERS;
    make_problem(&(choice){MANY_LAYERS, 1, EXAMPLES, MANY_LAYERS, PLENTY}, &p);
    p.problem.arch = &deep;
    p.problem.machine.between.bytes = 1e15;
    p.task.batch.microbatch_tokens = FR_AUTO;
    p.problem.limits.device_is_apart = true;
    p.problem.limits.device_memory = PLENTY;
    FR_ASSERT_OK(fr_layout_microbatch(fr_test_ctx(), &p.problem, &tokens));
    CU_ASSERT_EQUAL(tokens, 1024);
    p.problem.n_ranks = 1;
    p.problem.stages = 1;
    FR_ASSERT_OK(fr_layout_microbatch(fr_test_ctx(), &p.problem, &tokens));
    CU_ASSERT_EQUAL(tokens, 8192);
}

/* As few as fit stay on the host, and a layout that needs none comes first. */
static void layers_stay_on_the_host_where_all_do_not_fit(void)
{
    problem p;
    fr_layout layout;
    fr_device_needs all;
    fr_device_needs needs;
    make_problem(&(choice){1, 0, 8, 1, PLENTY}, &p);
    p.problem.offload = FR_AUTO;
    FR_ASSERT_OK(fr_layout_settle(fr_test_ctx(), &p.problem, &layout, &needs));
    CU_ASSERT_EQUAL(needs.offload, 0); /* the host's memory is all that there is */
    p.problem.limits.device_is_apart = true;
    p.problem.limits.device_memory = PLENTY;
    FR_ASSERT_OK(fr_layout_settle(fr_test_ctx(), &p.problem, &layout, &all));
    CU_ASSERT_EQUAL(all.offload, 0);
    /* two slots take as much as two layers, so three are the fewest that help */
    p.problem.limits.device_memory =
        (int64_t)((double)(all.bytes - 1) / fr_layout_memory_share());
    FR_ASSERT_OK(fr_layout_settle(fr_test_ctx(), &p.problem, &layout, &needs));
    CU_ASSERT_EQUAL(needs.offload, 3);
    CU_ASSERT(needs.bytes < all.bytes);
    p.problem.limits.device_memory = 1000;
    FR_ASSERT_OK(fr_layout_settle(fr_test_ctx(), &p.problem, &layout, &needs));
    CU_ASSERT_EQUAL(needs.offload, ARCH.n_layers);
    p.problem.offload = 2;
    FR_ASSERT_OK(fr_layout_settle(fr_test_ctx(), &p.problem, &layout, &needs));
    CU_ASSERT_EQUAL(needs.offload, 2);
    CU_ASSERT_EQUAL(needs.bytes, all.bytes);
    /* two ranks: two stages hold all layers, two replicas would not */
    make_problem(&(choice){0, 0, 8, 2, PLENTY}, &p);
    p.problem.offload = FR_AUTO;
    p.problem.limits.device_is_apart = true;
    p.problem.limits.device_memory =
        (int64_t)((double)(all.bytes - 1) / fr_layout_memory_share());
    FR_ASSERT_OK(fr_layout_settle(fr_test_ctx(), &p.problem, &layout, &needs));
    CU_ASSERT_EQUAL(layout.n_stages, 2);
    CU_ASSERT_EQUAL(needs.offload, 0);
}

/* Two examples of ten tokens are one microbatch of 5120 bytes on four stages and one of 2560 in each of two replicas, up and
 * down each edge; the sums of two layers with twelve slots take 12288. Nodes of one rank: 3 2 5120 against 2 2560 + 12288.
 * Nodes of two: 2 5120 against 12288, and the longer pipeline wins, where links inside a node take no time. */
static void links_inside_nodes_and_between_them_decide(void)
{
    problem p;
    fr_layout layout;
    make_problem(&(choice){0, 0, 2, 4, PLENTY}, &p);
    fr_workload_from_numbers(12, 10, 0.5, &p.source);
    p.problem.machine.flops = 1e15;
    p.problem.machine.inside = (fr_link_speed){1e15, 0.0};
    p.problem.machine.between = (fr_link_speed){1.0, 0.0};
    for (int64_t most = 1; most <= 2; most++) {
        p.problem.limits.node_ranks_most = most;
        FR_ASSERT_OK(fr_layout_resolve(fr_test_ctx(), &p.problem, &layout));
        CU_ASSERT_EQUAL(layout.n_stages, most == 1 ? 2 : 4);
    }
}

/* A rank settles for what the stage takes that it has by its node: rank 1 of two nodes in turn has the first one. */
static void a_rank_needs_what_its_stage_takes(void)
{
    static const int64_t ROBIN[] = {0, 1, 0, 1};
    problem p;
    fr_layout layout;
    fr_device_needs needs[4];
    fr_device_needs moved[4];
    fr_ctx *ctx = fr_test_ctx();
    make_problem(&(choice){2, 2, 8, 4, PLENTY}, &p);
    p.problem.limits.device_is_apart = true;
    p.problem.limits.device_memory = PLENTY;
    for (int r = 0; r < 4; r++) {
        fr_ctx_set_rank(ctx, r, 4);
        p.problem.nodes = NULL;
        FR_ASSERT_OK(fr_layout_settle(ctx, &p.problem, &layout, &needs[r]));
        p.problem.nodes = ROBIN;
        FR_ASSERT_OK(fr_layout_settle(ctx, &p.problem, &layout, &moved[r]));
    }
    fr_ctx_set_rank(ctx, 0, 1);
    CU_ASSERT_NOT_EQUAL(needs[0].bytes, needs[1].bytes);
    CU_ASSERT_EQUAL(needs[2].bytes, needs[0].bytes);
    CU_ASSERT_EQUAL(moved[0].bytes, needs[0].bytes);
    CU_ASSERT_EQUAL(moved[1].bytes, needs[0].bytes);
    CU_ASSERT_EQUAL(moved[2].bytes, needs[1].bytes);
    CU_ASSERT_EQUAL(moved[3].bytes, needs[1].bytes);
}

static void one_given_side_fixes_the_other(void)
{
    check_choice(&(choice){2, 0, 8, 4, PLENTY}, 2, 2);
    check_choice(&(choice){0, 1, 8, 4, PLENTY}, 4, 1);
}

static void impossible_layouts_name_both_numbers(void)
{
    fr_layout layout;
    FR_ASSERT_FAILS(resolve(&(choice){2, 2, 8, 3, PLENTY}, &layout), FR_ERR_CONFIG,
                    "ranks 3");
    FR_ASSERT_FAILS(resolve(&(choice){5, 1, 8, 5, PLENTY}, &layout), FR_ERR_CONFIG,
                    "4 layers");
    FR_ASSERT_FAILS(resolve(&(choice){1, 4, 3, 4, PLENTY}, &layout), FR_ERR_CONFIG,
                    "fewer than the 4 replicas");
    FR_ASSERT_FAILS(resolve(&(choice){0, 0, 3, 7, PLENTY}, &layout), FR_ERR_CONFIG,
                    "7 stages, the model has 4 layers");
}

/* Sources that share a prompt stay on one replica. */
static void groups_of_sources_limit_the_replicas(void)
{
    problem p;
    fr_layout layout;
    fr_layout_candidate *list = NULL;
    int64_t n = 0;
    make_problem(&(choice){1, 4, 10, 4, PLENTY}, &p);
    p.task.batch.share_prompt = 3;
    FR_ASSERT_OK(fr_layout_resolve(fr_test_ctx(), &p.problem, &layout));
    p.task.batch.share_prompt = 4;
    FR_ASSERT_FAILS(fr_layout_resolve(fr_test_ctx(), &p.problem, &layout),
                    FR_ERR_CONFIG,
                    "examples 10 in groups of share_prompt 4 are 3 units");
    p.problem.stages = p.problem.replicas = FR_AUTO;
    FR_ASSERT_OK(fr_layout_list(fr_test_ctx(), &p.problem, &list, &n));
    CU_ASSERT_EQUAL_FATAL(n, 3);
    CU_ASSERT_STRING_EQUAL(list[2].reason, "4 replicas, task t has 3 groups a step");
    free(list);
}

static const fr_case CASES[] = {
    FR_CASE(every_layer_has_one_stage_and_the_split_is_optimal),
    FR_CASE(an_uneven_split_keeps_all_thirty_layers),
    FR_CASE(auto_prefers_replicas_while_memory_lasts),
    FR_CASE(where_nothing_fits_the_smallest_is_taken),
    FR_CASE(too_few_examples_make_stages),
    FR_CASE(an_uneven_number_of_examples_counts),
    FR_CASE(others_say_why_not),
    FR_CASE(without_tasks_the_fewest_stages_that_fit_are_taken),
    FR_CASE(replicas_of_a_node_fit_because_they_share),
    FR_CASE(a_devices_own_memory_decides),
    FR_CASE(microbatches_are_as_large_as_fits),
    FR_CASE(a_pipeline_gets_more_microbatches),
    FR_CASE(layers_stay_on_the_host_where_all_do_not_fit),
    FR_CASE(links_inside_nodes_and_between_them_decide),
    FR_CASE(a_rank_needs_what_its_stage_takes),
    FR_CASE(one_given_side_fixes_the_other),
    FR_CASE(impossible_layouts_name_both_numbers),
    FR_CASE(groups_of_sources_limit_the_replicas),
};

int main(int argc, char **argv)
{
    return fr_suite_main("layout", CASES, FR_N_CASES(CASES), argc, argv);
}
