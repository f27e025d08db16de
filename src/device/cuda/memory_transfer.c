/*
 * Marks, and copies between the host and a GPU. This part owns the events behind the marks, the pinned blocks of the host, and
 * the queue of gets that wait for a mark.
 *
 * A put copies its bytes to a block, from where they go to the device; then the host may use its memory again. A get into pinned
 * memory goes there. A get into plain memory goes to a block and into the queue; when a mark behind it is found to have
 * passed, the bytes are copied to where they are wanted. A block is used again when the mark behind its last use has
 * passed: only there, where a ring or the queue is full, and where 256 marks are under way, the host waits.
 *
 * What always holds: passed <= made; the events of the marks in (passed, made] are in the ring of events; the queue is in the
 * order of its marks; a device that has failed is asked for nothing but to free memory, and its marks have passed.
 */
#include "device/cuda/memory_impl.h"

#include "base/integer.h"
#include "base/mem.h"
#include "base/quantity.h"

#include <stdlib.h>
#include <string.h>

/* ---- marks -------------------------------------------------------------------------------------- */

static void deliver(fr_cuda_memory *m)
{
    while (m->delivered < m->asked) {
        const fr_cuda_delivery *d = &m->queue[m->delivered % FR_CUDA_DELIVERIES];
        if (d->behind > m->passed) {
            return;
        }
        memcpy(d->to, d->from, (size_t)d->bytes);
        m->delivered++;
    }
}

/* The host waits until a mark that was made has passed. */
static void wait_for(fr_cuda_memory *m, uint64_t mark)
{
    fr_cuda *cuda = m->cuda;
    if (mark > m->passed && !cuda->has_failed &&
        fr_cuda_took(cuda,
                     cuda->driver.event_synchronize(m->events[mark % FR_CUDA_MARKS]),
                     "cuEventSynchronize", "work that the host waits for")) {
        m->passed = mark;
        deliver(m);
    }
}

/* A mark behind everything so far. */
static uint64_t make_mark(fr_cuda_memory *m)
{
    fr_cuda *cuda = m->cuda;
    uint64_t mark = m->made + 1;
    if (mark > FR_CUDA_MARKS) {
        wait_for(m, mark - FR_CUDA_MARKS); /* whose place it takes */
    }
    if (!cuda->has_failed) {
        (void)fr_cuda_took(
            cuda,
            cuda->driver.event_record(m->events[mark % FR_CUDA_MARKS], cuda->stream),
            "cuEventRecord", "a mark");
    }
    m->made = mark;
    return mark;
}

/* The same as wait_for; a mark that is still to come is made. */
static void wait_until(fr_cuda_memory *m, uint64_t mark)
{
    wait_for(m, mark > m->made ? make_mark(m) : mark);
}

fr_mark fr_cuda_mark(fr_device *device)
{
    return (fr_mark){make_mark(fr_cuda_memory_of(device))};
}

bool fr_cuda_passed(fr_device *device, fr_mark mark)
{
    fr_cuda *cuda = fr_cuda_of(device);
    fr_cuda_memory *m = cuda->memory;
    if (mark.at <= m->passed || cuda->has_failed) {
        return true;
    }
    fr_cu_result result = cuda->driver.event_query(m->events[mark.at % FR_CUDA_MARKS]);
    if (result == FR_CU_NOT_READY) {
        return false;
    }
    if (fr_cuda_took(cuda, result, "cuEventQuery", "a mark")) {
        m->passed = mark.at;
        deliver(m);
    }
    return true;
}

/* ---- copies -------------------------------------------------------------------------------------- */

/* Room for some bytes, which the next thing that is asked for uses. */
static char *take(fr_cuda_memory *m, fr_cuda_ring *ring, int64_t bytes)
{
    if (ring->used + bytes > FR_CUDA_BLOCK_BYTES) {
        ring->until[ring->at] = make_mark(m);
        ring->at = (ring->at + 1) % FR_CUDA_BLOCKS;
        ring->used = 0;
        wait_for(m, ring->until[ring->at]);
    }
    char *at = ring->memory + (int64_t)ring->at * FR_CUDA_BLOCK_BYTES + ring->used;
    ring->used += fr_round_up(bytes, FR_CUDA_ALIGNMENT);
    return at;
}

char *fr_cuda_put_block(fr_cuda_memory *m, int64_t bytes)
{
    return take(m, &m->puts, bytes);
}

