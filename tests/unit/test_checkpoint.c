#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/mem.h"
#include "support/checkpoints.h"
#include "train/checkpoint/checkpoint_impl.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static void round_trip(const fr_checkpoint *checkpoint)
{
    char path[PATH_BYTES];
    fr_checkpoint *read = NULL;
    fr_fixture_path(fr_test_folder(), "a.h5", path);
    FR_ASSERT_OK(fr_checkpoint_write(fr_test_ctx(), path, checkpoint));
    CU_ASSERT_TRUE(fr_checkpoint_is_ours(path));
    FR_ASSERT_OK(fr_checkpoint_read(fr_test_ctx(), path, &read));
    fr_fixture_assert_equal(read, checkpoint);
    fr_checkpoint_destroy(&read);
    CU_ASSERT_PTR_NULL(read);
}

static void several_tasks_round_trip_in_their_order(void)
{
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(4, true, 12);
    round_trip(checkpoint);
    fr_checkpoint_task first = checkpoint->tasks[0];
    checkpoint->tasks[0] = checkpoint->tasks[3];
    checkpoint->tasks[3] = first;
    round_trip(checkpoint);
    fr_checkpoint_destroy(&checkpoint);
}

static void prefix_for_inference_has_no_moments(void)
{
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, false, 3);
    CU_ASSERT_FALSE(fr_state_has_moments(&checkpoint->tasks[0].state));
    round_trip(checkpoint);
    fr_checkpoint_destroy(&checkpoint);
}

static void mlp_for_another_prefix_is_not_written(void)
{
    char path[PATH_BYTES];
    const char *folder = fr_test_folder();
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, false, 1);
    fr_fixture_add_mlp(&checkpoint->tasks[0]);
    checkpoint->tasks[0].mlp.shape.length = 2;
    fr_fixture_path(folder, "a.h5", path);
    FR_ASSERT_FAILS(fr_checkpoint_write(fr_test_ctx(), path, checkpoint), FR_ERR_SHAPE,
                    "3 slots x 2 layers and an MLP for 2 x 2");
    CU_ASSERT_EQUAL(fr_fixture_count(folder, ""), 0);
    fr_checkpoint_destroy(&checkpoint);
}

static void file_without_texts_round_trips(void)
{
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, false, 3);
    char **texts[] = {&checkpoint->config,    &checkpoint->base_shape,
                      &checkpoint->base_path, &checkpoint->isa,
                      &checkpoint->version,   &checkpoint->layout,
                      &checkpoint->arithmetic};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
    round_trip(checkpoint);
    fr_checkpoint_destroy(&checkpoint);
}

/* Longer than an HDF5 object header can hold: such attributes are stored in another way. */
static void config_of_a_megabyte_round_trips(void)
{
    enum { BYTES = 1 << 20 };
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, false, 3);
    free(checkpoint->config);
    checkpoint->config = malloc(BYTES + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(checkpoint->config);
    for (int i = 0; i < BYTES; i++) {
        checkpoint->config[i] = (char)(unsigned char)(1 + i % 255);
    }
    checkpoint->config[BYTES] = '\0';
    round_trip(checkpoint);
    fr_checkpoint_destroy(&checkpoint);
}

/* Odd numbers keep their bits; what is none is not written, and the message says where it is. */
static void numbers_keep_their_bits_and_others_are_refused(void)
{
    static const uint32_t ODD[] = {0x80000000, 0x00000001, 0x7f7fffff, 0xff7fffff};
    static const uint32_t BAD[] = {0x7fc00000, 0x7fa00001, 0xffc12345, 0x7f800000,
                                   0xff800000};
    char path[PATH_BYTES];
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(2, true, 3);
    fr_fixture_add_mlp(&checkpoint->tasks[1]);
    fr_fixture_path(fr_test_folder(), "a.h5", path);
    memcpy(checkpoint->tasks[0].state.v, ODD, sizeof ODD);
    checkpoint->tasks[0].progress.last_loss = -0.0;
    checkpoint->tasks[0].progress.best_loss = 4.9406564584124654e-324;
    round_trip(checkpoint);
    float *places[] = {checkpoint->tasks[0].state.k + FR_FIXTURE_FLOATS + 5,
                       checkpoint->tasks[0].state.s_v,
                       checkpoint->tasks[1].mlp.arrays[FR_MLP_ARRAYS - 1] + 4};
    const char *names[] = {"element 5 of /tasks/alpha/layers/1/k is",
                           "element 0 of /tasks/alpha/layers/0/s_v is",
                           "element 4 of /tasks/beta/shared/s_b1 is"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        float good = *places[i];
        for (size_t b = 0; b < sizeof BAD / sizeof BAD[0]; b++) {
            memcpy(places[i], &BAD[b], sizeof *places[i]);
            FR_ASSERT_FAILS(fr_checkpoint_write(fr_test_ctx(), path, checkpoint),
                            FR_ERR_NUMERIC, names[i]);
        }
        *places[i] = good;
    }
    round_trip(checkpoint);
    fr_checkpoint_destroy(&checkpoint);
}

