/* What a new run and a resume may do with a folder, by the names that lie in it. */
#include "base/file.h"
#include "support/model_files.h"
#include "train/run/run_folder.h"

#include <stdio.h>

enum { PATH_BYTES = 512 };

typedef struct place {
    char folder[PATH_BYTES];
} place;

/* A folder with these files, each of which holds its own name. */
static place folder_of(const char *const *names)
{
    place p;
    (void)snprintf(p.folder, sizeof p.folder, "%s", fr_test_folder());
    for (; *names != NULL; names++) {
        fr_test_write_text(fr_test_path(p.folder, *names), *names);
    }
    return p;
}

static bool holds(const place *p, const char *name)
{
    return fr_file_exists(fr_test_path(p->folder, name));
}

static fr_status check(const place *p, bool overwrite)
{
    return fr_run_folder_check(fr_test_ctx(), p->folder, overwrite);
}

static void a_new_run_wants_no_results_and_no_strange_files(void)
{
    static const char *const TRACES[] = {
        "lock",    "metrics.jsonl",    "config.yaml", "tokens-0123abcd.cache",
        "STOPPED", "best.before-2.h5", "latest",      NULL};
    static const char *const RUN[] = {"lock", "checkpoint-3.h5", NULL};
    static const char *const PREFIX[] = {"lock", "prefix.h5", NULL};
    static const char *const FOREIGN[] = {"lock", "thesis.tex", NULL};
    static const char *const NOT_A_RUN[] = {"config.yaml", NULL};
    place p = folder_of(TRACES);
    FR_ASSERT_OK(check(&p, false));
    FR_ASSERT_OK(
        fr_run_folder_check(fr_test_ctx(), fr_test_path(p.folder, "none"), false));
    p = folder_of(RUN);
    FR_ASSERT_FAILS(check(&p, false), FR_ERR_CONFIG, "checkpoint-3.h5");
    FR_ASSERT_OK(check(&p, true));
    p = folder_of(PREFIX);
    FR_ASSERT_FAILS(check(&p, false), FR_ERR_CONFIG, "prefix.h5");
    p = folder_of(FOREIGN);
    FR_ASSERT_FAILS(check(&p, false), FR_ERR_CONFIG, "thesis.tex");
    p = folder_of(NOT_A_RUN);
    FR_ASSERT_FAILS(check(&p, false), FR_ERR_CONFIG, "config.yaml");
}

static void a_prefix_without_a_checkpoint_is_not_resumed_over(void)
{
    static const char *const NOTHING[] = {"lock", NULL};
    static const char *const BOTH[] = {"prefix.h5", "checkpoint-3.h5", NULL};
    static const char *const PREFIX[] = {"prefix.h5", NULL};
    place p = folder_of(NOTHING);
    FR_ASSERT_OK(fr_run_folder_check_resume(fr_test_ctx(), p.folder));
    p = folder_of(BOTH);
    FR_ASSERT_OK(fr_run_folder_check_resume(fr_test_ctx(), p.folder));
    p = folder_of(PREFIX);
    FR_ASSERT_FAILS(fr_run_folder_check_resume(fr_test_ctx(), p.folder),
                    FR_ERR_CHECKPOINT, "prefix.h5");
}

/* The same bytes are kept once, other bytes get the next name. */
static void best_is_set_aside_and_never_lost(void)
{
    static const char *const BEST[] = {"best.h5", NULL};
    place p = folder_of(BEST);
    const char *path = fr_test_path(p.folder, "best.h5");
    FR_ASSERT_OK(fr_run_folder_set_best_aside(fr_test_ctx(), p.folder));
    CU_ASSERT_TRUE(holds(&p, "best.before.h5") && !holds(&p, "best.h5"));
    fr_test_write_text(path, "best.h5");
    FR_ASSERT_OK(fr_run_folder_set_best_aside(fr_test_ctx(), p.folder));
    CU_ASSERT_FALSE(holds(&p, "best.h5") || holds(&p, "best.before-2.h5"));
    fr_test_write_text(path, "other");
    FR_ASSERT_OK(fr_run_folder_set_best_aside(fr_test_ctx(), p.folder));
    CU_ASSERT_TRUE(holds(&p, "best.before.h5") && holds(&p, "best.before-2.h5"));
    FR_ASSERT_OK(fr_run_folder_set_best_aside(fr_test_ctx(), p.folder)); /* none */
}

static void clearing_takes_results_alone(void)
{
    static const char *const NAMES[] = {"checkpoint-3.h5",
                                        "checkpoint-12.h5",
                                        "latest",
                                        "best.h5",
                                        "best.before.h5",
                                        "prefix.h5",
                                        "sweep.jsonl",
                                        "metrics.jsonl",
                                        "lock",
                                        "notes.txt",
                                        NULL};
    place p = folder_of(NAMES);
    FR_ASSERT_OK(fr_run_folder_clear(fr_test_ctx(), p.folder));
    for (int i = 0; i < 7; i++) {
        CU_ASSERT_FALSE(holds(&p, NAMES[i]));
    }
    for (int i = 7; NAMES[i] != NULL; i++) {
        CU_ASSERT_TRUE(holds(&p, NAMES[i]));
    }
}

static const fr_case CASES[] = {
    FR_CASE(a_new_run_wants_no_results_and_no_strange_files),
    FR_CASE(a_prefix_without_a_checkpoint_is_not_resumed_over),
    FR_CASE(best_is_set_aside_and_never_lost),
    FR_CASE(clearing_takes_results_alone),
};

int main(int argc, char **argv)
{
    return fr_suite_main("run_folder", CASES, FR_N_CASES(CASES), argc, argv);
}
