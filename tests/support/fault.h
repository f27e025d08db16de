/*
 * fault.h - fail the first, second, third ... allocation of a piece of code until it succeeds.
 *
 * For binaries registered by fr_fault_test (cmake/tests.cmake), whose link redirects malloc, calloc,
 * realloc, aligned_alloc, strdup and free of all statically linked code here. Allocations inside shared
 * libraries are neither failed nor counted.
 */
#ifndef FR_TESTS_FAULT_H
#define FR_TESTS_FAULT_H

#include "support/suite.h"

#include <stdint.h>

/** Code under test; on FR_OK it has released what it allocated. */
typedef fr_status (*fr_fault_action)(fr_ctx *ctx, void *argument);

typedef struct fr_fault_outcome {
    fr_status status;
    bool fired;     /* the allocation to fail was reached */
    bool overfull;  /* too many blocks to follow: n_kept says nothing */
    int64_t n_kept; /* blocks allocated by the run and not released */
} fr_fault_outcome;

/** Run `action` once with its `failing`-th allocation (1 = the first) failing. */
fr_fault_outcome fr_fault_run(fr_ctx *ctx, int64_t failing, fr_fault_action action,
                              void *argument);

/**
 * Run `action` with its n-th allocation failing, n = 1, 2, ..., until a run meets no failure. Asserts
 * that each disturbed run returns FR_ERR_NO_MEMORY (or FR_ERR_IO that names the lack of memory) with a
 * message, that the last run returns FR_OK, and that every run releases all that it allocated.
 *
 * After 100 allocations n grows by steps, so that a long action stays cheap.
 * @return the number of runs that were disturbed
 */
int fr_fault_sweep(const char *what, fr_fault_action action, void *argument);

#endif
