/*
 * The driver's objects of a GPU: its context, which is the process's own (the primary one), its two streams, the modules with the
 * kernels, and each kernel as the driver knows it.
 *
 * What always holds: fr_cuda_runtime_close may follow any step of opening, since each object is NULL or there.
 */
#include "device/cuda/runtime.h"

#include "base/mem.h"
#include "device/pool.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shared memory that a block may have without asking. */
enum { SHARED_FREE = 48 << 10 };

/* The oldest GPU that there are kernels for: sm_80. */
enum { OLDEST_MAJOR = 8 };

#define FR_K(name) #name,
static const char *const NAMES[] = {
    FR_CUDA_KERNELS(FR_K, FR_DIGIT_1, FR_DIGIT_2, FR_DIGIT_3) NULL};
#undef FR_K

/* ---- failures ----------------------------------------------------------------------------------- */

bool fr_cuda_took(fr_cuda *cuda, fr_cu_result result, const char *call,
                  const char *subject)
{
    if (result != FR_CU_SUCCESS && !cuda->has_failed) {
        cuda->has_failed = true;
        cuda->failed_call = call;
        cuda->failed_for = subject;
        cuda->failed_after = cuda->latest;
        cuda->failure = result;
    }
    return !cuda->has_failed;
}

void fr_cuda_fail(fr_cuda *cuda, fr_status status)
{
    if (!cuda->has_failed) {
        cuda->has_failed = true;
        cuda->kept = status;
        (void)snprintf(cuda->kept_text, sizeof cuda->kept_text, "%s%s",
                       fr_ctx_error(cuda->base.ctx),
                       status == FR_ERR_NO_MEMORY
                           ? "; an operator needs this beside its arguments"
                           : "");
    }
}

static void warn_at_end(fr_cuda *cuda, fr_cu_result result, const char *call)
{
    cuda->has_warned = true;
    fr_log_own(cuda->base.ctx, FR_LOG_WARN,
               "GPU %d (%s): %s gave %s (%d), so not all that this rank had of the "
               "GPU is given back before it ends; no result is affected",
               cuda->ordinal, cuda->name[0] != '\0' ? cuda->name : "of unknown name",
               call, fr_cuda_error_name(&cuda->driver, result), result);
}

/* One warning is enough; of a device that has failed nothing else is expected. */
bool fr_cuda_gave_back(fr_cuda *cuda, fr_cu_result result, const char *call)
{
    if (result != FR_CU_SUCCESS && !cuda->has_failed && !cuda->has_warned) {
        warn_at_end(cuda, result, call);
    }
    return result == FR_CU_SUCCESS;
}

void fr_cuda_tell_late_failure(fr_cuda *cuda)
{
    if (cuda->has_failed && !cuda->is_told && !cuda->has_warned &&
        cuda->failed_call != NULL) {
        warn_at_end(cuda, cuda->failure, cuda->failed_call);
    }
}

/* A kernel that fails is noticed by a later call of the driver. */
fr_status fr_cuda_check(const fr_cuda *cuda)
{
    if (!cuda->has_failed) {
        return FR_OK;
    }
    ((fr_cuda *)(uintptr_t)cuda)->is_told = true; /* which is not part of its state */
    if (cuda->kept != FR_OK) {
        return FR_FAIL(cuda->base.ctx, cuda->kept, "%s", cuda->kept_text);
    }
    bool lacks_memory = cuda->failure == FR_CU_OUT_OF_MEMORY;
    bool has_latest = cuda->failed_after != NULL;
    bool may_be_earlier = has_latest && !lacks_memory && !cuda->waits;
    return FR_FAIL(
        cuda->base.ctx, lacks_memory ? FR_ERR_NO_MEMORY : FR_ERR_DEVICE,
        "GPU %d (%s) failed: %s gave %s (%d), for %s%s%s%s%s", cuda->ordinal,
        cuda->name[0] != '\0' ? cuda->name : "of unknown name", cuda->failed_call,
        fr_cuda_error_name(&cuda->driver, cuda->failure), cuda->failure,
        cuda->failed_for, has_latest ? "; the last kernel started was " : "",
        has_latest ? cuda->failed_after : "",
        may_be_earlier ? ", but an earlier one may have caused it: "
                         "FORERUN_SYNC=1 waits after each and names it"
                       : "",
        lacks_memory ? "; end what else uses the GPU, or " FR_POOL_REMEDY : "");
}

/* ---- opening --------------------------------------------------------------------------------------- */

static fr_status choose_gpu(fr_cuda *cuda, fr_cuda_choice choice)
{
    int count = 0;
    if (!fr_cuda_took(cuda, cuda->driver.device_count(&count), "cuDeviceGetCount",
                      "the number of GPUs")) {
        return fr_cuda_check(cuda);
    }
    cuda->ordinal = choice.by_rank ? choice.number % count : choice.number;
    if (cuda->ordinal < 0 || cuda->ordinal >= count) {
        return FR_FAIL(cuda->base.ctx, FR_ERR_UNSUPPORTED,
                       "GPU %d is wanted, but NVIDIA's driver has %d, numbered from 0; "
                       "choose one of them",
                       cuda->ordinal, count);
    }
    return FR_OK;
}

