/*
 * The memory of a GPU. This part owns the reserved addresses with what is mapped behind them, the pool over them, and the
 * buffers of operators.
 *
 * Memory is mapped at the end of the addresses when the pool grows, and stays mapped. Nothing waits where a block is given back:
 * whoever gets its memory next uses it later in the order of the stream.
 *
 * What always holds: the addresses [base, base + mapped) can be used, and the pool is no larger than that; closing may follow any
 * step of opening.
 */
#include "base/integer.h"
#include "base/mem.h"
#include "base/quantity.h"
#include "device/cuda/memory_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- the pool -------------------------------------------------------------------------------------- */

static fr_cu_allocation kind_of(const fr_cuda *cuda)
{
    return (fr_cu_allocation){.type = FR_CU_PINNED,
                              .location = {FR_CU_ON_DEVICE, cuda->device}};
}

/* The driver loads kernels when they are first started, for which it needs memory, too. */
int64_t fr_cuda_spared(int64_t total)
{
    return total / 1024;
}

/* What the GPU has free, in whole grains, as far as the addresses go. */
static int64_t available(void *context)
{
    fr_cuda_memory *m = context;
    size_t bytes = 0;
    size_t total = 0;
    if (!m->cuda->has_failed) {
        (void)fr_cuda_took(m->cuda, m->cuda->driver.memory_info(&bytes, &total),
                           "cuMemGetInfo", "the GPU's memory");
    }
    if (fr_cuda_check(m->cuda) != FR_OK) {
        return 0; /* the cause is recorded before the pool's refusal, which follows */
    }
    int64_t whole = ((int64_t)bytes - fr_cuda_spared((int64_t)total)) / m->grain;
    return fr_clamp(whole * m->grain, 0, m->reserved - m->mapped);
}

/* The GPU may have less in one piece than it says that it has. That is not its failure. */
static fr_status create(fr_cuda_memory *m, int64_t bytes, unsigned long long *handle)
{
    fr_cuda *cuda = m->cuda;
    fr_cu_allocation kind = kind_of(cuda);
    fr_cu_result result = cuda->driver.memory_create(handle, (size_t)bytes, &kind, 0);
    if (result == FR_CU_OUT_OF_MEMORY) {
        char asked[FR_SIZE_BYTES];
        char free_text[FR_SIZE_BYTES];
        fr_size_text((double)bytes, asked);
        fr_size_text((double)available(m), free_text);
        return FR_FAIL(
            cuda->base.ctx, FR_ERR_NO_MEMORY,
            "too little memory of GPU %d (%s): %s more are asked for, and it "
            "has %s free, but cuMemCreate gave %s (%d); end what else uses "
            "the GPU, or " FR_POOL_REMEDY,
            cuda->ordinal, cuda->name, asked, free_text,
            fr_cuda_error_name(&cuda->driver, result), result);
    }
    (void)fr_cuda_took(cuda, result, "cuMemCreate", "memory of the GPU");
    return fr_cuda_check(cuda);
}

/* More memory behind the addresses from `mapped` on. Its handle is released at once: the mapping holds it. */
static fr_status map(fr_cuda_memory *m, int64_t bytes)
{
    static const char SUBJECT[] = "memory of the GPU";
    fr_cuda *cuda = m->cuda;
    const fr_cuda_driver *driver = &cuda->driver;
    fr_cu_access access = {kind_of(cuda).location, FR_CU_READ_WRITE};
    fr_cu_address at = m->base + (fr_cu_address)m->mapped;
    unsigned long long handle = 0;
    FR_TRY(create(m, bytes, &handle));
    bool is_mapped = fr_cuda_took(
        cuda, driver->memory_map(at, (size_t)bytes, 0, handle, 0), "cuMemMap", SUBJECT);
    (void)fr_cuda_took(cuda, driver->memory_release(handle), "cuMemRelease", SUBJECT);
    if (is_mapped) {
        (void)fr_cuda_took(cuda, driver->memory_access(at, (size_t)bytes, &access, 1),
                           "cuMemSetAccess", SUBJECT);
        m->mapped += bytes; /* also if it cannot be used: then the device has failed */
    }
    return fr_cuda_check(cuda);
}

static fr_status grow(void *context, int64_t bytes)
{
    fr_cuda_memory *m = context;
    int64_t more = fr_round_up(bytes, m->grain) - m->mapped;
    return more > 0 ? map(m, more) : FR_OK;
}

/* A pool whose source fails says that there is too little memory. */
static fr_status pooled(const fr_cuda *cuda, fr_status status)
{
    return cuda->has_failed ? fr_cuda_check(cuda) : status;
}

