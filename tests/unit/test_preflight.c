#include "support/suite.h"
#include "train/preflight/preflight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_RANKS = 8, N_NODES = 4, N_DIGESTS = 3 };

/* Four healthy nodes with two ranks each; cases spoil one thing. */
typedef struct fixture {
    fr_preflight_rank ranks[N_RANKS];
    fr_preflight_link links[N_RANKS * N_RANKS];
    uint8_t digests[N_RANKS * N_DIGESTS * FR_DIGEST_BYTES];
    fr_preflight_report report;
} fixture;

static void make_healthy(fixture *f)
{
    memset(f, 0, sizeof *f);
    f->report = (fr_preflight_report){.n_ranks = N_RANKS,
                                      .n_digests = N_DIGESTS,
                                      .all_links = true,
                                      .ranks = f->ranks,
                                      .links = f->links,
                                      .digests = f->digests};
    for (int r = 0; r < N_RANKS; r++) {
        fr_preflight_rank *rank = &f->ranks[r];
        (void)snprintf(rank->host, sizeof rank->host, "n%d", r / 2);
        rank->node_ranks = 2;
        rank->node_rank = r % 2;
        rank->n_processors = 4;
        rank->memory_bytes = 500;
        (void)snprintf(rank->memory, sizeof rank->memory, "500 B (the container's)");
        rank->need_bytes = 450;
        for (int o = 0; o < N_RANKS; o++) {
            bool same_node = r / 2 == o / 2;
            f->links[r * N_RANKS + o] =
                (fr_preflight_link){.latency_us = r == o      ? 0.0
                                                  : same_node ? 1.0
                                                              : 50.0,
                                    .mb_per_s = r == o      ? 0.0
                                                : same_node ? 5000.0
                                                            : 100.0};
        }
        for (int d = r % 2; d < N_DIGESTS; d += 2) {
            memset(f->digests + (r * N_DIGESTS + d) * FR_DIGEST_BYTES, d + 1,
                   FR_DIGEST_BYTES);
        }
    }
}

/* Every link of a node to others, in one or both directions. */
static void set_links(fixture *f, int node, bool out, bool in, double mb, double us)
{
    for (int r = 0; r < N_RANKS; r++) {
        for (int o = 0; o < N_RANKS; o++) {
            bool leaves = r / 2 == node && o / 2 != node;
            bool comes = r / 2 != node && o / 2 == node;
            if ((leaves && out) || (comes && in)) {
                f->links[r * N_RANKS + o] = (fr_preflight_link){us, mb};
            }
        }
    }
}

/* Only `odd` has a finding, and it holds `text`; -1: none has. */
static void expect_odd(const fixture *f, int odd, const char *text)
{
    fr_preflight_node *nodes = NULL;
    int n_nodes = 0;
    FR_ASSERT_OK(fr_preflight_judge(fr_test_ctx(), &f->report, &nodes, &n_nodes));
    CU_ASSERT_EQUAL_FATAL(n_nodes, N_NODES);
    for (int i = 0; i < n_nodes; i++) {
        CU_ASSERT_EQUAL(nodes[i].finding[0] != '\0', i == odd);
        if (nodes[i].finding[0] != '\0' && i != odd) {
            printf("%s: %s\n", nodes[i].host, nodes[i].finding);
        }
        if (i == odd) {
            CU_ASSERT_PTR_NOT_NULL(strstr(nodes[i].finding, text));
        }
    }
    free(nodes);
}

static void healthy_nodes_are_fine(void)
{
    fixture f;
    fr_preflight_node *nodes = NULL;
    int n_nodes = 0;
    make_healthy(&f);
    expect_odd(&f, -1, "");
    FR_ASSERT_OK(fr_preflight_judge(fr_test_ctx(), &f.report, &nodes, &n_nodes));
    for (int i = 0; i < n_nodes; i++) {
        CU_ASSERT_EQUAL(nodes[i].first_rank, 2 * i);
        CU_ASSERT_EQUAL(nodes[i].n_ranks, 2);
        CU_ASSERT_EQUAL(nodes[i].need_bytes, 900);
        CU_ASSERT_EQUAL(nodes[i].n_hashed, N_DIGESTS);
        CU_ASSERT_EQUAL(nodes[i].mb_per_s, 100.0);
        CU_ASSERT_EQUAL(nodes[i].latency_us, 50.0);
    }
    free(nodes);
}

