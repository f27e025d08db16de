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

#include <stdio.h>
#include <stdlib.h>

static const fr_option OPTIONS[] = {
    {"set", "a.b=c", "override a config key, as in train (repeatable)"},
    {NULL, NULL, NULL},
};

const fr_command FR_PREFLIGHT_COMMAND = {"preflight", "CONFIG", 1,
                                         "check memory, run folder, base file, clocks "
                                         "and links of all nodes; runs under mpirun",
                                         OPTIONS};

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
            print_memory(nodes, n_nodes);
            status = print_variants(cli->ctx, report);
        }
        if (status == FR_OK) {
            print_pairs(report);
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
