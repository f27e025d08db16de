/*
 * forecast.h - what a run on a layout will take: bytes on every edge and in the reductions, memory of every
 * rank, time of a step.
 *
 * Everything follows by formula from the model's shape and the sizes of a step; nothing is measured. The byte formulas
 * are exact for a step of the engine. Times rest on an assumed speed of ranks and links.
 */
#ifndef FR_TRAIN_FORECAST_FORECAST_H
#define FR_TRAIN_FORECAST_FORECAST_H

#include "model/network/stage_bytes.h"

/* ---- bytes ------------------------------------------------------------------------------------ */

/** Bytes of n_rows token rows on an edge between two stages, in each direction: the f32 residual stream forward, its
 * gradient backward. */
int64_t fr_edge_bytes(const fr_arch *arch, int64_t n_rows);

/** Bytes that one rank of a stage with n_layers contributes to the sum over its replicas in a step of a task: K and V
 * of `length` slots as int64. */
int64_t fr_reduction_bytes(const fr_arch *arch, int64_t n_layers, int64_t length);

/** Bytes of the step summary that all ranks agree on (fr_step_summary_length). */
int64_t fr_step_summary_bytes(const fr_arch *arch, int n_stages);

/** Bytes of a task on a rank with n_layers: prefix, moments, best prefix, exact sum and gradient
 * (fr_task_array_bytes). */
int64_t fr_task_bytes(const fr_arch *arch, int64_t n_layers, int64_t length);

/** The same for a task whose prefix comes from an MLP of `hidden` units and embeddings of `width`: prefix, best prefix,
 * sum and gradient (fr_task_array_bytes) and all of the MLP (fr_reparam_bytes). 0 for a shape that is refused. */
int64_t fr_mlp_task_bytes(const fr_arch *arch, int64_t n_layers, int64_t length,
                          int64_t hidden, int64_t width);

/* ---- what is forecast ------------------------------------------------------------------------- */

/** A step of one task. Rows are token rows; numbers are means over the steps that were examined. */
typedef struct fr_task_workload {
    int64_t length;         /* of the prefix */
    fr_layer_range layers;  /* with the prefix; count 0: all from `first` on */
    int64_t mlp_hidden;     /* units of its MLP; 0: none */
    int64_t mlp_width;      /* 0: the model's */
    double step_rows;       /* of all replicas */
    double unshared_rows;   /* likewise, if no examples shared a source */
    double useful_tokens;   /* of all replicas */
    double counted_tokens;  /* of all replicas: rows that the head sees */
    double replica_rows;    /* of the busiest replica */
    int64_t n_microbatches; /* of the busiest replica */
    int64_t max_rows;       /* of a microbatch */
    int64_t max_units;      /* of a microbatch */
    double row_keys;        /* keys that a row attends to beside the prefix; mean */
} fr_task_workload;

/** Speed of a link between two ranks. */
typedef struct fr_link_speed {
    double bytes;   /* a second, one way */
    double seconds; /* latency of a message */
} fr_link_speed;

/** Assumed speeds. */
typedef struct fr_machine {
    double flops;          /* a second and rank, sustained */
    fr_link_speed inside;  /* of two ranks on one node */
    fr_link_speed between; /* of two ranks on different nodes */
} fr_machine;

/** 1e11 FLOP/s (one CPU core with AVX2 in f32); inside a node 40 Gbit/s and 2 us (MPI through shared memory: a core that copies
 * once), between nodes 10 Gbit/s and 20 us (Ethernet). */
fr_machine fr_machine_assumed(void);

typedef struct fr_forecast_params {
    const fr_arch *arch;
    fr_dtype dtype;
    fr_dtype work;             /* see fr_stage_shape */
    const fr_weights *in_file; /* see fr_stage_shape */
    fr_recompute recompute;
    int n_stages;
    int n_replicas;
    const int64_t *bounds;  /* [n_stages + 1] as fr_split_layers */
    const int64_t *offload; /* [n_stages] layers of each that stay on the host, see
                               fr_stage_shape; NULL: none */
    int64_t warmup_depth;
    int64_t max_position;
    int64_t
        node_ranks; /* positions in a row that share a node, and so their weights, at least; 0: none do */
    int64_t
        node_ranks_most;  /* at most: where messages stay inside a node; 0: none do */
    bool device_is_apart; /* it has memory of its own (fr_device_facts) */
    fr_scratch_function *scratch;  /* then: of these facts */
    int64_t products;              /* bytes that products by a library take of it */
    bool sums_by_library;          /* replicas may sum over NCCL */
    int64_t n_tasks;               /* 0: weights alone count */
    const fr_task_workload *tasks; /* [n_tasks] */
    fr_machine machine;
} fr_forecast_params;

/** Memory of one rank by kind, in bytes. Where the device has memory of its own, what lies there is marked D; elsewhere
 * everything is the host's. */