static void a_slow_link_is_its_nodes(void)
{
    fixture f;
    make_healthy(&f);
    set_links(&f, 2, true, true, 49.0, 50.0);
    expect_odd(&f, 2, "slow link: 49.0 MB/s");
    make_healthy(&f);
    set_links(&f, 3, true, false, 10.0, 50.0); /* only what it sends */
    expect_odd(&f, 3, "slow link");
    make_healthy(&f);
    set_links(&f, 0, true, true, 51.0, 50.0);
    expect_odd(&f, -1, "");
}

static void one_slow_pair_is_nobodys(void)
{
    fixture f;
    make_healthy(&f);
    f.links[1 * N_RANKS + 6].mb_per_s = 1.0;
    f.links[6 * N_RANKS + 1].mb_per_s = 1.0;
    expect_odd(&f, -1, "");
}

static void a_slow_answer_is_odd(void)
{
    fixture f;
    make_healthy(&f);
    set_links(&f, 1, true, true, 100.0, 260.0);
    expect_odd(&f, 1, "slow to answer: 260 us");
    set_links(&f, 1, true, true, 100.0, 240.0);
    expect_odd(&f, -1, "");
}

static void another_base_is_odd_in_any_of_a_nodes_ranks(void)
{
    fixture f;
    make_healthy(&f);
    f.digests[(5 * N_DIGESTS + 1) * FR_DIGEST_BYTES] ^= 1; /* rank 5 is on n2 */
    expect_odd(&f, 2, "layer 0 differs");
    make_healthy(&f);
    f.digests[0] ^= 1; /* the first node is as likely to be wrong */
    expect_odd(&f, 0, "outside layers");
}

static void memory_clock_and_own_problems_are_odd(void)
{
    fixture f;
    make_healthy(&f);
    f.ranks[6].memory_bytes = 449;
    f.ranks[7].memory_bytes = 450;
    expect_odd(&f, 3, "too little memory");
    expect_odd(&f, 3, "a rank may use 500 B (the container's)");
    make_healthy(&f);
    f.ranks[2].clock_s = -1.5;
    expect_odd(&f, 1, "clock differs by -1.5 s");
    make_healthy(&f);
    (void)snprintf(f.ranks[3].problem, FR_FINDING_BYTES, "no such file");
    expect_odd(&f, 1, "no such file");
}

/* Of a node's devices the one that is the shortest of memory counts, wherever its rank stands. */
static void a_device_with_too_little_memory_is_odd(void)
{
    fixture f;
    make_healthy(&f);
    for (int r = 0; r < N_RANKS; r++) {
        f.ranks[r].device_bytes = 100 << 20;
        f.ranks[r].device_need = 90 << 20;
        f.ranks[r].device_likely = 120 << 20;
    }
    expect_odd(&f, -1, "");
    for (int r = 2; r < 4; r++) {
        f.ranks[r].device_bytes = 89 << 20;
        expect_odd(&f, 1,
                   "too little memory of its device: 89.0 MiB are available to a "
                   "rank, whose weights and prefixes alone need 90.0");
        f.ranks[r].device_bytes = 100 << 20;
    }
}