/* What a reader refuses is not written. */
static void numbers_beyond_the_limits_are_not_written(void)
{
    char path[PATH_BYTES];
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, true, 3);
    fr_checkpoint_task *task = &checkpoint->tasks[0];
    fr_fixture_path(fr_test_folder(), "a.h5", path);
    task->progress.cursor = INT64_C(1) << 53;
    round_trip(checkpoint);
    task->progress.cursor++;
    FR_ASSERT_FAILS(fr_checkpoint_write(fr_test_ctx(), path, checkpoint), FR_ERR_ARG,
                    "task alpha cannot be stored: cursor is 9007199254740993, must be "
                    "0 to 9007199254740992");
    task->progress.cursor = 0;
    task->progress.last_loss = (double)NAN;
    FR_ASSERT_FAILS(fr_checkpoint_write(fr_test_ctx(), path, checkpoint), FR_ERR_ARG,
                    "last_loss is nan");
    task->progress.last_loss = 0;
    task->first_layer = 7;
    FR_ASSERT_FAILS(fr_checkpoint_write(fr_test_ctx(), path, checkpoint),
                    FR_ERR_CHECKPOINT,
                    "claims 2 layers from layer 7 on, of a base of 3");
    fr_checkpoint_destroy(&checkpoint);
}

static void text_longer_than_a_line_is_not_written(void)
{
    enum { BYTES = 12 << 20 }; /* six bytes each in the index */
    char path[PATH_BYTES];
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, false, 3);
    fr_fixture_path(fr_test_folder(), "a.h5", path);
    free(checkpoint->config);
    checkpoint->config = malloc(BYTES + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(checkpoint->config);
    memset(checkpoint->config, 1, BYTES);
    checkpoint->config[BYTES] = '\0';
    FR_ASSERT_FAILS(fr_checkpoint_write(fr_test_ctx(), path, checkpoint), FR_ERR_ARG,
                    "does not fit into a file");
    fr_checkpoint_destroy(&checkpoint);
}

static void write_and_read_bytes(const fr_checkpoint *checkpoint, const char *name,
                                 char **bytes, size_t *n)
{
    char path[PATH_BYTES];
    fr_fixture_path(fr_test_folder(), name, path);
    FR_ASSERT_OK(fr_checkpoint_write(fr_test_ctx(), path, checkpoint));
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, bytes, n));
}

