/*
 * kinds.h - the kinds of devices that this program is built with, and how one is made.
 */
#ifndef FR_DEVICE_KINDS_H
#define FR_DEVICE_KINDS_H

#include "device/scratch.h"

typedef struct fr_device_params {
    const char *kind; /* "cpu", "cuda", or "auto": see fr_device_settle */
    int n_threads;    /* of the host, >= 1 */
    int node_rank; /* this rank's number among those of its node: of several GPUs it chooses one */
    bool
        own_products; /* a GPU does not use cuBLASLt, which would give products other bits */
} fr_device_params;

/** What is known of a device before one is made. */
typedef struct fr_device_facts {
    bool in_host_memory; /* then these two are 0: */
    int64_t bytes;       /* of memory that it has for numbers */
    int64_t available;   /* of them, now */
    fr_dtype work;       /* fr_device_work of models in bf16 */
    char which
        [40]; /* ranks of a node whose texts are equal share the device and its memory; "" in the host's memory */
    char name[64]; /* of the device, for people; likewise */
    fr_scratch_function *
        scratch; /* what its operators take for themselves; NULL: what stage_bytes.h says */
    int64_t
        products; /* bytes of its memory that products by a library take, on a machine that has one */
    bool sums_by_library; /* its ranks may sum over NCCL, which takes memory of it */
} fr_device_facts;

/**
 * The kind that is meant on this machine. "auto": the first that this program is built with and of which there is a device
 * here; the last, the CPU, is everywhere. A GPU that is there but cannot be used is warned of.
 * @param[out] kind  lives as long as the program
 * @return as fr_device_check_kind
 */
FR_MUST_CHECK fr_status fr_device_settle(fr_ctx *ctx, const char *asked, int node_rank,
                                         const char **kind);

/** Of the device that fr_device_create would make. @return as fr_device_create */
FR_MUST_CHECK fr_status fr_device_facts_of(fr_ctx *ctx, const char *kind, int node_rank,
                                           fr_device_facts *out);

/** Bytes of its own memory that a device of this kind takes for products by a library (run.products: auto): 0 where this machine has no
 * such library. Opens it. @param kind  settled */
int64_t fr_device_products_bytes(fr_ctx *ctx, const char *kind);

/** What holds for a kind on every machine, also in a program that is built without it: `bytes` and `available` are 0, `which` and
 * `name` "". "auto" stands for the first kind that has memory of its own. @return false: no such kind is known */
bool fr_device_facts_elsewhere(const char *kind, fr_device_facts *out);

/** A device of that kind, with the best that the machine has and the environment allows (FORERUN_ISA).
 * @return FR_OK; FR_ERR_ARG (threads; FORERUN_ISA names no instruction set); FR_ERR_CONFIG (no such kind is built in);
 *         FR_ERR_NO_MEMORY; FR_ERR_UNSUPPORTED (no GPU, or one that cannot be used); FR_ERR_DEVICE (a GPU fails) */
FR_MUST_CHECK fr_status fr_device_create(fr_ctx *ctx, const fr_device_params *params,
                                         fr_device **out);

/** A device in the host's memory, for what stays there while another one computes the model. Errors as above. */
FR_MUST_CHECK fr_status fr_device_create_host(fr_ctx *ctx, int n_threads,
                                              fr_device **out);

/** Whether such a device could be made, as far as names and environment go: for commands that make none, or make it late.
 * @param name  the key or option with the kind, for the message */
FR_MUST_CHECK fr_status fr_device_check_kind(fr_ctx *ctx, const char *name,
                                             const char *kind);

#endif
