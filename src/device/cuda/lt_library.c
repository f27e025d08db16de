/* cuBLASLt, opened at run time. It is never needed, so what is missing is told to the caller and is no error. */
#include "device/cuda/lt_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { WHY_BYTES = 256 };

/* The newest that the driver is for. It has threads and caches of its own, so it is never unloaded. */
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
        library = dlopen(*name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        const char *reason = library == NULL ? dlerror() : NULL;
        if (library == NULL && why_not[0] == '\0') {
            (void)snprintf(why_not, WHY_BYTES, "it cannot be opened (%s)",
                           reason != NULL ? reason : *name);
        }
        name++;
    }
    return library;
}

static bool find_functions(fr_lt_library *out, char *why_not)
{
    const char *missing = NULL;
    void *found = NULL;
#define FR_LT_FIND(result, name, symbol, parameters)                                   \
    found = dlsym(out->library, symbol);                                               \
    memcpy(&out->name, &found, sizeof out->name);                                      \
    missing = found == NULL && missing == NULL ? (symbol) : missing;
    FR_LT_FUNCTIONS(FR_LT_FIND)
#undef FR_LT_FIND
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
    if (library->library != NULL) {
        (void)dlclose(library->library);
    }
    *library = (fr_lt_library){0};
}
