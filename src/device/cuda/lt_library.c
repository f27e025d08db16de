/* cuBLASLt, opened at run time. It is never needed, so what is missing is told to the caller and is no error. */
#include "device/cuda/lt_library.h"

#include "base/library.h"

#include <stdio.h>

enum { WHY_BYTES = 256 };

/* The newest that the driver is for. */
static void *open_library(const fr_cuda_driver *driver, char *why_not)
{
    enum { CUDA_13 = 13000 };
    static const char *const NAMES[] = {"libcublasLt.so.13", "libcublasLt.so.12", NULL};
    int version = 0;
    bool is_old = driver->version(&version) != FR_CU_SUCCESS || version < CUDA_13;
    const char *const *name = is_old ? NAMES + 1 : NAMES;
    void *library = NULL;
    why_not[0] = '\0';
    while (library == NULL && *name != NULL) {
        const char *reason = NULL;
        library = fr_library_open(*name, &reason);
        if (library == NULL && why_not[0] == '\0') {
            (void)snprintf(why_not, WHY_BYTES, "it cannot be opened (%s)", reason);
        }
        name++;
    }
    return library;
}

static bool find_functions(fr_lt_library *out, char *why_not)
{
    static const fr_library_function FUNCTIONS[] = {
#define FR_LT_FUNCTION(result, name, symbol, parameters)                               \
    {symbol, offsetof(fr_lt_library, name)},
        FR_LT_FUNCTIONS(FR_LT_FUNCTION)
#undef FR_LT_FUNCTION
    };
    const char *missing = fr_library_find(out->library, FUNCTIONS,
                                          sizeof FUNCTIONS / sizeof FUNCTIONS[0], out);
    if (missing != NULL) {
        (void)snprintf(why_not, WHY_BYTES, "it lacks the function %s", missing);
    }
    return missing == NULL;
}

static bool read_version(fr_lt_library *out, char *why_not)
{
    enum { PARTS = 3 }; /* 0, 1, 2: major, minor, patch */
    int parts[PARTS] = {0};
    for (int i = 0; i < PARTS; i++) {
        fr_lt_result result = out->property(i, &parts[i]);
        if (result != FR_LT_SUCCESS) {
            (void)snprintf(why_not, WHY_BYTES,
                           "it does not say its version: cublasLtGetProperty gives %s "
                           "(%d)",
                           out->result_name(result), result);
            return false;
        }
    }
    (void)snprintf(out->version, sizeof out->version, "%hu.%hu.%hu",
                   (unsigned short)parts[0], (unsigned short)parts[1],
                   (unsigned short)parts[2]);
    return true;
}

bool fr_lt_library_open(const fr_cuda_driver *driver, fr_lt_library *out,
                        char why_not[256])
{
    *out = (fr_lt_library){0};
    out->library = open_library(driver, why_not);
    if (out->library == NULL) {
        return false;
    }
    if (!find_functions(out, why_not) || !read_version(out, why_not)) {
        fr_lt_library_close(out);
        return false;
    }
    why_not[0] = '\0';
    return true;
}

void fr_lt_library_close(fr_lt_library *library)
{
    fr_library_close(library->library);
    *library = (fr_lt_library){0};
}
