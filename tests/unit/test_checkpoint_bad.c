#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "support/checkpoints.h"
#include "train/checkpoint/checkpoint_impl.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, N_FLIPS = 500, MINOR = FR_CHECKPOINT_MINOR };

/* A good file of two tasks, one with moments and one with an MLP, and its bytes. */
static void make_good(char *path, char **bytes, size_t *n)
{
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(2, true, 5);
    fr_fixture_add_mlp(&checkpoint->tasks[1]);
    fr_fixture_path(fr_test_folder(), "victim.h5", path);
    FR_ASSERT_OK(fr_checkpoint_write(fr_test_ctx(), path, checkpoint));
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, bytes, n));
    CU_ASSERT_TRUE_FATAL(*n > FR_HEADER_BYTES);
    fr_checkpoint_destroy(&checkpoint);
}

static void assert_refused(const char *path, const char *part)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_checkpoint *read = NULL;
    fr_status status = fr_checkpoint_read(ctx, path, &read);
    CU_ASSERT_PTR_NOT_NULL(strstr(fr_ctx_error(ctx), path));
    FR_ASSERT_FAILS(status, FR_ERR_CHECKPOINT, part);
    CU_ASSERT_PTR_NULL(read);
}

static void file_cut_anywhere_is_refused(void)
{
    char path[PATH_BYTES];
    char *bytes = NULL;
    size_t n = 0;
    make_good(path, &bytes, &n);
    for (size_t cut = 0; cut < n; cut += 512) {
        fr_fixture_write(path, bytes, cut);
        assert_refused(path, cut == 0     ? "not a Forerun checkpoint"
                             : cut == 512 ? "ends after 512 bytes"
                                          : "SHA-256");
    }
    fr_fixture_write(path, bytes, n - 1);
    assert_refused(path, "SHA-256");
    free(bytes);
}

static void longer_file_is_refused(void)
{
    char path[PATH_BYTES];
    char *bytes = NULL;
    size_t n = 0;
    make_good(path, &bytes, &n);
    bytes[n] = '\0'; /* the reader's final NUL, now part of the file */
    fr_fixture_write(path, bytes, n + 1);
    assert_refused(path, "SHA-256");
    free(bytes);
}

static void any_flipped_bit_is_refused(void)
{
    char path[PATH_BYTES];
    char *bytes = NULL;
    size_t n = 0;
    make_good(path, &bytes, &n);
    for (uint64_t i = 0; i < N_FLIPS; i++) {
        /* a third of the flips hits the user block, digest included */
        size_t range = i % 3 == 0 ? FR_HEADER_BYTES : n;
        uint64_t place = fr_rng_u64(9, FR_RNG_TEST, 0, i) % (8 * range);
        char mask = (char)(unsigned char)(1U << (place % 8));
        bytes[place / 8] ^= mask;
        fr_fixture_write(path, bytes, n);
        assert_refused(path, "");
        bytes[place / 8] ^= mask;
    }
    fr_checkpoint *read = NULL;
    fr_fixture_write(path, bytes, n);
    FR_ASSERT_OK(fr_checkpoint_read(fr_test_ctx(), path, &read));
    fr_checkpoint_destroy(&read);
    free(bytes);
}

static void files_of_other_kinds_are_refused(void)
{
    static const char TEXT[] = "base:\n  path: models/smollm2.gguf\n";
    char path[PATH_BYTES];
    const char *folder = fr_test_folder();
    fr_fixture_path(folder, "missing.h5", path);
    assert_refused(path, "No such file");
    CU_ASSERT_FALSE(fr_checkpoint_is_ours(path));
    assert_refused(folder, "not a regular file");
    fr_fixture_path(folder, "empty.h5", path);
    fr_fixture_write(path, "", 0);
    assert_refused(path, "not a Forerun checkpoint");
    CU_ASSERT_FALSE(fr_checkpoint_is_ours(path));
    fr_fixture_path(folder, "text.h5", path);
    fr_fixture_write(path, TEXT, sizeof TEXT - 1);
    assert_refused(path, "not a Forerun checkpoint");
    CU_ASSERT_FALSE(fr_checkpoint_is_ours(path));
    fr_fixture_path(folder, "foreign.h5", path);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    CU_ASSERT_TRUE_FATAL(file >= 0);
    CU_ASSERT_TRUE(H5Fclose(file) >= 0);
    assert_refused(path, "not a Forerun checkpoint");
    CU_ASSERT_FALSE(fr_checkpoint_is_ours(path));
}

