/*
 * memory.h - the memory of a GPU: a pool that grows (pool.h), copies in the order of the stream, marks, and scratch.
 *
 * The pool's addresses are reserved once, as many as the GPU has memory; memory is mapped at their end as the pool grows. Copies
 * to the device go through a ring of pinned blocks, so that the host may use its memory again at once; copies to the host
 * land where they are wanted if that memory is pinned (fr_host_alloc), else through a block that is emptied when a mark passes.
 */
#ifndef FR_DEVICE_CUDA_MEMORY_H
#define FR_DEVICE_CUDA_MEMORY_H

#include "device/cuda/runtime.h"

FR_MUST_CHECK fr_status fr_cuda_memory_open(fr_cuda *cuda);
/** Before fr_cuda_runtime_close. Accepts a device whose memory was not opened. */
void fr_cuda_memory_close(fr_cuda *cuda);

/** Of all the GPU's memory, what is left to the driver. */
int64_t fr_cuda_spared(int64_t total);

/* The functions of the table (backend.h). */
fr_status fr_cuda_reserve(fr_device *device, int64_t bytes);
int64_t fr_cuda_room(const fr_device *device);
int64_t fr_cuda_most_used(const fr_device *device);
fr_status fr_cuda_alloc(fr_device *device, int64_t bytes, void **out);
void fr_cuda_free(fr_device *device, void *memory);
fr_status fr_cuda_host_alloc(fr_device *device, int64_t bytes, void **out);
void fr_cuda_host_free(fr_device *device, void *memory);
void fr_cuda_put(fr_device *device, void *to, void *from, int64_t bytes);
void fr_cuda_get(fr_device *device, void *to, const void *from, int64_t bytes);
void fr_cuda_ahead(fr_device *device, int slot, void *to, const void *from,
                   int64_t bytes);
void fr_cuda_await(fr_device *device, int slot);
void fr_cuda_copy(fr_device *device, void *to, const void *from, int64_t bytes);
void fr_cuda_zero(fr_device *device, void *to, int64_t bytes);
fr_mark fr_cuda_mark(fr_device *device);
bool fr_cuda_passed(fr_device *device, fr_mark mark);

/** Host lists that an operator's kernels read: copied to the device in the stream's order, and there until the work that is
 * asked before the next call of this function for the same `use` is done. */
typedef struct fr_cuda_list {
    const void *from;
    int64_t bytes;
    void *at; /* [out] on the device, aligned to 64 bytes; NULL for no bytes */
} fr_cuda_list;
/** Lists grow with the calls, and not by a little each time. */
enum { FR_CUDA_LIST_ALIGNMENT = 64, FR_CUDA_LIST_GRAIN = 64 << 10 };
/** All lists of an operator at once. FR_ERR_NO_MEMORY; a void operator keeps it by fr_cuda_keep. */
FR_MUST_CHECK fr_status fr_cuda_lists(fr_device *device, int n, fr_cuda_list *lists);

/** What operators need beside their arguments; each use has memory of its own, which grows and holds rubbish. */
typedef enum fr_cuda_use {
    FR_CUDA_USE_SLICE,  /* widened rows of a matrix */
    FR_CUDA_USE_VALUES, /* of attention, sampling, sums */
    FR_CUDA_USES
} fr_cuda_use;
FR_MUST_CHECK fr_status fr_cuda_scratch(fr_device *device, fr_cuda_use use,
                                        int64_t bytes, void **out);

/** For operators without a status: fr_cuda_fail, if it is one. @return whether the status is FR_OK */
bool fr_cuda_keep(fr_device *device, fr_status status);

#endif
