#define _POSIX_C_SOURCE 200809L
#include "base/print.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CAPTURE_BYTES = 8192 };

/* Who logs, and by which function. */
typedef struct speaker {
    int rank;
    int n_ranks;
    void (*log)(const fr_ctx *ctx, fr_log_level level, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
} speaker;

/* What one call with these settings writes to stderr. */
static const char *logged(const char *level_setting, const char *ranks_setting,
                          speaker who, fr_log_level level, const char *text,
                          char capture[CAPTURE_BYTES])
{
    capture[0] = '\0';
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)(level_setting != NULL ? setenv("FORERUN_LOG", level_setting, 1)
                                 : unsetenv("FORERUN_LOG"));
    (void)(ranks_setting != NULL ? setenv("FORERUN_LOG_RANKS", ranks_setting, 1)
                                 : unsetenv("FORERUN_LOG_RANKS"));
    fr_ctx *ctx = fr_ctx_create();
    CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
    fr_ctx_set_rank(ctx, who.rank, who.n_ranks);
    (void)fflush(stderr);
    (void)dup2(fileno(file), STDERR_FILENO);
    who.log(ctx, level, "%s", text);
    (void)fflush(stderr);
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    fr_ctx_destroy(&ctx);
    rewind(file);
    capture[fread(capture, 1, CAPTURE_BYTES - 1, file)] = '\0';
    (void)fclose(file);
    return capture;
}

static void starts_without_error_as_rank_0(void)
{
    fr_ctx *ctx = fr_ctx_create();
    CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
    CU_ASSERT_EQUAL(fr_ctx_rank(ctx), 0);
    CU_ASSERT_EQUAL(fr_ctx_error_status(ctx), FR_OK);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(ctx), "");
    CU_ASSERT_STRING_EQUAL(fr_ctx_error_place(ctx), "");
    fr_ctx_destroy(&ctx);
    CU_ASSERT_PTR_NULL(ctx);
    fr_ctx_destroy(&ctx);
}

static void failure_records_message_and_place(void)
{
    fr_ctx *ctx = fr_test_ctx();
    int line = __LINE__ + 1;
    fr_status status = FR_FAIL(ctx, FR_ERR_CONFIG, "lr is %d; allowed is %s", 7, "> 0");
    char place[64];
    (void)snprintf(place, sizeof place, "test_ctx.c:%d", line);
    CU_ASSERT_EQUAL(status, FR_ERR_CONFIG);
    CU_ASSERT_EQUAL(fr_ctx_error_status(ctx), FR_ERR_CONFIG);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(ctx), "lr is 7; allowed is > 0");
    CU_ASSERT_STRING_EQUAL(fr_ctx_error_place(ctx), place);
}

static void later_failure_keeps_the_first_message(void)
{
    fr_ctx *ctx = fr_test_ctx();
    CU_ASSERT_EQUAL(FR_FAIL(ctx, FR_ERR_IO, "cause"), FR_ERR_IO);
    CU_ASSERT_EQUAL(FR_FAIL(ctx, FR_ERR_DATA, "consequence"), FR_ERR_DATA);
    CU_ASSERT_EQUAL(fr_ctx_error_status(ctx), FR_ERR_IO);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(ctx), "cause");
}

static void clearing_makes_room_for_the_next_failure(void)
{
    fr_ctx *ctx = fr_test_ctx();
    (void)FR_FAIL(ctx, FR_ERR_IO, "first");
    fr_ctx_clear_error(ctx);
    CU_ASSERT_EQUAL(fr_ctx_error_status(ctx), FR_OK);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(ctx), "");
    CU_ASSERT_STRING_EQUAL(fr_ctx_error_place(ctx), "");
    (void)FR_FAIL(ctx, FR_ERR_DATA, "second");
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(ctx), "second");
}