/* ---- files with a right seal and wrong content --------------------------------------------- */

/* The good file's image, to be edited and sealed again, as anybody can. */
typedef struct victim {
    uint8_t *image;
    size_t bytes;
    size_t block;
} victim;

static victim make_victim(void)
{
    victim v = {NULL, 0, 0};
    fr_header header;
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(2, true, 5);
    fr_fixture_add_mlp(&checkpoint->tasks[1]);
    FR_ASSERT_OK(
        fr_checkpoint_image(fr_test_ctx(), "v.h5", checkpoint, &v.image, &v.bytes));
    CU_ASSERT_PTR_NOT_NULL_FATAL(v.image);
    FR_ASSERT_OK(fr_header_check(fr_test_ctx(), "v.h5", v.image, v.bytes, &header));
    v.block = header.block;
    fr_checkpoint_destroy(&checkpoint);
    return v;
}

/* Put another text into the index, whose end (and nothing else) moves; seal again. */
static uint8_t *edit(const victim *v, const char *find, const char *put)
{
    uint8_t *image = calloc(1, v->bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(image);
    memcpy(image, v->image, v->bytes);
    const char *index = (const char *)v->image + FR_HEADER_BYTES;
    const char *at = strstr(index, find);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    size_t before = (size_t)(at - index);
    size_t after = strlen(at + strlen(find));
    size_t length = before + strlen(put) + after;
    CU_ASSERT_EQUAL_FATAL(fr_header_block(length), v->block);
    memset(image + FR_HEADER_BYTES, 0, v->block - FR_HEADER_BYTES);
    memcpy(image + FR_HEADER_BYTES, index, before);
    memcpy(image + FR_HEADER_BYTES + before, put, strlen(put));
    memcpy(image + FR_HEADER_BYTES + before + strlen(put), at + strlen(find), after);
    FR_ASSERT_OK(fr_header_seal(fr_test_ctx(), image, v->bytes, MINOR, length));
    return image;
}

typedef struct change {
    const char *find; /* its first place in the index */
    const char *put;
    const char *message; /* part of the error */
} change;

#define DIGEST "abababababababababababababababababababababababababababababababab"
#define K0 "{\"array\":\"/tasks/alpha/layers/0/k\",\"shape\":[3,2,4],\"offset\":"
static const change CHANGES[] = {
    /* lines */
    {"{\"group\":\"/\",", "", "line 1 of its index is not a JSON object"},
    {"{\"group\":\"/\",", "{\"group\":\"/x\",",
     "line 1 of its index is not that of /:"},
    {"{\"group\":\"/\",", "{\"group\":7,", "does not begin with a path"},
    {"{\"group\":\"/\",", "{\"group\":\"\\u0000\",", "does not begin with a path"},
    {"{\"group\":\"/\",", "{\"Group\":\"/\",", "is missing"},
    {"{\"group\":\"/tasks/alpha\"", "{\"array\":\"/tasks/alpha\"",
     "/tasks/alpha is missing"},
    {"{\"group\":\"/tasks/alpha\"", "{\"group\":\"/tasks/beta\"",
     "/tasks/alpha is missing"},
    {K0, "{\"array\":\"/tasks/alpha/layers/1/k\",\"shape\":[3,2,4],\"offset\":",
     "/tasks/alpha/layers/0/k is missing"},
    {K0, K0 "[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]],\"offset\":",
     "is not a JSON object"},
    {K0, "{\"array\":\"/tasks/alpha/layers/0/k\",\"offset\":", "lacks a key"},
    {K0,
     "{\"array\":\"/tasks/alpha/layers/0/"
     "k\",\"shape\":[3,2,4],\"bytes\":96,\"offset\":",
     "has a key twice"},
    {"}\n{\"group\":\"/tasks/beta\"", "}\n\n{\"group\":\"/tasks/beta\"",
     "is not a JSON object"},
    {"/tasks/beta/shared/s_b1\"", "/tasks/beta/shared/s_b2\"", "s_b1 is missing"},
    {"\"attributes\":{", "\"attributes\":[{", "is not a JSON object"},
    {"\"attributes\":{", "\"attributez\":{", "lacks a key"},
    /* attributes of the file */
    {"\"schema_version\":2", "\"schema_version\":3",
     "schema_version of / is 3, must be 2 to 2"},
    {"\"schema_version\":2", "\"schema_version\":\"2\"",
     "schema_version of / is not a whole"},
    {"\"schema_version\":2,", "", "schema_version of / is missing"},
    {"\"schema_version\":2,", "\"schema_version\":2,\"schema_version\":2,",
     "schema_version of / appears twice"},
    {"\"base_digest\":\"" DIGEST "\",", "", "base_digest of / is missing"},
    {DIGEST, "abab", "base_digest of / is not a digest"},
    {"\"" DIGEST, "\"-b", "base_digest of / is not a digest"},
    {"\"config\":\"", "\"config\":1,\"x\":\"", "config of / is not a text"},
    {"\"config\":\"", "\"config\":\"\\u0000", "config of / is not a text"},
    {"\"config\":\"", "\"config\":\"\\u0100", "config of / is not a text"},
    {",\"tasks\":\"alpha\\nbeta\"", "", "tasks of / is missing"},
    {"alpha\\nbeta", "alpha", "belongs to no task that attribute tasks of / names"},
    {"alpha\\nbeta", "", "belongs to no task that attribute tasks of / names"},
    {"alpha\\nbeta", "alpha\\nalpha", "names a task twice"},
    {"alpha\\nbeta", "alpha\\nbeta/layers", "invalid task name"},
    {"alpha\\nbeta", "alpha\\n..", "invalid task name"},
    {"alpha\\nbeta", "alpha\\n", "invalid task name"},
    {"alpha\\nbeta", "alpha\\ngamma", "/tasks/gamma is missing"},
    {"alpha\\nbeta", "alpha\\nbeta\\ngamma", "is missing"},
    /* attributes of a task */
    {"\"length\":3,", "", "length of /tasks/alpha is missing"},
    {"\"length\":3,", "\"length\":-1,", "length of /tasks/alpha is -1, must be 1 to"},
    {"\"length\":3,", "\"length\":0,", "length of /tasks/alpha is 0"},
    {"\"length\":3,", "\"length\":4611686018427387904,",
     "length of /tasks/alpha is 4611"},
    {"\"length\":3,", "\"length\":1048576,", "more than the file holds"},
    {"\"length\":3,", "\"length\":99999999999999999999,", "is not a whole number"},
    {"\"length\":3,", "\"length\":3.0,", "is not a whole number"},
    {"\"length\":3,", "\"length\":4,",
     "layers/0/k must be an f32 array of shape 4 2 4"},
    {"\"head_dim\":4", "\"head_dim\":1048576", "more than the file holds"},
    {"\"n_kv_heads\":2", "\"n_kv_heads\":1", "must be an f32 array of shape 3 1 4"},
    {"\"n_layers\":2", "\"n_layers\":1",
     "line 9 of its index is not that of /tasks/beta"},
    {"\"n_layers\":2", "\"n_layers\":3", "/tasks/alpha/layers/2/k is missing"},
    {"\"n_layers\":2", "\"n_layers\":4", "claims 4 layers from"},
    {"\"n_layers\":2", "\"n_layers\":1048576", "claims 1048576 layers from"},
    {"\"first_layer\":0", "\"first_layer\":9223372036854775807", "first_layer of"},
    {"\"first_layer\":0", "\"first_layer\":-1", "first_layer of /tasks/alpha is -1"},
    {"\"first_layer\":0", "\"first_layer\":1", "layers/1/k is missing"},
    {"\"base_layers\":3", "\"base_layers\":-1", "base_layers of /tasks/alpha is -1"},
    {"\"base_layers\":3", "\"base_layers\":1", "on, of a base of 1"},
    {"\"step\":5", "\"step\":-1", "step of /tasks/alpha is -1"},
    {"\"step\":5", "\"step\":1000000001", "step of /tasks/alpha is 1000000001"},
    {"\"cursor\":80", "\"cursor\":-1", "cursor of /tasks/alpha is -1"},
    {"\"cursor\":80", "\"cursor\":9223372036854775807",
     "cursor of /tasks/alpha is 92233"},
    {"\"best_step\":-1", "\"best_step\":9223372036854775807",
     "best_step of /tasks/alpha"},
    {"\"skipped\":3", "\"skipped\":9223372036854775807",
     "skipped of /tasks/alpha is 922"},
    {"\"skipped_in_row\":1", "\"skipped_in_row\":-9223372036854775808",
     "skipped_in_row"},
    {"\"stale_validations\":4", "\"stale_validations\":9223372036854775807",
     "stale_val"},
    {"\"chat\":0", "\"chat\":2", "chat of /tasks/alpha is neither 0 nor 1"},
    {"\"chat\":0", "\"chat\":false", "chat of /tasks/alpha is neither 0 nor 1"},
    {"\"moments\":1", "\"moments\":-1", "moments of /tasks/alpha is neither"},
    {"\"moments\":1", "\"moments\":0", "/tasks/alpha/layers/1/k is missing"},
    {"\"moments\":1,", "", "moments of /tasks/alpha is missing"},
    {"\"seed\":18446744073709551615", "\"seed\":18446744073709551616", "seed of"},
    {"\"best_loss\":\"inf\"", "\"best_loss\":\"nan\"",
     "best_loss of /tasks/alpha is nan"},
    {"\"best_loss\":\"inf\"", "\"best_loss\":\"-inf\"",
     "best_loss of /tasks/alpha is -inf"},
    {"\"best_loss\":\"inf\"", "\"best_loss\":1.5", "is not a real number in quotes"},
    {"\"best_loss\":\"inf\"", "\"best_loss\":\" 1.5\"",
     "is not a real number in quotes"},
    {"\"best_loss\":\"inf\"", "\"best_loss\":\"0x2\"",
     "is not a real number in quotes"},
    {"\"best_loss\":\"inf\"", "\"best_loss\":\"\"", "is not a real number in quotes"},
    {"\"key_order\":\"halves\"", "\"key_order\":\"pairs\"",
     "key_order of /tasks/alpha is not 'halves', the only"},
    {"\"key_rope\":\"post\",", "", "key_rope of /tasks/alpha is missing"},
    {"\"positions\":\"after_prefix\"", "\"positions\":\"\"",
     "positions of /tasks/alpha is not 'after_prefix' or 'after_"},
    {"\"mlp_hidden\":5", "\"mlp_hidden\":0", "mlp_hidden of /tasks/beta is 0"},
    {"\"mlp_hidden\":5", "\"mlp_hidden\":1048576", "more than the file holds"},
    {"\"mlp_hidden\":5", "\"mlp_hidden\":4",
     "layers/1/w2 must be an f32 array of shape"},
    {"\"mlp_hidden\":5,", "", "has one of mlp_hidden and mlp_width alone"},
    {"\"mlp_width\":6", "\"mlp_width\":7",
     "shared/e must be an f32 array of shape 3 7"},
    /* arrays */
    {"[3,2,4]", "[3,2]", "layers/0/k must be an f32 array of shape 3 2 4"},
    {"[3,2,4]", "[3,2,4,1]", "layers/0/k must be an f32 array of shape 3 2 4"},
    {"[3,2,4]", "[3,2,4", "is not a JSON object"},
    {"[3,2,4]", "\"x\"", "layers/0/k must be an f32 array of shape 3 2 4"},
    {"\"bytes\":96", "\"bytes\":92", "layers/0/k must be an f32 array"},
    {"\"bytes\":96", "\"bytes\":-96", "layers/0/k must be an f32 array"},
    {K0, K0 "0,\"x\":", "has an offset outside the file's arrays"},
    {K0, K0 "-8,\"x\":", "has an offset outside the file's arrays"},
    {K0, K0 "9223372036854775804,\"x\":", "has an offset outside the file's arrays"},
    {K0, K0 "99999999999999999999,\"x\":", "has an offset outside the file's arrays"},
    {K0, K0 "\"9\",\"x\":", "has an offset outside the file's arrays"},
};

static void wrong_content_under_a_right_seal_is_refused(void)
{
    victim v = make_victim();
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        fr_ctx *ctx = fr_test_ctx();
        fr_checkpoint *read = NULL;
        uint8_t *image = edit(&v, CHANGES[i].find, CHANGES[i].put);
        fr_status status = fr_checkpoint_parse(ctx, "bad.h5", image, v.bytes, &read);
        CU_ASSERT_PTR_NOT_NULL(strstr(fr_ctx_error(ctx), "bad.h5"));
        FR_ASSERT_FAILS(status, FR_ERR_CHECKPOINT, CHANGES[i].message);
        CU_ASSERT_PTR_NULL(read);
        free(image);
    }
    free(v.image);
}

