#include "comm/hang.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 10000, N_RANKS = 4, TEXT_BYTES = 16384 };

/* 2024-11-24 22:40:00 UTC */
static const int64_t NOON_MS = 1732488000000;

/* A rank that beats and is in `state` for so long. */
static fr_sighting beating(int rank, const char *state, int64_t span_ms)
{
    fr_sighting seen = {.is_known = true, .is_beating = true};
    seen.line = (fr_rank_line){.rank = rank,
                               .pid = 100 + rank,
                               .peer = -1,
                               .step = 7,
                               .microbatch = 1,
                               .since_ms = NOON_MS,
                               .beat_ms = NOON_MS + span_ms};
    (void)snprintf(seen.line.host, sizeof seen.line.host, "node%d", rank);
    fr_rank_line_word(state, seen.line.state, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word("receive", seen.line.what, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word("deb", seen.line.task, FR_RANK_LINE_TASK_BYTES);
    return seen;
}

static void all_wait(fr_sighting ranks[N_RANKS])
{
    for (int r = 0; r < N_RANKS; r++) {
        ranks[r] = beating(r, "waiting", TIMEOUT_MS + 100);
    }
}

static fr_hang judge(const fr_sighting ranks[N_RANKS])
{
    return fr_hang_judge(ranks, N_RANKS, TIMEOUT_MS);
}

static bool blames(fr_hang hang, const fr_sighting ranks[N_RANKS], unsigned wanted)
{
    unsigned got = 0;
    for (int r = 0; r < N_RANKS; r++) {
        got |= (unsigned)fr_hang_is_culprit(hang, &ranks[r], TIMEOUT_MS) << r;
    }
    return got == wanted;
}

static void silence_is_half_the_timeout_but_at_least_three_seconds(void)
{
    CU_ASSERT_EQUAL(fr_hang_silence_ms(1000), 3000);
    CU_ASSERT_EQUAL(fr_hang_silence_ms(6000), 3000);
    CU_ASSERT_EQUAL(fr_hang_silence_ms(600000), 300000);
}

static void ranks_without_a_beat_are_silent_whatever_their_slot_says(void)
{
    static const char *const STATES[] = {"waiting", "computing", "saving"};
    for (int i = 0; i < 3; i++) {
        fr_sighting ranks[N_RANKS];
        all_wait(ranks);
        ranks[2] = beating(2, STATES[i], 50);
        ranks[2].silent_ms = fr_hang_silence_ms(TIMEOUT_MS);
        CU_ASSERT_EQUAL(judge(ranks), FR_HANG_SILENT);
        CU_ASSERT_TRUE(blames(FR_HANG_SILENT, ranks, 1u << 2));
    }
}

static void a_rank_that_never_wrote_is_silent_in_the_end(void)
{
    fr_sighting ranks[N_RANKS];
    all_wait(ranks);
    ranks[1] = (fr_sighting){.line = {.rank = 1}, .silent_ms = 1000};
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_NONE);
    ranks[1].silent_ms = fr_hang_silence_ms(TIMEOUT_MS);
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_SILENT);
    CU_ASSERT_TRUE(blames(FR_HANG_SILENT, ranks, 1u << 1));
}

static void several_silent_ranks_are_all_blamed(void)
{
    fr_sighting ranks[N_RANKS];
    all_wait(ranks);
    ranks[0].silent_ms = 9000;
    ranks[3].silent_ms = 9000;
    ranks[1] = beating(1, "computing", 2 * TIMEOUT_MS);
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_SILENT);
    CU_ASSERT_TRUE(blames(FR_HANG_SILENT, ranks, 1u | 1u << 3));
}

static void a_late_beat_is_waited_for(void)
{
    fr_sighting ranks[N_RANKS];
    all_wait(ranks);
    ranks[2].silent_ms = fr_hang_silence_ms(TIMEOUT_MS) - 1;
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_NONE);
    all_wait(ranks);
    ranks[2].is_beating = false; /* looked at for the first time */
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_NONE);
}

static void ranks_that_left_are_blamed(void)
{
    fr_sighting ranks[N_RANKS];
    all_wait(ranks);
    ranks[3].line.status = FR_RANK_LINE_ENDED;
    ranks[3].is_beating = false;
    ranks[3].silent_ms = 60000;
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_LEFT);
    CU_ASSERT_TRUE(blames(FR_HANG_LEFT, ranks, 1u << 3));
    ranks[3].line.status = FR_RANK_LINE_FAILED;
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_LEFT);
}