void fr_cuda_put(fr_device *device, void *to, void *from, int64_t bytes)
{
    fr_cuda *cuda = fr_cuda_of(device);
    for (int64_t at = 0; at < bytes && !cuda->has_failed; at += FR_CUDA_BLOCK_BYTES) {
        int64_t piece = fr_min(bytes - at, FR_CUDA_BLOCK_BYTES);
        char *block = take(cuda->memory, &cuda->memory->puts, piece);
        if (!cuda->has_failed) {
            memcpy(block, (const char *)from + at, (size_t)piece);
            (void)fr_cuda_took(
                cuda,
                cuda->driver.copy_to_device(fr_cuda_address(to) + (fr_cu_address)at,
                                            block, (size_t)piece, cuda->stream),
                "cuMemcpyHtoDAsync", "a copy to the GPU");
        }
    }
}

static bool get_to(fr_cuda *cuda, void *to, fr_cu_address from, int64_t bytes)
{
    return !cuda->has_failed &&
           fr_cuda_took(
               cuda, cuda->driver.copy_to_host(to, from, (size_t)bytes, cuda->stream),
               "cuMemcpyDtoHAsync", "a copy from the GPU");
}

/* At most a block. */
static void get_plain(fr_cuda_memory *m, char *to, fr_cu_address from, int64_t bytes)
{
    if (m->asked - m->delivered == FR_CUDA_DELIVERIES) {
        wait_until(m, m->queue[m->delivered % FR_CUDA_DELIVERIES].behind);
    }
    char *block = take(m, &m->gets, bytes);
    if (get_to(m->cuda, block, from, bytes)) {
        m->queue[m->asked % FR_CUDA_DELIVERIES] =
            (fr_cuda_delivery){m->made + 1, block, to, bytes};
        m->asked++;
    }
}

fr_cuda_pinned *fr_cuda_find_pinned(const fr_cuda_memory *m, const void *at,
                                    int64_t bytes)
{
    uintptr_t first = (uintptr_t)at;
    for (int64_t i = 0; i < m->n_pinned; i++) {
        fr_cuda_pinned *p = &m->pinned[i];
        uintptr_t begin = (uintptr_t)p->at;
        if (first >= begin && first + (uintptr_t)bytes <= begin + (uintptr_t)p->bytes) {
            return p;
        }
    }
    return NULL;
}

void fr_cuda_get(fr_device *device, void *to, const void *from, int64_t bytes)
{
    fr_cuda *cuda = fr_cuda_of(device);
    fr_cuda_memory *m = cuda->memory;
    fr_cu_address source = fr_cuda_address(from);
    fr_cuda_pinned *target = fr_cuda_find_pinned(m, to, bytes);
    if (target != NULL) {
        if (get_to(cuda, to, source, bytes)) {
            target->until = m->made + 1;
        }
        return;
    }
    for (int64_t at = 0; at < bytes && !cuda->has_failed; at += FR_CUDA_BLOCK_BYTES) {
        get_plain(m, (char *)to + at, source + (fr_cu_address)at,
                  fr_min(bytes - at, FR_CUDA_BLOCK_BYTES));
    }
}

/* ---- pinned memory of the host --------------------------------------------------------------------- */

static fr_status make_room(fr_cuda_memory *m)
{
    enum { FIRST = 64 };
    if (m->n_pinned < m->room_pinned) {
        return FR_OK;
    }
    fr_cuda_pinned *larger = NULL;
    int64_t room = fr_max(FIRST, 2 * m->room_pinned);
    FR_TRY(fr_alloc(m->cuda->base.ctx, room, sizeof *larger, &larger));
    if (m->n_pinned > 0) {
        memcpy(larger, m->pinned, (size_t)m->n_pinned * sizeof *larger);
    }
    free(m->pinned);
    m->pinned = larger;
    m->room_pinned = room;
    return FR_OK;
}

