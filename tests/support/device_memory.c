#include "support/device_memory.h"

#include "device/kinds.h"
#include "support/suite.h"

fr_device *fr_test_any_device(int n_threads)
{
    fr_device *device = NULL;
    fr_device_params params = {.kind = "auto", .n_threads = n_threads};
    FR_ASSERT_OK(fr_device_create(fr_test_ctx(), &params, &device));
    CU_ASSERT_PTR_NOT_NULL_FATAL(device);
    return device;
}

void *fr_test_room(fr_device *device, int64_t n, size_t size)
{
    void *memory = NULL;
    FR_ASSERT_OK(fr_device_alloc(device, n, size, &memory));
    CU_ASSERT_PTR_NOT_NULL_FATAL(memory);
    return memory;
}

void *fr_test_bring(fr_device *device, const void *from, int64_t n, size_t size)
{
    void *memory = fr_test_room(device, n, size);
    FR_ASSERT_OK(fr_device_load(device, memory, from, n * (int64_t)size));
    return memory;
}

void fr_test_fetch(fr_device *device, void *to, const void *from, int64_t bytes)
{
    fr_device_get(device, to, from, bytes);
    fr_mark mark = fr_device_mark(device);
    while (!fr_device_passed(device, mark)) {
    }
}

void fr_test_fetch_last(fr_device *device, void *to, void *from, int64_t bytes)
{
    fr_test_fetch(device, to, from, bytes);
    fr_device_free(device, from);
}