static void long_message_is_cut_not_overrun(void)
{
    enum { LONG = 20000 };
    fr_ctx *ctx = fr_test_ctx();
    char *text = malloc(LONG + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'x', LONG);
    text[LONG] = '\0';
    (void)FR_FAIL(ctx, FR_ERR_DATA, "%s", text);
    size_t length = strlen(fr_ctx_error(ctx));
    CU_ASSERT_TRUE(length >= 1000 && length < LONG);
    char capture[CAPTURE_BYTES];
    const char *line =
        logged(NULL, NULL, (speaker){0, 1, fr_log}, FR_LOG_INFO, text, capture);
    CU_ASSERT_TRUE(strlen(line) >= 1000 && strlen(line) < LONG);
    CU_ASSERT_EQUAL(line[strlen(line) - 1], '\n');
    free(text);
}

static void missing_memory_is_reported_with_its_size(void)
{
    FR_ASSERT_OK(fr_check_memory(fr_test_ctx(), true, 5));
    FR_ASSERT_FAILS(fr_check_memory(fr_test_ctx(), false, 123456), FR_ERR_NO_MEMORY,
                    "123456 bytes");
}

static void default_level_is_info(void)
{
    char out[CAPTURE_BYTES];
    CU_ASSERT_STRING_EQUAL(
        logged(NULL, NULL, (speaker){0, 1, fr_log}, FR_LOG_INFO, "hello", out),
        "hello\n");
    CU_ASSERT_STRING_EQUAL(
        logged(NULL, NULL, (speaker){0, 1, fr_log}, FR_LOG_DEBUG, "hello", out), "");
    CU_ASSERT_STRING_EQUAL(
        logged("nonsense", NULL, (speaker){0, 1, fr_log}, FR_LOG_INFO, "a", out),
        "a\n");
}

static void level_setting_filters(void)
{
    char out[CAPTURE_BYTES];
    CU_ASSERT_STRING_EQUAL(
        logged("debug", NULL, (speaker){0, 1, fr_log}, FR_LOG_DEBUG, "a", out), "a\n");
    CU_ASSERT_STRING_EQUAL(
        logged("warn", NULL, (speaker){0, 1, fr_log}, FR_LOG_INFO, "a", out), "");
    CU_ASSERT_STRING_EQUAL(
        logged("warn", NULL, (speaker){0, 1, fr_log}, FR_LOG_WARN, "a", out),
        "warning: a\n");
    CU_ASSERT_STRING_EQUAL(
        logged("error", NULL, (speaker){0, 1, fr_log}, FR_LOG_WARN, "a", out), "");
    CU_ASSERT_STRING_EQUAL(
        logged("error", NULL, (speaker){0, 1, fr_log}, FR_LOG_ERROR, "a", out),
        "error: a\n");
}

static void rank_0_speaks_for_all(void)
{
    char out[CAPTURE_BYTES];
    const speaker first = {0, 4, fr_log};
    const speaker other = {3, 4, fr_log};
    for (int level = FR_LOG_ERROR; level <= FR_LOG_INFO; level++) {
        CU_ASSERT_STRING_EQUAL(logged(NULL, NULL, other, (fr_log_level)level, "a", out),
                               "");
    }
    CU_ASSERT_STRING_EQUAL(logged(NULL, NULL, first, FR_LOG_INFO, "a", out), "a\n");
    CU_ASSERT_STRING_EQUAL(logged(NULL, NULL, first, FR_LOG_WARN, "a", out),
                           "warning: a\n");
}

static void every_rank_speaks_of_its_own(void)
{
    char out[CAPTURE_BYTES];
    const speaker first = {0, 4, fr_log_own};
    const speaker other = {3, 4, fr_log_own};
    CU_ASSERT_STRING_EQUAL(logged(NULL, NULL, other, FR_LOG_WARN, "a", out),
                           "[rank 3] warning: a\n");
    CU_ASSERT_STRING_EQUAL(logged(NULL, NULL, other, FR_LOG_INFO, "a", out),
                           "[rank 3] a\n");
    CU_ASSERT_STRING_EQUAL(logged("error", NULL, other, FR_LOG_WARN, "a", out), "");
    CU_ASSERT_STRING_EQUAL(logged(NULL, NULL, first, FR_LOG_WARN, "a", out),
                           "warning: a\n");
}

