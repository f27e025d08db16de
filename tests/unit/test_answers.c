#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/mem.h"
#include "cli/answers.h"
#include "support/model_files.h"
#include "support/suite.h"
#include "support/tiny_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, N_ROWS = 4 };

static const char *const ROWS[N_ROWS] = {"{\"n\":18446744073709551616}", "{}",
                                         "{\"a\": [1, {\"generated_ids\":[]}] }",
                                         "{\"source\":\"}\",\"x\":-0.0}"};

static fr_status give_row(void *user, int64_t index, char **text, size_t *bytes)
{
    (void)user;
    *bytes = strlen(ROWS[index]);
    return fr_copy_string(fr_test_ctx(), ROWS[index], text);
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void logprobs_stand_between_row_and_text(void)
{
    static const struct {
        const char *line;
        bool is_kept;
    } LINES[] = {
        {"{\"n\":18446744073709551616,\"logprobs\":[{\"id\":65,\"logprob\":-1.5}],"
         "\"generated\":\"A\",\"generated_ids\":[65]}\n",
         true},
        {"{\"n\":18446744073709551616,\"logprobs\":[1,2],\"generated\":\"AB\","
         "\"generated_ids\":[65,66]}\n",
         true},
        {"{\"n\":18446744073709551616,\"logprobs\":[1],\"generated\":\"AB\","
         "\"generated_ids\":[65,66]}\n",
         false},
        {"{\"n\":18446744073709551616,\"logprobs\":[1,2,\"generated\":\"AB\","
         "\"generated_ids\":[65,66]}\n",
         false},
        {"{\"n\":18446744073709551616,\"generated\":\"A\",\"generated_ids\":[65]}\n",
         false},
        {"{\"n\":18446744073709551616,\"logprobs\":[1],\"generated\":\"B\","
         "\"generated_ids\":[65]}\n",
         false},
        {"{\"n\":1844674407370955161,\"logprobs\":[1],\"generated\":\"A\","
         "\"generated_ids\":[65]}\n",
         false},
    };
    const fr_answers_params params = {
        .path = "out", .row = give_row, .has_logprobs = true};
    fr_tokenizer *t = fr_tiny_plain_tokenizer();
    for (int i = 0; i < FR_N_CASES(LINES); i++) {
        fr_answers_found found;
        FR_ASSERT_OK(fr_answers_scan(fr_test_ctx(), &params, t, N_ROWS, LINES[i].line,
                                     strlen(LINES[i].line), &found));
        CU_ASSERT_EQUAL(found.n_kept, LINES[i].is_kept ? 1 : 0);
    }
    fr_tokenizer_close(&t);
}

/* ---- the file ------------------------------------------------------------------------------- */

/* Lines of the first n rows, each with the ids 65 + row and, as the second, half a character. */
static char *make_part(const fr_tokenizer *tokenizer, int n)
{
    char *part = calloc(1, PATH_BYTES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(part);
    for (int i = 0; i < n; i++) {
        char *line = NULL;
        size_t bytes = 0;
        fr_ids ids = fr_test_ids(FR_IDS(65 + i, 0xC3));
        FR_ASSERT_OK(fr_answer_line(fr_test_ctx(),
                                    &(fr_answer_form){tokenizer, NULL, 0}, ROWS[i],
                                    strlen(ROWS[i]), &ids, &line, &bytes));
        (void)strcat(strcat(part, line), "\n");
        fr_ids_fini(&ids);
        free(line);
    }
    return part;
}

static const fr_answers_params SCANNED = {.path = "out", .row = give_row};

static void check_scan(const fr_tokenizer *tokenizer, const char *data, size_t bytes,
                       int64_t n_kept, int64_t n_lines)
{
    fr_answers_found found;
    FR_ASSERT_OK(fr_answers_scan(fr_test_ctx(), &SCANNED, tokenizer, N_ROWS, data,
                                 bytes, &found));
    CU_ASSERT_EQUAL(found.n_kept, n_kept);
    CU_ASSERT_EQUAL(found.n_lines, n_lines);
    CU_ASSERT_TRUE(found.kept_bytes <= bytes);
}

static int64_t lines_of(const char *data, size_t bytes)
{
    int64_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        n += data[i] == '\n';
    }
    return n;
}

/* Cut at every byte: what is whole is kept. */
static void whole_lines_are_kept(void)
{
    fr_tokenizer *t = fr_tiny_plain_tokenizer();
    char *part = make_part(t, N_ROWS);
    size_t bytes = strlen(part);
    for (size_t cut = 0; cut <= bytes; cut++) {
        char *block = malloc(cut + 1); /* exactly, for the sanitizers */
        CU_ASSERT_PTR_NOT_NULL_FATAL(block);
        memcpy(block, part, cut);
        check_scan(t, block, cut, lines_of(part, cut), lines_of(part, cut));
        free(block);
    }
    (void)strcat(part, "{\"one\":\"more\",\"generated_ids\":[]}\nand half");
    check_scan(t, part, strlen(part), N_ROWS, N_ROWS + 1);
    free(part);
    fr_tokenizer_close(&t);
}

static void a_damaged_last_line_is_dropped_and_others_refused(void)
{
    fr_answers_found found;
    fr_tokenizer *t = fr_tiny_plain_tokenizer();
    char *part = make_part(t, N_ROWS);
    size_t bytes = strlen(part);
    int64_t line = 0;
    for (size_t at = 0; at < bytes; at++) {
        char kept = part[at];
        int64_t last = N_ROWS - 1;
        if (kept == '\n') {
            line++;
            continue;
        }
        part[at] = (char)(kept == 0 ? 1 : 0);
        if (line == last) {
            check_scan(t, part, bytes, last, N_ROWS);
        } else {
            FR_ASSERT_FAILS(fr_answers_scan(fr_test_ctx(), &SCANNED, t, N_ROWS, part,
                                            bytes, &found),
                            FR_ERR_ARG, "this line is not the answer to its row");
        }
        part[at] = kept;
    }
    /* the same lines for other rows, or another tokenizer */
    char *second = strchr(part, '\n') + 1;
    FR_ASSERT_FAILS(fr_answers_scan(fr_test_ctx(), &SCANNED, t, N_ROWS, second,
                                    strlen(second), &found),
                    FR_ERR_ARG, "out.part:1: this line is not the answer to its row");
    FR_ASSERT_FAILS(
        fr_answers_scan(fr_test_ctx(), &SCANNED, NULL, N_ROWS, part, bytes, &found),
        FR_ERR_ARG, "out.part:1: this line");
    /* an id that no vocabulary holds */
    static const char FAR[] =
        "{\"n\":18446744073709551616,\"generated\":\"\",\"generated_ids\":[5000]}\n";
    check_scan(t, FAR, sizeof FAR - 1, 0, 1);
    free(part);
    fr_tokenizer_close(&t);
}

/* ---- a generation's files ------------------------------------------------------------------- */

static fr_record make_record(const char *arithmetic, const char *seed,
                             const char *model)
{
    fr_record record;
    fr_record_init(&record);
    fr_record_add(&record, "the arithmetic", arithmetic);
    fr_record_add(&record, "--seed", seed);
    fr_record_add(&record, "the model", model);
    return record;
}

typedef struct files {
    char out[PATH_BYTES];
    char part[PATH_BYTES];
    char info[PATH_BYTES];
    fr_tokenizer *tokenizer;
    fr_record record;
} files;

static files start(void)
{
    files f = {.tokenizer = fr_tiny_plain_tokenizer(),
               .record = make_record("cpu 1", "1", "abc")};
    (void)snprintf(f.out, PATH_BYTES, "%.2000s/out.jsonl", fr_test_folder());
    (void)snprintf(f.part, PATH_BYTES, "%.2000s.part", f.out);
    (void)snprintf(f.info, PATH_BYTES, "%.2000s.info", f.part);
    (void)unlink(f.out);
    (void)unlink(f.part);
    (void)unlink(f.info);
    return f;
}

static void write_file(const char *path, const char *text)
{
    fr_test_write(path, text, strlen(text));
}

static void check_text(const char *path, const char *wanted)
{
    char *text = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &text, &bytes));
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_STRING_EQUAL(text, wanted);
    free(text);
}

