/* From the report of all ranks to findings about nodes. Works on rank 0 alone and exchanges nothing.
 *
 * Ranks are grouped by the name of their host, because what is repaired is a node. A node's first finding is the
 * problem that one of its ranks noted; then follow the base file, the arithmetic, memory and clock, and the links.
 * Findings are appended to one text, so that one look at a node shows all of them.
 *
 * What has no fixed limit is compared with the other nodes. The base that most ranks have counts as the right one,
 * since nothing else says which copy is good. Rates and latencies are compared with the median, which one bad node
 * cannot move far; a node's best link counts, because a bad partner slows only the links to itself.
 */
#include "train/preflight/preflight.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Limits of what is odd. The best of several tries is compared, so that a busy moment does not count. Clocks: files
 * and logs carry times in seconds. Links of like nodes differ by some percent, and a cable or port at fault halves
 * the rate at least; latencies vary more, and by tens of microseconds on any network. */
static const double MAX_CLOCK_S = 1.0;
static const double MIN_RATE_SHARE = 0.5;
static const double MAX_LATENCY_FACTOR = 3.0;
static const double LATENCY_SLACK_US = 100.0;
static const double MIB = 1024.0 * 1024.0;

static void find(fr_preflight_node *node, const char *text)
{
    size_t used = strlen(node->finding);
    (void)snprintf(node->finding + used, sizeof node->finding - used, "%s%s",
                   used > 0 ? "; " : "", text);
}

static int node_of(const fr_preflight_node *nodes, int n_nodes, const char *host)
{
    for (int i = 0; i < n_nodes; i++) {
        if (strcmp(nodes[i].host, host) == 0) {
            return i;
        }
    }
    return n_nodes;
}

/* Every rank has a device of its own, or a part of one: the scarcest counts. */
static void note_device(const fr_preflight_rank *rank, fr_preflight_node *node)
{
    int64_t spare = rank->device_bytes - rank->device_likely;
    if (node->n_ranks == 1 || spare < node->device_bytes - node->device_likely) {
        node->device_bytes = rank->device_bytes;
        node->device_need = rank->device_need;
        node->device_likely = rank->device_likely;
    }
}

/* One node a host, in the order of their first ranks. */
static int group_ranks(const fr_preflight_report *report, fr_preflight_node *nodes,
                       int *node_of_rank)
{
    int n_nodes = 0;
    for (int r = 0; r < report->n_ranks; r++) {
        const fr_preflight_rank *rank = &report->ranks[r];
        int i = node_of(nodes, n_nodes, rank->host);
        fr_preflight_node *node = &nodes[i];
        node_of_rank[r] = i;
        if (i == n_nodes) {
            n_nodes++;
            *node = (fr_preflight_node){.host = rank->host,
                                        .first_rank = r,
                                        .n_processors = rank->n_processors,
                                        .n_threads = rank->n_threads,
                                        .memory = rank->memory,
                                        .is_limited = rank->is_limited,
                                        .clock_s = rank->clock_s};
        }
        node->n_ranks++;
        node->memory_bytes += rank->memory_bytes;
        node->need_bytes += rank->need_bytes;
        node->likely_bytes += rank->likely_bytes;
        note_device(rank, node);
        if (rank->problem[0] != '\0' && node->finding[0] == '\0') {
            find(node, rank->problem);
        }
    }
    return n_nodes;
}

/* NULL where the rank did not come to hash the item in time: zeros mean that. */
static const uint8_t *digest_of(const fr_preflight_report *report, int rank,
                                int64_t item)
{
    static const uint8_t NONE[FR_DIGEST_BYTES] = {0};
    const uint8_t *d =
        report->digests + (rank * report->n_digests + item) * FR_DIGEST_BYTES;
    return memcmp(d, NONE, FR_DIGEST_BYTES) == 0 ? NULL : d;
}

/* The digest that most ranks have of an item; the lowest rank's among equals. */
static const uint8_t *common_digest(const fr_preflight_report *report, int64_t item)
{
    const uint8_t *best = NULL;
    int max = 0;
    for (int r = 0; r < report->n_ranks; r++) {
        const uint8_t *mine = digest_of(report, r, item);
        int same = 0;
        for (int o = 0; mine != NULL && o < report->n_ranks; o++) {
            const uint8_t *other = digest_of(report, o, item);
            same += other != NULL && memcmp(mine, other, FR_DIGEST_BYTES) == 0;
        }
        if (same > max) {
            max = same;
            best = mine;
        }
    }
    return best;
}

