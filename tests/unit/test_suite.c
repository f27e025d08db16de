/* The suite tested by itself: each case starts this binary again as `--inner NAME...`. */
#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_BYTES = 8192, PATH_BYTES = 4096 };

static void passes(void)
{
    CU_ASSERT_TRUE(true);
}

static void fails(void)
{
    CU_ASSERT_EQUAL(1 + 1, 3);
}

static void skips(void)
{
    fr_skip("no such thing here");
}

static void fails_then_skips(void)
{
    CU_ASSERT_TRUE(false);
    fr_skip("too late");
}

static void fatally_fails(void)
{
    CU_ASSERT_TRUE_FATAL(false);
    (void)printf("still running\n");
}

static void unexpected_failure(void)
{
    FR_ASSERT_OK(FR_FAIL(fr_test_ctx(), FR_ERR_IO, "disk on fire"));
}

static void unexpected_success(void)
{
    FR_ASSERT_FAILS(FR_OK, FR_ERR_IO, NULL);
}

static void other_message(void)
{
    FR_ASSERT_FAILS(FR_FAIL(fr_test_ctx(), FR_ERR_IO, "disk full"), FR_ERR_IO, "fire");
}

static void numbers_off(void)
{
    const float got[3] = {1.0f, 2.5f, 3.0f};
    const float wanted[3] = {1.0f, 2.0f, 4.0f};
    fr_assert_close("numbers", got, wanted, 3, 0.2);
}

static void not_a_number(void)
{
    const float got[1] = {NAN};
    const float wanted[1] = {1.0f};
    fr_assert_close("numbers", got, wanted, 1, 1e9);
}

static void nothing_compared(void)
{
    const float none[1] = {0.0f};
    fr_assert_close("numbers", none, none, 0, 1.0);
}

static void bytes_off(void)
{
    fr_assert_same_bytes("bytes", "abc", "abd", 3);
}

static void keeps_a_folder(void)
{
    char path[PATH_BYTES];
    const char *folder = fr_test_folder();
    (void)snprintf(path, sizeof path, "%s/deep/er", folder);
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), path));
    (void)snprintf(path, sizeof path, "%s/deep/er/file", folder);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "x", 1));
    (void)printf("folder=%s\n", folder);
}

static const fr_case INNER[] = {
    FR_CASE(passes),
    FR_CASE(fails),
    FR_CASE(skips),
    FR_CASE(fails_then_skips),
    FR_CASE(fatally_fails),
    FR_CASE(unexpected_failure),
    FR_CASE(other_message),
    FR_CASE(unexpected_success),
    FR_CASE(numbers_off),
    FR_CASE(not_a_number),
    FR_CASE(nothing_compared),
    FR_CASE(bytes_off),
    FR_CASE(keeps_a_folder),
};

/* Run `--inner ARGUMENTS`; the exit code, with all output in `output`. */
static int run_inner(const char *arguments, char output[OUTPUT_BYTES])
{
    char self[PATH_BYTES];
    char command[PATH_BYTES + 256];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    CU_ASSERT_TRUE_FATAL(length > 0);
    self[length] = '\0';
    (void)snprintf(command, sizeof command, "'%s' --inner %s 2>&1", self, arguments);
    (void)fflush(NULL);
    FILE *pipe = popen(command, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(pipe);
    output[fread(output, 1, OUTPUT_BYTES - 1, pipe)] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_inner(const char *arguments, int wanted_code, const char *part)
{
    char output[OUTPUT_BYTES];
    CU_ASSERT_EQUAL(run_inner(arguments, output), wanted_code);
    CU_ASSERT_PTR_NOT_NULL(strstr(output, part));
}

static void passing_case_exits_with_0(void)
{
    check_inner("passes", 0, "passes: ok");
    check_inner("passes", 0, "1 of 1 cases run, 0 failed, 0 skipped, 1 assertions");
}

static void failing_case_exits_with_1_and_is_named(void)
{
    check_inner("passes fails", 1, "fails: FAILED");
    check_inner("fails", 1, "CU_ASSERT_EQUAL(1 + 1,3)");
    check_inner("", 1, "failed");
}

static void only_all_skipped_is_a_skip(void)
{
    check_inner("skips", 77, "skips: skipped: no such thing here");
    check_inner("skips passes", 0, "1 skipped");
    check_inner("skips fails", 1, "1 skipped");
    check_inner("fails_then_skips", 1, "FAILED");
}

static void fatal_assertion_ends_the_case_alone(void)
{
    char output[OUTPUT_BYTES];
    CU_ASSERT_EQUAL(run_inner("fatally_fails passes", output), 1);
    CU_ASSERT_PTR_NULL(strstr(output, "still running"));
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "passes: ok"));
}