/* A lack of the host's memory is no failure of the GPU. */
static fr_status pin(fr_cuda *cuda, int64_t bytes, void **out)
{
    void *memory = NULL;
    FR_TRY(fr_cuda_check(cuda));
    fr_cu_result result =
        cuda->driver.host_alloc(&memory, (size_t)bytes, FR_CU_HOST_PORTABLE);
    if (result == FR_CU_OUT_OF_MEMORY) {
        char text[FR_SIZE_BYTES];
        fr_size_text((double)bytes, text);
        return FR_FAIL(cuda->base.ctx, FR_ERR_NO_MEMORY,
                       "cannot pin %s of the host's memory for copies from and to GPU "
                       "%d: cuMemHostAlloc gave %s (%d); end what else uses the host's "
                       "memory, or start fewer ranks on it",
                       text, cuda->ordinal, fr_cuda_error_name(&cuda->driver, result),
                       result);
    }
    if (!fr_cuda_took(cuda, result, "cuMemHostAlloc", "pinned memory of the host")) {
        return fr_cuda_check(cuda);
    }
    memset(memory, 0, (size_t)bytes);
    *out = memory;
    return FR_OK;
}

fr_status fr_cuda_host_alloc(fr_device *device, int64_t bytes, void **out)
{
    fr_cuda_memory *m = fr_cuda_memory_of(device);
    *out = NULL;
    if (bytes > INT64_MAX - FR_CUDA_ALIGNMENT) {
        fr_fail_memory(device->ctx, (size_t)bytes);
        return FR_ERR_NO_MEMORY;
    }
    int64_t size = fr_round_up(fr_max(bytes, 1), FR_CUDA_ALIGNMENT);
    FR_TRY(make_room(m));
    FR_TRY(pin(m->cuda, size, out));
    m->pinned[m->n_pinned++] = (fr_cuda_pinned){*out, size, 0, false};
    return FR_OK;
}

/* A copy may still be on its way into the memory, or ahead out of it. If the driver does not say when it has come, as on a device that has failed,
 * the memory stays until the context ends. */
void fr_cuda_host_free(fr_device *device, void *memory)
{
    fr_cuda *cuda = fr_cuda_of(device);
    fr_cuda_memory *m = cuda->memory;
    fr_cuda_pinned *p = memory != NULL ? fr_cuda_find_pinned(m, memory, 1) : NULL;
    if (p == NULL) {
        return;
    }
    wait_until(m, p->until);
    bool is_done =
        !p->is_source ||
        fr_cuda_gave_back(cuda, cuda->driver.stream_synchronize(cuda->copies),
                          "cuStreamSynchronize");
    if (is_done && (!cuda->has_failed ||
                    cuda->driver.stream_synchronize(cuda->stream) == FR_CU_SUCCESS)) {
        (void)fr_cuda_gave_back(cuda, cuda->driver.host_free(p->at), "cuMemFreeHost");
    }
    *p = m->pinned[--m->n_pinned];
}

/* ---- opening --------------------------------------------------------------------------------------- */

static fr_status open_ring(fr_cuda *cuda, fr_cuda_ring *ring)
{
    void *memory = NULL;
    FR_TRY(pin(cuda, (int64_t)FR_CUDA_BLOCKS * FR_CUDA_BLOCK_BYTES, &memory));
    ring->memory = memory;
    return FR_OK;
}

fr_status fr_cuda_transfers_open(fr_cuda_memory *m)
{
    fr_cuda *cuda = m->cuda;
    for (int i = 0; i < FR_CUDA_MARKS; i++) {
        fr_cu_event event = NULL;
        if (!fr_cuda_took(cuda,
                          cuda->driver.event_create(&event, FR_CU_EVENT_DISABLE_TIMING),
                          "cuEventCreate", "marks")) {
            return fr_cuda_check(cuda);
        }
        m->events[i] = event;
    }
    FR_TRY(open_ring(cuda, &m->puts));
    return open_ring(cuda, &m->gets);
}

void fr_cuda_transfers_close(fr_cuda_memory *m)
{
    static const char FREE[] = "cuMemFreeHost";
    fr_cuda *cuda = m->cuda;
    const fr_cuda_driver *driver = &cuda->driver;
    for (int64_t i = 0; i < m->n_pinned; i++) {
        (void)fr_cuda_gave_back(cuda, driver->host_free(m->pinned[i].at), FREE);
    }
    m->n_pinned = 0;
    if (m->puts.memory != NULL) {
        (void)fr_cuda_gave_back(cuda, driver->host_free(m->puts.memory), FREE);
    }
    if (m->gets.memory != NULL) {
        (void)fr_cuda_gave_back(cuda, driver->host_free(m->gets.memory), FREE);
    }
    for (int i = 0; i < FR_CUDA_MARKS && m->events[i] != NULL; i++) {
        (void)fr_cuda_gave_back(cuda, driver->event_destroy(m->events[i]),
                                "cuEventDestroy");
    }
}
