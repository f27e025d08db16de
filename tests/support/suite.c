#define _XOPEN_SOURCE 700
#include "support/suite.h"

#include "support/suite_impl.h"

#include <ftw.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES = 2048, PATH_BYTES = 4096, RING = 8 };

typedef struct folder {
    struct folder *next;
    char path[PATH_BYTES];
} folder;

/* CUnit's callbacks carry no user pointer, so the state of the running suite is file-local. */
static struct {
    fr_ctx *ctx;
    folder *folders;
    int rank;
    int n_ranks;
    int n_skipped;
    int ring_next;
    char ring[RING][PATH_BYTES];
    char skip_reason[TEXT_BYTES];
} suite;

fr_ctx *fr_test_ctx(void)
{
    if (suite.ctx == NULL) {
        suite.ctx = fr_ctx_create();
    }
    if (suite.ctx == NULL) {
        (void)fprintf(stderr, "suite: out of memory\n");
        exit(FR_SUITE_EXIT_FAILED);
    }
    fr_ctx_clear_error(suite.ctx);
    return suite.ctx;
}

void fr_skip(const char *reason)
{
    (void)snprintf(suite.skip_reason, sizeof suite.skip_reason, "%s", reason);
}

__attribute__((format(printf, 3, 4))) static void fail_at(const char *file, int line,
                                                          const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    CU_assertImplementation(CU_FALSE, (unsigned)line, text, file, "", CU_FALSE);
}

void fr_assert_status(fr_status got, fr_status wanted, const char *part,
                      const char *file, int line)
{
    const char *message = suite.ctx != NULL ? fr_ctx_error(suite.ctx) : "";
    if (got != wanted) {
        fail_at(file, line, "status '%s' (%d), wanted '%s' (%d); message '%s'",
                fr_status_text(got), (int)got, fr_status_text(wanted), (int)wanted,
                message);
    } else if (part != NULL && strstr(message, part) == NULL) {
        fail_at(file, line, "message '%s' lacks '%s'", message, part);
    } else {
        CU_assertImplementation(CU_TRUE, (unsigned)line, "status", file, "", CU_FALSE);
    }
    if (suite.ctx != NULL) {
        fr_ctx_clear_error(suite.ctx);
    }
}

void fr_assert_close(const char *what, const float *got, const float *wanted, int64_t n,
                     double tolerance)
{
    double largest = 0.0;
    double worst = -1.0;
    int64_t worst_index = 0;
    for (int64_t i = 0; i < n; i++) {
        double difference = fabs((double)got[i] - (double)wanted[i]);
        difference = isnan(difference) ? (double)INFINITY : difference;
        if (got[i] == wanted[i]) {
            difference = 0.0;
        }
        largest = fmax(largest, fabs((double)wanted[i]));
        if (difference > worst) {
            worst = difference;
            worst_index = i;
        }
    }
    if (n <= 0) {
        fail_at(what, 0, "nothing to compare: n = %lld", (long long)n);
    } else if (!(worst <= tolerance * largest)) {
        fail_at(what, 0, "[%lld] got %.9g, wanted %.9g; off by %.3g, allowed %.3g",
                (long long)worst_index, (double)got[worst_index],
                (double)wanted[worst_index], worst, tolerance * largest);
    } else {
        CU_assertImplementation(CU_TRUE, 0, what, "", "", CU_FALSE);
    }
}

void fr_assert_same_bytes(const char *what, const void *got, const void *wanted,
                          size_t bytes)
{
    const unsigned char *a = got;
    const unsigned char *b = wanted;
    for (size_t i = 0; i < bytes; i++) {
        if (a[i] != b[i]) {
            fail_at(what, 0, "byte %zu of %zu: got 0x%02x, wanted 0x%02x", i, bytes,
                    a[i], b[i]);
            return;
        }
    }
    CU_assertImplementation(CU_TRUE, 0, what, "", "", CU_FALSE);
}

static bool make_folder_under(const char *base, folder *made)
{
    if (base == NULL || strlen(base) > PATH_BYTES - sizeof "/area.XXXXXX") {
        return false;
    }
    (void)snprintf(made->path, sizeof made->path, "%s/area.XXXXXX", base);
    return mkdtemp(made->path) != NULL;
}

const char *fr_test_folder(void)
{
    folder *made = calloc(1, sizeof *made);
    if (made == NULL || (!make_folder_under(FR_TEST_BINARY, made) &&
                         !make_folder_under(getenv("TMPDIR"), made) &&
                         !make_folder_under("/tmp", made))) {
        (void)fprintf(stderr, "suite: cannot make a test folder\n");
        exit(FR_SUITE_EXIT_FAILED);
    }
    made->next = suite.folders;
    suite.folders = made;
    return made->path;
}