static int attribute(fr_cuda *cuda, int which, const char *subject)
{
    int value = 0;
    if (!cuda->has_failed) {
        (void)fr_cuda_took(cuda,
                           cuda->driver.device_attribute(&value, which, cuda->device),
                           "cuDeviceGetAttribute", subject);
    }
    return value;
}

/* As the driver's tools write it, but for the dashes. */
static void write_which(fr_cuda *cuda, const fr_cu_uuid *uuid)
{
    int used = snprintf(cuda->which, sizeof cuda->which, "GPU-");
    for (size_t i = 0; i < sizeof uuid->bytes; i++) {
        used += snprintf(cuda->which + used, sizeof cuda->which - (size_t)used, "%02x",
                         uuid->bytes[i]);
    }
}

/* What the GPU is, and whether it will do. */
static fr_status ask_device(fr_cuda *cuda)
{
    fr_cu_uuid uuid = {{0}};
    if (!fr_cuda_took(cuda, cuda->driver.device_get(&cuda->device, cuda->ordinal),
                      "cuDeviceGet", "the GPU") ||
        !fr_cuda_took(
            cuda,
            cuda->driver.device_name(cuda->name, (int)sizeof cuda->name, cuda->device),
            "cuDeviceGetName", "the GPU's name") ||
        !fr_cuda_took(cuda, cuda->driver.device_uuid(&uuid, cuda->device),
                      "cuDeviceGetUuid", "the GPU")) {
        return fr_cuda_check(cuda);
    }
    write_which(cuda, &uuid);
    int major = attribute(cuda, FR_CU_MAJOR, "the GPU's generation");
    int minor = attribute(cuda, FR_CU_MINOR, "the GPU's generation");
    int processors = attribute(cuda, FR_CU_PROCESSORS, "the GPU's processors");
    int has_addresses = attribute(cuda, FR_CU_VIRTUAL_MEMORY, "the GPU's addresses");
    cuda->shared_bytes = attribute(cuda, FR_CU_SHARED_OPTIN, "the GPU's shared memory");
    FR_TRY(fr_cuda_check(cuda));
    (void)snprintf(cuda->arithmetic, sizeof cuda->arithmetic,
                   "cuda sm_%d%d, %d processors, 4", major, minor, processors);
    if (major < OLDEST_MAJOR || has_addresses == 0) {
        return FR_FAIL(cuda->base.ctx, FR_ERR_UNSUPPORTED,
                       "GPU %d (%s) is sm_%d%d%s, but must be sm_%d0 or later with "
                       "management of virtual memory; choose another device",
                       cuda->ordinal, cuda->name, major, minor,
                       has_addresses == 0 ? " without management of virtual memory"
                                          : "",
                       OLDEST_MAJOR);
    }
    return FR_OK;
}

static fr_status open_context(fr_cuda *cuda)
{
    const fr_cuda_driver *driver = &cuda->driver;
    if (!fr_cuda_took(cuda, driver->context_retain(&cuda->context, cuda->device),
                      "cuDevicePrimaryCtxRetain", "the GPU's context")) {
        cuda->context = NULL;
        return fr_cuda_check(cuda);
    }
    (void)fr_cuda_took(cuda, driver->context_set(cuda->context), "cuCtxSetCurrent",
                       "the GPU's context");
    return fr_cuda_check(cuda);
}

static fr_status open_stream(fr_cuda *cuda, fr_cu_stream *out, const char *subject)
{
    if (!fr_cuda_took(cuda, cuda->driver.stream_create(out, FR_CU_STREAM_NON_BLOCKING),
                      "cuStreamCreate", subject)) {
        *out = NULL;
    }
    return fr_cuda_check(cuda);
}

/* @return whether the driver says that its work is done */
static bool close_stream(fr_cuda *cuda, fr_cu_stream *stream)
{
    bool is_done = *stream == NULL ||
                   fr_cuda_gave_back(cuda, cuda->driver.stream_synchronize(*stream),
                                     "cuStreamSynchronize");
    if (*stream != NULL) {
        (void)fr_cuda_gave_back(cuda, cuda->driver.stream_destroy(*stream),
                                "cuStreamDestroy");
        *stream = NULL;
    }
    return is_done;
}

static fr_status load_modules(fr_cuda *cuda)
{
    int n_images = 0;
    while (fr_cuda_images[n_images] != NULL) {
        n_images++;
    }
    FR_TRY(fr_alloc(cuda->base.ctx, n_images, sizeof(fr_cu_module), &cuda->modules));
    for (int i = 0; i < n_images; i++) {
        fr_cu_result result =
            cuda->driver.module_load(&cuda->modules[i], fr_cuda_images[i]);
        if (result == FR_CU_NO_BINARY) {
            return FR_FAIL(cuda->base.ctx, FR_ERR_UNSUPPORTED,
                           "this program was built without kernels for GPU %d (%s, "
                           "%s); build it for that, or choose another device",
                           cuda->ordinal, cuda->name, cuda->arithmetic);
        }
        if (!fr_cuda_took(cuda, result, "cuModuleLoadData", "the kernels")) {
            return fr_cuda_check(cuda);
        }
        cuda->n_modules++;
    }
    return FR_OK;
}

