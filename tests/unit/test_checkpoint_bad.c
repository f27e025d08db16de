#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "support/checkpoints.h"
#include "train/checkpoint_impl.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, N_FLIPS = 500 };

/* A good file of two tasks, one with moments and one with an MLP, and its bytes. */
static void make_good(char *path, char **bytes, size_t *n)
{
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(2, true, 5);
    fr_fixture_add_mlp(&checkpoint->tasks[1]);
    fr_fixture_path(fr_test_folder(), "victim.h5", path);
    FR_ASSERT_OK(fr_checkpoint_write(fr_test_ctx(), path, checkpoint));
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, bytes, n));
    CU_ASSERT_TRUE_FATAL(*n > FR_H5_USER_BLOCK);
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
        size_t range = i % 3 == 0 ? FR_H5_USER_BLOCK : n;
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

/* ---- files with a right digest and wrong content ------------------------------------------- */

/* Compute the digest anew, as anybody can. */
static void seal(const char *path)
{
    char *bytes = NULL;
    size_t n = 0;
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &bytes, &n));
    FR_ASSERT_OK(fr_checkpoint_seal(fr_test_ctx(), (uint8_t *)bytes, n));
    fr_fixture_write(path, bytes, n);
    free(bytes);
}

/* A change to an opened file; `value` is for the changes that need one. */
typedef struct change {
    void (*apply)(hid_t file, const struct change *change);
    const char *object;
    const char *name; /* an attribute, or what else the change needs */
    int64_t value;
    const char *text;
    const char *message; /* part of the error */
} change;

static void drop_attribute(hid_t file, const change *c)
{
    CU_ASSERT_TRUE(H5Adelete_by_name(file, c->object, c->name, 0) >= 0);
}

static void put_attribute(hid_t file, const change *c, hid_t type, hid_t memory,
                          const void *data)
{
    hid_t space = H5Screate(H5S_SCALAR);
    if (H5Aexists_by_name(file, c->object, c->name, 0) > 0) {
        drop_attribute(file, c);
    }
    hid_t attribute = H5Acreate_by_name(file, c->object, c->name, type, space, 0, 0, 0);
    CU_ASSERT_TRUE(attribute >= 0 && H5Awrite(attribute, memory, data) >= 0);
    (void)H5Aclose(attribute);
    (void)H5Sclose(space);
}

static void set_integer(hid_t file, const change *c)
{
    put_attribute(file, c, H5T_STD_I64LE, H5T_NATIVE_INT64, &c->value);
}