static void computing_for_longer_than_the_timeout_is_blamed_and_for_less_is_not(void)
{
    fr_sighting ranks[N_RANKS];
    all_wait(ranks);
    ranks[1] = beating(1, "computing", TIMEOUT_MS - 1);
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_NONE);
    ranks[1] = beating(1, "computing", TIMEOUT_MS);
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_COMPUTING);
    CU_ASSERT_TRUE(blames(FR_HANG_COMPUTING, ranks, 1u << 1));
}

/* A rank whose device hangs waits too, but for nobody else. */
static void waiting_for_the_own_device_counts_as_computing(void)
{
    fr_sighting ranks[N_RANKS];
    all_wait(ranks);
    fr_rank_line_word("device", ranks[2].line.what, FR_RANK_LINE_WORD_BYTES);
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_COMPUTING);
    CU_ASSERT_TRUE(blames(FR_HANG_COMPUTING, ranks, 1u << 2));
    CU_ASSERT_TRUE(blames(FR_HANG_ALL_WAIT, ranks, 0xFu & ~(1u << 2)));
    ranks[2].line.beat_ms = NOON_MS + TIMEOUT_MS - 1;
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_NONE);
    for (int r = 0; r < N_RANKS; r++) {
        fr_rank_line_word("device", ranks[r].line.what, FR_RANK_LINE_WORD_BYTES);
    }
    ranks[2].line.beat_ms = NOON_MS + TIMEOUT_MS;
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_COMPUTING);
    CU_ASSERT_TRUE(blames(FR_HANG_COMPUTING, ranks, 0xFu));
}

static void loading_and_saving_count_as_alive_for_ever(void)
{
    fr_sighting ranks[N_RANKS];
    all_wait(ranks);
    ranks[0] = beating(0, "saving", 1000 * (int64_t)TIMEOUT_MS);
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_NONE);
}

static void all_waiting_is_a_deadlock_only_when_each_waits_too_long(void)
{
    fr_sighting ranks[N_RANKS];
    all_wait(ranks);
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_ALL_WAIT);
    ranks[2] = beating(2, "waiting", 200);
    CU_ASSERT_EQUAL(judge(ranks), FR_HANG_NONE);
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) {
        n++;
    }
    return n;
}

static void the_report_names_culprit_host_and_time_above_one_table(void)
{
    char text[TEXT_BYTES];
    fr_sighting ranks[N_RANKS];
    all_wait(ranks);
    ranks[0].line.peer = 2;
    ranks[2] = beating(2, "computing", 50);
    ranks[2].silent_ms = 6200;
    ranks[3] = (fr_sighting){.line = {.rank = 3}, .silent_ms = 6200};
    size_t n = fr_hang_report(FR_HANG_SILENT, ranks, N_RANKS, TIMEOUT_MS,
                              &FR_HANG_BY_FILES, text, sizeof text);
    CU_ASSERT_EQUAL(n, strlen(text));
    CU_ASSERT_EQUAL(strstr(text, "error: no progress within run.timeout (10.0 s): "
                                 "rank 2 on node2 has stopped or been cut off: no sign "
                                 "of life since 22:40:00 UTC, 6.2 s; rank 3 (its "
                                 "rank line cannot be read)"),
                    text);
    CU_ASSERT_EQUAL(count(text, "who waits for whom"), 1);
    CU_ASSERT_EQUAL(count(text, "\n"), 3 + N_RANKS);
    CU_ASSERT_EQUAL(count(text, "<--"), 2);
    const char *row = strstr(text, "\n   0  node0 ");
    CU_ASSERT_PTR_NOT_NULL_FATAL(row);
    char cells[12][32] = {{0}};
    CU_ASSERT_EQUAL(sscanf(row, "%31s %31s %31s %31s %31s %31s %31s %31s %31s",
                           cells[0], cells[1], cells[2], cells[3], cells[4], cells[5],
                           cells[6], cells[7], cells[8]),
                    9);
    static const char *const WANTED[] = {"0", "node0", "100", "waiting", "receive",
                                         "2", "7",     "deb", "1"};
    for (int i = 0; i < 9; i++) {
        CU_ASSERT_STRING_EQUAL(cells[i], WANTED[i]);
    }
}

