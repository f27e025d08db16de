/* `forerun preflight`: checks all nodes of a run and prints the odd ones.
 *
 * Measuring is collective over all ranks (train/preflight); judging and printing are rank 0's alone. A finding is not
 * a failure of the command: it is printed, and the exit code is 1. The code is sent to all ranks, because a launcher
 * reports any of them. Names of hosts and paths come from other machines, so every line passes fr_print_line.
 */
#include "base/mem.h"
#include "base/print.h"
#include "cli/commands.h"
#include "cli/config_options.h"
#include "train/preflight/preflight.h"
#include "train/session/variants.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fr_option OPTIONS[] = {
    {"set", "a.b=c", "override a config key, as in train (repeatable)"},
    {NULL, NULL, NULL},
};

const fr_command FR_PREFLIGHT_COMMAND = {"preflight",
                                         "CONFIG",
                                         1,
                                         "check memory, run folder, base file, clocks "
                                         "and links of all nodes; runs under mpirun",
                                         OPTIONS,
                                         NULL};

static const double MIB = 1024.0 * 1024.0;

/* MiB are of all ranks of a node together; the rate and the latency are those of its best link. */
static void print_nodes(const fr_preflight_report *report,
                        const fr_preflight_node *nodes, int n_nodes)
{
    fr_print_line(stdout, "%-16s %5s %5s %7s %10s %12s %12s %9s %10s %9s  %s", "node",
                  "ranks", "procs", "threads", "free MiB", "at least MiB",
                  "base layers", "clock ms", "latency us", "MB/s", "state");
    for (int i = 0; i < n_nodes; i++) {
        const fr_preflight_node *node = &nodes[i];
        fr_print_line(stdout,
                      "%-16s %5lld %5lld %7lld %10.0f %12.1f %5lld of %3lld %9.1f "
                      "%10.0f %9.1f  %s",
                      node->host, (long long)node->n_ranks,
                      (long long)node->n_processors, (long long)node->n_threads,
                      (double)node->memory_bytes / MIB, (double)node->need_bytes / MIB,
                      (long long)node->n_hashed, (long long)report->n_digests,
                      1e3 * node->clock_s, node->latency_us, node->mb_per_s,
                      node->finding[0] != '\0' ? "ODD" : "fine");
    }
}

/* Of a device with memory of its own. */
static void print_device(const fr_preflight_node *node)
{
    if (node->device_likely > 0) {
        fr_print_line(stdout,
                      "memory of a rank's device on %s: %.1f MiB are free, at least "
                      "%.1f and up to %.1f are needed%s",
                      node->host, (double)node->device_bytes / MIB,
                      (double)node->device_need / MIB,
                      (double)node->device_likely / MIB,
                      node->device_likely > node->device_bytes
                          ? "; that may be too little: `forerun plan` shows what for"
                          : "");
    }
}

/* "GPU-0123abcd" of a longer name. */
enum { SHORT_DEVICE = 12 };

static bool have_same_device(const fr_preflight_rank *a, const fr_preflight_rank *b)
{
    return strcmp(a->host, b->host) == 0 && strcmp(a->device, b->device) == 0;
}

/* The ranks that share the device of rank r, "0, 2"; cut off with dots where there are many. */
static void list_sharers(const fr_preflight_report *report, int r, char *out,
                         size_t bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (int o = 0; o < report->n_ranks; o++) {
        if (!have_same_device(&report->ranks[o], &report->ranks[r])) {
            continue;
        }
        char one[SHORT_DEVICE + 4];
        (void)snprintf(one, sizeof one, "%s%d", used > 0 ? ", " : "", o);
        if (used + strlen(one) + sizeof ", ..." > bytes) {
            (void)snprintf(out + used, bytes - used, ", ...");
            return;
        }
        used += (size_t)snprintf(out + used, bytes - used, "%s", one);
    }
}

/* Of the ranks that share a device the one that needs the most of it. */
static const fr_preflight_rank *neediest(const fr_preflight_report *report, int r)
{
    const fr_preflight_rank *most = &report->ranks[r];
    for (int o = r + 1; o < report->n_ranks; o++) {
        const fr_preflight_rank *other = &report->ranks[o];
        bool is_more = other->device_likely > most->device_likely;
        most = have_same_device(other, most) && is_more ? other : most;
    }
    return most;
}