static void set_real(hid_t file, const change *c)
{
    double value = (double)c->value;
    put_attribute(file, c, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

static void set_text(hid_t file, const change *c)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    CU_ASSERT_TRUE(H5Tset_size(type, strlen(c->text) > 0 ? strlen(c->text) : 1) >= 0);
    put_attribute(file, c, type, type, c->text);
    (void)H5Tclose(type);
}

static void drop_link(hid_t file, const change *c)
{
    CU_ASSERT_TRUE(H5Ldelete(file, c->object, 0) >= 0);
}

static void add_group(hid_t file, const change *c)
{
    hid_t group = H5Gcreate2(file, c->object, 0, 0, 0);
    CU_ASSERT_TRUE(group >= 0);
    (void)H5Gclose(group);
}

/* Replace an array by one of type f64 (value 0), or of value x 2 x 4 floats without data. */
static void replace_array(hid_t file, const change *c)
{
    hsize_t size[] = {c->value > 0 ? (hsize_t)c->value : FR_FIXTURE_SLOTS, 2, 4};
    const hsize_t chunk[] = {1, 2, 4};
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(3, size, NULL);
    drop_link(file, c);
    (void)H5Pset_chunk(creation, 3, chunk);
    hid_t array =
        H5Dcreate2(file, c->object, c->value > 0 ? H5T_IEEE_F32LE : H5T_IEEE_F64LE,
                   space, 0, creation, 0);
    CU_ASSERT_TRUE(array >= 0);
    (void)H5Dclose(array);
    (void)H5Sclose(space);
    (void)H5Pclose(creation);
}

static void replace_by_soft_link(hid_t file, const change *c)
{
    drop_link(file, c);
    CU_ASSERT_TRUE(H5Lcreate_soft(c->text, file, c->object, 0, 0) >= 0);
}

static void replace_by_external_link(hid_t file, const change *c)
{
    drop_link(file, c);
    CU_ASSERT_TRUE(H5Lcreate_external("victim.h5", c->text, file, c->object, 0, 0) >=
                   0);
}

/* Many names for one task: its bytes would be claimed again and again. */
static void repeat_task(hid_t file, const change *c)
{
    enum { COPIES = 40, NAME_BYTES = 24 };
    char names[COPIES * NAME_BYTES] = "alpha\nbeta";
    char path[NAME_BYTES];
    for (int i = 0; i < COPIES; i++) {
        (void)snprintf(path, sizeof path, "/tasks/x%d", i);
        CU_ASSERT_TRUE(H5Lcreate_hard(file, c->object, file, path, 0, 0) >= 0);
        size_t used = strlen(names);
        (void)snprintf(names + used, sizeof names - used, "\nx%d", i);
    }
    change list = {NULL, "/", "tasks", 0, names, NULL};
    set_text(file, &list);
}

#define A "/tasks/alpha"
#define B "/tasks/beta"
static const change CHANGES[] = {
    {set_integer, "/", "schema_version", 2, NULL,
     "schema version 2, this Forerun reads version 1"},
    {set_integer, "/", "schema_version", -7, NULL, "schema version -7"},
    {drop_attribute, "/", "schema_version", 0, NULL, "schema_version of / is missing"},
    {set_text, "/", "schema_version", 0, "1", "schema_version of /"},
    {drop_attribute, "/", "base_digest", 0, NULL, "base_digest of / is missing"},
    {set_integer, "/", "base_digest", 1, NULL, "base_digest of / has another type"},
    {set_integer, "/", "config", 1, NULL, "config of / is not a text"},
    {drop_attribute, "/", "tasks", 0, NULL, "attribute tasks of / is missing"},
    {set_text, "/", "tasks", 0, "alpha", "/tasks holds other tasks"},
    {set_text, "/", "tasks", 0, "", "/tasks holds other tasks"},
    {set_text, "/", "tasks", 0, "alpha\nalpha", "names a task twice"},
    {set_text, "/", "tasks", 0, "alpha\nbeta/layers", "impossible task name"},
    {set_text, "/", "tasks", 0, "alpha\n..", "impossible task name"},
    {set_text, "/", "tasks", 0, "alpha\n", "impossible task name"},
    {set_text, "/", "tasks", 0, "alpha\ngamma", "/tasks/gamma is missing"},
    {drop_link, "/tasks", NULL, 0, NULL, "/tasks is missing"},
    {drop_link, A, NULL, 0, NULL, "/tasks holds other tasks"},
    {drop_attribute, A, "length", 0, NULL, "length of /tasks/alpha is missing"},
    {set_integer, A, "length", -1, NULL, "length of /tasks/alpha is -1"},
    {set_integer, A, "length", 0, NULL, "length of /tasks/alpha is 0"},
    {set_integer, A, "length", INT64_C(1) << 62, NULL, "more than the file holds"},
    {set_integer, A, "length", 4, NULL, "layers/0/k must be an f32 array of shape 4"},
    {set_integer, A, "length", 2, NULL, "layers/0/k must be an f32 array of shape 2"},
    {set_real, A, "length", 3, NULL, "length of /tasks/alpha has another type"},
    {set_integer, A, "head_dim", INT64_MAX, NULL, "more than the file holds"},
    {set_integer, A, "n_kv_heads", INT64_MIN, NULL, "n_kv_heads of /tasks/alpha is -"},
    {set_integer, A, "n_kv_heads", 1, NULL, "must be an f32 array of shape 3 1 4"},
    {set_integer, A, "n_layers", 1, NULL, "holds 2 layers, its task says 1"},
    {set_integer, A, "n_layers", 3, NULL, "holds 2 layers, its task says 3"},
    {set_integer, A, "n_layers", 4, NULL, "claims 4 layers from 0 on, of 3"},
    {set_integer, A, "first_layer", INT64_MAX, NULL, "claims 2 layers from 9223372036"},
    {set_integer, A, "first_layer", -1, NULL, "first_layer of /tasks/alpha is -1"},
    {set_integer, A, "first_layer", 1, NULL, "layers/2/k is missing"},
    {set_integer, A, "base_layers", 1, NULL, "claims 2 layers from 0 on, of 1"},
    {set_integer, A, "base_layers", -1, NULL, "base_layers of /tasks/alpha is -1"},
    {set_integer, A, "step", -1, NULL, "step of /tasks/alpha is -1"},
    {set_integer, A, "cursor", -1, NULL, "cursor of /tasks/alpha is -1"},
    {set_integer, A, "stale_validations", -1, NULL,
     "stale_validations of /tasks/alpha is -1"},
    {set_integer, A, "chat", 2, NULL, "chat of /tasks/alpha is 2, must be 0 to 1"},
    {set_integer, A, "moments", -1, NULL, "moments of /tasks/alpha is -1"},
    {drop_attribute, A, "moments", 0, NULL, "moments of /tasks/alpha is missing"},
    {drop_attribute, A, "seed", 0, NULL, "seed of /tasks/alpha is missing"},
    {set_integer, A, "best_loss", 1, NULL, "best_loss of /tasks/alpha has another"},
    {set_text, A, "key_order", 0, "pairs", "is 'pairs', this version reads only"},
    {drop_attribute, A, "key_rope", 0, NULL, "key_rope of /tasks/alpha is missing"},
    {set_text, A, "positions", 0, "", "positions of /tasks/alpha is ''"},
    {drop_link, A "/layers", NULL, 0, NULL, "/tasks/alpha/layers is missing"},
    {drop_link, A "/layers/1", NULL, 0, NULL, "holds 1 layers, its task says 2"},
    {add_group, A "/layers/2", NULL, 0, NULL, "holds 3 layers, its task says 2"},
    {drop_link, A "/layers/1/s_v", NULL, 0, NULL, "layers/1/s_v is missing"},
    {replace_array, A "/layers/1/v", NULL, 0, NULL, "layers/1/v must be an f32"},
    {replace_array, A "/layers/0/k", NULL, INT64_C(1) << 40, NULL, "layers/0/k must"},
    {replace_by_soft_link, A "/layers/0/k", NULL, 0, A "/layers/0/v", "(or a link)"},
    {replace_by_external_link, A, NULL, 0, "/tasks/beta", "(or a link)"},
    {replace_by_external_link, A "/layers", NULL, 0, "/tasks/beta/layers",
     "/tasks/alpha/layers is missing (or a link)"},
    {repeat_task, A, NULL, 0, NULL, "more than the file holds"},
    {set_integer, B, "mlp_hidden", 0, NULL, "an MLP of 0 hidden units"},
    {set_integer, B, "mlp_hidden", -3, NULL, "an MLP of -3 hidden units"},
    {set_integer, B, "mlp_hidden", INT64_MAX, NULL, "more than the file holds"},
    {set_integer, B, "mlp_width", 1 << 19, NULL, "more than the file holds"},
    {set_integer, B, "mlp_hidden", 4, NULL,
     "layers/1/w2 must be an f32 array of shape"},
    {set_integer, B, "mlp_width", 7, NULL,
     "shared/e must be an f32 array of shape 3 7"},
    {set_text, B, "mlp_hidden", 0, "5", "mlp_hidden of /tasks/beta"},
    {drop_attribute, B, "mlp_width", 0, NULL, "mlp_width of /tasks/beta is missing"},
    {drop_link, B "/shared", NULL, 0, NULL, "/tasks/beta/shared/e is missing"},
    {drop_link, B "/shared/m_w1", NULL, 0, NULL, "shared/m_w1 is missing"},
    {drop_link, B "/layers/1/p0_v", NULL, 0, NULL, "layers/1/p0_v is missing"},
    {drop_link, B "/layers/2/s_b2", NULL, 0, NULL, "layers/2/s_b2 is missing"},
    {replace_array, B "/layers/1/w2", NULL, 0, NULL, "layers/1/w2 must be an f32"},
    {replace_array, B "/shared/b1", NULL, 5, NULL, "shared/b1 must be an f32 array of"},
};
#undef A
#undef B

static void wrong_content_under_a_right_digest_is_refused(void)
{
    char path[PATH_BYTES];
    char *bytes = NULL;
    size_t n = 0;
    make_good(path, &bytes, &n);
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        fr_fixture_write(path, bytes, n);
        hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
        CU_ASSERT_TRUE_FATAL(file >= 0);
        CHANGES[i].apply(file, &CHANGES[i]);
        CU_ASSERT_TRUE(H5Fclose(file) >= 0);
        seal(path);
        CU_ASSERT_TRUE(fr_checkpoint_is_ours(path));
        assert_refused(path, CHANGES[i].message);
    }
    free(bytes);
}