/* One finding a node is enough (differs): a whole file that differs would give one for each layer. */
static void check_base(const fr_preflight_report *report, const int *node_of_rank,
                       fr_preflight_node *nodes, bool *differs)
{
    for (int64_t item = 0; item < report->n_digests; item++) {
        const uint8_t *common = common_digest(report, item);
        for (int r = 0; r < report->n_ranks; r++) {
            const uint8_t *mine = digest_of(report, r, item);
            fr_preflight_node *node = &nodes[node_of_rank[r]];
            node->n_hashed += mine != NULL;
            if (mine != NULL && memcmp(mine, common, FR_DIGEST_BYTES) != 0 &&
                !differs[node_of_rank[r]]) {
                char text[FR_FINDING_BYTES];
                differs[node_of_rank[r]] = true;
                (void)snprintf(text, sizeof text,
                               "its base file differs from that of most nodes (%s %lld "
                               "differs); copy the model again",
                               item == 0 ? "outside layers, item" : "layer",
                               (long long)(item == 0 ? 0 : item - 1));
                find(node, text);
            }
        }
    }
}

/* A run refuses different arithmetics. A rank that could not make a device has reported that itself. */
static void check_arithmetic(const fr_preflight_report *report, const int *node_of_rank,
                             fr_preflight_node *nodes)
{
    const char *first = report->ranks[0].arithmetic;
    for (int r = 1; r < report->n_ranks; r++) {
        const char *other = report->ranks[r].arithmetic;
        fr_preflight_node *node = &nodes[node_of_rank[r]];
        bool is_noted = strstr(node->finding, "the arithmetic of rank") != NULL;
        if (first[0] != '\0' && other[0] != '\0' && strcmp(first, other) != 0 &&
            !is_noted) {
            char text[FR_FINDING_BYTES];
            (void)snprintf(
                text, sizeof text,
                "the arithmetic of rank %d is %s, that of rank 0 is %s; start "
                "the same Forerun on every rank, on devices of one kind",
                r, other, first);
            find(node, text);
        }
    }
}

/* Names are a model's; a sixteenth is more than models of one name differ by. */
static bool is_another_device(const fr_preflight_rank *a, const fr_preflight_rank *b)
{
    enum { LEAST = 16 };
    int64_t apart = a->device_total - b->device_total;
    return strcmp(a->device_name, b->device_name) != 0 ||
           (apart < 0 ? -apart : apart) > b->device_total / LEAST;
}

/* A run on different devices is as fast as the slowest and as large as the smallest. A rank that could not make one has
 * reported that itself. */
static void check_devices(const fr_preflight_report *report, const int *node_of_rank,
                          fr_preflight_node *nodes)
{
    const fr_preflight_rank *first = &report->ranks[0];
    for (int r = 1; r < report->n_ranks; r++) {
        const fr_preflight_rank *rank = &report->ranks[r];
        fr_preflight_node *node = &nodes[node_of_rank[r]];
        bool is_noted = strstr(node->finding, "the device of rank") != NULL;
        if (first->device[0] != '\0' && rank->device[0] != '\0' && !is_noted &&
            is_another_device(rank, first)) {
            char text[FR_FINDING_BYTES];
            (void)snprintf(text, sizeof text,
                           "the device of rank %d is %s with %.1f MiB, that of rank 0 "
                           "is %s with %.1f; the slowest and the smallest decide for "
                           "all ranks: start the run on devices of one kind",
                           r, rank->device_name, (double)rank->device_total / MIB,
                           first->device_name, (double)first->device_total / MIB);
            find(node, text);
        }
    }
}

/* Only what a run needs for certain is a finding; the forecast of the most that it may need is shown beside it. */
static void check_memory(fr_preflight_node *node)
{
    char text[FR_FINDING_BYTES];
    if (node->need_bytes > node->memory_bytes) {
        (void)snprintf(
            text, sizeof text,
            "too little memory: %.1f MiB are available, and the weights and tasks of "
            "its %lld rank%s alone need %.1f; a rank may use %s; free memory, raise "
            "the limit, or use more stages or fewer ranks a node",
            (double)node->memory_bytes / MIB, (long long)node->n_ranks,
            node->n_ranks == 1 ? "" : "s", (double)node->need_bytes / MIB,
            node->memory);
        find(node, text);
    }
    if (node->device_need > node->device_bytes) {
        (void)snprintf(text, sizeof text,
                       "too little memory of its device: %.1f MiB are available to a "
                       "rank, whose weights and prefixes alone need %.1f; free memory, "
                       "or use more stages or fewer ranks a device",
                       (double)node->device_bytes / MIB,
                       (double)node->device_need / MIB);
        find(node, text);
    }
    if (fabs(node->clock_s) > MAX_CLOCK_S) {
        (void)snprintf(text, sizeof text,
                       "its clock differs by %.1f s from rank 0's, and %.0f s is "
                       "allowed; let both follow the same time server",
                       node->clock_s, MAX_CLOCK_S);
        find(node, text);
    }
}