static void all_ranks_log_when_asked(void)
{
    char out[CAPTURE_BYTES];
    CU_ASSERT_STRING_EQUAL(
        logged(NULL, "all", (speaker){3, 4, fr_log}, FR_LOG_INFO, "a", out),
        "[rank 3] a\n");
    CU_ASSERT_STRING_EQUAL(
        logged(NULL, "all", (speaker){0, 4, fr_log}, FR_LOG_INFO, "a", out),
        "[rank 0] a\n");
    CU_ASSERT_STRING_EQUAL(
        logged(NULL, "0", (speaker){3, 4, fr_log}, FR_LOG_INFO, "a", out), "");
}

/* FORERUN_TIMEOUT as the context takes it, with 600 for nothing. */
static fr_status timeout_of(const char *setting, int64_t *out)
{
    (void)(setting != NULL ? setenv("FORERUN_TIMEOUT", setting, 1)
                           : unsetenv("FORERUN_TIMEOUT"));
    fr_ctx *ctx = fr_ctx_create();
    CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
    fr_status status = fr_ctx_timeout(ctx, 600, out);
    if (status != FR_OK) {
        CU_ASSERT_PTR_NOT_NULL(strstr(fr_ctx_error(ctx), "FORERUN_TIMEOUT is \""));
    }
    fr_ctx_destroy(&ctx);
    (void)unsetenv("FORERUN_TIMEOUT");
    return status;
}

static void timeout_of_the_environment_wins_where_it_is_a_number(void)
{
    static const char *const BAD[] = {
        "-1", "x", "3s", " 3", "1.5", "1000000001", "99999999999999999999"};
    int64_t seconds = 0;
    CU_ASSERT_EQUAL(timeout_of(NULL, &seconds), FR_OK);
    CU_ASSERT_EQUAL(seconds, 600);
    CU_ASSERT_EQUAL(timeout_of("", &seconds), FR_OK);
    CU_ASSERT_EQUAL(seconds, 600);
    CU_ASSERT_EQUAL(timeout_of("0", &seconds), FR_OK);
    CU_ASSERT_EQUAL(seconds, 0);
    CU_ASSERT_EQUAL(timeout_of("1000000000", &seconds), FR_OK);
    CU_ASSERT_EQUAL(seconds, 1000000000);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        CU_ASSERT_EQUAL(timeout_of(BAD[i], &seconds), FR_ERR_ARG);
    }
}

static fr_status threads_of(const char *setting, int *out)
{
    (void)(setting != NULL ? setenv("OMP_NUM_THREADS", setting, 1)
                           : unsetenv("OMP_NUM_THREADS"));
    fr_ctx *ctx = fr_ctx_create();
    CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
    fr_status status = fr_ctx_threads(ctx, out);
    if (status != FR_OK) {
        CU_ASSERT_PTR_NOT_NULL(
            strstr(fr_ctx_error(ctx), "must be a whole number from 1 to 4096"));
    }
    fr_ctx_destroy(&ctx);
    (void)unsetenv("OMP_NUM_THREADS");
    return status;
}

static void threads_of_the_environment_are_its_first_number(void)
{
    static const char *const GOOD[] = {"4", "4,2", " 4 , 2,1", "0004", "4,"};
    static const char *const BAD[] = {"0",
                                      "-4",
                                      "x",
                                      "4x",
                                      "4 2",
                                      "4.5",
                                      "4097",
                                      ",4",
                                      "+4",
                                      " ",
                                      "99999999999999999999"};
    int threads = -1;
    CU_ASSERT_EQUAL(threads_of(NULL, &threads), FR_OK);
    CU_ASSERT_EQUAL(threads, 0);
    CU_ASSERT_EQUAL(threads_of("", &threads), FR_OK);
    CU_ASSERT_EQUAL(threads, 0);
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        CU_ASSERT_EQUAL(threads_of(GOOD[i], &threads), FR_OK);
        CU_ASSERT_EQUAL(threads, 4);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        CU_ASSERT_EQUAL(threads_of(BAD[i], &threads), FR_ERR_ARG);
    }
}

