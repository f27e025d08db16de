#define _POSIX_C_SOURCE 200809L
#include "comm/rank_line.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fr_rank_line example(void)
{
    fr_rank_line given = {.rank = 3,
                          .pid = 1234,
                          .status = FR_RANK_LINE_RUNNING,
                          .peer = 2,
                          .step = 12,
                          .microbatch = 3,
                          .since_ms = 1732488000123,
                          .beat_ms = 1732488010456};
    fr_rank_line_word("node2", given.host, FR_RANK_LINE_HOST_BYTES);
    fr_rank_line_word("waiting", given.state, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word("forward", given.what, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word("debdesc", given.task, FR_RANK_LINE_TASK_BYTES);
    return given;
}

static const char OLD[] =
    "rank=3 host=node2 pid=1234 status=running state=waiting what=forward peer=2 "
    "step=12 "
    "task=debdesc microbatch=3 since=1732488000.123 beat=1732488010.456";

static const char EXAMPLE[] =
    "slot=1.0 rank=3 host=node2 pid=1234 status=running state=waiting what=forward "
    "peer=2 step=12 "
    "task=debdesc microbatch=3 since=1732488000.123 beat=1732488010.456";

static void the_line_is_exactly_this_text_padded_to_512(void)
{
    char line[FR_RANK_LINE_BYTES];
    fr_rank_line given = example();
    fr_rank_line_format(&given, line);
    fr_assert_same_bytes("text", line, EXAMPLE, sizeof EXAMPLE - 1);
    for (size_t i = sizeof EXAMPLE - 1; i < FR_RANK_LINE_BYTES - 1; i++) {
        CU_ASSERT_EQUAL_FATAL(line[i], ' ');
    }
    CU_ASSERT_EQUAL(line[FR_RANK_LINE_BYTES - 1], '\n');
}

static void expect_same(const fr_rank_line *got, const fr_rank_line *wanted)
{
    CU_ASSERT_EQUAL(got->rank, wanted->rank);
    CU_ASSERT_STRING_EQUAL(got->host, wanted->host);
    CU_ASSERT_EQUAL(got->pid, wanted->pid);
    CU_ASSERT_EQUAL(got->status, wanted->status);
    CU_ASSERT_STRING_EQUAL(got->state, wanted->state);
    CU_ASSERT_STRING_EQUAL(got->what, wanted->what);
    CU_ASSERT_EQUAL(got->peer, wanted->peer);
    CU_ASSERT_EQUAL(got->step, wanted->step);
    CU_ASSERT_STRING_EQUAL(got->task, wanted->task);
    CU_ASSERT_EQUAL(got->microbatch, wanted->microbatch);
    CU_ASSERT_EQUAL(got->since_ms, wanted->since_ms);
    CU_ASSERT_EQUAL(got->beat_ms, wanted->beat_ms);
}

static void what_is_written_is_read(void)
{
    char path[512];
    fr_rank_line got;
    fr_rank_line given = example();
    (void)snprintf(path, sizeof path, "%s/rank-0003.slot", fr_test_folder());
    CU_ASSERT_FALSE(fr_rank_line_read(path, &got));
    for (int status = FR_RANK_LINE_RUNNING; status <= FR_RANK_LINE_FAILED; status++) {
        given.status = (fr_rank_line_status)status;
        given.since_ms =
            1732488000000 + status; /* milliseconds that begin with zeros */
        CU_ASSERT_TRUE(fr_rank_line_write(path, &given));
        CU_ASSERT_TRUE(fr_rank_line_read(path, &got));
        expect_same(&got, &given);
    }
    CU_ASSERT_FALSE(fr_rank_line_write("/no such folder/rank-0003.slot", &given));
}

static void unknown_values_are_minus_one_and_a_dash(void)
{
    char line[FR_RANK_LINE_BYTES];
    fr_rank_line given = example();
    fr_rank_line got;
    given.peer = -1;
    given.step = -1;
    given.microbatch = -1;
    fr_rank_line_word(NULL, given.what, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word("", given.task, FR_RANK_LINE_TASK_BYTES);
    fr_rank_line_format(&given, line);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(line, " what=- peer=-1 step=-1 task=- microbatch=-1 since="));
    CU_ASSERT_TRUE(fr_rank_line_parse(line, &got));
    expect_same(&got, &given);
}

static void words_are_cut_and_hold_no_spaces(void)
{
    char field[8];
    fr_rank_line_word("a b\nc", field, sizeof field);
    CU_ASSERT_STRING_EQUAL(field, "a_b_c");
    fr_rank_line_word("a\xc3\xa9", field, sizeof field);
    CU_ASSERT_STRING_EQUAL(field, "a__");
    fr_rank_line_word("0123456789", field, sizeof field);
    CU_ASSERT_STRING_EQUAL(field, "0123456");
}

static void the_longest_values_fit(void)
{
    char line[FR_RANK_LINE_BYTES];
    char word[256];
    fr_rank_line given = {.rank = INT32_MIN,
                          .pid = INT64_MIN,
                          .status = FR_RANK_LINE_RUNNING,
                          .peer = INT32_MIN,
                          .step = INT64_MIN,
                          .microbatch = INT64_MIN,
                          .since_ms = INT64_MAX / 2000 * 1000 - 1,
                          .beat_ms = INT64_MAX / 2000 * 1000 - 1};
    fr_rank_line got;
    memset(word, 'w', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    fr_rank_line_word(word, given.host, FR_RANK_LINE_HOST_BYTES);
    fr_rank_line_word(word, given.state, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(word, given.what, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(word, given.task, FR_RANK_LINE_TASK_BYTES);
    fr_rank_line_format(&given, line);
    CU_ASSERT_TRUE(fr_rank_line_parse(line, &got));
    expect_same(&got, &given);
}

static void what_is_no_whole_line_is_refused(void)
{
    static const char *const BAD[] = {
        "",
        "rank=3 host=node2 pid=1234 status=running",
        "rank=x host=node2 pid=1234 status=running state=waiting what=forward peer=2 "
        "step=12 task=debdesc microbatch=3 since=1732488000.123 beat=1732488010.456",
        "rank=3 host=node2 pid=1234 status=walking state=waiting what=forward peer=2 "
        "step=12 task=debdesc microbatch=3 since=1732488000.123 beat=1732488010.456",
        "rank=3 host=node2 pid=1234 status=running state=waiting what=forward peer=2 "
        "step=12 task=debdesc microbatch=3 since=1732488000.123 beat=1732488010.4567",
        "rank=3 host=node2 pid=1234 status=running state=waiting what=forward peer=2 "
        "step=12 task=debdesc microbatch=3 since=1732488000.123 beat=1732488010.456 6",
    };
    char line[FR_RANK_LINE_BYTES];
    fr_rank_line got;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        memset(line, ' ', sizeof line);
        line[FR_RANK_LINE_BYTES - 1] = '\n';
        memcpy(line, BAD[i], strlen(BAD[i]));
        CU_ASSERT_FALSE(fr_rank_line_parse(line, &got));
    }
    fr_rank_line given = example();
    fr_rank_line_format(&given, line);
    CU_ASSERT_TRUE(fr_rank_line_parse(line, &got));
    line[FR_RANK_LINE_BYTES - 1] = ' ';
    CU_ASSERT_FALSE(fr_rank_line_parse(line, &got));
}

/* Anybody may write into a shared run folder: its numbers are added up, its words reach a terminal. */
static void what_no_rank_writes_is_refused(void)
{
    static const char *const HOSTILE[][2] = {
        {"rank=3", "rank=4294967299"},
        {"rank=3", "rank=99999999999999999999"},
        {"peer=2", "peer=4294967298"},
        {"pid=1234", "pid=9223372036854775808"},
        {"step=12", "step=-9223372036854775809"},
        {"since=1732488000.123", "since=9223372036854775807.123"},
        {"since=1732488000.123", "since=-9223372036854775808.123"},
        {"since=1732488000.123", "since=1732488000.-12"},
        {"beat=1732488010.456", "beat=9223372036854775.807"},
        {"host=node2", "host=\033[2Jnode2"},
        {"task=debdesc", "task=\xc3\xa9"},
        {"state=waiting", "state=\177"},
        {"what=forward", "what=\001"},
    };
    for (size_t i = 0; i < sizeof HOSTILE / sizeof HOSTILE[0]; i++) {
        char line[FR_RANK_LINE_BYTES + 1];
        fr_rank_line got;
        const char *old = HOSTILE[i][0];
        const char *place = strstr(EXAMPLE, old);
        CU_ASSERT_PTR_NOT_NULL_FATAL(place);
        int n = snprintf(line, sizeof line, "%.*s%s%s", (int)(place - EXAMPLE), EXAMPLE,
                         HOSTILE[i][1], place + strlen(old));
        memset(line + n, ' ', sizeof line - (size_t)n);
        line[FR_RANK_LINE_BYTES - 1] = '\n';
        if (fr_rank_line_parse(line, &got)) {
            (void)fprintf(stderr, "accepted: %s\n", HOSTILE[i][1]);
            CU_FAIL("a line that no rank writes was accepted");
        }
    }
}

static bool parses(const char *text, fr_rank_line *out)
{
    char line[FR_RANK_LINE_BYTES];
    size_t n = strlen(text);
    CU_ASSERT_FATAL(n < sizeof line);
    memset(line, ' ', sizeof line);
    memcpy(line, text, n);
    line[FR_RANK_LINE_BYTES - 1] = '\n';
    return fr_rank_line_parse(line, out);
}

/* One without a version, as first written; one of a higher minor version, whose added words are ignored. */
static void lines_of_other_versions_are_read_or_refused(void)
{
    char text[FR_RANK_LINE_BYTES];
    fr_rank_line got = {0};
    fr_rank_line wanted = example();
    CU_ASSERT_TRUE_FATAL(parses(OLD, &got));
    expect_same(&got, &wanted);
    (void)snprintf(text, sizeof text, "slot=1.7 %s color=red", OLD);
    CU_ASSERT_TRUE_FATAL(parses(text, &got));
    expect_same(&got, &wanted);
    static const char *const BAD[] = {"slot=2.0 ",  "slot=0.9 ", "slot=1 ",
                                      "slot=1.-1 ", "slot=x.y ", "slot=99999999999.0 "};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        (void)snprintf(text, sizeof text, "%s%s", BAD[i], OLD);
        CU_ASSERT_FALSE(parses(text, &got));
    }
    (void)snprintf(text, sizeof text, "slot=1.0 %s color=red", OLD);
    CU_ASSERT_FALSE(parses(text, &got));
    (void)snprintf(text, sizeof text, "%s color=red", OLD);
    CU_ASSERT_FALSE(parses(text, &got));
}

static void a_kept_file_from_before_versions_is_read(void)
{
    fr_rank_line got = {0};
    CU_ASSERT_TRUE_FATAL(
        fr_rank_line_read(fr_test_data("data/before-versions/rank-0000.slot"), &got));
    CU_ASSERT_EQUAL(got.status, FR_RANK_LINE_ENDED);
    CU_ASSERT_EQUAL(got.step, 4);
    CU_ASSERT_STRING_EQUAL(got.task, "t");
    CU_ASSERT_EQUAL(got.beat_ms, 1795876060288);
}

static const fr_case CASES[] = {
    FR_CASE(lines_of_other_versions_are_read_or_refused),
    FR_CASE(a_kept_file_from_before_versions_is_read),
    FR_CASE(the_line_is_exactly_this_text_padded_to_512),
    FR_CASE(what_is_written_is_read),
    FR_CASE(unknown_values_are_minus_one_and_a_dash),
    FR_CASE(words_are_cut_and_hold_no_spaces),
    FR_CASE(the_longest_values_fit),
    FR_CASE(what_is_no_whole_line_is_refused),
    FR_CASE(what_no_rank_writes_is_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("slot", CASES, FR_N_CASES(CASES), argc, argv);
}
