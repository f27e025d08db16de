/*
 * memory_impl.h - what memory.c (the pool, and what operators need), memory_transfer.c (marks, and copies from and to the host) and
 * memory_ahead.c (copies ahead of work) share.
 *
 * Time is counted in marks: mark number n is behind everything that was asked before it. What is used by work under way
 * notes the mark behind that work, made or still to come, and may be used again when that has passed. Marks pass in
 * their order, so one number says which have.
 */
#ifndef FR_DEVICE_CUDA_MEMORY_IMPL_H
#define FR_DEVICE_CUDA_MEMORY_IMPL_H

#include "device/cuda/memory.h"
#include "device/pool.h"

enum {
    FR_CUDA_MARKS = 256,      /* under way at a time */
    FR_CUDA_DELIVERIES = 256, /* the same for gets into plain memory */
    FR_CUDA_BLOCKS = 4,       /* of a ring */
    FR_CUDA_BLOCK_BYTES = 4 << 20,
    FR_CUDA_ALIGNMENT = 64 /* of what shares a block */
};

/* Pinned memory for bytes under way, used round and round. */
typedef struct fr_cuda_ring {
    char *memory;                   /* [FR_CUDA_BLOCKS][FR_CUDA_BLOCK_BYTES] */
    int at;                         /* the block in use */
    int64_t used;                   /* of it */
    uint64_t until[FR_CUDA_BLOCKS]; /* the mark behind the last use of each block */
} fr_cuda_ring;

/* A get whose bytes are in a block when the mark `behind` has passed. */
typedef struct fr_cuda_delivery {
    uint64_t behind;
    const char *from;
    void *to;
    int64_t bytes;
} fr_cuda_delivery;

/* Memory from fr_cuda_host_alloc. */
typedef struct fr_cuda_pinned {
    char *at;
    int64_t bytes;
    uint64_t until; /* the mark behind the last get into it */
    bool is_source; /* of copies ahead */
} fr_cuda_pinned;

/* Memory of the GPU that only grows. */
typedef struct fr_cuda_buffer {
    void *at;
    int64_t bytes;
} fr_cuda_buffer;

struct fr_cuda_memory {
    fr_cuda *cuda;

    fr_cu_address base;
    int64_t reserved; /* addresses from base on */
    int64_t mapped;   /* of them */
    int64_t grain;    /* of mapping */
    fr_pool *pool;
    fr_cuda_buffer scratch[FR_CUDA_USES];
    fr_cuda_buffer lists;

    fr_cu_event events[FR_CUDA_MARKS]; /* of mark n: n % FR_CUDA_MARKS */
    uint64_t made;
    uint64_t passed;
    fr_cuda_ring puts;
    fr_cuda_ring gets;
    fr_cuda_delivery queue[FR_CUDA_DELIVERIES]; /* the get of number n: n % ... */
    uint64_t asked;                             /* gets into plain memory so far */
    uint64_t delivered;
    fr_cuda_pinned *pinned; /* [n_pinned] of room for `room_pinned` */
    int64_t n_pinned;
    int64_t room_pinned;

    fr_cu_event behind; /* the work that the latest copy ahead follows */
    fr_cu_event
        arrivals[FR_AHEAD_SLOTS]; /* behind the latest copy ahead of each slot */
};

static inline fr_cuda_memory *fr_cuda_memory_of(fr_device *device)
{
    return fr_cuda_of(device)->memory;
}

static inline fr_cu_address fr_cuda_address(const void *at)
{
    return (fr_cu_address)(uintptr_t)at;
}

/** The events and the rings. On failure, and at the end, fr_cuda_transfers_close. */
FR_MUST_CHECK fr_status fr_cuda_transfers_open(fr_cuda_memory *m);
/** Nothing is under way. */
void fr_cuda_transfers_close(fr_cuda_memory *m);

/** The events of copies ahead (memory_ahead.c). On failure, and at the end, fr_cuda_ahead_close. */
FR_MUST_CHECK fr_status fr_cuda_ahead_open(fr_cuda_memory *m);
/** Nothing is under way. */
void fr_cuda_ahead_close(fr_cuda_memory *m);

/** The pinned memory in which all the bytes are; NULL: they are in none. */
fr_cuda_pinned *fr_cuda_find_pinned(const fr_cuda_memory *m, const void *at,
                                    int64_t bytes);

/** Pinned memory for at most FR_CUDA_BLOCK_BYTES that go to the device by the next thing that the caller asks for. Waits
 * while the ring is full. */
char *fr_cuda_put_block(fr_cuda_memory *m, int64_t bytes);

#endif