/* The editing itself must be harmless, or the case above would prove nothing; and what a newer minor version may
 * bring is stepped over. */
static void unknown_keys_and_lines_are_stepped_over(void)
{
    static const change NEW[] = {
        {"\"step\":5", "\"step\":5", NULL},
        {"\"step\":5", "\"mood\":{\"a\":[1,2.5e-7,null]},\"step\":5", NULL},
        {"\"attributes\":{", "\"x\":[],\"attributes\":{", NULL},
        {K0, "{\"note\":\"array\"}\n" K0, NULL},
        {K0,
         "{\"array\":\"/tasks/alpha/layers/0/"
         "k\",\"unit\":\"u\",\"shape\":[3,2,4],\"offset\":",
         NULL},
        {"{\"group\":\"/\",", "{\"first\":1}\n{\"group\":\"/\",", NULL},
        {"\"schema_minor\":2", "\"schema_minor\":7", NULL},
        {"\"valid_digest\":", "\"malid_digest\":", NULL}, /* 2.0 has neither */
        {"\"arithmetic\":", "\"brithmetic\":", NULL},     /* 2.1 neither */
        {"\"base_loss\":\"inf\"", "\"base_lost\":\"inf\"", NULL},
        {"\"base_norm_eps\":\"0\"", "\"base_norm_ups\":\"0\"", NULL},
    };
    victim v = make_victim();
    fr_checkpoint *wanted = fr_fixture_checkpoint(2, true, 5);
    fr_fixture_add_mlp(&wanted->tasks[1]);
    for (size_t i = 0; i < sizeof NEW / sizeof NEW[0]; i++) {
        fr_checkpoint *read = NULL;
        uint8_t *image = edit(&v, NEW[i].find, NEW[i].put);
        FR_ASSERT_OK(
            fr_checkpoint_parse(fr_test_ctx(), "new.h5", image, v.bytes, &read));
        fr_fixture_assert_equal(read, wanted);
        fr_checkpoint_destroy(&read);
        free(image);
    }
    fr_checkpoint_destroy(&wanted);
    free(v.image);
}

