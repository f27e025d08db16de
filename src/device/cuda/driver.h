/*
 * driver.h - the functions of CUDA's driver that the backend calls. The driver is opened at run time (libcuda.so.1): a
 * program with this backend starts on a machine that has none.
 *
 * Types and constants are declared here, so that nothing of the CUDA Toolkit is needed to compile the host's side. The
 * driver's interface is stable: names, types and numbers are those of its documentation (CUDA Driver API).
 */
#ifndef FR_DEVICE_CUDA_DRIVER_H
#define FR_DEVICE_CUDA_DRIVER_H

#include "base/ctx.h"

#include <stdint.h>

/** The oldest version of the driver's interface that will do: 12.8, as 1000 major + 10 minor. */
enum { FR_CUDA_OLDEST = 12080 };

typedef int fr_cu_result; /* 0: success */
typedef int fr_cu_device;
typedef unsigned long long fr_cu_address;
typedef struct fr_cu_uuid {
    unsigned char bytes[16];
} fr_cu_uuid;
typedef struct fr_cu_context_of *fr_cu_context;
typedef struct fr_cu_module_of *fr_cu_module;
typedef struct fr_cu_function_of *fr_cu_function;
typedef struct fr_cu_stream_of *fr_cu_stream;
typedef struct fr_cu_event_of *fr_cu_event;

enum {
    FR_CU_SUCCESS = 0,
    FR_CU_OUT_OF_MEMORY = 2,
    FR_CU_NO_DEVICE = 100,
    FR_CU_NO_BINARY = 209, /* an image has nothing for the GPU */
    FR_CU_NOT_FOUND = 500,
    FR_CU_NOT_READY = 600,

    FR_CU_STREAM_NON_BLOCKING = 1,
    FR_CU_EVENT_DISABLE_TIMING = 2,
    FR_CU_HOST_PORTABLE = 1,

    FR_CU_MAJOR = 75, /* attributes of a device */
    FR_CU_MINOR = 76,
    FR_CU_PROCESSORS = 16,
    FR_CU_VIRTUAL_MEMORY = 102,
    FR_CU_SHARED_OPTIN = 97, /* bytes of shared memory that a block may have */

    FR_CU_FUNCTION_SHARED = 8, /* attribute of a function: most dynamic shared bytes */

    FR_CU_PINNED = 1,      /* allocation type */
    FR_CU_ON_DEVICE = 1,   /* location type */
    FR_CU_READ_WRITE = 3,  /* access */
    FR_CU_GRAIN_LEAST = 0, /* granularity: the minimum */
};

typedef struct fr_cu_location {
    int type;
    int id;
} fr_cu_location;

typedef struct fr_cu_allocation {
    int type;
    int handle_types;
    fr_cu_location location;
    void *windows;
    struct {
        unsigned char compression;
        unsigned char rdma;
        unsigned short usage;
        unsigned char reserved[4];
    } flags;
} fr_cu_allocation;

typedef struct fr_cu_access {
    fr_cu_location location;
    int flags;
} fr_cu_access;

