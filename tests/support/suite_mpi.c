#include "comm/group.h"
#include "support/suite_impl.h"

#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Take `--ranks N` out of argv; N, or 0 if absent, or -1 if it is not a positive number. */
static int take_ranks(int *argc, char **argv)
{
    int ranks = 0;
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--ranks") != 0) {
            argv[kept++] = argv[i];
            continue;
        }
        char *end = NULL;
        const char *text = i + 1 < *argc ? argv[++i] : "";
        long value = strtol(text, &end, 10);
        ranks = *text != '\0' && *end == '\0' && value > 0 && value < INT_MAX
                    ? (int)value
                    : -1;
    }
    *argc = kept;
    return ranks;
}

static bool is_right_size(int rank, int size, int n_ranks, int asked)
{
    bool right = (n_ranks == 0 || n_ranks == size) && (asked == 0 || asked == size) &&
                 n_ranks + asked > 0;
    if (!right && rank == 0) {
        (void)fprintf(stderr, "suite: runs on %d ranks, wanted %d; --ranks says %d\n",
                      size, n_ranks, asked);
    }
    return right;
}

int fr_suite_main_mpi(const char *name, const fr_case *cases, int n_cases, int n_ranks,
                      int *argc, char ***argv)
{
    int was_initialised = 0;
    int provided = 0;
    int rank = 0;
    int size = 1;
    if (*argc == 2 && strcmp((*argv)[1], "--list") == 0) {
        fr_suite_list(cases, n_cases);
        return 0;
    }
    MPI_Initialized(&was_initialised);
    if (!was_initialised) {
        MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided);
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    int asked = take_ranks(argc, *argv);
    int verdict = FR_VERDICT_FAILED;
    if (is_right_size(rank, size, n_ranks, asked)) {
        verdict = (int)fr_suite_run(name, cases, n_cases, *argc, *argv, rank, size);
    }
    int is_finalised = 0;
    MPI_Finalized(&is_finalised);
    if (!is_finalised) {
        /* nobody leaves before all have printed: mpirun kills the others at the first failure */
        MPI_Allreduce(MPI_IN_PLACE, &verdict, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    }
    if (!was_initialised && !is_finalised) {
        MPI_Finalize();
    }
    return fr_suite_exit_code((fr_verdict)verdict);
}

fr_group *fr_test_world(void)
{
    int argc = 0;
    char **argv = NULL;
    fr_group *world = NULL;
    FR_ASSERT_OK(fr_group_create_world(fr_test_ctx(), &argc, &argv, &world));
    CU_ASSERT_PTR_NOT_NULL_FATAL(world);
    return world;
}