static int remove_entry(const char *path, const struct stat *info, int kind,
                        struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static void remove_folders(void)
{
    enum { OPEN_FILES = 16 };
    while (suite.folders != NULL) {
        folder *next = suite.folders->next;
        (void)nftw(suite.folders->path, remove_entry, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
        free(suite.folders);
        suite.folders = next;
    }
}

const char *fr_test_data(const char *relative)
{
    char *path = suite.ring[suite.ring_next];
    suite.ring_next = (suite.ring_next + 1) % RING;
    const char *moved = getenv("FR_TEST_SOURCE");
    (void)snprintf(path, PATH_BYTES, "%s/%s", moved != NULL ? moved : FR_TEST_SOURCE,
                   relative);
    return path;
}

static void case_starts(const CU_pTest test, const CU_pSuite in_suite)
{
    (void)test;
    (void)in_suite;
    suite.skip_reason[0] = '\0';
    if (suite.ctx != NULL) {
        fr_ctx_clear_error(suite.ctx);
    }
}

static void print_failure(const CU_pFailureRecord failure)
{
    char rank[TEXT_BYTES] = "";
    if (suite.n_ranks > 1) {
        (void)snprintf(rank, sizeof rank, "[rank %d] ", suite.rank);
    }
    (void)printf("    %s%s: %s:%u: %s\n", rank,
                 failure->pTest != NULL ? failure->pTest->pName : "suite",
                 failure->strFileName != NULL ? failure->strFileName : "",
                 failure->uiLineNumber,
                 failure->strCondition != NULL ? failure->strCondition : "");
}

static void case_ends(const CU_pTest test, const CU_pSuite in_suite,
                      const CU_pFailureRecord failure)
{
    (void)in_suite;
    const char *result = failure != NULL                ? "FAILED"
                         : suite.skip_reason[0] != '\0' ? "skipped: "
                                                        : "ok";
    suite.n_skipped += failure == NULL && suite.skip_reason[0] != '\0';
    if (suite.rank == 0) {
        (void)printf("  %s: %s%s\n", test->pName, result,
                     failure == NULL ? suite.skip_reason : "");
    }
    for (CU_pFailureRecord next = failure; next != NULL; next = next->pNext) {
        print_failure(next);
    }
    (void)fflush(stdout);
}

static const fr_case *find_case(const fr_case *cases, int n_cases, const char *name)
{
    for (int i = 0; i < n_cases; i++) {
        if (strcmp(cases[i].name, name) == 0) {
            return &cases[i];
        }
    }
    return NULL;
}

/* Number of cases registered, -1 if a name is unknown or CUnit fails. */
static int register_cases(CU_pSuite into, const fr_case *cases, int n_cases, int argc,
                          char **argv)
{
    int n_chosen = argc > 1 ? argc - 1 : n_cases;
    for (int i = 0; i < n_chosen; i++) {
        const fr_case *chosen =
            argc > 1 ? find_case(cases, n_cases, argv[i + 1]) : &cases[i];
        if (chosen == NULL) {
            (void)fprintf(stderr, "suite: no case '%s'; --list names them\n",
                          argv[i + 1]);
            return -1;
        }
        if (CU_add_test(into, chosen->name, chosen->run) == NULL) {
            (void)fprintf(stderr, "suite: %s: %s\n", chosen->name, CU_get_error_msg());
            return -1;
        }
    }
    return n_chosen;
}

static fr_verdict run_registered(const char *name, int n_chosen)
{
    CU_set_test_start_handler(case_starts);
    CU_set_test_complete_handler(case_ends);
    CU_ErrorCode error = CU_run_all_tests();
    int n_run = (int)CU_get_number_of_tests_run();
    int n_failed = (int)CU_get_number_of_tests_failed();
    int n_records = (int)CU_get_number_of_failure_records();
    bool passed = error == CUE_SUCCESS && n_run == n_chosen && n_failed == 0 &&
                  n_records == 0 && n_chosen > 0;
    if (suite.rank == 0 || !passed) {
        (void)printf("%s: %d of %d cases run, %d failed, %d skipped, %u assertions\n",
                     name, n_run, n_chosen, n_failed, suite.n_skipped,
                     CU_get_number_of_asserts());
    }
    if (!passed) {
        return FR_VERDICT_FAILED;
    }
    return suite.n_skipped == n_chosen ? FR_VERDICT_SKIPPED : FR_VERDICT_PASSED;
}

fr_verdict fr_suite_run(const char *name, const fr_case *cases, int n_cases, int argc,
                        char **argv, int rank, int n_ranks)
{
    fr_verdict verdict = FR_VERDICT_FAILED;
    suite.rank = rank;
    suite.n_ranks = n_ranks;
    fr_ctx_set_rank(fr_test_ctx(), rank, n_ranks);
    CU_pSuite registered = NULL;
    if (CU_initialize_registry() == CUE_SUCCESS) {
        registered = CU_add_suite(name, NULL, NULL);
    }
    if (registered == NULL) {
        (void)fprintf(stderr, "suite: %s: %s\n", name, CU_get_error_msg());
    } else {
        int n_chosen = register_cases(registered, cases, n_cases, argc, argv);
        verdict = n_chosen >= 0 ? run_registered(name, n_chosen) : FR_VERDICT_FAILED;
    }
    CU_cleanup_registry();
    remove_folders();
    fr_ctx_destroy(&suite.ctx);
    (void)fflush(NULL);
    return verdict;
}

void fr_suite_list(const fr_case *cases, int n_cases)
{
    for (int i = 0; i < n_cases; i++) {
        (void)puts(cases[i].name);
    }
}

int fr_suite_exit_code(fr_verdict verdict)
{
    return verdict == FR_VERDICT_FAILED    ? FR_SUITE_EXIT_FAILED
           : verdict == FR_VERDICT_SKIPPED ? FR_SUITE_EXIT_SKIPPED
                                           : 0;
}

int fr_suite_main(const char *name, const fr_case *cases, int n_cases, int argc,
                  char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        fr_suite_list(cases, n_cases);
        return 0;
    }
    return fr_suite_exit_code(fr_suite_run(name, cases, n_cases, argc, argv, 0, 1));
}