/** F(name here, name in the library, parameters) */
#define FR_CUDA_DRIVER(F)                                                              \
    F(init, "cuInit", (unsigned flags))                                                \
    F(version, "cuDriverGetVersion", (int *version))                                   \
    F(error_name, "cuGetErrorName", (fr_cu_result result, const char **text))          \
    F(device_count, "cuDeviceGetCount", (int *count))                                  \
    F(device_get, "cuDeviceGet", (fr_cu_device * device, int ordinal))                 \
    F(device_uuid, "cuDeviceGetUuid_v2", (fr_cu_uuid * uuid, fr_cu_device device))     \
    F(device_name, "cuDeviceGetName", (char *name, int bytes, fr_cu_device device))    \
    F(device_attribute, "cuDeviceGetAttribute",                                        \
      (int *value, int attribute, fr_cu_device device))                                \
    F(context_retain, "cuDevicePrimaryCtxRetain",                                      \
      (fr_cu_context * context, fr_cu_device device))                                  \
    F(context_release, "cuDevicePrimaryCtxRelease_v2", (fr_cu_device device))          \
    F(context_set, "cuCtxSetCurrent", (fr_cu_context context))                         \
    F(memory_info, "cuMemGetInfo_v2", (size_t * available, size_t * total))            \
    F(grain, "cuMemGetAllocationGranularity",                                          \
      (size_t * grain, const fr_cu_allocation *allocation, int which))                 \
    F(address_reserve, "cuMemAddressReserve",                                          \
      (fr_cu_address * base, size_t bytes, size_t alignment, fr_cu_address wanted,     \
       unsigned long long flags))                                                      \
    F(address_free, "cuMemAddressFree", (fr_cu_address base, size_t bytes))            \
    F(memory_create, "cuMemCreate",                                                    \
      (unsigned long long *handle, size_t bytes, const fr_cu_allocation *allocation,   \
       unsigned long long flags))                                                      \
    F(memory_release, "cuMemRelease", (unsigned long long handle))                     \
    F(memory_map, "cuMemMap",                                                          \
      (fr_cu_address at, size_t bytes, size_t offset, unsigned long long handle,       \
       unsigned long long flags))                                                      \
    F(memory_unmap, "cuMemUnmap", (fr_cu_address at, size_t bytes))                    \
    F(memory_access, "cuMemSetAccess",                                                 \
      (fr_cu_address at, size_t bytes, const fr_cu_access *access, size_t count))      \
    F(host_alloc, "cuMemHostAlloc", (void **memory, size_t bytes, unsigned flags))     \
    F(host_free, "cuMemFreeHost", (void *memory))                                      \
    F(stream_create, "cuStreamCreate", (fr_cu_stream * stream, unsigned flags))        \
    F(stream_destroy, "cuStreamDestroy_v2", (fr_cu_stream stream))                     \
    F(stream_synchronize, "cuStreamSynchronize", (fr_cu_stream stream))                \
    F(stream_wait, "cuStreamWaitEvent",                                                \
      (fr_cu_stream stream, fr_cu_event event, unsigned flags))                        \
    F(event_create, "cuEventCreate", (fr_cu_event * event, unsigned flags))            \
    F(event_destroy, "cuEventDestroy_v2", (fr_cu_event event))                         \
    F(event_record, "cuEventRecord", (fr_cu_event event, fr_cu_stream stream))         \
    F(event_query, "cuEventQuery", (fr_cu_event event))                                \
    F(event_synchronize, "cuEventSynchronize", (fr_cu_event event))                    \
    F(copy_to_device, "cuMemcpyHtoDAsync_v2",                                          \
      (fr_cu_address to, const void *from, size_t bytes, fr_cu_stream stream))         \
    F(copy_to_host, "cuMemcpyDtoHAsync_v2",                                            \
      (void *to, fr_cu_address from, size_t bytes, fr_cu_stream stream))               \
    F(copy_on_device, "cuMemcpyDtoDAsync_v2",                                          \
      (fr_cu_address to, fr_cu_address from, size_t bytes, fr_cu_stream stream))       \
    F(set_bytes, "cuMemsetD8Async",                                                    \
      (fr_cu_address to, unsigned char value, size_t bytes, fr_cu_stream stream))      \
    F(module_load, "cuModuleLoadData", (fr_cu_module * module, const void *image))     \
    F(module_unload, "cuModuleUnload", (fr_cu_module module))                          \
    F(module_function, "cuModuleGetFunction",                                          \
      (fr_cu_function * function, fr_cu_module module, const char *name))              \
    F(function_set, "cuFuncSetAttribute",                                              \
      (fr_cu_function function, int attribute, int value))                             \
    F(launch, "cuLaunchKernel",                                                        \
      (fr_cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z,     \
       unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,    \
       fr_cu_stream stream, void **arguments, void **extra))

typedef struct fr_cuda_driver {
    void *library;
#define FR_DRIVER_FIELD(name, symbol, parameters) fr_cu_result(*name) parameters;
    FR_CUDA_DRIVER(FR_DRIVER_FIELD)
#undef FR_DRIVER_FIELD
} fr_cuda_driver;

/** Whether there is a library with the driver's name. */
bool fr_cuda_driver_is_installed(void);

/**
 * Open the driver and start it.
 * @return FR_OK; FR_ERR_UNSUPPORTED (*out zeroed): no driver, one older than FR_CUDA_OLDEST, a function that it lacks, or no
 *         GPU; the message says which and what to do
 */
FR_MUST_CHECK fr_status fr_cuda_driver_open(fr_ctx *ctx, fr_cuda_driver *out);
/** Accepts a zeroed one. */
void fr_cuda_driver_close(fr_cuda_driver *driver);

/** "CUDA_ERROR_OUT_OF_MEMORY", or a number in words; lives as long as the driver. */
const char *fr_cuda_error_name(const fr_cuda_driver *driver, fr_cu_result result);

#endif