static void mlp_round_trips_beside_other_tasks(void)
{
    char *bytes[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(3, true, 6);
    fr_fixture_add_mlp(&checkpoint->tasks[1]);
    round_trip(checkpoint);
    write_and_read_bytes(checkpoint, "with.h5", &bytes[0], &n[0]);
    fr_mlp_fini(&checkpoint->tasks[1].mlp);
    round_trip(checkpoint);
    write_and_read_bytes(checkpoint, "without.h5", &bytes[1], &n[1]);
    CU_ASSERT_TRUE(n[1] < n[0]);
    free(bytes[0]);
    free(bytes[1]);
    fr_checkpoint_destroy(&checkpoint);
}

/* The pause makes a stored time of second resolution differ. */
static void same_content_gives_the_same_bytes(void)
{
    const struct timespec pause = {1, 100000000};
    char *bytes[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    fr_checkpoint *a = fr_fixture_checkpoint(3, true, 5);
    fr_checkpoint *b = fr_fixture_checkpoint(3, true, 5);
    write_and_read_bytes(a, "first.h5", &bytes[0], &n[0]);
    (void)nanosleep(&pause, NULL);
    write_and_read_bytes(b, "second-name.h5", &bytes[1], &n[1]);
    CU_ASSERT_EQUAL_FATAL(n[0], n[1]);
    CU_ASSERT_TRUE(n[0] > FR_HEADER_BYTES);
    fr_assert_same_bytes("file", bytes[0], bytes[1], n[0]);
    free(bytes[0]);
    free(bytes[1]);
    fr_checkpoint_destroy(&a);
    fr_checkpoint_destroy(&b);
}

static void header_shows_the_digest_as_text(void)
{
    char *bytes = NULL;
    size_t n = 0;
    uint8_t digest[FR_DIGEST_BYTES];
    char hex[FR_DIGEST_HEX];
    char wanted[FR_HEADER_BYTES] = "";
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, true, 5);
    write_and_read_bytes(checkpoint, "a.h5", &bytes, &n);
    CU_ASSERT_TRUE_FATAL(n > FR_HEADER_BYTES);
    FR_ASSERT_OK(fr_digest_of(fr_test_ctx(), bytes + FR_HEADER_BYTES,
                              n - FR_HEADER_BYTES, digest));
    fr_digest_hex(digest, hex);
    (void)snprintf(wanted, sizeof wanted,
                   "Forerun checkpoint 2.2\nsha256 %s\nindex %zu\nblock 4096\n", hex,
                   strlen(bytes + FR_HEADER_BYTES));
    fr_assert_same_bytes("header", bytes, wanted, sizeof wanted);
    fr_assert_same_bytes("HDF5", bytes + 4096, "\x89HDF\r\n\x1a\n", 8);
    free(bytes);
    fr_checkpoint_destroy(&checkpoint);
}

/* Whoever does not know that a prefix slides must refuse its file, so it is told in a text that has always been compared;
 * a file without such a prefix has the bytes that it had. */
static void only_a_prefix_that_slides_changes_its_file(void)
{
    char *bytes[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(2, true, 5);
    write_and_read_bytes(checkpoint, "always.h5", &bytes[0], &n[0]);
    checkpoint->tasks[1].slides = true;
    round_trip(checkpoint);
    write_and_read_bytes(checkpoint, "slides.h5", &bytes[1], &n[1]);
    for (int i = 0; i < 2; i++) {
        const char *index = bytes[i] + FR_HEADER_BYTES;
        CU_ASSERT_EQUAL(
            strncmp(bytes[i],
                    i == 0 ? "Forerun checkpoint 2.2\n" : "Forerun checkpoint 2.3\n",
                    23),
            0);
        CU_ASSERT_PTR_NOT_NULL(
            strstr(index, i == 0 ? "\"schema_minor\":2," : "\"schema_minor\":3,"));
        const char *alpha = strstr(index, "\"positions\":\"after_prefix\"");
        CU_ASSERT_PTR_NOT_NULL_FATAL(alpha);
        const char *beta = strstr(alpha + 1, "\"positions\":");
        CU_ASSERT_PTR_NOT_NULL_FATAL(beta);
        CU_ASSERT_EQUAL(
            strncmp(beta + strlen("\"positions\":"),
                    i == 0 ? "\"after_prefix\"" : "\"after_prefix_within_window\"",
                    14 + 14 * (size_t)i),
            0);
        free(bytes[i]);
    }
    fr_checkpoint_destroy(&checkpoint);
}

/* Each of a chat's settings alone raises the version, which tells that the file has more than older readers use. */
static void what_is_kept_of_a_chat_raises_the_version(void)
{
    static const char TEXT[] = "{% if \"\n\\\xC3\xA9\" %}\r\n\t{{ messages }}";
    for (int i = 0; i < 3; i++) {
        char *bytes = NULL;
        size_t n = 0;
        fr_checkpoint *checkpoint = fr_fixture_checkpoint(2, true, 5);
        fr_checkpoint_task *task = &checkpoint->tasks[1];
        char **text = i == 0   ? &task->chat_template
                      : i == 1 ? &task->chat_arguments
                               : &task->chat_clock;
        task->slides = i == 2;
        FR_ASSERT_OK(fr_copy_string(fr_test_ctx(), TEXT, text));
        CU_ASSERT_EQUAL(fr_checkpoint_minor(checkpoint), 4);
        round_trip(checkpoint);
        write_and_read_bytes(checkpoint, "chat.h5", &bytes, &n);
        CU_ASSERT_EQUAL(strncmp(bytes, "Forerun checkpoint 2.4\n", 23), 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(bytes + FR_HEADER_BYTES, "\"schema_minor\":4,"));
        free(bytes);
        fr_checkpoint_destroy(&checkpoint);
    }
}

static void name_that_is_no_single_path_part_is_refused(void)
{
    static const char *const BAD[] = {"",  ".",    "...", "a/b",
                                      "/", "a\nb", "a b", "\xc3\xa9"};
    char path[PATH_BYTES];
    const char *folder = fr_test_folder();
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, false, 1);
    char *good = checkpoint->tasks[0].name;
    fr_fixture_path(folder, "a.h5", path);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        char bad[8];
        (void)snprintf(bad, sizeof bad, "%s", BAD[i]);
        checkpoint->tasks[0].name = bad;
        FR_ASSERT_FAILS(fr_checkpoint_write(fr_test_ctx(), path, checkpoint),
                        FR_ERR_ARG, "task name");
    }
    checkpoint->tasks[0].name = good;
    CU_ASSERT_EQUAL(fr_fixture_count(folder, ""), 0);
    fr_checkpoint_destroy(&checkpoint);
}

