/*
 * Sanitizer builds only: plugins stay mapped, so that a leak report at exit can still name the library
 * that a block came from (and tests/support/lsan.supp can match it).
 */
#include <dlfcn.h>

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