/* Another header over the same content, whose digest stays right. */
static void versions_are_told_apart(void)
{
    static const struct {
        const char *title; /* as long as the right one */
        fr_status status;
        const char *message;
    } TITLES[] = {
        {"Forerun checkpoint 2.7", FR_OK, NULL},
        {"Forerun checkpoint 3.0", FR_ERR_CHECKPOINT,
         "has format 3.0, this Forerun reads 2.x"},
        {"Forerun checkpoint 0.1", FR_ERR_CHECKPOINT,
         "has format 0.1, this Forerun reads 2.x"},
        {"Forerun checkpoint 2,0", FR_ERR_CHECKPOINT,
         "its header is not that of a checkpoint"},
        {"Forerun checkpoint  20", FR_ERR_CHECKPOINT,
         "its header is not that of a checkpoint"},
        {"Forerun checkpoint\n2.0", FR_ERR_CHECKPOINT, "has format 1"},
        {"Forerun checkpoinT 2.0", FR_ERR_CHECKPOINT, "is not a Forerun checkpoint"},
    };
    victim v = make_victim();
    for (size_t i = 0; i < sizeof TITLES / sizeof TITLES[0]; i++) {
        fr_checkpoint *read = NULL;
        memcpy(v.image, TITLES[i].title, strlen(TITLES[i].title));
        fr_status status =
            fr_checkpoint_parse(fr_test_ctx(), "v.h5", v.image, v.bytes, &read);
        if (TITLES[i].status == FR_OK) {
            FR_ASSERT_OK(status);
        } else {
            FR_ASSERT_FAILS(status, TITLES[i].status, TITLES[i].message);
        }
        fr_checkpoint_destroy(&read);
    }
    free(v.image);
}