static void without_a_run_folder_the_report_names_the_environment(void)
{
    char text[TEXT_BYTES];
    fr_sighting ranks[N_RANKS];
    all_wait(ranks);
    ranks[3] = (fr_sighting){.line = {.rank = 3}, .silent_ms = 6200};
    (void)fr_hang_report(FR_HANG_SILENT, ranks, N_RANKS, TIMEOUT_MS,
                         &FR_HANG_BY_MESSAGES, text, sizeof text);
    CU_ASSERT_EQUAL(strstr(text,
                           "error: no progress within FORERUN_TIMEOUT (10.0 s): "
                           "rank 3 (no message of it has arrived) has stopped, or "
                           "cannot be reached, 6.2 s; look at that rank"),
                    text);
    CU_ASSERT_PTR_NULL(strstr(text, "run folder"));
    CU_ASSERT_PTR_NULL(strstr(text, "--resume"));
}

static void every_kind_is_named(void)
{
    static const struct {
        fr_hang hang;
        const char *part;
    } KINDS[] = {
        {FR_HANG_LEFT, "rank 1 on node1 left (failed) at 22:40:20 UTC"},
        {FR_HANG_COMPUTING,
         "rank 1 on node1 has computed without sending a message since 22:40:00 "
         "UTC, 20.0 s"},
        {FR_HANG_ALL_WAIT,
         "all ranks are alive and wait, because of a deadlock or a "
         "broken network: the last one to wait is rank 0 on node0 since "},
    };
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        char text[TEXT_BYTES];
        fr_sighting ranks[N_RANKS];
        all_wait(ranks);
        ranks[1] = beating(1, "computing", 20000);
        if (KINDS[i].hang == FR_HANG_LEFT) {
            ranks[1].line.status = FR_RANK_LINE_FAILED;
        }
        (void)fr_hang_report(KINDS[i].hang, ranks, N_RANKS, TIMEOUT_MS,
                             &FR_HANG_BY_FILES, text, sizeof text);
        CU_ASSERT_PTR_NOT_NULL(strstr(text, KINDS[i].part));
    }
}

/* The largest report fits into the room that is asked for, and less room cuts it without harm. */
static void a_report_of_many_ranks_fits_and_is_cut_where_it_must(void)
{
    enum { MANY = 300 };
    size_t bytes = fr_hang_report_bytes(MANY);
    fr_sighting *ranks = calloc(MANY, sizeof *ranks);
    char *text = malloc(bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ranks);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    for (int r = 0; r < MANY; r++) {
        ranks[r] = beating(r, "waiting", INT64_MAX / 4);
        memset(ranks[r].line.host, 'h', sizeof ranks[r].line.host - 1);
        memset(ranks[r].line.task, 't', sizeof ranks[r].line.task - 1);
        ranks[r].line.pid = INT64_MIN;
        ranks[r].line.step = INT64_MIN;
        ranks[r].line.microbatch = INT64_MIN;
        ranks[r].silent_ms = TIMEOUT_MS;
    }
    (void)fr_hang_report(FR_HANG_SILENT, ranks, MANY, TIMEOUT_MS, &FR_HANG_BY_FILES,
                         text, bytes);
    CU_ASSERT_EQUAL(count(text, "<--"), MANY);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "; and 292 more; "));
    memset(text, 'x', bytes);
    size_t n = fr_hang_report(FR_HANG_SILENT, ranks, MANY, TIMEOUT_MS,
                              &FR_HANG_BY_FILES, text, bytes / 2);
    CU_ASSERT_EQUAL(n, bytes / 2 - 1);
    CU_ASSERT_EQUAL(text[n], '\0');
    CU_ASSERT_EQUAL(text[n + 1], 'x');
    free(text);
    free(ranks);
}

static const fr_case CASES[] = {
    FR_CASE(silence_is_half_the_timeout_but_at_least_three_seconds),
    FR_CASE(ranks_without_a_beat_are_silent_whatever_their_slot_says),
    FR_CASE(a_rank_that_never_wrote_is_silent_in_the_end),
    FR_CASE(several_silent_ranks_are_all_blamed),
    FR_CASE(a_late_beat_is_waited_for),
    FR_CASE(ranks_that_left_are_blamed),
    FR_CASE(computing_for_longer_than_the_timeout_is_blamed_and_for_less_is_not),
    FR_CASE(waiting_for_the_own_device_counts_as_computing),
    FR_CASE(loading_and_saving_count_as_alive_for_ever),
    FR_CASE(all_waiting_is_a_deadlock_only_when_each_waits_too_long),
    FR_CASE(the_report_names_culprit_host_and_time_above_one_table),
    FR_CASE(without_a_run_folder_the_report_names_the_environment),
    FR_CASE(every_kind_is_named),
    FR_CASE(a_report_of_many_ranks_fits_and_is_cut_where_it_must),
};

int main(int argc, char **argv)
{
    return fr_suite_main("hang", CASES, FR_N_CASES(CASES), argc, argv);
}