static void another_arithmetic_is_odd(void)
{
    fixture f;
    make_healthy(&f);
    for (int r = 0; r < N_RANKS; r++) {
        (void)snprintf(f.ranks[r].arithmetic, FR_ARITHMETIC_BYTES, "cpu 1");
        (void)snprintf(f.ranks[r].variant.name, sizeof f.ranks[r].variant.name, "%s",
                       r % 2 == 0 ? "avx2" : "generic");
    }
    expect_odd(&f, -1, ""); /* other instruction sets are not */
    (void)snprintf(f.ranks[5].arithmetic, FR_ARITHMETIC_BYTES, "cpu 2");
    expect_odd(&f, 2, "the arithmetic of rank 5 is cpu 2, that of rank 0 is cpu 1");
    f.ranks[5].arithmetic[0] = '\0'; /* it has a problem, and tells that */
    expect_odd(&f, -1, "");
}

static void name_device(fr_preflight_rank *rank, const char *name, int64_t bytes)
{
    (void)snprintf(rank->device, sizeof rank->device, "GPU-%d", rank->node_rank != 0);
    (void)snprintf(rank->device_name, sizeof rank->device_name, "%s", name);
    rank->device_total = bytes;
}

/* Another model, or another size of the same; some bytes less are none. */
static void another_device_is_odd(void)
{
    fixture f;
    make_healthy(&f);
    for (int r = 0; r < N_RANKS; r++) {
        name_device(&f.ranks[r], "A", 80 << 20);
    }
    f.ranks[6].device_total -= 1 << 20;
    expect_odd(&f, -1, "");
    name_device(&f.ranks[3], "A", 40 << 20);
    expect_odd(
        &f, 1,
        "the device of rank 3 is A with 40.0 MiB, that of rank 0 is A with 80.0");
    name_device(&f.ranks[3], "B", 80 << 20);
    expect_odd(&f, 1, "the device of rank 3 is B with 80.0 MiB");
    f.ranks[3].device[0] = '\0'; /* it has a problem, and tells that */
    expect_odd(&f, -1, "");
}

/* Two ranks a host: each host has one pair of its own, 1 us and 5000 MB/s. One bad host of four does not move the medians. */
static void medians_tell_links_inside_nodes_from_others(void)
{
    fixture f;
    fr_preflight_link inside;
    fr_preflight_link between;
    make_healthy(&f);
    set_links(&f, 2, true, true, 1.0, 5000.0);
    f.links[1] = (fr_preflight_link){.latency_us = 7.0, .mb_per_s = 9000.0};
    FR_ASSERT_OK(fr_preflight_medians(fr_test_ctx(), &f.report, &inside, &between));
    CU_ASSERT_EQUAL(inside.latency_us, 1.0);
    CU_ASSERT_EQUAL(inside.mb_per_s, 5000.0);
    CU_ASSERT_EQUAL(between.latency_us, 50.0);
    CU_ASSERT_EQUAL(between.mb_per_s, 100.0);
    for (int i = 0; i < N_RANKS; i++) {
        (void)snprintf(f.ranks[i].host, sizeof f.ranks[i].host, "n%d", i);
    }
    FR_ASSERT_OK(fr_preflight_medians(fr_test_ctx(), &f.report, &inside, &between));
    CU_ASSERT_EQUAL(inside.latency_us, 0.0);
    CU_ASSERT_EQUAL(inside.mb_per_s, 0.0);
    CU_ASSERT_EQUAL(between.mb_per_s, 100.0);
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {
        FR_CASE(medians_tell_links_inside_nodes_from_others),
        FR_CASE(healthy_nodes_are_fine),
        FR_CASE(a_slow_link_is_its_nodes),
        FR_CASE(one_slow_pair_is_nobodys),
        FR_CASE(a_slow_answer_is_odd),
        FR_CASE(another_base_is_odd_in_any_of_a_nodes_ranks),
        FR_CASE(memory_clock_and_own_problems_are_odd),
        FR_CASE(a_device_with_too_little_memory_is_odd),
        FR_CASE(another_arithmetic_is_odd),
        FR_CASE(another_device_is_odd),
    };
    return fr_suite_main("preflight", CASES, sizeof CASES / sizeof CASES[0], argc,
                         argv);
}