static void status_assertions_tell_what_came_instead(void)
{
    check_inner("unexpected_failure", 1, "disk on fire");
    check_inner("unexpected_success", 1, "status 'success' (0)");
    check_inner("other_message", 1, "message 'disk full' lacks 'fire'");
}

static void comparisons_tell_the_worst_place(void)
{
    check_inner("numbers_off", 1, "[2] got 3, wanted 4; off by 1, allowed 0.8");
    check_inner("not_a_number", 1, "[0] got ");
    check_inner("nothing_compared", 1, "nothing to compare");
    check_inner("bytes_off", 1, "byte 2 of 3: got 0x63, wanted 0x64");
}

static void unknown_name_is_a_failure(void)
{
    check_inner("passes no_such_case", 1, "no case 'no_such_case'");
}

static void list_names_all_cases_and_runs_none(void)
{
    char output[OUTPUT_BYTES];
    CU_ASSERT_EQUAL(run_inner("--list", output), 0);
    int n_lines = 0;
    for (const char *at = output; *at != '\0'; at++) {
        n_lines += *at == '\n';
    }
    CU_ASSERT_EQUAL(n_lines, FR_N_CASES(INNER));
    CU_ASSERT_EQUAL(strncmp(output, "passes\nfails\n", 13), 0);
}

static void folders_are_removed_at_the_end(void)
{
    char output[OUTPUT_BYTES];
    CU_ASSERT_EQUAL(run_inner("keeps_a_folder", output), 0);
    char *folder = strstr(output, "folder=");
    CU_ASSERT_PTR_NOT_NULL_FATAL(folder);
    folder += strlen("folder=");
    folder[strcspn(folder, "\n")] = '\0';
    CU_ASSERT_TRUE(strlen(folder) > 5);
    CU_ASSERT_FALSE(fr_is_folder(folder));
}

static void folders_differ_from_each_other(void)
{
    const char *first = fr_test_folder();
    const char *second = fr_test_folder();
    CU_ASSERT_STRING_NOT_EQUAL(first, second);
    CU_ASSERT_TRUE(fr_is_folder(first) && fr_is_folder(second));
}

static void test_data_lies_in_the_source_tree(void)
{
    const char *first = fr_test_data("support/suite.h");
    const char *second = fr_test_data("unit/test_suite.c");
    CU_ASSERT_TRUE(fr_file_exists(first));
    CU_ASSERT_TRUE(fr_file_exists(second));
}

static const fr_case CASES[] = {
    FR_CASE(passing_case_exits_with_0),
    FR_CASE(failing_case_exits_with_1_and_is_named),
    FR_CASE(only_all_skipped_is_a_skip),
    FR_CASE(fatal_assertion_ends_the_case_alone),
    FR_CASE(status_assertions_tell_what_came_instead),
    FR_CASE(comparisons_tell_the_worst_place),
    FR_CASE(unknown_name_is_a_failure),
    FR_CASE(list_names_all_cases_and_runs_none),
    FR_CASE(folders_are_removed_at_the_end),
    FR_CASE(folders_differ_from_each_other),
    FR_CASE(test_data_lies_in_the_source_tree),
};

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--inner") == 0) {
        return fr_suite_main("inner", INNER, FR_N_CASES(INNER), argc - 1, argv + 1);
    }
    return fr_suite_main("suite", CASES, FR_N_CASES(CASES), argc, argv);
}