/* @param r  the first rank of the device */
static void print_own_device(const fr_preflight_report *report, int r)
{
    enum { LIST_BYTES = 128, EACH_BYTES = 64 };
    const fr_preflight_rank *rank = &report->ranks[r];
    const fr_preflight_rank *most = neediest(report, r);
    bool is_shared = rank->n_sharers > 1;
    char list[LIST_BYTES];
    char each[EACH_BYTES] = "";
    list_sharers(report, r, list, sizeof list);
    if (is_shared) {
        (void)snprintf(each, sizeof each, ", %.1f for each",
                       (double)rank->device_bytes / MIB);
    }
    fr_print_line(stdout,
                  "%.*s on %s (%s): rank%s %s%s; %.1f of %.1f MiB are free%s; a rank "
                  "needs at least %.1f and up to %.1f",
                  SHORT_DEVICE, rank->device, rank->host, rank->device_name,
                  is_shared ? "s" : "", list, is_shared ? " share it" : "",
                  (double)rank->device_free / MIB, (double)rank->device_total / MIB,
                  each, (double)most->device_need / MIB,
                  (double)most->device_likely / MIB);
}

/* One line for each device that has memory of its own and a name. */
static void print_devices(const fr_preflight_report *report)
{
    for (int r = 0; r < report->n_ranks; r++) {
        const fr_preflight_rank *rank = &report->ranks[r];
        bool is_told = rank->device[0] == '\0';
        for (int o = 0; o < r && !is_told; o++) {
            is_told = have_same_device(&report->ranks[o], rank);
        }
        if (!is_told) {
            print_own_device(report, r);
        }
    }
}

/* What limits the memory of nodes, and what the run needs at most: by forecast, with examples as long as the config
 * allows, so that a node with less need not be odd. */
static void print_memory(const fr_preflight_node *nodes, int n_nodes)
{
    for (int i = 0; i < n_nodes; i++) {
        const fr_preflight_node *node = &nodes[i];
        bool tight = node->likely_bytes > node->memory_bytes;
        if (node->is_limited) {
            fr_print_line(stdout, "memory a rank may use on %s: %s", node->host,
                          node->memory);
        }
        if (tight && node->need_bytes <= node->memory_bytes) {
            fr_print_line(stdout,
                          "memory may be too small on %s: the run needs up to %.1f MiB "
                          "there; `forerun plan` shows what for, and reads the rows",
                          node->host, (double)node->likely_bytes / MIB);
        }
        print_device(node);
    }
}

static fr_status print_variants(fr_ctx *ctx, const fr_preflight_report *report)
{
    char text[FR_VARIANTS_TEXT];
    fr_device_variant *ranks = NULL;
    FR_TRY(fr_alloc(ctx, report->n_ranks, sizeof *ranks, &ranks));
    for (int r = 0; r < report->n_ranks; r++) {
        ranks[r] = report->ranks[r].variant;
    }
    fr_variants_text(ranks, report->n_ranks, text);
    free(ranks);
    fr_print_line(stdout, "instruction set: %s; arithmetic: %s", text,
                  report->ranks[0].arithmetic);
    return FR_OK;
}

/* What ranks say of a library: one line where all say the same, else one for each text, with the first rank that says it. That ranks
 * differ in what decides bits is a finding besides. */
static void print_library(const fr_preflight_report *report, const char *title,
                          size_t offset)
{
    const char *first = (const char *)&report->ranks[0] + offset;
    bool are_same = true;
    for (int r = 1; r < report->n_ranks; r++) {
        are_same =
            are_same && strcmp((const char *)&report->ranks[r] + offset, first) == 0;
    }
    if (are_same && first[0] != '\0') {
        fr_print_line(stdout, "%s %s", title, first);
    }
    for (int r = 0; r < report->n_ranks && !are_same; r++) {
        const char *text = (const char *)&report->ranks[r] + offset;
        int o = 0;
        while (o < r && strcmp((const char *)&report->ranks[o] + offset, text) != 0) {
            o++;
        }
        if (o == r && text[0] != '\0') {
            fr_print_line(stdout, "rank %d on %s: %s %s", r, report->ranks[r].host,
                          title, text);
        }
    }
}

/* Only the slowest pair: with many ranks the whole matrix is too long. */
static void print_pairs(const fr_preflight_report *report)
{
    int64_t n = report->n_ranks;
    int64_t slowest = -1;
    int64_t n_pairs = 0;
    for (int64_t i = 0; i < n * n; i++) {
        double rate = report->links[i].mb_per_s;
        n_pairs += rate > 0.0;
        if (rate > 0.0 && (slowest < 0 || rate < report->links[slowest].mb_per_s)) {
            slowest = i;
        }
    }
    if (slowest >= 0) {
        fr_print_line(stdout,
                      "slowest of %lld links between ranks: %lld (%s) to %lld (%s), "
                      "%.1f MB/s%s",
                      (long long)n_pairs, (long long)(slowest / n),
                      report->ranks[slowest / n].host, (long long)(slowest % n),
                      report->ranks[slowest % n].host, report->links[slowest].mb_per_s,
                      report->all_links ? ""
                                        : "; time ran out before all were measured");
    }
}

