/*
 * library.h - libraries that are opened at run time: the program starts without them, and the caller tells what is missing.
 */
#ifndef FR_BASE_LIBRARY_H
#define FR_BASE_LIBRARY_H

#include <stddef.h>

/**
 * A library by its file's name. It stays loaded for good: those that are opened so have threads and handlers of their own.
 * @param[out] why_not  where there is none, the loader's words; borrowed until the next call; may be NULL
 * @return NULL: there is none
 */
void *fr_library_open(const char *name, const char **why_not);
/** Accepts NULL. */
void fr_library_close(void *library);

/** A function of a library, and where in a structure its address goes. */
typedef struct fr_library_function {
    const char *symbol;
    size_t offset;
} fr_library_function;

/** Fill in a structure of pointers to functions. @return the first symbol that the library lacks; NULL: it has them all */
const char *fr_library_find(void *library, const fr_library_function *functions,
                            size_t n, void *into);

#endif