static fr_status open_files(const files *f, bool resume, bool overwrite,
                            fr_answers **out)
{
    fr_answers_params params = {
        .path = f->out, .resume = resume, .overwrite = overwrite, .row = give_row};
    return fr_answers_open(fr_test_ctx(), &params, out);
}

/* Answer the rows from the kept ones to before `end`; the whole generation if that is all. */
static void answer(const files *f, bool resume, bool overwrite, int64_t kept,
                   int64_t end)
{
    fr_answers *answers = NULL;
    int64_t n_kept = -1;
    FR_ASSERT_OK(open_files(f, resume, overwrite, &answers));
    FR_ASSERT_OK(fr_answers_begin(answers, f->tokenizer, &f->record, N_ROWS, &n_kept));
    CU_ASSERT_EQUAL(n_kept, kept);
    for (int64_t i = n_kept; i < end; i++) {
        fr_ids ids = fr_test_ids(FR_IDS(65 + (int32_t)i, 0xC3));
        FR_ASSERT_OK(fr_answers_write(answers, i, &ids));
        fr_ids_fini(&ids);
    }
    CU_ASSERT_EQUAL(fr_answers_farewell(answers) != NULL, end > 0);
    if (end == N_ROWS) {
        FR_ASSERT_OK(fr_answers_end(answers));
        CU_ASSERT_PTR_NULL(fr_answers_farewell(answers));
    }
    FR_ASSERT_OK(fr_answers_close(&answers));
}