static void two_tasks_of_one_name_are_refused(void)
{
    char path[PATH_BYTES];
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(2, false, 1);
    fr_fixture_path(fr_test_folder(), "a.h5", path);
    free(checkpoint->tasks[1].name);
    checkpoint->tasks[1].name = NULL;
    FR_ASSERT_OK(fr_copy_string(fr_test_ctx(), "alpha", &checkpoint->tasks[1].name));
    FR_ASSERT_FAILS(fr_checkpoint_write(fr_test_ctx(), path, checkpoint), FR_ERR_ARG,
                    "two tasks are named alpha");
    fr_checkpoint_destroy(&checkpoint);
}

static void impossible_sizes_are_refused(void)
{
    static const int64_t BAD[] = {0, -1, INT64_MAX, INT64_C(1) << 40};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        fr_checkpoint_task task = {
            .length = BAD[i], .n_layers = 1 << 20, .n_kv_heads = 8, .head_dim = 64};
        fr_status status = fr_checkpoint_task_alloc(fr_test_ctx(), &task, true);
        CU_ASSERT_TRUE(status == FR_ERR_SHAPE || status == FR_ERR_NO_MEMORY);
        CU_ASSERT_PTR_NULL(task.state.k);
    }
    fr_ctx_clear_error(fr_test_ctx());
}

static void tasks_are_found_by_name(void)
{
    int64_t index = -1;
    fr_checkpoint *one = fr_fixture_checkpoint(1, false, 1);
    fr_checkpoint *three = fr_fixture_checkpoint(3, false, 1);
    FR_ASSERT_OK(fr_checkpoint_find_task(fr_test_ctx(), one, "f.h5", NULL, &index));
    CU_ASSERT_EQUAL(index, 0);
    FR_ASSERT_OK(
        fr_checkpoint_find_task(fr_test_ctx(), three, "f.h5", "gamma", &index));
    CU_ASSERT_EQUAL(index, 2);
    FR_ASSERT_FAILS(
        fr_checkpoint_find_task(fr_test_ctx(), three, "f.h5", "gamm", &index),
        FR_ERR_CHECKPOINT, "f.h5 holds no task gamm; it holds alpha, beta, gamma");
    FR_ASSERT_FAILS(fr_checkpoint_find_task(fr_test_ctx(), three, "f.h5", NULL, &index),
                    FR_ERR_CHECKPOINT, "(alpha, beta, gamma)");
    FR_ASSERT_FAILS(fr_checkpoint_find_task(fr_test_ctx(), one, "f.h5", "x", &index),
                    FR_ERR_CHECKPOINT, "alpha");
    fr_checkpoint_destroy(&one);
    fr_checkpoint_destroy(&three);
}

