/*
 * limits.h - what the machine, the container and the process let this process take: memory and processors.
 *
 * Read from /proc and the mounted control groups (cgroups of version 1, 2 or both): the limits of the group
 * that this process is in and of every group above it that can be seen. What cannot be read or makes no sense counts as
 * unlimited, so nothing here can fail.
 */
#ifndef FR_BASE_LIMITS_H
#define FR_BASE_LIMITS_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { FR_LIMIT_LEVELS = 16, FR_LIMIT_TEXT = 256 };
/** Stands for "unlimited". */
#define FR_NO_LIMIT INT64_MAX

/** A limit of one control group. All processes in it and below share it. */
typedef struct fr_memory_limit {
    int64_t id;        /* of the group; the same in every process of this node */
    int64_t bytes;     /* that its processes may hold together */
    int64_t available; /* of these, now: what is cached of files counts as free */
} fr_memory_limit;

typedef struct fr_cpu_limit {
    int64_t id;
    double processors; /* that its processes may keep busy together, e.g. 1.5 */
} fr_cpu_limit;

typedef struct fr_limits {
    int64_t machine_bytes;     /* memory of the machine */
    int64_t machine_available; /* of it, now (MemAvailable) */
    int n_memory;
    fr_memory_limit memory[FR_LIMIT_LEVELS]; /* those below the machine's memory */
    int n_cpu;
    fr_cpu_limit cpu[FR_LIMIT_LEVELS];
    int64_t process_bytes;     /* ulimit -v or -d of this process; FR_NO_LIMIT */
    int64_t process_available; /* what it may still map; FR_NO_LIMIT */
} fr_limits;

/**
 * Read all limits of this process.
 * @param root  the folder that holds proc and what proc/self/mountinfo names: "/", or a copy for a test
 */
void fr_limits_read(const char *root, fr_limits *out);

/** What bounds a share of memory. */
typedef enum fr_memory_bound {
    FR_BOUND_MACHINE,
    FR_BOUND_CONTAINER,
    FR_BOUND_PROCESS
} fr_memory_bound;

/** Memory that a process, or all processes of a node, may take now, and what bounds it. */
typedef struct fr_memory_share {
    int64_t bytes;
    int64_t n_sharers; /* `bytes` is one of so many equal parts of what is free */
    fr_memory_bound bound;
    int64_t limit;   /* of the bound: its whole size */
    int64_t machine; /* free on the machine */
} fr_memory_share;

/** The least that machine and control groups leave, for all of their processes together. */
void fr_limits_memory(const fr_limits *limits, fr_memory_share *out);

/** "150.00 MiB (the container's limit of 150.00 MiB; the machine has 22.00 GiB free)". */
void fr_memory_share_text(const fr_memory_share *share, char out[FR_LIMIT_TEXT]);

#endif
