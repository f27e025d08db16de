#define _POSIX_C_SOURCE 200809L
#include "support/rows.h"

#include "base/file.h"
#include "train/data/data_impl.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static const char ROWS[] = "{\"source_ids\":[5,6],\"target_ids\":[[7],[8,9]]}\n"
                           "{\"source_ids\":[3],\"target_ids\":[4,5]}\n";

/* Count the caches in a folder; *path becomes that of the last one. */
static int find_caches(const char *folder, char path[PATH_BYTES])
{
    int n = 0;
    DIR *directory = opendir(folder);
    CU_ASSERT_PTR_NOT_NULL_FATAL(directory);
    for (struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        if (strncmp(entry->d_name, "tokens-", 7) == 0) {
            CU_ASSERT_EQUAL(strlen(entry->d_name), strlen("tokens-.cache") + 16);
            (void)snprintf(path, PATH_BYTES, "%s/%s", folder, entry->d_name);
            n++;
        }
    }
    (void)closedir(directory);
    return n;
}

static ino_t inode_of(const char *path)
{
    struct stat info;
    CU_ASSERT_EQUAL_FATAL(stat(path, &info), 0);
    return info.st_ino;
}

/* Open, check the rows, close. */
static void open_and_check(const fr_data_params *params)
{
    fr_dataset *data = NULL;
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), params, &data));
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_rows, 2);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_examples, 3);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_target_tokens, 5);
    fr_assert_ids("source", fr_dataset_source(data, 0), "5 6");
    fr_assert_ids("target", fr_dataset_target(data, 0, 1), "8* 9*");
    fr_assert_ids("second row", fr_dataset_target(data, 1, 0), "4* 5*");
    CU_ASSERT_EQUAL(fr_dataset_line(data, 1), 2);
    fr_dataset_close(&data);
}

static fr_data_params cached_params(void)
{
    fr_data_params params = fr_test_id_params(fr_test_rows(ROWS));
    params.cache_folder = fr_test_folder();
    return params;
}

static void second_open_uses_the_cache(void)
{
    char path[PATH_BYTES];
    fr_data_params params = cached_params();
    open_and_check(&params);
    CU_ASSERT_EQUAL_FATAL(find_caches(params.cache_folder, path), 1);
    ino_t first = inode_of(path);
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), 1);
    CU_ASSERT_EQUAL(inode_of(path), first);
}

static void other_data_or_options_make_another_cache(void)
{
    char path[PATH_BYTES];
    fr_data_params params = cached_params();
    int n = 0;
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    params.max_tokens = 49;
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    params.cut_long_rows = true;
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    params.vocab_size = 101;
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    params.max_rows = 2;
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    params.template_text = "{target}";
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    params.template_text = "{target} ";
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    fr_test_write_text(params.path, "\n{\"source_ids\":[1],\"target_ids\":[2]}\n");
    fr_dataset *data = NULL;
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_rows, 1);
    fr_dataset_close(&data);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
}

/* Rows with the ids of `how`'s tokenizer, in the folder's cache. */
static int caches_with(const char *folder, const fr_letters *how, bool chat)
{
    char path[PATH_BYTES];
    fr_dataset *data = NULL;
    fr_tokenizer *tokenizer = fr_test_letters(how);
    fr_data_params params = fr_test_text_params(
        fr_test_rows("{\"messages\":"
                     "[{\"role\":\"assistant\",\"content\":\"c\"}]}\n"),
        tokenizer);
    params.cache_folder = folder;
    params.chat = chat;
    params.template_text = chat ? NULL : params.template_text;
    params.eos = !how->without_eos;
    if (!chat) {
        fr_test_write_text(params.path, "{\"source\":\"a\",\"target\":\"b\"}\n");
    }
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
    fr_dataset_close(&data);
    fr_tokenizer_close(&tokenizer);
    return find_caches(folder, path);
}

static void what_frames_a_row_is_in_the_key(void)
{
    const char *folder = fr_test_folder();
    fr_letters plain = {0};
    fr_letters bos = {.add_bos = true};
    fr_letters chat = {.chat_template = FR_TEST_CHATML};
    char changed[PATH_BYTES];
    (void)snprintf(changed, sizeof changed, "%s{# another text #}", FR_TEST_CHATML);
    fr_letters other = {.chat_template = changed};
    CU_ASSERT_EQUAL(caches_with(folder, &plain, false), 1);
    CU_ASSERT_EQUAL(caches_with(folder, &plain, false), 1);
    CU_ASSERT_EQUAL(caches_with(folder, &bos, false), 2);
    CU_ASSERT_EQUAL(caches_with(folder, &chat, true), 3);
    CU_ASSERT_EQUAL(caches_with(folder, &other, true), 4);
}

