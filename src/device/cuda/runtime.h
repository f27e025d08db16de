/*
 * runtime.h - a GPU as a device: the driver's objects that it works with, how kernels are started, and what becomes of errors.
 *
 * All work goes to one stream, in the order of the calls, but for copies ahead (memory_ahead.c), which have one of their own. A
 * call of the driver that fails makes the device failed: the first
 * failure is kept with the kernel that was started last, everything after it does nothing, and fr_device_check gives it at the
 * end of a pass. With FORERUN_SYNC=1 the host waits after each kernel, so that the failure names the one that caused it.
 */
#ifndef FR_DEVICE_CUDA_RUNTIME_H
#define FR_DEVICE_CUDA_RUNTIME_H

#include "device/backend.h"
#include "device/cuda/driver.h"
#include "device/cuda/kernels.h"

typedef struct fr_cuda_memory fr_cuda_memory; /* memory.h */
typedef struct fr_lt fr_lt;                   /* lt.h */

typedef struct fr_cuda {
    fr_device base; /* first */
    fr_cuda_driver driver;
    int ordinal; /* of the GPU */
    fr_cu_device device;
    fr_cu_context context;
    fr_cu_stream stream;
    fr_cu_stream copies; /* ahead of the other stream's work: fr_device_ahead */
    int n_modules;
    fr_cu_module *modules;
    fr_cu_function functions[FR_CUDA_KERNEL_COUNT];
    int64_t shared_allowed[FR_CUDA_KERNEL_COUNT]; /* beyond what every block may have */
    int64_t shared_bytes;                         /* that a block may have */
    char which[40]; /* "GPU-" and the driver's number of it */
    bool waits;     /* FORERUN_SYNC=1 */
    char arithmetic[96];
    char name[64]; /* of the GPU */
    fr_cuda_memory *memory;
    fr_lt *lt;          /* NULL: all products are computed by the own kernels */
    char products[384]; /* fr_device_products */

    const char *latest; /* the kernel that was started last */
    bool has_failed;
    const char *failed_call; /* of the driver, and for which kernel or what */
    const char *failed_for;
    const char *failed_after; /* the kernel that was started last; NULL: none */
    fr_cu_result failure;
    bool has_warned;      /* by fr_cuda_gave_back, or of a late failure */
    bool is_told;         /* fr_cuda_check has said that it failed */
    fr_status kept;       /* FR_OK: the failure is the driver's, above */
    char kept_text[1024]; /* what an operator failed at otherwise */
} fr_cuda;

static inline fr_cuda *fr_cuda_of(fr_device *device)
{
    return (fr_cuda *)device;
}

/** Which GPU: that number, or by a rank's number on its node. */
typedef struct fr_cuda_choice {
    int number;
    bool
        by_rank; /* `number` is the rank's: the GPUs that the driver shows are dealt out in turn */
} fr_cuda_choice;

/** A GPU and its context, before anything is made there: enough to ask what it is. FR_ERR_UNSUPPORTED, FR_ERR_DEVICE,
 * FR_ERR_NO_MEMORY. In any case fr_cuda_runtime_close follows. */
FR_MUST_CHECK fr_status fr_cuda_context_open(fr_ctx *ctx, fr_cuda_choice choice,
                                             fr_cuda *cuda);
/** A GPU with its stream and kernels, without memory.h's part. Errors, and what follows, as above. */
FR_MUST_CHECK fr_status fr_cuda_runtime_open(fr_ctx *ctx, fr_cuda_choice choice,
                                             fr_cuda *cuda);
/** Waits for the work that was asked for. What the driver refuses while a device ends is a warning: whoever had results from
 * the device has checked them before. */
void fr_cuda_runtime_close(fr_cuda *cuda);

/** Keep a failure of the driver, if `result` is one and none came before. @return whether the device still works */
bool fr_cuda_took(fr_cuda *cuda, fr_cu_result result, const char *call,
                  const char *subject);

/** What a call that gives something back to the driver returned: a failure is warned of, once, and does not make the device
 * failed. @return whether it is success */
bool fr_cuda_gave_back(fr_cuda *cuda, fr_cu_result result, const char *call);
/** At the end: warn likewise of a failure that came when nobody asked for results any more. */
void fr_cuda_tell_late_failure(fr_cuda *cuda);

/** For operators without a status: what they failed at becomes the device's failure, with the message that the context has. */
void fr_cuda_fail(fr_cuda *cuda, fr_status status);

/** FR_OK, or FR_ERR_DEVICE with what failed first (FR_ERR_NO_MEMORY if it was memory; what fr_cuda_fail kept). */
FR_MUST_CHECK fr_status fr_cuda_check(const fr_cuda *cuda);

/** How a kernel is started. */
typedef struct fr_cuda_start {
    fr_cuda_kernel kernel;
    int64_t blocks;   /* < 2^31; nothing is started for 0 */
    int64_t blocks_y; /* <= 65535; 0 means 1 */
    int threads;      /* of a block */
    int64_t shared;   /* bytes of shared memory, <= shared_bytes */
} fr_cuda_start;

/** Start a kernel; its argument is copied. */
void fr_cuda_launch(fr_device *device, const fr_cuda_start *start,
                    const void *arguments);

/** Something that was started otherwise is a kernel as well: it is named in messages, and waited for where each is. */
void fr_cuda_started(fr_cuda *cuda, const char *name);

/** What is added to a kernel's number for the types of up to 3 views: kernels.h. */
static inline unsigned fr_cuda_digits_1(fr_view x)
{
    return x.dtype == FR_BF16 ? 1U : 0U;
}
static inline unsigned fr_cuda_digits_2(fr_view x, fr_view y)
{
    return 2 * fr_cuda_digits_1(x) + fr_cuda_digits_1(y);
}
static inline unsigned fr_cuda_digits_3(fr_view x, fr_view y, fr_view z)
{
    return 2 * fr_cuda_digits_2(x, y) + fr_cuda_digits_1(z);
}

/** The images with the kernels: a fatbin a source, ends with NULL. Made by nvcc, or by the emulation. */
extern const void *const fr_cuda_images[];

#endif
