#include "device/cuda/lane.h"

#include "base/mem.h"

#include <stdlib.h>

static const char SUBJECT[] = "the order of sums between ranks";

typedef struct cuda_lane {
    fr_lane base; /* first */
    fr_cu_stream stream;
    fr_cu_event mark;
} cuda_lane;

static cuda_lane *from_base(fr_lane *lane)
{
    return (cuda_lane *)(void *)lane;
}

/* The device's own streams wait for nothing on it, and it waits for none of theirs. */
fr_status fr_cuda_lane_open(fr_device *device, fr_lane **out)
{
    fr_cuda *cuda = fr_cuda_of(device);
    cuda_lane *lane = NULL;
    *out = NULL;
    FR_TRY(fr_cuda_check(cuda));
    FR_TRY(fr_alloc(cuda->base.ctx, 1, sizeof *lane, &lane));
    lane->base.device = device;
    if (!fr_cuda_took(
            cuda, cuda->driver.stream_create(&lane->stream, FR_CU_STREAM_NON_BLOCKING),
            "cuStreamCreate", SUBJECT)) {
        lane->stream = NULL;
    } else if (!fr_cuda_took(
                   cuda,
                   cuda->driver.event_create(&lane->mark, FR_CU_EVENT_DISABLE_TIMING),
                   "cuEventCreate", SUBJECT)) {
        lane->mark = NULL;
    }
    fr_status status = fr_cuda_check(cuda);
    if (status != FR_OK) {
        fr_cuda_lane_close(&lane->base);
        return status;
    }
    *out = &lane->base;
    return FR_OK;
}

void fr_cuda_lane_close(fr_lane *lane)
{
    cuda_lane *l = from_base(lane);
    fr_cuda *cuda = fr_cuda_of(lane->device);
    if (l->mark != NULL) {
        (void)fr_cuda_gave_back(cuda, cuda->driver.event_destroy(l->mark),
                                "cuEventDestroy");
    }
    if (l->stream != NULL) {
        (void)fr_cuda_gave_back(cuda, cuda->driver.stream_synchronize(l->stream),
                                "cuStreamSynchronize");
        (void)fr_cuda_gave_back(cuda, cuda->driver.stream_destroy(l->stream),
                                "cuStreamDestroy");
    }
    free(l);
}

void *fr_cuda_lane_stream(const fr_lane *lane)
{
    return ((const cuda_lane *)(const void *)lane)->stream;
}

void fr_cuda_lane_mark(fr_lane *lane)
{
    cuda_lane *l = from_base(lane);
    fr_cuda *cuda = fr_cuda_of(lane->device);
    if (!cuda->has_failed) {
        (void)fr_cuda_took(cuda, cuda->driver.event_record(l->mark, l->stream),
                           "cuEventRecord", SUBJECT);
    }
}

bool fr_cuda_lane_passed(fr_lane *lane)
{
    cuda_lane *l = from_base(lane);
    fr_cuda *cuda = fr_cuda_of(lane->device);
    fr_cu_result result =
        cuda->has_failed ? FR_CU_SUCCESS : cuda->driver.event_query(l->mark);
    if (result == FR_CU_NOT_READY) {
        return false;
    }
    (void)fr_cuda_took(cuda, result, "cuEventQuery", SUBJECT);
    return true;
}
