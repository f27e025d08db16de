/* NVIDIA's NCCL, opened at run time: what is missing is said in one message, whatever it is. */
#include "comm/nccl.h"

#include "base/library.h"

#include <stdio.h>

static const char LIBRARY[] = "libnccl.so.2";

/* Of NCCL's results, by their numbers. */
static const char *const RESULTS[] = {
    "ncclSuccess",       "ncclUnhandledCudaError", "ncclSystemError",
    "ncclInternalError", "ncclInvalidArgument",    "ncclInvalidUsage",
    "ncclRemoteError",   "ncclInProgress",
};

static const char *name_of(int result)
{
    int n = (int)(sizeof RESULTS / sizeof RESULTS[0]);
    return result >= 0 && result < n ? RESULTS[result] : "a result without a name";
}

void fr_nccl_version_text(int version, char out[FR_NCCL_VERSION_BYTES])
{
    (void)snprintf(out, FR_NCCL_VERSION_BYTES, "%d.%d.%d", version / 10000,
                   version / 100 % 100, version % 100);
}

static fr_status find_functions(fr_ctx *ctx, fr_nccl *out)
{
    static const fr_library_function FUNCTIONS[] = {
#define FR_NCCL_FUNCTION(type, name, symbol, parameters)                               \
    {symbol, offsetof(fr_nccl, name)},
        FR_NCCL(FR_NCCL_FUNCTION)
#undef FR_NCCL_FUNCTION
    };
    const char *missing = fr_library_find(out->library, FUNCTIONS,
                                          sizeof FUNCTIONS / sizeof FUNCTIONS[0], out);
    return missing == NULL
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                         "NCCL (%s) lacks the function %s; install version %d.%d or "
                         "later",
                         LIBRARY, missing, FR_NCCL_OLDEST / 10000,
                         FR_NCCL_OLDEST / 100 % 100);
}

static fr_status check_version(fr_ctx *ctx, fr_nccl *nccl)
{
    char text[FR_NCCL_VERSION_BYTES];
    int result = nccl->get_version(&nccl->version);
    if (result != FR_NCCL_SUCCESS) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "NCCL (%s) does not say its version: ncclGetVersion gave %s "
                       "(%d); install it anew",
                       LIBRARY, name_of(result), result);
    }
    fr_nccl_version_text(nccl->version, text);
    return nccl->version >= FR_NCCL_OLDEST
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                         "NCCL is of version %s, but must be %d.%d or later; install a "
                         "newer one",
                         text, FR_NCCL_OLDEST / 10000, FR_NCCL_OLDEST / 100 % 100);
}

fr_status fr_nccl_open(fr_ctx *ctx, fr_nccl *out)
{
    *out = (fr_nccl){0};
    const char *reason = NULL;
    out->library = fr_library_open(LIBRARY, &reason);
    if (out->library == NULL) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED, "NCCL cannot be opened (%s)", reason);
    }
    fr_status status = find_functions(ctx, out);
    if (status == FR_OK) {
        status = check_version(ctx, out);
    }
    if (status != FR_OK) {
        fr_nccl_close(out);
    }
    return status;
}

void fr_nccl_close(fr_nccl *nccl)
{
    fr_library_close(nccl->library);
    *nccl = (fr_nccl){0};
}

fr_status fr_nccl_fail(fr_ctx *ctx, const fr_nccl *nccl, fr_nccl_comm comm,
                       const char *function, int result)
{
    const char *more = nccl->last_error(comm);
    bool has_more = more != NULL && more[0] != '\0';
    return FR_FAIL(ctx, FR_ERR_COMM,
                   "NCCL failed: %s gave %s (%d)%s%s; NCCL_DEBUG=WARN says more, and "
                   "run.sums: staged does without NCCL",
                   function, name_of(result), result, has_more ? ": " : "",
                   has_more ? more : "");
}
