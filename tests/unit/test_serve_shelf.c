/* Prefixes of a folder: what becomes a name, what is refused, and what stays while files change. */
#define _POSIX_C_SOURCE 200809L
#include "support/mutate.h"
#include "support/sealed.h"
#include "support/serving.h"
#include "support/tiny_model.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "support/model_files.h"
#include "train/inference/prompts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *path_of(const fr_serving_bench *b, const char *name)
{
    return fr_test_path(b->folder, name);
}

static fr_shelf_counters count(const fr_serving_bench *b)
{
    fr_shelf_counters now;
    fr_shelf_count(b->shelf, &now);
    return now;
}

/* Twice: what has kept its stamp is read. */
static void look(const fr_serving_bench *b)
{
    FR_ASSERT_OK(fr_shelf_look(fr_test_ctx(), b->shelf));
    FR_ASSERT_OK(fr_shelf_look(fr_test_ctx(), b->shelf));
}

/* The names, with a blank behind each. */
static void assert_names(const fr_serving_bench *b, const char *wanted)
{
    char got[512] = "";
    fr_shelf_list list;
    FR_ASSERT_OK(fr_shelf_names(fr_test_ctx(), b->shelf, &list));
    for (int64_t i = 0; i < list.n; i++) {
        size_t at = strlen(got);
        (void)snprintf(got + at, sizeof got - at, "%s ", list.entries[i].name);
        CU_ASSERT_EQUAL(list.entries[i].length, 5);
        CU_ASSERT_TRUE(list.entries[i].modified > 1600000000);
    }
    CU_ASSERT_STRING_EQUAL(got, wanted);
    CU_ASSERT_EQUAL(count(b).names, list.n);
    fr_shelf_list_fini(&list);
}

static bool has(const fr_serving_bench *b, const char *name)
{
    fr_shelf_prefix *found = fr_shelf_find(b->shelf, name);
    fr_shelf_release(found);
    return found != NULL;
}

static void names_are_those_of_files_and_their_tasks(void)
{
    fr_serving_bench b;
    fr_serving_bench_open(NULL, &b);
    fr_serving_write(&b, "zeta.h5", 1, 1);
    fr_serving_write(&b, "many.h5", 3, 2);
    fr_serving_write(&b, ".hidden.h5", 1, 3);
    fr_serving_write(&b, "a blank.h5", 1, 4);
    fr_serving_write(&b, "no ending", 1, 5);
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), path_of(&b, "folder.h5")));
    CU_ASSERT_EQUAL(mkfifo(path_of(&b, "fifo.h5"), 0600), 0);
    CU_ASSERT_EQUAL(symlink("zeta.h5", path_of(&b, "link.h5")), 0);
    CU_ASSERT_EQUAL(symlink("nowhere", path_of(&b, "dangling.h5")), 0);
    fr_serving_open_shelf(&b, 0);
    assert_names(&b, "link many:a many:b many:c zeta ");
    CU_ASSERT_EQUAL(count(&b).refused, 2); /* the folder and the FIFO */
    CU_ASSERT_FALSE(has(&b, "many"));
    CU_ASSERT_FALSE(has(&b, "../zeta"));
    CU_ASSERT_FALSE(has(&b, "zeta.h5"));
    CU_ASSERT_FALSE(has(&b, ""));
    CU_ASSERT_TRUE(has(&b, "many:b"));
    CU_ASSERT_TRUE(has(&b, NULL));
    fr_serving_bench_close(&b);
}

static void files_come_change_and_go(void)
{
    fr_serving_bench b;
    fr_serving_bench_open(NULL, &b);
    fr_serving_open_shelf(&b, 0);
    assert_names(&b, "");
    fr_serving_write(&b, "new.h5", 1, 1);
    FR_ASSERT_OK(fr_shelf_look(fr_test_ctx(), b.shelf)); /* seen, not yet settled */
    assert_names(&b, "");
    FR_ASSERT_OK(fr_shelf_look(fr_test_ctx(), b.shelf));
    assert_names(&b, "new ");
    int64_t bytes = count(&b).bytes;
    fr_shelf_prefix *old = fr_shelf_find(b.shelf, "new");
    fr_serving_write(&b, "new.h5", 2, 2);
    look(&b);
    assert_names(&b, "new:a new:b ");
    CU_ASSERT_FALSE(fr_shelf_is_current(old));
    CU_ASSERT_EQUAL(count(&b).bytes, 3 * bytes); /* the old content is held */
    CU_ASSERT_EQUAL(fr_shelf_reading(old)->task->length, 5);
    fr_shelf_release(old);
    CU_ASSERT_EQUAL(count(&b).bytes, 2 * bytes);
    CU_ASSERT_EQUAL(unlink(path_of(&b, "new.h5")), 0);
    look(&b);
    assert_names(&b, "");
    CU_ASSERT_EQUAL(count(&b).bytes, 0);
    CU_ASSERT_EQUAL(count(&b).loads, 2);
    CU_ASSERT_EQUAL(count(&b).refused, 0);
    fr_serving_bench_close(&b);
}