/* Each kernel is in one of the modules. */
static fr_status find_kernel(fr_cuda *cuda, int kernel)
{
    fr_cu_result result = FR_CU_NOT_FOUND;
    for (int i = 0; i < cuda->n_modules && result == FR_CU_NOT_FOUND; i++) {
        result = cuda->driver.module_function(&cuda->functions[kernel],
                                              cuda->modules[i], NAMES[kernel]);
    }
    (void)fr_cuda_took(cuda, result, "cuModuleGetFunction", NAMES[kernel]);
    return fr_cuda_check(cuda);
}

fr_status fr_cuda_context_open(fr_ctx *ctx, fr_cuda_choice choice, fr_cuda *cuda)
{
    cuda->base.ctx = ctx;
    FR_TRY(fr_cuda_driver_open(ctx, &cuda->driver));
    FR_TRY(choose_gpu(cuda, choice));
    FR_TRY(ask_device(cuda));
    return open_context(cuda);
}

fr_status fr_cuda_runtime_open(fr_ctx *ctx, fr_cuda_choice choice, fr_cuda *cuda)
{
    FR_TRY(fr_cuda_context_open(ctx, choice, cuda));
    FR_TRY(open_stream(cuda, &cuda->stream, "the order of work"));
    FR_TRY(open_stream(cuda, &cuda->copies, "copies ahead of work"));
    FR_TRY(load_modules(cuda));
    for (int k = 0; k < FR_CUDA_KERNEL_COUNT; k++) {
        FR_TRY(find_kernel(cuda, k));
    }
    return FR_OK;
}

/* Unless the driver says that the work is done, what it uses is left to the end of the context. */
void fr_cuda_runtime_close(fr_cuda *cuda)
{
    const fr_cuda_driver *driver = &cuda->driver;
    bool is_done = close_stream(cuda, &cuda->copies);
    is_done = close_stream(cuda, &cuda->stream) && is_done;
    for (int i = 0; i < cuda->n_modules && is_done; i++) {
        (void)fr_cuda_gave_back(cuda, driver->module_unload(cuda->modules[i]),
                                "cuModuleUnload");
    }
    cuda->n_modules = 0;
    free(cuda->modules);
    cuda->modules = NULL;
    if (cuda->context != NULL) {
        (void)fr_cuda_gave_back(cuda, driver->context_release(cuda->device),
                                "cuDevicePrimaryCtxRelease");
        cuda->context = NULL;
    }
    fr_cuda_driver_close(&cuda->driver);
}

/* ---- kernels -------------------------------------------------------------------------------------- */

/* More shared memory than every block may have must be asked for, once a kernel. */
static bool allow_shared(fr_cuda *cuda, const fr_cuda_start *start)
{
    int64_t *allowed = &cuda->shared_allowed[start->kernel];
    if (start->shared <= SHARED_FREE || start->shared <= *allowed) {
        return true;
    }
    *allowed = start->shared;
    return fr_cuda_took(cuda,
                        cuda->driver.function_set(cuda->functions[start->kernel],
                                                  FR_CU_FUNCTION_SHARED,
                                                  (int)start->shared),
                        "cuFuncSetAttribute", NAMES[start->kernel]);
}

void fr_cuda_started(fr_cuda *cuda, const char *name)
{
    cuda->latest = name;
    if (cuda->waits) {
        (void)fr_cuda_took(cuda, cuda->driver.stream_synchronize(cuda->stream),
                           "cuStreamSynchronize", name);
    }
}

void fr_cuda_launch(fr_device *device, const fr_cuda_start *start,
                    const void *arguments)
{
    fr_cuda *cuda = fr_cuda_of(device);
    void *list[] = {(void *)(uintptr_t)arguments};
    assert(start->blocks >= 0 && start->blocks <= INT_MAX &&
           start->blocks_y <= USHRT_MAX && start->shared <= cuda->shared_bytes);
    if (cuda->has_failed || start->blocks == 0 || !allow_shared(cuda, start)) {
        return;
    }
    unsigned blocks_y = start->blocks_y > 0 ? (unsigned)start->blocks_y : 1;
    fr_cu_result result =
        cuda->driver.launch(cuda->functions[start->kernel], (unsigned)start->blocks,
                            blocks_y, 1, (unsigned)start->threads, 1, 1,
                            (unsigned)start->shared, cuda->stream, list, NULL);
    if (!fr_cuda_took(cuda, result, "cuLaunchKernel", NAMES[start->kernel])) {
        return;
    }
    fr_cuda_started(cuda, NAMES[start->kernel]);
}