/* A line of a file that is quoted in a message must not look like one of ours, nor command the terminal. */
static void messages_are_escaped(void)
{
    char capture[CAPTURE_BYTES];
    FR_ASSERT_FAILS(
        FR_FAIL(fr_test_ctx(), FR_ERR_DATA, "%s: bad",
                "a\x1b[31mb\nerror: c\x7f\xc2\x9b\xe2\x80\xae\xff\t\xc3\xa4"),
        FR_ERR_DATA, "a\\x1b[31mb\\nerror: c\\x7f\\u009b\\u202e\\xff\\t\xc3\xa4: bad");
    CU_ASSERT_STRING_EQUAL(logged(NULL, NULL, (speaker){0, 1, fr_log}, FR_LOG_WARN,
                                  "x\ny\r\xe2\x81\xa6", capture),
                           "warning: x\\ny\\r\\u2066\n");
    CU_ASSERT_STRING_EQUAL(
        logged(NULL, NULL, (speaker){0, 1, fr_log}, FR_LOG_WARN, "\\x1b \\n", capture),
        "warning: \\x1b \\n\n");
}

/* Whatever is cut off, no character is cut in two. */
static void escaped_texts_fit_their_room(void)
{
    char out[16];
    for (size_t capacity = 1; capacity <= sizeof out; capacity++) {
        memset(out, 'x', sizeof out);
        fr_escape("a\x1b\xe2\x82\xac\xc2\x9b\xe2\x82", out, capacity);
        CU_ASSERT_TRUE(strlen(out) < capacity);
        CU_ASSERT_EQUAL(
            strncmp("a\\x1b\xe2\x82\xac\\u009b\\xe2\\x82", out, strlen(out)), 0);
        CU_ASSERT_TRUE(strlen(out) != 6 && strlen(out) != 7);
    }
}

static void printed_lines_are_escaped(void)
{
    char text[2000];
    char got[4096] = "";
    FILE *file = tmpfile();
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    memset(text, 'a', sizeof text - 2);
    (void)memcpy(text + sizeof text - 2, "\n", 2);
    fr_print_line(file, "%s|%d", text, 7);
    fr_print_text(file, "b\n\t\x1b\0c", 6);
    rewind(file);
    size_t n = fread(got, 1, sizeof got - 1, file);
    (void)fclose(file);
    CU_ASSERT_EQUAL(n,
                    sizeof text - 2 + strlen("\\n|7\n") + strlen("b\n\t\\x1b\\x00c"));
    CU_ASSERT_STRING_EQUAL(got + sizeof text - 2, "\\n|7\nb\n\t\\x1b\\x00c");
}

static const fr_case CASES[] = {
    FR_CASE(messages_are_escaped),
    FR_CASE(escaped_texts_fit_their_room),
    FR_CASE(printed_lines_are_escaped),
    FR_CASE(starts_without_error_as_rank_0),
    FR_CASE(failure_records_message_and_place),
    FR_CASE(later_failure_keeps_the_first_message),
    FR_CASE(clearing_makes_room_for_the_next_failure),
    FR_CASE(long_message_is_cut_not_overrun),
    FR_CASE(missing_memory_is_reported_with_its_size),
    FR_CASE(default_level_is_info),
    FR_CASE(level_setting_filters),
    FR_CASE(threads_of_the_environment_are_its_first_number),
    FR_CASE(rank_0_speaks_for_all),
    FR_CASE(every_rank_speaks_of_its_own),
    FR_CASE(all_ranks_log_when_asked),
    FR_CASE(timeout_of_the_environment_wins_where_it_is_a_number),
};

int main(int argc, char **argv)
{
    return fr_suite_main("ctx", CASES, FR_N_CASES(CASES), argc, argv);
}