/* fr_pool_take, unless the device has failed. */
static fr_status take(fr_cuda_memory *m, int64_t bytes, void **out)
{
    *out = NULL;
    FR_TRY(fr_cuda_check(m->cuda));
    return pooled(m->cuda, fr_pool_take(m->pool, bytes, out));
}

fr_status fr_cuda_reserve(fr_device *device, int64_t bytes)
{
    fr_cuda *cuda = fr_cuda_of(device);
    FR_TRY(fr_cuda_check(cuda));
    return pooled(cuda, fr_pool_reserve(cuda->memory->pool, bytes));
}

int64_t fr_cuda_room(const fr_device *device)
{
    fr_cuda_memory *m = ((const fr_cuda *)device)->memory;
    return available(m) + fr_pool_bytes(m->pool) - fr_pool_used(m->pool);
}

int64_t fr_cuda_most_used(const fr_device *device)
{
    return fr_pool_most_used(((const fr_cuda *)device)->memory->pool);
}

fr_status fr_cuda_alloc(fr_device *device, int64_t bytes, void **out)
{
    fr_cuda_memory *m = fr_cuda_memory_of(device);
    FR_TRY(take(m, bytes, out));
    fr_cuda_zero(device, *out, fr_pool_block_bytes(m->pool, *out));
    return FR_OK;
}

void fr_cuda_free(fr_device *device, void *memory)
{
    if (memory != NULL) {
        (void)fr_pool_give(fr_cuda_memory_of(device)->pool, memory);
    }
}

void fr_cuda_copy(fr_device *device, void *to, const void *from, int64_t bytes)
{
    fr_cuda *cuda = fr_cuda_of(device);
    if (!cuda->has_failed && bytes > 0) {
        (void)fr_cuda_took(cuda,
                           cuda->driver.copy_on_device(fr_cuda_address(to),
                                                       fr_cuda_address(from),
                                                       (size_t)bytes, cuda->stream),
                           "cuMemcpyDtoDAsync", "a copy on the GPU");
    }
}

void fr_cuda_zero(fr_device *device, void *to, int64_t bytes)
{
    fr_cuda *cuda = fr_cuda_of(device);
    if (!cuda->has_failed && bytes > 0) {
        (void)fr_cuda_took(
            cuda,
            cuda->driver.set_bytes(fr_cuda_address(to), 0, (size_t)bytes, cuda->stream),
            "cuMemsetD8Async", "zeros on the GPU");
    }
}

/* ---- what operators need ----------------------------------------------------------------------------- */

/* Make the buffer at least this large; its contents are lost. */
static fr_status enlarge(fr_cuda_memory *m, fr_cuda_buffer *buffer, int64_t bytes)
{
    FR_TRY(fr_cuda_check(m->cuda));
    if (bytes <= buffer->bytes) {
        return FR_OK;
    }
    if (buffer->at != NULL) {
        (void)fr_pool_give(m->pool, buffer->at);
    }
    *buffer = (fr_cuda_buffer){NULL, 0};
    FR_TRY(take(m, bytes, &buffer->at));
    buffer->bytes = fr_pool_block_bytes(m->pool, buffer->at);
    return FR_OK;
}

fr_status fr_cuda_scratch(fr_device *device, fr_cuda_use use, int64_t bytes, void **out)
{
    fr_cuda_memory *m = fr_cuda_memory_of(device);
    *out = NULL;
    FR_TRY(enlarge(m, &m->scratch[use], fr_max(bytes, 1)));
    *out = m->scratch[use].at;
    return FR_OK;
}

/* One copy brings all lists where they fit into a block of the host. */
static void put_together(fr_device *device, int64_t total, int n,
                         const fr_cuda_list *lists)
{
    fr_cuda *cuda = fr_cuda_of(device);
    fr_cuda_memory *m = cuda->memory;
    char *block = fr_cuda_put_block(m, total);
    if (cuda->has_failed) {
        return;
    }
    for (int i = 0; i < n; i++) {
        if (lists[i].bytes > 0) {
            memcpy(block + ((char *)lists[i].at - (char *)m->lists.at), lists[i].from,
                   (size_t)lists[i].bytes);
        }
    }
    (void)fr_cuda_took(cuda,
                       cuda->driver.copy_to_device(fr_cuda_address(m->lists.at), block,
                                                   (size_t)total, cuda->stream),
                       "cuMemcpyHtoDAsync", "lists of an operator");
}

