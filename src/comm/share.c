#include "comm/share.h"

#include "base/machine.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/*
 * Two sums over the ranks of the node say who shares what. In the first, each rank fills one row of a table with the
 * ids of its control groups, and the other rows are 0. In the second, each rank adds 1 for every processor that it
 * may run on. Each rank then divides what it sees by the number of ranks that share it, and takes the tightest limit.
 */
enum {
    MAX_PROCESSORS = 8192,             /* Linux allows as many */
    GROUP_WORDS = 2 * FR_LIMIT_LEVELS, /* ids of control groups: memory, then CPU */
};

typedef struct table {
    int64_t *groups;     /* [ranks, GROUP_WORDS]; 0: none */
    int64_t *processors; /* [MAX_PROCESSORS] ranks that may use each */
    int64_t *mine;       /* [MAX_PROCESSORS] 1: this rank may use it */
} table;

/* Ranks of the node that are in the control group `id`. */
/* A rank counts once, on whichever level it names the group. At least 1: this rank itself is in it, and the result
 * divides. */
static int64_t sharers(const table *t, int n_ranks, int first, int64_t id)
{
    int64_t n = 0;
    for (int rank = 0; rank < n_ranks; rank++) {
        const int64_t *row = t->groups + (int64_t)rank * GROUP_WORDS + first;
        bool is_in = false;
        for (int i = 0; i < FR_LIMIT_LEVELS; i++) {
            is_in = is_in || row[i] == id;
        }
        n += is_in;
    }
    return n > 0 ? n : 1;
}

/* Integer division, so that the shares never add up to more than the limit. */
static void share_memory(const fr_limits *limits, const table *t, int n_ranks,
                         fr_memory_share *out)
{
    *out = (fr_memory_share){.bytes = limits->machine_available / n_ranks,
                             .n_sharers = n_ranks,
                             .bound = FR_BOUND_MACHINE,
                             .limit = limits->machine_bytes,
                             .machine = limits->machine_available};
    for (int i = 0; i < limits->n_memory; i++) {
        const fr_memory_limit *limit = &limits->memory[i];
        int64_t n = sharers(t, n_ranks, 0, limit->id);
        if (limit->available / n < out->bytes) {
            out->bytes = limit->available / n;
            out->n_sharers = n;
            out->bound = FR_BOUND_CONTAINER;
            out->limit = limit->bytes;
        }
    }
    if (limits->process_available < out->bytes) {
        out->bytes = limits->process_available;
        out->n_sharers = 1;
        out->bound = FR_BOUND_PROCESS;
        out->limit = limits->process_bytes;
    }
}

/* A processor that n ranks may use gives each 1/n of it. The quota is a separate bound: 0 means that there is
 * none. */
static void share_processors(const fr_limits *limits, const table *t, int n_ranks,
                             fr_share *out)
{
    out->processors = 0.0;
    for (size_t i = 0; i < MAX_PROCESSORS; i++) {
        if (t->mine[i] == 1) {
            out->processors += 1.0 / (double)t->processors[i];
        }
    }
    out->quota = 0.0;
    for (int i = 0; i < limits->n_cpu; i++) {
        int64_t n = sharers(t, n_ranks, FR_LIMIT_LEVELS, limits->cpu[i].id);
        double quota = limits->cpu[i].processors / (double)n;
        out->quota = out->quota > 0.0 && out->quota < quota ? out->quota : quota;
    }
}

/* Rows are written at this rank's place only; the sum over the ranks then copies each row to all. */
static void fill(const fr_limits *limits, int rank, table *t)
{
    int64_t *row = t->groups + (int64_t)rank * GROUP_WORDS;
    for (int i = 0; i < limits->n_memory; i++) {
        row[i] = limits->memory[i].id;
    }
    for (int i = 0; i < limits->n_cpu; i++) {
        row[FR_LIMIT_LEVELS + i] = limits->cpu[i].id;
    }
    fr_machine_processor_set(MAX_PROCESSORS, t->mine);
    memcpy(t->processors, t->mine, MAX_PROCESSORS * sizeof *t->processors);
}

fr_status fr_share_measure(fr_ctx *ctx, fr_group *node, const fr_limits *limits,
                           fr_share *out)
{
    int n_ranks = fr_group_size(node);
    int64_t n_words = (int64_t)n_ranks * GROUP_WORDS;
    table t = {0};
    *out = (fr_share){0};
    fr_status status = fr_alloc(ctx, n_words, sizeof *t.groups, &t.groups);
    if (status == FR_OK) {
        status = fr_alloc(ctx, MAX_PROCESSORS, sizeof *t.processors, &t.processors);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, MAX_PROCESSORS, sizeof *t.mine, &t.mine);
    }
    status = fr_group_agree(node, status);
    if (status == FR_OK) {
        fill(limits, fr_group_rank(node), &t);
        status = fr_group_allreduce(node, FR_SUM, t.groups, n_words);
    }
    if (status == FR_OK) {
        status = fr_group_allreduce(node, FR_SUM, t.processors, MAX_PROCESSORS);
    }
    if (status == FR_OK) {
        share_memory(limits, &t, n_ranks, &out->memory);
        share_processors(limits, &t, n_ranks, out);
    }
    free(t.groups);
    free(t.processors);
    free(t.mine);
    return status;
}

/* A quota is rounded to the nearest number, since 1.5 processors keep two threads busier than one. The number of
 * processors is rounded down. */
int fr_share_threads(const fr_share *share)
{
    static const double SLACK = 1e-6; /* of sums of parts */
    int threads = (int)(share->processors + SLACK);
    if (share->quota > 0.0 && share->quota < (double)threads) {
        threads = (int)(share->quota + 0.5);
    }
    return threads > 1 ? threads : 1;
}
