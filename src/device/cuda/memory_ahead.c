/*
 * Copies ahead of the work that needs them: from pinned memory, on a stream of their own, so that the GPU copies while it
 * computes.
 *
 * Two waits of one stream for the other are all the order that there is. A copy waits for the work that was asked before it, since
 * that may still read what lay at its target; work that is asked behind fr_device_await waits for the copies of that slot. A wait
 * holds for the event as it was recorded last, so the same events are recorded again and again.
 */
#include "device/cuda/memory_impl.h"

static bool follow(fr_cuda *cuda, fr_cu_event event, fr_cu_stream first,
                   fr_cu_stream second)
{
    return fr_cuda_took(cuda, cuda->driver.event_record(event, first), "cuEventRecord",
                        "a copy ahead") &&
           fr_cuda_took(cuda, cuda->driver.stream_wait(second, event, 0),
                        "cuStreamWaitEvent", "a copy ahead");
}

void fr_cuda_ahead(fr_device *device, int slot, void *to, const void *from,
                   int64_t bytes)
{
    fr_cuda *cuda = fr_cuda_of(device);
    fr_cuda_memory *m = cuda->memory;
    fr_cuda_pinned *source = fr_cuda_find_pinned(m, from, bytes);
    if (cuda->has_failed || !follow(cuda, m->behind, cuda->stream, cuda->copies)) {
        return;
    }
    if (source != NULL) {
        source->is_source = true;
    }
    if (fr_cuda_took(cuda,
                     cuda->driver.copy_to_device(fr_cuda_address(to), from,
                                                 (size_t)bytes, cuda->copies),
                     "cuMemcpyHtoDAsync", "a copy ahead")) {
        (void)fr_cuda_took(cuda,
                           cuda->driver.event_record(m->arrivals[slot], cuda->copies),
                           "cuEventRecord", "a copy ahead");
    }
}

/* An event that was never recorded has passed. */
void fr_cuda_await(fr_device *device, int slot)
{
    fr_cuda *cuda = fr_cuda_of(device);
    if (!cuda->has_failed) {
        (void)fr_cuda_took(
            cuda,
            cuda->driver.stream_wait(cuda->stream, cuda->memory->arrivals[slot], 0),
            "cuStreamWaitEvent", "a copy ahead");
    }
}

static fr_status open_event(fr_cuda *cuda, fr_cu_event *out)
{
    if (!fr_cuda_took(cuda, cuda->driver.event_create(out, FR_CU_EVENT_DISABLE_TIMING),
                      "cuEventCreate", "copies ahead")) {
        *out = NULL;
    }
    return fr_cuda_check(cuda);
}

fr_status fr_cuda_ahead_open(fr_cuda_memory *m)
{
    FR_TRY(open_event(m->cuda, &m->behind));
    for (int slot = 0; slot < FR_AHEAD_SLOTS; slot++) {
        FR_TRY(open_event(m->cuda, &m->arrivals[slot]));
    }
    return FR_OK;
}

static void close_event(fr_cuda *cuda, fr_cu_event event)
{
    if (event != NULL) {
        (void)fr_cuda_gave_back(cuda, cuda->driver.event_destroy(event),
                                "cuEventDestroy");
    }
}

void fr_cuda_ahead_close(fr_cuda_memory *m)
{
    close_event(m->cuda, m->behind);
    for (int slot = 0; slot < FR_AHEAD_SLOTS; slot++) {
        close_event(m->cuda, m->arrivals[slot]);
    }
}