/* ---- what is refused ------------------------------------------------------------------------------------ */

static void a_damaged_file_is_told_once_and_the_old_content_goes_on(void)
{
    fr_serving_bench b;
    fr_serving_bench_open(NULL, &b);
    fr_serving_write(&b, "one.h5", 1, 1);
    fr_serving_write(&b, "two.h5", 1, 2);
    fr_serving_open_shelf(&b, 0);
    fr_shelf_prefix *before = fr_shelf_find(b.shelf, "one");
    fr_test_write_text(path_of(&b, "one.h5"), "not a prefix\n");
    CU_ASSERT_EQUAL(truncate(path_of(&b, "two.h5"), 700), 0);
    look(&b);
    look(&b);
    CU_ASSERT_EQUAL(count(&b).refused, 2);
    assert_names(&b, "one two ");
    CU_ASSERT_TRUE(fr_shelf_is_current(before));
    fr_serving_write(&b, "two.h5", 2, 3);
    look(&b);
    assert_names(&b, "one two:a two:b ");
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(fr_test_ctx()), "");
    fr_shelf_release(before);
    fr_serving_bench_close(&b);
}

/* A damaged copy; in every second round with a right seal, as anybody can make one. */
static void write_damaged(const fr_serving_bench *b, const uint8_t *whole, size_t n,
                          uint64_t round)
{
    size_t n_raw = 0;
    size_t n_mutated = 0;
    size_t n_sealed = 0;
    uint8_t *raw = fr_test_unseal(whole, n, &n_raw);
    CU_ASSERT_PTR_NOT_NULL_FATAL(raw);
    bool seals = round % 2 == 1;
    uint8_t *mutated =
        fr_test_mutate(seals ? raw : whole, seals ? n_raw : n, round, &n_mutated);
    uint8_t *sealed = fr_test_seal(fr_test_ctx(), mutated, n_mutated, &n_sealed);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sealed);
    fr_test_write(path_of(b, "bad.h5"), seals ? sealed : mutated,
                  seals ? n_sealed : n_mutated);
    free(raw);
    free(mutated);
    free(sealed);
}

static void no_content_of_a_file_ends_the_server(void)
{
    enum { ROUNDS = 200 };
    fr_serving_bench b;
    char *bytes = NULL;
    size_t n = 0;
    fr_serving_bench_open(NULL, &b);
    fr_serving_write(&b, "whole.h5", 2, 1);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path_of(&b, "whole.h5"), &bytes, &n));
    fr_serving_open_shelf(&b, 0);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        write_damaged(&b, (const uint8_t *)bytes, n, round);
        look(&b);
        CU_ASSERT_TRUE(has(&b, "whole:a") && has(&b, "whole:b"));
    }
    CU_ASSERT_TRUE(count(&b).refused > ROUNDS / 2);
    free(bytes);
    fr_serving_bench_close(&b);
}

/* A sparse file costs its author nothing. */
static void a_giant_file_is_refused_before_it_is_read(void)
{
    enum { MEMORY = 1 << 20 };
    fr_serving_bench b;
    fr_serving_bench_open(NULL, &b);
    fr_serving_write(&b, "one.h5", 1, 1);
    fr_serving_write(&b, "giant.h5", 1, 1);
    CU_ASSERT_EQUAL(truncate(path_of(&b, "giant.h5"), (off_t)1 << 40), 0);
    fr_serving_open_shelf(&b, MEMORY);
    assert_names(&b, "one ");
    CU_ASSERT_EQUAL(count(&b).refused, 1);
    fr_serving_bench_close(&b);
}

static void prefixes_of_another_base_are_refused(void)
{
    fr_serving_bench b;
    fr_checkpoint *c = NULL;
    fr_serving_bench_open(NULL, &b);
    fr_serving_write(&b, "one.h5", 1, 1);
    FR_ASSERT_OK(fr_checkpoint_read(fr_test_ctx(), path_of(&b, "one.h5"), &c));
    c->base_shape[0] = 'x';
    FR_ASSERT_OK(fr_checkpoint_write(fr_test_ctx(), path_of(&b, "other.h5"), c));
    c->base_shape[0] = 's';
    c->tasks[0].base_layers = 7;
    FR_ASSERT_OK(fr_checkpoint_write(fr_test_ctx(), path_of(&b, "layers.h5"), c));
    fr_checkpoint_destroy(&c);
    fr_serving_open_shelf(&b, 0);
    assert_names(&b, "one ");
    CU_ASSERT_EQUAL(count(&b).refused, 2);
    fr_serving_bench_close(&b);
}