static void eos_id_is_in_the_key(void)
{
    char path[PATH_BYTES];
    fr_dataset *data = NULL;
    fr_data_params params = cached_params();
    params.eos = true;
    for (params.eos_id = 10; params.eos_id < 12; params.eos_id++) {
        FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
        CU_ASSERT_PTR_NOT_NULL_FATAL(data);
        CU_ASSERT_EQUAL(fr_dataset_target(data, 0, 0).ids[1], params.eos_id);
        fr_dataset_close(&data);
    }
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), 2);
}

/* Every byte of the file in turn is changed: header, statistics and arrays are all covered. */
static void damaged_cache_is_made_again(void)
{
    char path[PATH_BYTES];
    char *good = NULL;
    char *now = NULL;
    size_t bytes = 0;
    fr_data_params params = cached_params();
    open_and_check(&params);
    CU_ASSERT_EQUAL_FATAL(find_caches(params.cache_folder, path), 1);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &good, &bytes));
    for (size_t i = 0; i < bytes; i++) {
        good[i] = (char)(good[i] ^ 1);
        fr_test_write(path, good, bytes);
        good[i] = (char)(good[i] ^ 1);
        open_and_check(&params);
        FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &now, &bytes));
        fr_assert_same_bytes("cache made again", now, good, bytes);
        free(now);
    }
    free(good);
}

/* ---- caches whose digest is right and whose content is not ------------------------------------ */

/* A good cache in memory, to be spoiled. */
typedef struct victim {
    fr_data_params params;
    char path[PATH_BYTES];
    char *good;
    char *bad;
    size_t bytes;
} victim;

static void victim_init(victim *v)
{
    v->params = cached_params();
    open_and_check(&v->params);
    CU_ASSERT_EQUAL_FATAL(find_caches(v->params.cache_folder, v->path), 1);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), v->path, &v->good, &v->bytes));
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), v->path, &v->bad, &v->bytes));
}

static void victim_fini(victim *v)
{
    free(v->good);
    free(v->bad);
}

/* Give the spoiled block its digest, and put it in the cache's place. */
static void plant(victim *v)
{
    uint8_t *block = (uint8_t *)v->bad;
    fr_table_header *h = (void *)block;
    FR_ASSERT_OK(fr_table_digest(fr_test_ctx(), block, v->bytes, h->content));
    fr_test_write(v->path, v->bad, v->bytes);
    memcpy(v->bad, v->good, v->bytes);
}

static bool was_made_again(const victim *v)
{
    char *now = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), v->path, &now, &bytes));
    bool same = bytes == v->bytes && memcmp(now, v->good, bytes) == 0;
    free(now);
    return same;
}

static void must_be_made_again(victim *v, const char *what)
{
    plant(v);
    open_and_check(&v->params);
    bool again = was_made_again(v);
    CU_ASSERT_TRUE(again);
    if (!again) {
        (void)printf("    believed: %s\n", what);
    }
}

/* Each number that something is found by, beyond its place by much and by one. */
static void hostile_offsets_are_made_again(void)
{
    static const int64_t MOVES[] = {
        1, -1, 1000, -1000, INT64_C(1) << 40, INT64_MIN / 2};
    victim v;
    victim_init(&v);
    fr_table t = fr_table_view((const uint8_t *)v.bad);
    fr_table_header *h = (void *)v.bad;
    fr_table_row *row = (void *)(v.bad + ((const char *)t.rows - v.bad));
    fr_table_example *e = (void *)(v.bad + ((const char *)t.examples - v.bad));
    int64_t *const NUMBERS[] = {&h->n_ids,
                                &h->stats.n_rows,
                                &h->stats.n_examples,
                                &h->stats.n_source_tokens,
                                &h->stats.n_target_tokens,
                                &h->stats.longest,
                                &row[0].source,
                                &row[1].source,
                                &row[0].n_source,
                                &row[1].n_source,
                                &row[0].first_example,
                                &row[1].first_example,
                                &row[0].n_targets,
                                &row[1].n_targets,
                                &row[0].source_row,
                                &row[1].source_row,
                                &e[0].row,
                                &e[2].row,
                                &e[0].first,
                                &e[1].first,
                                &e[2].first,
                                &e[0].n,
                                &e[2].n};
    for (size_t i = 0; i < sizeof NUMBERS / sizeof NUMBERS[0]; i++) {
        for (size_t m = 0; m < sizeof MOVES / sizeof MOVES[0]; m++) {
            *NUMBERS[i] += MOVES[m];
            must_be_made_again(&v, "a moved offset or count was believed");
        }
    }
    row[1].line = row[0].line++; /* several rows may come from one line */
    must_be_made_again(&v, "lines that fall");
    row[0].line = 0;
    must_be_made_again(&v, "a line below 1");
    e[0].row = 1;
    e[2].row = 0;
    must_be_made_again(&v, "examples of each other's rows");
    victim_fini(&v);
}