/* Sizes in the header, each sealed rightly. */
static void impossible_sizes_in_the_header_are_refused(void)
{
    static const struct {
        const char *find;
        const char *put;
    } SIZES[] = {{"block 8192", "block 4096"},
                 {"block 8192", "block 8191"},
                 {"block 8192", "block 0"},
                 {"block 8192", "block 999999999999"},
                 {"block 8192", "block 9999999999999999999"},
                 {"index ", "index 9"},
                 {"index ", "index 1111"},
                 {"index ", "index -"},
                 {"index ", "index 0"}};
    victim v = make_victim();
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        fr_checkpoint *read = NULL;
        char header[FR_HEADER_BYTES] = "";
        const char *at = strstr((const char *)v.image, SIZES[i].find);
        CU_ASSERT_PTR_NOT_NULL_FATAL(at);
        size_t before = (size_t)(at - (const char *)v.image);
        uint8_t *image = calloc(1, v.bytes);
        CU_ASSERT_PTR_NOT_NULL_FATAL(image);
        memcpy(image, v.image, v.bytes);
        (void)snprintf(header, sizeof header, "%.*s%s%s", (int)before,
                       (const char *)v.image, SIZES[i].put, at + strlen(SIZES[i].find));
        memcpy(image, header, sizeof header);
        FR_ASSERT_FAILS(
            fr_checkpoint_parse(fr_test_ctx(), "v.h5", image, v.bytes, &read),
            FR_ERR_CHECKPOINT, "v.h5");
        free(image);
    }
    free(v.image);
}

