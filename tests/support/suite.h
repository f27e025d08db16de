/*
 * suite.h - what every CUnit test binary shares: one table of cases, one main.
 *
 * `binary` runs all cases, `binary NAME...` some, `binary --list` lists them. Fails unless every
 * registered (chosen) case ran and no assertion failed: CUnit reports a failing suite init as zero
 * failures. A case that needs what the machine lacks calls fr_skip; if all chosen cases skip, the exit
 * code is 77 (ctest shows it as skipped).
 */
#ifndef FR_TESTS_SUITE_H
#define FR_TESTS_SUITE_H

#include "base/ctx.h"

#include <CUnit/CUnit.h>
#include <stdint.h>

typedef struct fr_case {
    const char *name;
    void (*run)(void);
} fr_case;

/** Run the table; returns the process exit code. */
int fr_suite_main(const char *name, const fr_case *cases, int n_cases, int argc,
                  char **argv);

/** Like fr_suite_main under mpirun: `n_ranks` must be the world's size (else failure), rank 0 prints, the
 * exit code is the maximum over the ranks. Defined in suite_mpi.c. */
int fr_suite_main_mpi(const char *name, const fr_case *cases, int n_cases, int n_ranks,
                      int *argc, char ***argv);

/** The world's group, to be destroyed by the caller; ends the case if there is none. Only under
 * fr_suite_main_mpi, which has started MPI. */
struct fr_group *fr_test_world(void);

/** Mark the running case as skipped, with the reason. */
void fr_skip(const char *reason);

/** A context for tests; destroyed by the suite's end. Cleared of errors on each call. */
fr_ctx *fr_test_ctx(void);

/** Assert FR_OK, printing the context's error otherwise. */
#define FR_ASSERT_OK(call) fr_assert_status((call), FR_OK, NULL, __FILE__, __LINE__)
/** Assert a failure with this status whose message contains `part`; clears the error. */
#define FR_ASSERT_FAILS(call, expected, part)                                          \
    fr_assert_status((call), (expected), (part), __FILE__, __LINE__)
void fr_assert_status(fr_status got, fr_status wanted, const char *part,
                      const char *file, int line);

/** Assert max |got - wanted| <= tolerance * max |wanted|; prints the worst index. */
void fr_assert_close(const char *what, const float *got, const float *wanted, int64_t n,
                     double tolerance);
/** Assert that two buffers hold the same bytes; prints the first difference. */
void fr_assert_same_bytes(const char *what, const void *got, const void *wanted,
                          size_t bytes);

/** A fresh folder under the build's test area (removed at the suite's end); valid until then. */
const char *fr_test_folder(void);
/** Path of a file under tests/ of the source tree (e.g. "golden/x.safetensors"); a static ring of 8. The variable
 * FR_TEST_SOURCE says where that folder is on a machine to which the program was brought (tests/gpu.sh). */
const char *fr_test_data(const char *relative);

#define FR_CASE(function)                                                              \
    {                                                                                  \
#function, function                                                            \
    }
#define FR_N_CASES(table) ((int)(sizeof(table) / sizeof((table)[0])))

#endif