/* Best rates out of and into a node, and the shortest latency. */
static void best_links(const fr_preflight_report *report, const int *node_of_rank,
                       int index, fr_preflight_node *node)
{
    double out = 0.0;
    double in = 0.0;
    double latency = HUGE_VAL;
    for (int64_t a = 0; a < report->n_ranks; a++) {
        for (int64_t b = 0; b < report->n_ranks; b++) {
            const fr_preflight_link *link = &report->links[a * report->n_ranks + b];
            bool leaves = node_of_rank[a] == index && node_of_rank[b] != index;
            bool comes = node_of_rank[a] != index && node_of_rank[b] == index;
            if (leaves) {
                out = fmax(out, link->mb_per_s);
            }
            if (comes) {
                in = fmax(in, link->mb_per_s);
            }
            if ((leaves || comes) && link->latency_us > 0.0) {
                latency = fmin(latency, link->latency_us);
            }
        }
    }
    node->mb_per_s = fmin(out, in);
    node->latency_us = isfinite(latency) ? latency : 0.0;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median, in place. Of an even number the better of the two middle values: the upper one for rates, the lower one
 * for latencies. */
static double median(double *values, int n, bool upper)
{
    qsort(values, (size_t)n, sizeof *values, compare_doubles);
    return values[upper ? n / 2 : (n - 1) / 2];
}

/* Two nodes share one link, so neither is odd: both have the same values as their median. */
static void check_links(fr_preflight_node *nodes, int n_nodes, double *values)
{
    char text[FR_FINDING_BYTES];
    for (int i = 0; i < n_nodes; i++) {
        values[i] = nodes[i].mb_per_s;
    }
    double rate = median(values, n_nodes, true);
    for (int i = 0; i < n_nodes; i++) {
        values[i] = nodes[i].latency_us;
    }
    double latency = median(values, n_nodes, false);
    for (int i = 0; i < n_nodes; i++) {
        fr_preflight_node *node = &nodes[i];
        if (node->mb_per_s < MIN_RATE_SHARE * rate) {
            (void)snprintf(text, sizeof text,
                           "slow link: %.1f MB/s at best, and the median of all nodes "
                           "is %.1f; check its cable, port and speed setting",
                           node->mb_per_s, rate);
            find(node, text);
        }
        if (node->latency_us > MAX_LATENCY_FACTOR * latency + LATENCY_SLACK_US) {
            (void)snprintf(text, sizeof text,
                           "slow to answer: %.0f us at best, and the median of all "
                           "nodes is %.0f; check its load and its route",
                           node->latency_us, latency);
            find(node, text);
        }
    }
}

static void judge(const fr_preflight_report *report, fr_preflight_node *nodes,
                  int *node_of_rank, bool *differs, double *values, int *n_nodes)
{
    *n_nodes = group_ranks(report, nodes, node_of_rank);
    check_base(report, node_of_rank, nodes, differs);
    check_arithmetic(report, node_of_rank, nodes);
    check_devices(report, node_of_rank, nodes);
    for (int i = 0; i < *n_nodes; i++) {
        check_memory(&nodes[i]);
        best_links(report, node_of_rank, i, &nodes[i]);
    }
    check_links(nodes, *n_nodes, values);
}

fr_status fr_preflight_judge(fr_ctx *ctx, const fr_preflight_report *report,
                             fr_preflight_node **nodes, int *n_nodes)
{
    int64_t n = report->n_ranks;
    int *node_of_rank = NULL;
    bool *differs = NULL;
    double *values = NULL;
    *nodes = NULL;
    fr_status status = fr_alloc(ctx, n, sizeof **nodes, nodes);
    if (status == FR_OK) {
        status = fr_alloc(ctx, n, sizeof *node_of_rank, &node_of_rank);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, n, sizeof *differs, &differs);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, n, sizeof *values, &values);
    }
    if (status == FR_OK) {
        judge(report, *nodes, node_of_rank, differs, values, n_nodes);
    } else {
        free(*nodes);
        *nodes = NULL;
    }
    free(node_of_rank);
    free(differs);
    free(values);
    return status;
}

/* @param values  [N N] */
static fr_preflight_link median_link(const fr_preflight_report *report, bool inside,
                                     double *values)
{
    fr_preflight_link out = {0};
    for (int what = 0; what < 2; what++) {
        int n = 0;
        for (int64_t i = 0; i < (int64_t)report->n_ranks * report->n_ranks; i++) {
            const fr_preflight_link *link = &report->links[i];
            const char *from = report->ranks[i / report->n_ranks].host;
            const char *to = report->ranks[i % report->n_ranks].host;
            double value = what == 0 ? link->latency_us : link->mb_per_s;
            if (value > 0.0 && (strcmp(from, to) == 0) == inside) {
                values[n++] = value;
            }
        }
        double middle = n > 0 ? median(values, n, what == 1) : 0.0;
        *(what == 0 ? &out.latency_us : &out.mb_per_s) = middle;
    }
    return out;
}

/* A pair's latency is that of its leader, so there are half as many latencies as rates. */
fr_status fr_preflight_medians(fr_ctx *ctx, const fr_preflight_report *report,
                               fr_preflight_link *inside, fr_preflight_link *between)
{
    double *values = NULL;
    int64_t n = report->n_ranks;
    FR_TRY(fr_alloc(ctx, n * n, sizeof *values, &values));
    *inside = median_link(report, true, values);
    *between = median_link(report, false, values);
    free(values);
    return FR_OK;
}