static void hostile_ids_and_flags_are_made_again(void)
{
    victim v;
    victim_init(&v);
    fr_table t = fr_table_view((const uint8_t *)v.bad);
    int32_t *ids = (void *)(v.bad + ((const char *)t.ids - v.bad));
    uint8_t *counted = (void *)(v.bad + ((const char *)t.counted - v.bad));
    int64_t n = t.header->n_ids;
    for (int64_t i = 0; i < n; i++) {
        ids[i] = (int32_t)v.params.vocab_size;
        must_be_made_again(&v, "an id at the vocabulary's end");
        ids[i] = -1;
        must_be_made_again(&v, "an id below 0");
        counted[i] = (uint8_t)(counted[i] ^ 2);
        must_be_made_again(&v, "a flag beyond 1");
    }
    counted[n - 1] = 0;
    must_be_made_again(&v, "a token of a target that is not in the loss");
    victim_fini(&v);
}

static void other_versions_and_files_are_made_again(void)
{
    victim v;
    victim_init(&v);
    fr_table_header *h = (void *)v.bad;
    h->major++;
    must_be_made_again(&v, "another major version");
    h->minor++;
    must_be_made_again(&v, "another minor version");
    h->data[0] ^= 1;
    must_be_made_again(&v, "another file's digest");
    victim_fini(&v);
}

/* What others may write to is copied before it is checked. */
static void a_shared_cache_is_not_mapped(void)
{
    victim v;
    fr_dataset *data = NULL;
    victim_init(&v);
    CU_ASSERT_EQUAL(chmod(v.path, 0666), 0);
    ino_t before = inode_of(v.path);
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &v.params, &data));
    CU_ASSERT_EQUAL(inode_of(v.path), before);
    int file = open(v.path, O_WRONLY);
    CU_ASSERT_FATAL(file >= 0);
    for (size_t i = 0; i < v.bytes; i++) {
        CU_ASSERT_EQUAL(write(file, "\377", 1), 1);
    }
    CU_ASSERT_EQUAL(close(file), 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_rows, 2);
    fr_assert_ids("source", fr_dataset_source(data, 0), "5 6");
    fr_dataset_close(&data);
    victim_fini(&v);
}

static void short_and_long_caches_are_made_again(void)
{
    char path[PATH_BYTES];
    char *good = NULL;
    size_t bytes = 0;
    fr_data_params params = cached_params();
    open_and_check(&params);
    CU_ASSERT_EQUAL_FATAL(find_caches(params.cache_folder, path), 1);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &good, &bytes));
    /* the reader's buffer ends with a NUL, so one byte more can be written */
    for (size_t length = 0; length <= bytes + 1; length += length < bytes ? 7 : 1) {
        fr_test_write(path, good, length);
        open_and_check(&params);
    }
    free(good);
}

static void unwritable_folder_is_no_error(void)
{
    fr_data_params params = fr_test_id_params(fr_test_rows(ROWS));
    params.cache_folder = "/proc/no-such-folder";
    open_and_check(&params);
    params.cache_folder = params.path; /* a file */
    open_and_check(&params);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(fr_test_ctx()), "");
}

static void bad_rows_leave_no_cache(void)
{
    char path[PATH_BYTES];
    fr_dataset *data = NULL;
    fr_data_params params = fr_test_id_params(fr_test_rows("{\"source_ids\":[1]}\n"));
    params.cache_folder = fr_test_folder();
    FR_ASSERT_FAILS(fr_dataset_open(fr_test_ctx(), &params, &data), FR_ERR_DATA,
                    "rows.jsonl:1");
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), 0);
}

static const fr_case CASES[] = {
    FR_CASE(second_open_uses_the_cache),
    FR_CASE(other_data_or_options_make_another_cache),
    FR_CASE(what_frames_a_row_is_in_the_key),
    FR_CASE(eos_id_is_in_the_key),
    FR_CASE(damaged_cache_is_made_again),
    FR_CASE(hostile_offsets_are_made_again),
    FR_CASE(hostile_ids_and_flags_are_made_again),
    FR_CASE(other_versions_and_files_are_made_again),
    FR_CASE(a_shared_cache_is_not_mapped),
    FR_CASE(short_and_long_caches_are_made_again),
    FR_CASE(unwritable_folder_is_no_error),
    FR_CASE(bad_rows_leave_no_cache),
};

int main(int argc, char **argv)
{
    return fr_suite_main("data_cache", CASES, FR_N_CASES(CASES), argc, argv);
}