/* An array's place is moved onto its neighbour's, whole or in part. */
static void arrays_that_overlap_are_refused(void)
{
    static const int64_t DISTANCES[] = {0, 4, 92, -4, -92};
    victim v = make_victim();
    const char *v0 = strstr((const char *)v.image + FR_HEADER_BYTES, "/layers/0/v\"");
    CU_ASSERT_PTR_NOT_NULL_FATAL(v0);
    int64_t place = strtoll(strstr(v0, "\"offset\":") + 9, NULL, 10);
    for (size_t i = 0; i < sizeof DISTANCES / sizeof DISTANCES[0]; i++) {
        char put[256];
        fr_checkpoint *read = NULL;
        (void)snprintf(put, sizeof put,
                       K0 "%lld,\"x\":", (long long)(place + DISTANCES[i]));
        uint8_t *image = edit(&v, K0, put);
        FR_ASSERT_FAILS(
            fr_checkpoint_parse(fr_test_ctx(), "v.h5", image, v.bytes, &read),
            FR_ERR_CHECKPOINT, "v.h5: its index has arrays that overlap");
        free(image);
    }
    free(v.image);
}

/* A number that is none, in each array in turn. */
static void arrays_with_other_than_numbers_are_refused(void)
{
    static const uint32_t BAD[] = {0x7fc00000, 0xff800000};
    victim v = make_victim();
    fr_header header;
    const char *at = (const char *)v.image;
    FR_ASSERT_OK(fr_header_check(fr_test_ctx(), "v.h5", v.image, v.bytes, &header));
    at += FR_HEADER_BYTES;
    for (int i = 0; (at = strstr(at, "\"offset\":")) != NULL; i++) {
        float kept = 0;
        fr_checkpoint *read = NULL;
        at += strlen("\"offset\":");
        uint8_t *place = v.image + strtoll(at, NULL, 10) + 8;
        memcpy(&kept, place, sizeof kept);
        memcpy(place, &BAD[i % 2], sizeof BAD[0]);
        FR_ASSERT_OK(
            fr_header_seal(fr_test_ctx(), v.image, v.bytes, MINOR, header.index));
        FR_ASSERT_FAILS(
            fr_checkpoint_parse(fr_test_ctx(), "v.h5", v.image, v.bytes, &read),
            FR_ERR_NUMERIC, "v.h5: element 2 of /tasks/");
        memcpy(place, &kept, sizeof kept);
    }
    free(v.image);
}