/* One prefix takes 2 x 5 slots x 4 layers x 2 heads x 8 numbers. What found no room is tried again when a file goes. */
static void the_memory_of_all_prefixes_is_bounded(void)
{
    enum { ONE = 2 * 5 * 4 * 2 * 8 * 4 };
    fr_serving_bench b;
    fr_serving_bench_open(NULL, &b);
    fr_serving_write(&b, "a.h5", 1, 1);
    fr_serving_open_shelf(&b, 3 * ONE);
    CU_ASSERT_EQUAL(count(&b).bytes, ONE);
    fr_serving_write(&b, "b.h5", 3, 2);
    look(&b);
    look(&b);
    assert_names(&b, "a ");
    CU_ASSERT_EQUAL(count(&b).refused, 1);
    fr_serving_write(&b, "c.h5", 2, 3);
    look(&b);
    assert_names(&b, "a c:a c:b ");
    fr_serving_write(&b, "c.h5", 2, 4); /* in the place of the old one */
    look(&b);
    CU_ASSERT_EQUAL(count(&b).refused, 1);
    CU_ASSERT_EQUAL(unlink(path_of(&b, "a.h5")), 0);
    CU_ASSERT_EQUAL(unlink(path_of(&b, "c.h5")), 0);
    look(&b);
    look(&b);
    assert_names(&b, "b:a b:b b:c ");
    CU_ASSERT_EQUAL(count(&b).bytes, 3 * ONE);
    fr_serving_bench_close(&b);
}

static void a_folder_that_is_lost_keeps_its_prefixes(void)
{
    fr_serving_bench b;
    fr_shelf *none = NULL;
    char away[FR_SERVING_PATH + 8];
    fr_serving_bench_open(NULL, &b);
    fr_serving_write(&b, "one.h5", 1, 1);
    fr_serving_open_shelf(&b, 0);
    (void)snprintf(away, sizeof away, "%s.away", b.folder);
    CU_ASSERT_EQUAL(rename(b.folder, away), 0);
    look(&b);
    assert_names(&b, "one ");
    fr_shelf_params params = {.folder = b.folder, .inference = &b.inference};
    FR_ASSERT_FAILS(fr_shelf_open(fr_test_ctx(), &params, &none), FR_ERR_ARG,
                    "is not a folder");
    CU_ASSERT_EQUAL(rename(away, b.folder), 0);
    look(&b);
    assert_names(&b, "one ");
    CU_ASSERT_EQUAL(count(&b).loads, 1);
    fr_serving_bench_close(&b);
}

static void what_training_needs_is_not_kept(void)
{
    fr_serving_bench b;
    fr_checkpoint *c = NULL;
    fr_serving_bench_open(NULL, &b);
    fr_serving_write(&b, "one.h5", 1, 1);
    FR_ASSERT_OK(fr_checkpoint_read(fr_test_ctx(), path_of(&b, "one.h5"), &c));
    fr_checkpoint_task *task = &c->tasks[0];
    free(task->state.k);
    free(task->state.v);
    FR_ASSERT_OK(fr_checkpoint_task_alloc(fr_test_ctx(), task, true));
    FR_ASSERT_OK(fr_checkpoint_write(fr_test_ctx(), path_of(&b, "one.h5"), c));
    fr_checkpoint_destroy(&c);
    fr_serving_open_shelf(&b, 0);
    fr_shelf_prefix *one = fr_shelf_find(b.shelf, "one");
    CU_ASSERT_PTR_NOT_NULL_FATAL(one);
    CU_ASSERT_PTR_NULL(fr_shelf_reading(one)->task->state.m_k);
    CU_ASSERT_PTR_NOT_NULL(fr_shelf_reading(one)->task->state.k);
    fr_shelf_release(one);
    fr_serving_bench_close(&b);
}

/* ---- rows ------------------------------------------------------------------------------------------------ */

