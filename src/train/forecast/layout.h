/*
 * layout.h - which rank holds which layers: stages x replicas, and the split of layers over stages.
 *
 * Pure functions of the model's shape and a few settings of a run. No result of a run depends on its layout.
 */
#ifndef FR_TRAIN_FORECAST_LAYOUT_H
#define FR_TRAIN_FORECAST_LAYOUT_H

#include "model/arch.h"
#include "train/config/config.h"
#include "train/forecast/forecast.h"
#include "train/forecast/workload.h"

typedef struct fr_layout {
    int n_stages;
    int n_replicas;
} fr_layout;

/**
 * Cost of the vocabulary projection in units of one layer: d * V over the parameters of a layer, times
 * the share of rows that carry a target (the head runs only there).
 */
double fr_head_cost(const fr_arch *arch, double target_share);

/**
 * First layer of each stage and one past the last: bounds[0] = 0 <= ... <= bounds[n_stages] = n_layers,
 * every stage at least one layer, such that the costliest stage (the last one bears head_cost) is as
 * cheap as possible with contiguous runs of layers.
 * @param bounds  [n_stages + 1]
 */
void fr_split_layers(int64_t n_layers, double head_cost, int n_stages, int64_t *bounds);

/** What a rank may use. */
typedef struct fr_rank_limits {
    int64_t memory;               /* bytes of its node's main memory */
    int64_t node_ranks;           /* as in fr_forecast_params */
    int64_t node_ranks_most;      /* likewise */
    bool device_is_apart;         /* likewise; then */
    int64_t device_memory;        /* bytes of the device's memory, else 0 */
    fr_scratch_function *scratch; /* of its facts */
    int64_t products;             /* fr_forecast_params */
    bool sums_by_library;         /* of its facts */
    fr_dtype work;                /* of models in bf16 (fr_device_work) */
    bool device_is_shared;        /* by ranks of some node */
    const char *device;           /* its kind (fr_device_settle) */
} fr_rank_limits;

/** What a layout is chosen for. Everything is borrowed. */
typedef struct fr_layout_problem {
    const fr_arch *arch;
    const fr_weights *weights_in_file; /* weights that stay in their file; NULL: they
                                          count as converted */
    fr_precision precision;
    fr_recompute recompute;
    int64_t offload; /* layers of each stage that stay on the host, FR_NONE, or FR_AUTO:
                        as few as fit; none where no device has memory of its own */
    bool sums_by_library;        /* run.sums lets replicas sum over NCCL */
    int64_t warmup_depth;        /* 0 counts as 1 */
    int64_t stages;              /* that are asked for, or FR_AUTO */
    int64_t replicas;            /* likewise */
    int64_t n_tasks;             /* 0: weights alone count */
    const fr_task_config *tasks; /* [n_tasks] */
    int64_t
        microbatch_tokens; /* what FR_AUTO of a task stands for; 0: FR_MICROBATCH_TOKENS */
    const fr_workload_source *sources; /* [n_tasks] how large their rows are */
    int n_ranks;
    const int64_t
        *nodes; /* [n_ranks] as fr_placement_init takes them; NULL: in a row */
    fr_rank_limits limits;
    fr_machine machine; /* `train` chooses for fr_machine_assumed */
} fr_layout_problem;

/**
 * What a config says of the problem: precision, recompute, warm-up depth, stages, replicas and tasks, on an assumed
 * machine. The caller fills in the rest.
 * @param weights  of the base, used where the config leaves them in the file; NULL: they count as converted
 */
fr_layout_problem fr_layout_problem_of(const fr_config *config, const fr_arch *arch,
                                       const fr_weights *weights);

/**
 * What batch.microbatch_tokens: auto stands for in a problem, which is to be set there: FR_MICROBATCH_TOKENS in the host's memory;
 * on a device with memory of its own 8192, or the half, quarter or eighth of it, if these do not fit or leave a pipeline too few
 * microbatches. Where the eighth does not fit either, layers stay on the host if they may (`offload`), and the number is
 * chosen anew; at last it is halved down to 128. The same on all ranks, like a layout.
 */
FR_MUST_CHECK fr_status fr_layout_microbatch(fr_ctx *ctx,
                                             const fr_layout_problem *problem,
                                             int64_t *out);

/** One way to use the ranks. */
typedef struct fr_layout_candidate {
    fr_layout layout;
    bool possible; /* stages <= layers, replicas <= examples, and as the config asks */
    bool fits;     /* possible, and every rank has memory enough */
    int64_t largest_bytes; /* of the host's memory, of any rank */
    int64_t device_bytes;  /* of a device's own memory, likewise */
    double filled;         /* fr_layout_filled of the rank that fills the most */
    int64_t offload;       /* the most layers of a stage that stay on the host */
    double seconds;        /* of a round; 0 without tasks; copies ahead count nothing */
    int64_t n_simulated;
    char reason[128]; /* why it is not possible or does not fit; "" if it does */
} fr_layout_candidate;

/** Share of a rank's memory that a layout may fill by forecast. */
double fr_layout_memory_share(void);

/** Share of what it may use that a rank fills: of the host's memory or of the device's own, the larger. */
double fr_layout_filled(const fr_rank_memory *memory, const fr_rank_limits *limits);

/**
 * Every stages x replicas with that many ranks, best first: those that fit by time of a round (ties: fewer
 * stages), those whose layers all fit in the device before others; then those that are possible, by memory, then the
 * rest. The first is what fr_layout_resolve takes.
 * @param out  [*n], the caller frees
 */
FR_MUST_CHECK fr_status fr_layout_list(fr_ctx *ctx, const fr_layout_problem *problem,
                                       fr_layout_candidate **out, int64_t *n);

/**
 * Resolve `auto`: a pure function of the problem, the same on all ranks and in `plan`. If nothing fits, the
 * layout that needs the least memory.
 *
 * @return FR_OK; FR_ERR_CONFIG: stages x replicas is not n_ranks, more stages than layers, or fewer
 *         examples a step than replicas (task named); each message has both numbers
 */
FR_MUST_CHECK fr_status fr_layout_resolve(fr_ctx *ctx, const fr_layout_problem *problem,
                                          fr_layout *out);

typedef struct fr_device_needs {
    int64_t
        bytes; /* of its own memory, by forecast, without fr_rank_memory.sums; 0: it has none */
    int64_t offload; /* layers of this rank's stage that stay on the host */
} fr_device_needs;

/**
 * fr_layout_resolve for this rank of a run. Warns, on rank 0, if by forecast a rank of the layout needs more of the host's
 * memory than it may use: the kernel may then kill it without a message. Without tasks only the weights count.
 * @param[out] needs  what this rank needs of its device
 */
FR_MUST_CHECK fr_status fr_layout_settle(fr_ctx *ctx, const fr_layout_problem *problem,
                                         fr_layout *out, fr_device_needs *needs);

/** The parameters of a forecast of `layout`; owns what they point to. */
typedef struct fr_layout_forecast {
    fr_forecast_params params;
    int64_t *bounds;
    int64_t *offload;
    fr_task_workload *tasks;
} fr_layout_forecast;
FR_MUST_CHECK fr_status fr_layout_forecast_init(fr_ctx *ctx,
                                                const fr_layout_problem *problem,
                                                const fr_layout *layout,
                                                fr_layout_forecast *out);
void fr_layout_forecast_fini(fr_layout_forecast *forecast);

#endif