static void many_names_are_listed_shortly(void)
{
    enum { N = 100 };
    int64_t index = 0;
    fr_checkpoint *many = NULL;
    FR_ASSERT_OK(fr_checkpoint_create(fr_test_ctx(), N, &many));
    for (int i = 0; i < N; i++) {
        FR_ASSERT_OK(fr_copy_string(fr_test_ctx(), "a-rather-long-task-name",
                                    &many->tasks[i].name));
    }
    FR_ASSERT_FAILS(fr_checkpoint_find_task(fr_test_ctx(), many, "f.h5", NULL, &index),
                    FR_ERR_CHECKPOINT, "task-name, ...)");
    fr_checkpoint_destroy(&many);
}

static void missing_folder_is_an_io_error(void)
{
    char path[PATH_BYTES];
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, false, 1);
    fr_fixture_path(fr_test_folder(), "none/a.h5", path);
    FR_ASSERT_FAILS(fr_checkpoint_write(fr_test_ctx(), path, checkpoint), FR_ERR_IO,
                    "a.h5");
    fr_checkpoint_destroy(&checkpoint);
}

/* A full disk as every user can make it: files may not grow beyond a limit. Tried many times, since a
 * library that fails to close its file would run out of names or descriptors. */
static void full_disk_keeps_the_old_file_and_leaves_nothing(void)
{
    char path[PATH_BYTES];
    struct rlimit saved;
    const char *folder = fr_test_folder();
    fr_checkpoint *old = fr_fixture_checkpoint(2, true, 1);
    fr_checkpoint *next = fr_fixture_checkpoint(2, true, 2);
    fr_checkpoint *read = NULL;
    fr_fixture_path(folder, "a.h5", path);
    FR_ASSERT_OK(fr_checkpoint_write(fr_test_ctx(), path, old));
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &saved), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; limit < 8192; limit += 256) {
        struct rlimit small = {limit, saved.rlim_max};
        CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &small), 0);
        fr_status status = fr_checkpoint_write(fr_test_ctx(), path, next);
        CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &saved), 0);
        FR_ASSERT_FAILS(status, FR_ERR_IO, ";");
        CU_ASSERT_EQUAL(fr_fixture_count(folder, ""), 1);
    }
    (void)signal(SIGXFSZ, handler);
    FR_ASSERT_OK(fr_checkpoint_read(fr_test_ctx(), path, &read));
    fr_fixture_assert_equal(read, old);
    fr_checkpoint_destroy(&read);
    FR_ASSERT_OK(fr_checkpoint_write(fr_test_ctx(), path, next));
    fr_checkpoint_destroy(&old);
    fr_checkpoint_destroy(&next);
}

static const fr_case CASES[] = {
    FR_CASE(several_tasks_round_trip_in_their_order),
    FR_CASE(prefix_for_inference_has_no_moments),
    FR_CASE(mlp_round_trips_beside_other_tasks),
    FR_CASE(mlp_for_another_prefix_is_not_written),
    FR_CASE(file_without_texts_round_trips),
    FR_CASE(config_of_a_megabyte_round_trips),
    FR_CASE(numbers_keep_their_bits_and_others_are_refused),
    FR_CASE(numbers_beyond_the_limits_are_not_written),
    FR_CASE(text_longer_than_a_line_is_not_written),
    FR_CASE(same_content_gives_the_same_bytes),
    FR_CASE(header_shows_the_digest_as_text),
    FR_CASE(only_a_prefix_that_slides_changes_its_file),
    FR_CASE(what_is_kept_of_a_chat_raises_the_version),
    FR_CASE(name_that_is_no_single_path_part_is_refused),
    FR_CASE(two_tasks_of_one_name_are_refused),
    FR_CASE(impossible_sizes_are_refused),
    FR_CASE(tasks_are_found_by_name),
    FR_CASE(many_names_are_listed_shortly),
    FR_CASE(missing_folder_is_an_io_error),
    FR_CASE(full_disk_keeps_the_old_file_and_leaves_nothing),
};

int main(int argc, char **argv)
{
    return fr_suite_main("checkpoint", CASES, FR_N_CASES(CASES), argc, argv);
}