/* The tampering itself must be harmless, or the case above would prove nothing. */
static void file_opened_and_sealed_again_loads(void)
{
    static const change NOTHING_NEW = {NULL, "/tasks/alpha", "step", 5, NULL, NULL};
    char path[PATH_BYTES];
    char *bytes = NULL;
    size_t n = 0;
    fr_checkpoint *read = NULL;
    fr_checkpoint *wanted = fr_fixture_checkpoint(2, true, 5);
    fr_fixture_add_mlp(&wanted->tasks[1]);
    make_good(path, &bytes, &n);
    free(bytes);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    CU_ASSERT_TRUE_FATAL(file >= 0);
    set_integer(file, &NOTHING_NEW);
    CU_ASSERT_TRUE(H5Fclose(file) >= 0);
    seal(path);
    FR_ASSERT_OK(fr_checkpoint_read(fr_test_ctx(), path, &read));
    fr_fixture_assert_equal(read, wanted);
    fr_checkpoint_destroy(&read);
    fr_checkpoint_destroy(&wanted);
}

/* Files written before a task's validations were counted, and before layers could be left without a prefix: as if there
 * had been none. */
static void file_of_an_earlier_version_loads(void)
{
    static const change DROPS[] = {
        {NULL, "/tasks/alpha", "stale_validations", 0, NULL, NULL},
        {NULL, "/tasks/alpha", "valid_loss", 0, NULL, NULL},
        {NULL, "/tasks/alpha", "first_layer", 0, NULL, NULL},
        {NULL, "/tasks/alpha", "base_layers", 0, NULL, NULL},
        {NULL, "/tasks/beta", "valid_loss", 0, NULL, NULL}};
    char path[PATH_BYTES];
    char *bytes = NULL;
    size_t n = 0;
    fr_checkpoint *read = NULL;
    make_good(path, &bytes, &n);
    free(bytes);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    CU_ASSERT_TRUE_FATAL(file >= 0);
    for (size_t i = 0; i < sizeof DROPS / sizeof DROPS[0]; i++) {
        drop_attribute(file, &DROPS[i]);
    }
    CU_ASSERT_TRUE(H5Fclose(file) >= 0);
    seal(path);
    FR_ASSERT_OK(fr_checkpoint_read(fr_test_ctx(), path, &read));
    CU_ASSERT_PTR_NOT_NULL_FATAL(read);
    CU_ASSERT_EQUAL(read->tasks[0].stale_validations, 0);
    CU_ASSERT_EQUAL(read->tasks[1].stale_validations, 5);
    CU_ASSERT_EQUAL(read->tasks[0].first_layer, 0);
    CU_ASSERT_EQUAL(read->tasks[0].base_layers, 2);
    CU_ASSERT_EQUAL(read->tasks[1].first_layer, 1);
    CU_ASSERT_TRUE(isinf(read->tasks[1].valid_loss));
    fr_checkpoint_destroy(&read);
}

static void sealed_garbage_is_refused(void)
{
    static uint8_t garbage[4096];
    char path[PATH_BYTES];
    fr_fixture_path(fr_test_folder(), "garbage.h5", path);
    for (size_t i = FR_H5_USER_BLOCK; i < sizeof garbage; i++) {
        garbage[i] = (uint8_t)(i * 37);
    }
    FR_ASSERT_OK(fr_checkpoint_seal(fr_test_ctx(), garbage, sizeof garbage));
    fr_fixture_write(path, garbage, sizeof garbage);
    assert_refused(path, "cannot open it as HDF5: file signature not found");
}

static const fr_case CASES[] = {
    FR_CASE(file_cut_anywhere_is_refused),
    FR_CASE(longer_file_is_refused),
    FR_CASE(any_flipped_bit_is_refused),
    FR_CASE(files_of_other_kinds_are_refused),
    FR_CASE(wrong_content_under_a_right_digest_is_refused),
    FR_CASE(file_opened_and_sealed_again_loads),
    FR_CASE(file_of_an_earlier_version_loads),
    FR_CASE(sealed_garbage_is_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("checkpoint_bad", CASES, FR_N_CASES(CASES), argc, argv);
}