/* There is one buffer: the lists of the next call are copied into it after the kernels that read these. */
fr_status fr_cuda_lists(fr_device *device, int n, fr_cuda_list *lists)
{
    fr_cuda_memory *m = fr_cuda_memory_of(device);
    int64_t total = 0;
    for (int i = 0; i < n; i++) {
        lists[i].at = NULL;
        total += fr_round_up(lists[i].bytes, FR_CUDA_LIST_ALIGNMENT);
    }
    FR_TRY(enlarge(m, &m->lists, fr_round_up(total, FR_CUDA_LIST_GRAIN)));
    int64_t at = 0;
    for (int i = 0; i < n; i++) {
        if (lists[i].bytes > 0) {
            lists[i].at = (char *)m->lists.at + at;
            at += fr_round_up(lists[i].bytes, FR_CUDA_LIST_ALIGNMENT);
        }
    }
    if (total > 0 && total <= FR_CUDA_BLOCK_BYTES) {
        put_together(device, total, n, lists);
        return fr_cuda_check(m->cuda);
    }
    for (int i = 0; i < n; i++) {
        fr_cuda_put(device, lists[i].at, (void *)(uintptr_t)lists[i].from,
                    lists[i].bytes);
    }
    return fr_cuda_check(m->cuda);
}

bool fr_cuda_keep(fr_device *device, fr_status status)
{
    if (status != FR_OK) {
        fr_cuda_fail(fr_cuda_of(device), status);
    }
    return status == FR_OK;
}

/* ---- opening --------------------------------------------------------------------------------------- */

/* Addresses for all the memory that the GPU has. */
static fr_status open_pool(fr_cuda_memory *m)
{
    fr_cuda *cuda = m->cuda;
    fr_cu_allocation kind = kind_of(cuda);
    size_t free_bytes = 0;
    size_t total = 0;
    size_t grain = 0;
    if (!fr_cuda_took(cuda, cuda->driver.memory_info(&free_bytes, &total),
                      "cuMemGetInfo", "the GPU's memory") ||
        !fr_cuda_took(cuda, cuda->driver.grain(&grain, &kind, FR_CU_GRAIN_LEAST),
                      "cuMemGetAllocationGranularity", "the GPU's memory")) {
        return fr_cuda_check(cuda);
    }
    m->grain = fr_max((int64_t)grain, FR_POOL_ALIGNMENT);
    int64_t bytes = fr_round_up((int64_t)total, m->grain);
    if (!fr_cuda_took(cuda,
                      cuda->driver.address_reserve(&m->base, (size_t)bytes, 0, 0, 0),
                      "cuMemAddressReserve", "addresses of the GPU's memory")) {
        return fr_cuda_check(cuda);
    }
    m->reserved = bytes;
    fr_pool_source source = {(char *)(uintptr_t)m->base, m, grow, available};
    return fr_pool_create(cuda->base.ctx, &source, &m->pool);
}

fr_status fr_cuda_memory_open(fr_cuda *cuda)
{
    FR_TRY(fr_alloc(cuda->base.ctx, 1, sizeof *cuda->memory, &cuda->memory));
    cuda->memory->cuda = cuda;
    fr_status status = open_pool(cuda->memory);
    if (status == FR_OK) {
        status = fr_cuda_transfers_open(cuda->memory);
    }
    if (status == FR_OK) {
        status = fr_cuda_ahead_open(cuda->memory);
    }
    if (status != FR_OK) {
        fr_cuda_memory_close(cuda);
    }
    return status;
}

/* Unless the driver says that the work is done, what it uses is left to the end of the context. */
void fr_cuda_memory_close(fr_cuda *cuda)
{
    fr_cuda_memory *m = cuda->memory;
    const fr_cuda_driver *driver = &cuda->driver;
    if (m == NULL) {
        return;
    }
    bool is_done = fr_cuda_gave_back(cuda, driver->stream_synchronize(cuda->copies),
                                     "cuStreamSynchronize");
    if (fr_cuda_gave_back(cuda, driver->stream_synchronize(cuda->stream),
                          "cuStreamSynchronize") &&
        is_done) {
        fr_cuda_ahead_close(m);
        fr_cuda_transfers_close(m);
        if (m->mapped > 0) {
            (void)fr_cuda_gave_back(
                cuda, driver->memory_unmap(m->base, (size_t)m->mapped), "cuMemUnmap");
        }
        if (m->reserved > 0) {
            (void)fr_cuda_gave_back(cuda,
                                    driver->address_free(m->base, (size_t)m->reserved),
                                    "cuMemAddressFree");
        }
    }
    fr_pool_destroy(&m->pool);
    free(m->pinned);
    free(m);
    cuda->memory = NULL;
}