typedef struct fr_rank_memory {
    int64_t
        weights; /* D; in the host's memory this rank's share where ranks of a node hold the same stage */
    int64_t
        activations; /* D; of the microbatches in flight, max_in_flight times the largest */
    int64_t
        edges; /* D; message buffers: input and gradient of each microbatch in flight, and the next input */
    int64_t
        forward; /* D; activations of passes without backward (validation): two where
                          outputs are sent on, else one */
    int64_t workspace; /* D; scratch of the layers */
    int64_t head;      /* D; scratch of logits */
    int64_t tasks;     /* prefixes, moments, sums and gradients of all tasks */
    int64_t process;   /* the program and its libraries */
    /* of a device with memory of its own, else 0: */
    int64_t images;   /* D; prefixes and sums as the device has them */
    int64_t scratch;  /* D; of its operators (fr_stage_scratch_bytes) */
    int64_t products; /* D; of a library for products (fr_device_products_bytes) */
    int64_t
        sums; /* D; of a library for sums (FR_NCCL_BYTES), which it takes beside what this program reserves */
    int64_t
        slack; /* D; gaps between blocks of its memory, whose sizes change from step to step */
    int64_t copies; /* blocks of the host that copies and messages go through */
    int64_t
        loading; /* matrices on their way to the device: this rank's share of a node's */
    int64_t offload; /* layers that stay on the host */
    int64_t device;  /* total of D */
    int64_t total;   /* of the host's memory */
} fr_rank_memory;

typedef struct fr_stage_forecast {
    int64_t first_layer;
    int64_t n_layers;
    int64_t max_in_flight;  /* microbatches in flight */
    double forward_seconds; /* of a mean microbatch */
    double backward_seconds;
    int64_t reduction_bytes; /* of a round, a rank */
    int64_t backward_bytes;  /* to the stage before, a round, all replicas */
    bool
        leaves_node; /* the next stage is on another node, in the replica that is played */
    double
        message_seconds; /* of a mean microbatch to or from the next stage, with latency; 0 on the last stage */
    fr_rank_memory memory;
} fr_stage_forecast;

/** A round is one step of every task. */
typedef struct fr_forecast {
    int n_stages;
    fr_stage_forecast *stages; /* owned */
    int largest; /* stage whose ranks take the most memory, of the device where it has its own */
    int64_t edge_bytes;      /* forward on each edge, a round, all replicas; as many
                                  backward above the first layer with a prefix */
    int64_t summary_bytes;   /* of step summaries, a round */
    int64_t message_bytes;   /* of a mean microbatch */
    double message_seconds;  /* with latency, on the slowest edge */
    int64_t n_spanning;      /* replicas on several nodes */
    int64_t n_leaving;       /* the most edges of a replica that lead to another node */
    int64_t slowest_replica; /* the first one with so many, which is played */
    bool sums_leave;         /* sums go from node to node */
    double shortest_pass;    /* seconds: the fastest forward of a stage */
    bool link_hides;         /* a message takes no longer than any pass */
    bool link_bound;         /* the round is as long as its messages take */
    double update_seconds;   /* reduction and step summary */
    double round_seconds;
    double bubble; /* share of the ranks' time that is idle, uneven stages included */
    double bubble_formula;    /* fr_bubble_formula of equal stages without links */
    double balance;           /* mean over largest time of a stage: 1 is even */
    double tokens_per_second; /* useful tokens */
    int64_t n_simulated;      /* passes that the timeline played */
} fr_forecast;

/**
 * Forecast one layout. Plays one replica's schedule for a few rounds, with at most some multiples of n_stages
 * microbatches a round: more of them lengthen a steady round by the slowest stage's passes each. So the work is
 * bounded, whatever the step's size and the number of replicas.
 *
 * @return FR_OK; FR_ERR_NO_MEMORY; FR_ERR_INTERNAL (timeline)
 */
FR_MUST_CHECK fr_status fr_forecast_run(fr_ctx *ctx, const fr_forecast_params *params,
                                        fr_forecast *out);
void fr_forecast_fini(fr_forecast *forecast);

/** Memory of a rank of one stage, at its worst moment: while weights are loaded, or later. */
void fr_forecast_memory(const fr_forecast_params *params, int stage,
                        fr_rank_memory *out);

/** Layers of a stage that a task's backward pass reaches: all from the task's first layer with a prefix on. */
int64_t fr_forecast_kept(const fr_forecast_params *params, int stage,
                         const fr_task_workload *task);

/**
 * Seconds of a forward or backward pass of n_rows rows on a stage, of which `head_rows` have a target; a mean over the rows
 * of all tasks.
 *
 * Products count 2 FLOP a weight in both directions, since no weight gradient exists. Attention counts 4 Q a key forward
 * and 2.5 times that backward; a backward pass also repeats what `recompute` names. The prefix counts in the layers that
 * have one. The saving of the last layer, which computes fewer rows, is left out.
 */
double fr_pass_seconds(const fr_forecast_params *params, int stage, bool forward,
                       double n_rows, double head_rows);

#endif
