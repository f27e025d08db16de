/*
 * preflight.h - look at every node and every pair of ranks before a run, and name the odd node.
 *
 * Measuring is collective over the world; judging is a pure function of the report on rank 0. N: number of ranks.
 */
#ifndef FR_TRAIN_PREFLIGHT_PREFLIGHT_H
#define FR_TRAIN_PREFLIGHT_PREFLIGHT_H

#include "base/digest.h"
#include "base/limits.h"
#include "comm/group.h"
#include "comm/placement.h"
#include "device/device.h"
#include "train/config/config.h"

enum {
    FR_HOST_BYTES = 64,
    FR_FINDING_BYTES = 512,
    FR_ARITHMETIC_BYTES = 128,
    FR_DEVICE_BYTES = 64,
    FR_LIBRARY_BYTES = 384
};

/** What a rank knows of itself; sent as bytes between ranks of one program. */
typedef struct fr_preflight_rank {
    char host[FR_HOST_BYTES];
    char problem[FR_FINDING_BYTES]; /* "": none; else what failed on this rank */
    int64_t node_ranks;             /* ranks on this node */
    int64_t node_rank;              /* index among them */
    int64_t n_processors;           /* that this rank may run on, those of others too */
    int64_t n_threads;              /* that it would compute with */
    fr_device_variant variant;      /* likewise */
    char arithmetic[FR_ARITHMETIC_BYTES]; /* fr_device_arithmetic */
    int64_t memory_bytes;                 /* that it may use now (fr_rank_share) */
    char memory[FR_LIMIT_TEXT]; /* the same for messages, with what limits it */
    bool is_limited;            /* by more than the machine's memory */
    int64_t
        need_bytes; /* that it needs at least: weights, tasks, the program; 0: the model could not be opened */
    int64_t likely_bytes; /* that it needs at most, by forecast */
    /* of its device's own memory, 0 where the device works in the host's */
    char device[FR_DEVICE_BYTES];      /* fr_device_facts.which */
    char device_name[FR_DEVICE_BYTES]; /* fr_device_facts.name */
    int64_t device_total;
    int64_t device_free;  /* of that, now; of all ranks that share the device */
    int64_t n_sharers;    /* ranks of the node that do, itself included */
    int64_t device_bytes; /* that it may use now: its part of what is free */
    int64_t
        device_need; /* that it needs at least: weights, prefixes, a library for products */
    int64_t device_likely;           /* that it needs at most, by forecast */
    char products[FR_LIBRARY_BYTES]; /* fr_device_products */
    char sums[FR_LIBRARY_BYTES]; /* fr_sums_likely; "": the model could not be opened */
    double clock_s;              /* node's clock less rank 0's */
    char placement
        [FR_PLACEMENT_TEXT]; /* fr_placement_text of the run's layout; "": nothing to
                                          say, or the model could not be opened */
} fr_preflight_rank;

/** From one rank to another; zeros where not measured. */
typedef struct fr_preflight_link {
    double latency_us; /* half of the shortest round trip */
    double mb_per_s;   /* best of some transfers, 1e6 bytes */
} fr_preflight_link;

/** Arrays are filled on rank 0 alone. */
typedef struct fr_preflight_report {
    int n_ranks;
    int64_t n_digests;        /* the layers, and one for what is outside them */
    bool all_links;           /* false: time ran out before every pair was measured */
    fr_preflight_rank *ranks; /* [N] */
    fr_preflight_link *links; /* [N from, N to] */
    uint8_t *digests; /* [N, n_digests, 32]; zeros for what a rank did not hash */
} fr_preflight_report;

/**
 * Measure. What is wrong on some rank is in its row, not in the status.
 *
 * The ranks of a node share the hashing of the base; after some seconds the rest stays unhashed. A file is
 * written and synced in run.dir from every node and read from the others, then removed again.
 *
 * @return FR_OK; FR_ERR_CONFIG (ranks and layout do not fit); FR_ERR_COMM; FR_ERR_NO_MEMORY; same on all ranks
 */
FR_MUST_CHECK fr_status fr_preflight_measure(fr_ctx *ctx, fr_group *world,
                                             const fr_config *config,
                                             fr_preflight_report *out);
void fr_preflight_fini(fr_preflight_report *report);

/** One node as judged. */
typedef struct fr_preflight_node {
    const char *host; /* borrowed from the report */
    int first_rank;
    int64_t n_ranks;
    int64_t n_processors;
    int64_t n_threads;  /* of a rank */
    const char *memory; /* borrowed: what its first rank may take */
    bool is_limited;
    int64_t memory_bytes; /* that its ranks may take together */
    int64_t need_bytes;   /* that they need at least */
    int64_t likely_bytes; /* that they need at most, by forecast */
    /* of a device's own memory: of the rank that lacks the most, or has the least to spare */
    int64_t device_bytes;
    int64_t device_need;
    int64_t device_likely;
    int64_t n_hashed; /* layers of the base that its ranks hashed */
    double clock_s;
    double latency_us; /* shortest to or from another node; 0: none */
    double mb_per_s; /* the slower direction's best to or from another node; 0: none */
    char finding[FR_FINDING_BYTES]; /* "": nothing odd */
} fr_preflight_node;

/**
 * Group the ranks into nodes by host and find the odd ones: a problem of its own, another base than most, another
 * arithmetic or another device than rank 0, too little memory, a clock more than a second off, a link under half of the median rate or over three times the
 * median latency.
 *
 * @param[out] nodes  caller frees, in order of their first ranks
 */
FR_MUST_CHECK fr_status fr_preflight_judge(fr_ctx *ctx,
                                           const fr_preflight_report *report,
                                           fr_preflight_node **nodes, int *n_nodes);

/** Medians of all links between ranks of one host, and of all others; zeros where none was measured. */
FR_MUST_CHECK fr_status fr_preflight_medians(fr_ctx *ctx,
                                             const fr_preflight_report *report,
                                             fr_preflight_link *inside,
                                             fr_preflight_link *between);

#endif