static void sealed_garbage_is_refused(void)
{
    static uint8_t garbage[4096];
    fr_checkpoint *read = NULL;
    for (size_t i = FR_HEADER_BYTES; i < sizeof garbage; i++) {
        garbage[i] = (uint8_t)(i * 37);
    }
    FR_ASSERT_OK(fr_header_seal(fr_test_ctx(), garbage, sizeof garbage, MINOR, 512));
    FR_ASSERT_FAILS(
        fr_checkpoint_parse(fr_test_ctx(), "g.h5", garbage, sizeof garbage, &read),
        FR_ERR_CHECKPOINT, "g.h5: line 1 of its index");
    FR_ASSERT_OK(fr_header_seal(fr_test_ctx(), garbage, sizeof garbage, MINOR, 0));
    FR_ASSERT_FAILS(
        fr_checkpoint_parse(fr_test_ctx(), "g.h5", garbage, sizeof garbage, &read),
        FR_ERR_CHECKPOINT, "g.h5: line 1 of its index is missing");
}

static const fr_case CASES[] = {
    FR_CASE(file_cut_anywhere_is_refused),
    FR_CASE(longer_file_is_refused),
    FR_CASE(any_flipped_bit_is_refused),
    FR_CASE(files_of_other_kinds_are_refused),
    FR_CASE(wrong_content_under_a_right_seal_is_refused),
    FR_CASE(unknown_keys_and_lines_are_stepped_over),
    FR_CASE(versions_are_told_apart),
    FR_CASE(impossible_sizes_in_the_header_are_refused),
    FR_CASE(arrays_that_overlap_are_refused),
    FR_CASE(arrays_with_other_than_numbers_are_refused),
    FR_CASE(sealed_garbage_is_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("checkpoint_bad", CASES, FR_N_CASES(CASES), argc, argv);
}