static void assert_encodes(const fr_serving_bench *b, const fr_shelf_prefix *prefix,
                           const char *row, fr_status wanted, const char *part,
                           int64_t n)
{
    fr_ids ids;
    json_t *object = json_loads(row, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    fr_status status = fr_shelf_encode(fr_test_ctx(), b->shelf, prefix, object, &ids);
    fr_assert_status(status, wanted, part, __FILE__, __LINE__);
    CU_ASSERT_EQUAL(ids.count, n);
    fr_ids_fini(&ids);
    json_decref(object);
}

static void rows_are_encoded_for_a_prefix(void)
{
    fr_serving_bench b;
    char row[1024] = "{\"source_ids\": [1";
    fr_serving_bench_open(NULL, &b);
    fr_serving_write(&b, "one.h5", 1, 1);
    fr_serving_open_shelf(&b, 0);
    fr_shelf_prefix *one = fr_shelf_find(b.shelf, "one");
    assert_encodes(&b, one, "{\"source_ids\": [1, 2, 95]}", FR_OK, NULL, 3);
    assert_encodes(&b, one, "{\"source_ids\": [1, 96]}", FR_ERR_DATA, "the request", 0);
    assert_encodes(&b, one, "{\"source_ids\": []}", FR_ERR_DATA, "empty", 0);
    assert_encodes(&b, one, "{\"source_ids\": [-1]}", FR_ERR_DATA, "the request", 0);
    assert_encodes(&b, one, "{\"source\": 3}", FR_ERR_DATA, "the request", 0);
    assert_encodes(&b, one, "{}", FR_ERR_DATA, "the request", 0);
    for (int i = 1; i < FR_SERVING_CAPACITY; i++) {
        (void)strcat(row, ",1");
    }
    (void)strcat(row, "]}");
    assert_encodes(&b, one, row, FR_ERR_DATA, "shorten the prompt", 0);
    fr_shelf_release(one);
    fr_serving_bench_close(&b);
}

/* A row, as generate reads it from a file, and as a request brings it. */
static void compare_row(fr_serving_bench *b, const char *row)
{
    const char *path = path_of(b, "rows.jsonl");
    const fr_prompts_params params = {.path = path};
    fr_prompts prompts;
    fr_ids ids;
    json_t *object = json_loads(row, 0, NULL);
    fr_shelf_prefix *base = fr_shelf_find(b->shelf, NULL);
    fr_test_write_text(path, row);
    FR_ASSERT_OK(fr_prompts_read(fr_test_ctx(), &params, &prompts));
    FR_ASSERT_OK(fr_prompts_encode(&prompts, &b->inference));
    FR_ASSERT_OK(fr_shelf_encode(fr_test_ctx(), b->shelf, base, object, &ids));
    CU_ASSERT_TRUE(ids.count > 3);
    CU_ASSERT_EQUAL_FATAL(ids.count, prompts.rows[0].ids.count);
    fr_assert_same_bytes("ids", ids.data, prompts.rows[0].ids.data,
                         (size_t)ids.count * sizeof *ids.data);
    fr_ids_fini(&ids);
    fr_prompts_fini(&prompts);
    fr_shelf_release(base);
    json_decref(object);
}

/* No weights are needed to read rows. */
static void rows_of_text_are_read_as_generate_reads_them(void)
{
    fr_serving_bench b = {.own = NULL};
    if (fr_real_model() == NULL) {
        fr_skip("needs a model with a tokenizer (FORERUN_MODEL)");
        return;
    }
    b.params.model = fr_real_model();
    (void)snprintf(b.folder, sizeof b.folder, "%s", fr_test_folder());
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &b.own));
    FR_ASSERT_OK(fr_inference_open(fr_test_ctx(), b.own, &b.params, &b.inference));
    const fr_shelf_params params = {.inference = &b.inference, .capacity = 100};
    FR_ASSERT_OK(fr_shelf_open(fr_test_ctx(), &params, &b.shelf));
    compare_row(&b, "{\"source\": \"Once upon <|im_end|> a time\"}");
    compare_row(&b, "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}");
    fr_serving_bench_close(&b);
}

static void a_thread_looks_until_the_shelf_is_closed(void)
{
    fr_serving_bench b;
    fr_serving_bench_open(NULL, &b);
    fr_serving_open_shelf(&b, 0);
    FR_ASSERT_OK(fr_shelf_start(fr_test_ctx(), b.shelf));
    fr_serving_write(&b, "one.h5", 1, 1);
    while (!has(&b, "one")) {
        fr_sleep_ns(20000000);
    }
    assert_names(&b, "one ");
    fr_serving_bench_close(&b);
}

static const fr_case CASES[] = {
    FR_CASE(names_are_those_of_files_and_their_tasks),
    FR_CASE(files_come_change_and_go),
    FR_CASE(a_damaged_file_is_told_once_and_the_old_content_goes_on),
    FR_CASE(no_content_of_a_file_ends_the_server),
    FR_CASE(a_giant_file_is_refused_before_it_is_read),
    FR_CASE(prefixes_of_another_base_are_refused),
    FR_CASE(the_memory_of_all_prefixes_is_bounded),
    FR_CASE(a_folder_that_is_lost_keeps_its_prefixes),
    FR_CASE(what_training_needs_is_not_kept),
    FR_CASE(rows_are_encoded_for_a_prefix),
    FR_CASE(rows_of_text_are_read_as_generate_reads_them),
    FR_CASE(a_thread_looks_until_the_shelf_is_closed),
};

int main(int argc, char **argv)
{
    return fr_suite_main("unit_serve_shelf", CASES, FR_N_CASES(CASES), argc, argv);
}
