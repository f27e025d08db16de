/* CUDA's driver, opened at run time: what is missing is said in one message, whatever it is. */
#include "device/cuda/driver.h"

#include "base/library.h"

static const char LIBRARY[] = "libcuda.so.1";

/* What follows "cannot compute on a GPU: ". */
#define REMEDY "or choose another device"

/* Which functions it has, each by its name. */
static fr_status find_functions(fr_ctx *ctx, fr_cuda_driver *out)
{
    static const fr_library_function FUNCTIONS[] = {
#define FR_DRIVER_FUNCTION(name, symbol, parameters)                                   \
    {symbol, offsetof(fr_cuda_driver, name)},
        FR_CUDA_DRIVER(FR_DRIVER_FUNCTION)
#undef FR_DRIVER_FUNCTION
    };
    const char *missing = fr_library_find(out->library, FUNCTIONS,
                                          sizeof FUNCTIONS / sizeof FUNCTIONS[0], out);
    if (missing != NULL) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "cannot compute on a GPU: NVIDIA's driver (%s) lacks the "
                       "function %s; install one for CUDA %d.%d or later, " REMEDY,
                       LIBRARY, missing, FR_CUDA_OLDEST / 1000,
                       FR_CUDA_OLDEST % 1000 / 10);
    }
    return FR_OK;
}

/* The version can be asked before the driver is started. */
static fr_status check_version(fr_ctx *ctx, const fr_cuda_driver *driver)
{
    int version = 0;
    fr_cu_result result = driver->version(&version);
    if (result != FR_CU_SUCCESS) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "cannot compute on a GPU: NVIDIA's driver does not say its "
                       "version: cuDriverGetVersion gives %s (%d); reinstall the "
                       "driver, " REMEDY,
                       fr_cuda_error_name(driver, result), result);
    }
    if (version < FR_CUDA_OLDEST) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "cannot compute on a GPU: NVIDIA's driver is for CUDA %d.%d, "
                       "but must be for %d.%d or later; install a newer one, " REMEDY,
                       version / 1000, version % 1000 / 10, FR_CUDA_OLDEST / 1000,
                       FR_CUDA_OLDEST % 1000 / 10);
    }
    return FR_OK;
}

static fr_status start(fr_ctx *ctx, const fr_cuda_driver *driver)
{
    int count = 0;
    const char *call = "cuInit";
    fr_cu_result result = driver->init(0);
    if (result == FR_CU_SUCCESS) {
        call = "cuDeviceGetCount";
        result = driver->device_count(&count);
    }
    if (result == FR_CU_NO_DEVICE || (result == FR_CU_SUCCESS && count < 1)) {
        return FR_FAIL(
            ctx, FR_ERR_UNSUPPORTED,
            "cannot compute on a GPU: NVIDIA's driver finds none (nvidia-smi "
            "lists them, CUDA_VISIBLE_DEVICES may hide them); make one "
            "available, " REMEDY);
    }
    if (result != FR_CU_SUCCESS) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "cannot compute on a GPU: NVIDIA's driver does not start: %s "
                       "gives %s (%d); see whether nvidia-smi works, " REMEDY,
                       call, fr_cuda_error_name(driver, result), result);
    }
    return FR_OK;
}

bool fr_cuda_driver_is_installed(void)
{
    void *library = fr_library_open(LIBRARY, NULL);
    fr_library_close(library);
    return library != NULL;
}

fr_status fr_cuda_driver_open(fr_ctx *ctx, fr_cuda_driver *out)
{
    *out = (fr_cuda_driver){0};
    const char *reason = NULL;
    out->library = fr_library_open(LIBRARY, &reason);
    if (out->library == NULL) {
        return FR_FAIL(
            ctx, FR_ERR_UNSUPPORTED,
            "cannot compute on a GPU: NVIDIA's driver cannot be opened (%s); "
            "install one for CUDA %d.%d or later, " REMEDY,
            reason, FR_CUDA_OLDEST / 1000, FR_CUDA_OLDEST % 1000 / 10);
    }
    fr_status status = find_functions(ctx, out);
    if (status == FR_OK) {
        status = check_version(ctx, out);
    }
    if (status == FR_OK) {
        status = start(ctx, out);
    }
    if (status != FR_OK) {
        fr_cuda_driver_close(out);
    }
    return status;
}

void fr_cuda_driver_close(fr_cuda_driver *driver)
{
    fr_library_close(driver->library);
    *driver = (fr_cuda_driver){0};
}

const char *fr_cuda_error_name(const fr_cuda_driver *driver, fr_cu_result result)
{
    const char *text = NULL;
    if (driver->error_name == NULL ||
        driver->error_name(result, &text) != FR_CU_SUCCESS || text == NULL) {
        return "an error without a name";
    }
    return text;
}
