#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

void *fr_library_open(const char *name, const char **why_not)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == NULL && why_not != NULL) {
        const char *reason = dlerror();
        *why_not = reason != NULL ? reason : name;
    }
    return library;
}

void fr_library_close(void *library)
{
    if (library != NULL) {
        (void)dlclose(library);
    }
}

const char *fr_library_find(void *library, const fr_library_function *functions,
                            size_t n, void *into)
{
    const char *missing = NULL;
    for (size_t i = 0; i < n; i++) {
        void *found = dlsym(library, functions[i].symbol);
        memcpy((char *)into + functions[i].offset, &found, sizeof found);
        missing = found == NULL && missing == NULL ? functions[i].symbol : missing;
    }
    return missing;
}
