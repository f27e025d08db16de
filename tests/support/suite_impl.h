/*
 * suite_impl.h - what suite.c and suite_mpi.c share; tests include suite.h only.
 */
#ifndef FR_TESTS_SUITE_IMPL_H
#define FR_TESTS_SUITE_IMPL_H

#include "support/suite.h"

enum { FR_SUITE_EXIT_FAILED = 1, FR_SUITE_EXIT_SKIPPED = 77 };

/** Ordered so that the maximum over ranks is the verdict of all of them. */
typedef enum fr_verdict {
    FR_VERDICT_SKIPPED,
    FR_VERDICT_PASSED,
    FR_VERDICT_FAILED
} fr_verdict;

/**
 * Run the cases named in argv[1..] (all if none) as one rank of `n_ranks` and release what the suite owns.
 * Rank 0 prints the result of each case; every rank prints its own failed assertions.
 */
fr_verdict fr_suite_run(const char *name, const fr_case *cases, int n_cases, int argc,
                        char **argv, int rank, int n_ranks);

/** Print the names of the cases, one a line. */
void fr_suite_list(const fr_case *cases, int n_cases);

/** Exit code of a verdict: 0, 1 or 77. */
int fr_suite_exit_code(fr_verdict verdict);

#endif