/* The medians, as `plan` takes them. */
static fr_status print_link_kinds(fr_ctx *ctx, const fr_preflight_report *report)
{
    enum { KIND_BYTES = 96 };
    static const char *const NAMES[] = {"inside nodes", "between nodes"};
    static const char *const OPTIONS_OF[] = {"node-link", "link"};
    char told[2][KIND_BYTES] = {"", ""};
    char options[2][KIND_BYTES] = {"", ""};
    fr_preflight_link kinds[2];
    FR_TRY(fr_preflight_medians(ctx, report, &kinds[0], &kinds[1]));
    for (int i = 0; i < 2; i++) {
        if (kinds[i].mb_per_s > 0.0 && kinds[i].latency_us > 0.0) {
            const char *comma = i == 1 && told[0][0] != '\0' ? ", " : "";
            (void)snprintf(told[i], KIND_BYTES, "%s%s %.1f MB/s and %.2f us", comma,
                           NAMES[i], kinds[i].mb_per_s, kinds[i].latency_us);
            (void)snprintf(options[i], KIND_BYTES, " --%s-gbps %.3g --%s-us %.2f",
                           OPTIONS_OF[i], 8e-3 * kinds[i].mb_per_s, OPTIONS_OF[i],
                           kinds[i].latency_us);
        }
    }
    if (told[0][0] != '\0' || told[1][0] != '\0') {
        fr_print_line(stdout, "links, medians: %s%s; for `forerun plan`:%s%s", told[0],
                      told[1], options[0], options[1]);
    }
    return FR_OK;
}

static void print_placement(const fr_preflight_report *report)
{
    if (report->ranks[0].placement[0] != '\0') {
        fr_print_line(stdout, "placement: %s", report->ranks[0].placement);
    }
}

/* The last line counts the odd nodes, so that a script can look at it alone. */
static void print_findings(const fr_preflight_node *nodes, int n_nodes, int *exit_code)
{
    int odd = 0;
    for (int i = 0; i < n_nodes; i++) {
        if (nodes[i].finding[0] != '\0') {
            odd++;
            fr_print_line(stdout, "ODD %s (rank %d): %s", nodes[i].host,
                          nodes[i].first_rank, nodes[i].finding);
        }
    }
    fr_print_line(stdout, "preflight: %d nodes, %d odd", n_nodes, odd);
    *exit_code = odd > 0 ? 1 : 0;
}

/* Rank 0 judges and prints; every rank leaves with its verdict. */
static fr_status conclude(const fr_cli *cli, const fr_preflight_report *report)
{
    fr_preflight_node *nodes = NULL;
    int n_nodes = 0;
    fr_status status = FR_OK;
    if (fr_ctx_rank(cli->ctx) == 0) {
        status = fr_preflight_judge(cli->ctx, report, &nodes, &n_nodes);
        if (status == FR_OK) {
            print_nodes(report, nodes, n_nodes);
            print_devices(report);
            print_memory(nodes, n_nodes);
            status = print_variants(cli->ctx, report);
            print_library(report, "products are computed by",
                          offsetof(fr_preflight_rank, products));
            print_library(report, "sums of gradients go over",
                          offsetof(fr_preflight_rank, sums));
        }
        if (status == FR_OK) {
            print_pairs(report);
            status = print_link_kinds(cli->ctx, report);
        }
        if (status == FR_OK) {
            print_placement(report);
            print_findings(nodes, n_nodes, cli->exit_code);
            (void)fflush(stdout);
        }
    }
    free(nodes);
    FR_TRY(fr_group_agree(cli->world, status));
    return fr_group_broadcast(cli->world, 0, cli->exit_code, sizeof *cli->exit_code);
}

fr_status fr_cmd_preflight(const fr_cli *cli)
{
    fr_config *config = NULL;
    fr_preflight_report report = {.n_ranks = 0};
    fr_status status = fr_group_agree(cli->world, fr_cli_read_config(cli, &config));
    if (status == FR_OK) {
        status = fr_preflight_measure(cli->ctx, cli->world, config, &report);
    }
    if (status == FR_OK) {
        status = conclude(cli, &report);
    }
    fr_preflight_fini(&report);
    fr_config_destroy(&config);
    return status;
}