static void refused(const files *f, bool resume, bool overwrite, fr_status status,
                    const char *text)
{
    fr_answers *answers = NULL;
    FR_ASSERT_FAILS(open_files(f, resume, overwrite, &answers), status, text);
    FR_ASSERT_OK(fr_answers_close(&answers));
}

static void check_done(const files *f)
{
    char *whole = make_part(f->tokenizer, N_ROWS);
    check_text(f->out, whole);
    CU_ASSERT_FALSE(fr_file_exists(f->part));
    CU_ASSERT_FALSE(fr_file_exists(f->info));
    free(whole);
}

static void an_output_is_replaced_when_it_is_whole(void)
{
    files f = start();
    struct stat info;
    write_file(f.out, "earlier\n");
    CU_ASSERT_EQUAL(chmod(f.out, 0600), 0);
    answer(&f, false, false, 0, 2);
    check_text(f.out, "earlier\n");
    refused(&f, false, false, FR_ERR_ARG,
            "holds 2 answers of an unfinished generation; continue after "
            "them with --resume, or start again with --overwrite");
    refused(&f, true, true, FR_ERR_ARG, "--resume or --overwrite, not both");
    answer(&f, true, false, 2, 3);
    check_text(f.out, "earlier\n");
    answer(&f, true, false, 3, N_ROWS);
    check_done(&f);
    CU_ASSERT_EQUAL(stat(f.out, &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 0777, 0600);
    fr_tokenizer_close(&f.tokenizer);
}

static void answers_that_are_all_there_are_put_in_place(void)
{
    files f = start();
    answer(&f, false, false, 0, 2);
    char *whole = make_part(f.tokenizer, N_ROWS);
    write_file(f.part, whole);
    free(whole);
    answer(&f, true, false, N_ROWS, N_ROWS);
    check_done(&f);
    answer(&f, true, false, 0, N_ROWS); /* nothing to go on from: from the beginning */
    check_done(&f);
    fr_tokenizer_close(&f.tokenizer);
}

static void nothing_is_left_of_a_generation_without_answers(void)
{
    files f = start();
    fr_answers *answers = NULL;
    answer(&f, false, false, 0, 0);
    CU_ASSERT_FALSE(fr_file_exists(f.part));
    CU_ASSERT_FALSE(fr_file_exists(f.info));
    FR_ASSERT_OK(open_files(&f, false, false, &answers)); /* and never begun */
    FR_ASSERT_OK(fr_answers_close(&answers));
    CU_ASSERT_FALSE(fr_file_exists(f.info));
    fr_tokenizer_close(&f.tokenizer);
}

static void killed_ones_are_gone_on_from(void)
{
    files f = start();
    char *whole = make_part(f.tokenizer, N_ROWS);
    answer(&f, false, false, 0, 2);
    char torn[PATH_BYTES];
    size_t cut = (size_t)(strchr(strchr(whole, '\n') + 1, '\n') - whole) - 1;
    (void)snprintf(torn, sizeof torn, "%.*s", (int)cut, whole);
    write_file(f.part, torn);
    answer(&f, true, false, 1, N_ROWS);
    check_done(&f);
    /* killed before the first answer: nothing to lose, so nothing to ask; torn records alone too */
    answer(&f, false, false, 0, 2);
    write_file(f.part, "");
    answer(&f, false, false, 0, 2);
    CU_ASSERT_EQUAL(unlink(f.part), 0);
    write_file(f.info, "forerun ans");
    answer(&f, false, false, 0, N_ROWS);
    check_done(&f);
    free(whole);
    fr_tokenizer_close(&f.tokenizer);
}

static void other_answers_are_refused_and_replaced_when_wanted(void)
{
    files f = start();
    fr_answers *answers = NULL;
    int64_t n_kept = 0;
    answer(&f, false, false, 0, 3);
    f.record = make_record("cpu 1", "2", "abc");
    FR_ASSERT_OK(open_files(&f, true, false, &answers));
    FR_ASSERT_FAILS(fr_answers_begin(answers, f.tokenizer, &f.record, N_ROWS, &n_kept),
                    FR_ERR_ARG, "--seed differs from what");
    FR_ASSERT_OK(fr_answers_close(&answers));
    FR_ASSERT_OK(open_files(&f, true, false, &answers));
    f.record = make_record("cpu 1", "1", "abc");
    FR_ASSERT_FAILS(
        fr_answers_begin(answers, f.tokenizer, &f.record, N_ROWS - 1, &n_kept),
        FR_ERR_ARG, "--input differs from what");
    FR_ASSERT_OK(fr_answers_close(&answers));
    answer(&f, true, false, 3, 3); /* all of it is there still */
    answer(&f, false, true, 0, N_ROWS);
    check_done(&f);
    fr_tokenizer_close(&f.tokenizer);
}

static void files_of_others_are_left_alone(void)
{
    files f = start();
    for (int resume = 0; resume < 2; resume++) {
        write_file(f.part, "half of a download");
        refused(&f, resume, false, FR_ERR_ARG, "exists without ");
        check_text(f.part, "half of a download");
        CU_ASSERT_FALSE(fr_file_exists(f.info));
        CU_ASSERT_EQUAL(unlink(f.part), 0);
        write_file(f.info, "my notes\n");
        refused(&f, resume, false, FR_ERR_ARG, "is not a record of answers");
        check_text(f.info, "my notes\n");
        CU_ASSERT_EQUAL(unlink(f.info), 0);
        CU_ASSERT_EQUAL(symlink("/nowhere", f.info), 0);
        refused(&f, resume, false, FR_ERR_IO, "a symbolic link");
        CU_ASSERT_EQUAL(unlink(f.info), 0);
    }
    write_file(f.info, "my notes\n");
    refused(&f, false, true, FR_ERR_ARG, "is not a record of answers");
    CU_ASSERT_EQUAL(unlink(f.info), 0);
    write_file(f.part, "half of a download");
    answer(&f, false, true, 0, N_ROWS);
    check_done(&f);
    CU_ASSERT_EQUAL(unlink(f.out), 0);
    CU_ASSERT_EQUAL(mkdir(f.out, 0700), 0);
    refused(&f, false, false, FR_ERR_IO, "it is a folder");
    CU_ASSERT_EQUAL(rmdir(f.out), 0);
    CU_ASSERT_EQUAL(symlink("elsewhere", f.out), 0);
    refused(&f, false, false, FR_ERR_IO, "it is a symbolic link");
    fr_tokenizer_close(&f.tokenizer);
}

static const fr_case CASES[] = {
    FR_CASE(logprobs_stand_between_row_and_text),
    FR_CASE(whole_lines_are_kept),
    FR_CASE(a_damaged_last_line_is_dropped_and_others_refused),
    FR_CASE(an_output_is_replaced_when_it_is_whole),
    FR_CASE(answers_that_are_all_there_are_put_in_place),
    FR_CASE(nothing_is_left_of_a_generation_without_answers),
    FR_CASE(killed_ones_are_gone_on_from),
    FR_CASE(other_answers_are_refused_and_replaced_when_wanted),
    FR_CASE(files_of_others_are_left_alone),
};

int main(int argc, char **argv)
{
    return fr_suite_main("answers", CASES, FR_N_CASES(CASES), argc, argv);
}
