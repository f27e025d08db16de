#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/h5.h"
#include "support/suite.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, BLOCK = 1024 };

/* ---- files of the wrapper ------------------------------------------------------------------ */

static fr_h5 *begin(int64_t expected)
{
    fr_h5 *h5 = NULL;
    FR_ASSERT_OK(fr_h5_create(fr_test_ctx(), "made.h5", BLOCK, expected, &h5));
    CU_ASSERT_PTR_NOT_NULL_FATAL(h5);
    return h5;
}

static fr_h5 *open_image(const void *image, size_t bytes)
{
    fr_h5 *h5 = NULL;
    FR_ASSERT_OK(fr_h5_open(fr_test_ctx(), "read.h5", image, bytes, &h5));
    CU_ASSERT_PTR_NOT_NULL_FATAL(h5);
    return h5;
}

/* End the file and open its image. */
static fr_h5 *turn_round(fr_h5 *written)
{
    uint8_t *image = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_h5_finish(written, &image, &bytes));
    CU_ASSERT_PTR_NOT_NULL_FATAL(image);
    fr_h5_destroy(&written);
    fr_h5 *read = open_image(image, bytes);
    free(image);
    return read;
}

static void numbers_round_trip(void)
{
    static const int64_t INTEGERS[] = {0, -1, INT64_MIN, INT64_MAX};
    static const uint64_t NATURALS[] = {0, 1, UINT64_MAX, UINT64_C(1) << 63};
    const double reals[] = {-0.0, 0.1, (double)INFINITY, (double)NAN};
    char name[16];
    fr_h5 *h5 = begin(0);
    FR_ASSERT_OK(fr_h5_make_group(h5, "/a"));
    for (int i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof name, "i%d", i);
        FR_ASSERT_OK(fr_h5_write_i64(h5, "/a", name, INTEGERS[i]));
        name[0] = 'u';
        FR_ASSERT_OK(fr_h5_write_u64(h5, "/", name, NATURALS[i]));
        name[0] = 'f';
        FR_ASSERT_OK(fr_h5_write_f64(h5, "/a", name, reals[i]));
    }
    h5 = turn_round(h5);
    for (int i = 0; i < 4; i++) {
        int64_t integer = 7;
        uint64_t natural = 7;
        double real = 7;
        (void)snprintf(name, sizeof name, "i%d", i);
        FR_ASSERT_OK(fr_h5_read_i64(h5, "/a", name, &integer));
        name[0] = 'u';
        FR_ASSERT_OK(fr_h5_read_u64(h5, "/", name, &natural));
        name[0] = 'f';
        FR_ASSERT_OK(fr_h5_read_f64(h5, "/a", name, &real));
        CU_ASSERT_EQUAL(integer, INTEGERS[i]);
        CU_ASSERT_EQUAL(natural, NATURALS[i]);
        fr_assert_same_bytes("f64", &real, &reals[i], sizeof real);
    }
    fr_h5_destroy(&h5);
    CU_ASSERT_PTR_NULL(h5);
}

static void texts_of_any_bytes_and_length_round_trip(void)
{
    static const size_t LENGTHS[] = {0, 1, 2, 65535, 65536, 70000, 3000000};
    char name[16];
    for (size_t i = 0; i < sizeof LENGTHS / sizeof LENGTHS[0]; i++) {
        char *text = malloc(LENGTHS[i] + 1);
        char *read = NULL;
        CU_ASSERT_PTR_NOT_NULL_FATAL(text);
        for (size_t c = 0; c < LENGTHS[i]; c++) {
            text[c] = (char)(unsigned char)(255 - c % 255);
        }
        text[LENGTHS[i]] = '\0';
        (void)snprintf(name, sizeof name, "t%zu", i);
        fr_h5 *h5 = begin(0);
        FR_ASSERT_OK(fr_h5_write_text(h5, "/", name, text));
        h5 = turn_round(h5);
        FR_ASSERT_OK(fr_h5_read_text(h5, "/", name, &read));
        CU_ASSERT_PTR_NOT_NULL_FATAL(read);
        CU_ASSERT_EQUAL(strlen(read), LENGTHS[i]);
        fr_assert_same_bytes("text", read, text, strlen(read) + 1);
        fr_h5_destroy(&h5);
        free(read);
        free(text);
    }
}

static void bytes_round_trip_and_must_have_their_length(void)
{
    static const uint8_t DATA[] = {0, 255, 1, 0, 128};
    uint8_t read[8] = {0};
    fr_h5 *h5 = begin(0);
    FR_ASSERT_OK(fr_h5_write_bytes(h5, "/", "b", DATA, sizeof DATA));
    h5 = turn_round(h5);
    FR_ASSERT_OK(fr_h5_read_bytes(h5, "/", "b", read, sizeof DATA));
    fr_assert_same_bytes("bytes", read, DATA, sizeof DATA);
    FR_ASSERT_FAILS(fr_h5_read_bytes(h5, "/", "b", read, 4), FR_ERR_CHECKPOINT,
                    "read.h5: attribute b of / has another type or size");
    FR_ASSERT_FAILS(fr_h5_read_bytes(h5, "/", "b", read, 6), FR_ERR_CHECKPOINT,
                    "attribute b");
    fr_h5_destroy(&h5);
}

/* NaN keeps its bits. */
static void small_and_large_arrays_round_trip(void)
{
    int64_t offset = 0;
    enum { ROWS = 300000, FLOATS = 3 * ROWS };
    static const int64_t SHAPE[] = {ROWS, 1, 3};
    static const int64_t ONE[] = {1};
    static const uint32_t NAN_BITS = 0xffa00001;
    float *data = malloc(FLOATS * sizeof *data);
    float *read = calloc(FLOATS, sizeof *read);
    CU_ASSERT_TRUE_FATAL(data != NULL && read != NULL);
    for (int i = 0; i < FLOATS; i++) {
        data[i] = (float)i;
    }
    memcpy(data, &NAN_BITS, sizeof NAN_BITS);
    fr_h5 *h5 = begin(0);
    FR_ASSERT_OK(fr_h5_make_group(h5, "/g"));
    FR_ASSERT_OK(fr_h5_write_f32(h5, "/g/x", SHAPE, 3, data, &offset));
    FR_ASSERT_OK(fr_h5_write_f32(h5, "/y", ONE, 1, data, &offset));
    h5 = turn_round(h5);
    FR_ASSERT_OK(fr_h5_read_f32(h5, "/g/x", SHAPE, 3, read));
    fr_assert_same_bytes("array", read, data, FLOATS * sizeof *data);
    read[0] = 0;
    FR_ASSERT_OK(fr_h5_read_f32(h5, "/y", ONE, 1, read));
    fr_assert_same_bytes("one value", read, data, sizeof *data);
    fr_h5_destroy(&h5);
    free(data);
    free(read);
}

static void same_content_gives_the_same_bytes_whatever_was_reserved(void)
{
    int64_t offset = 0;
    static const int64_t SHAPE[] = {5, 7};
    static const float DATA[35] = {1, 2, 3};
    uint8_t *image[2] = {NULL, NULL};
    size_t bytes[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        fr_h5 *h5 = begin(i == 0 ? 0 : 1 << 20);
        FR_ASSERT_OK(fr_h5_make_group(h5, "/g"));
        FR_ASSERT_OK(fr_h5_write_f32(h5, "/g/x", SHAPE, 2, DATA, &offset));
        FR_ASSERT_OK(fr_h5_write_text(h5, "/g", "t", "text"));
        FR_ASSERT_OK(fr_h5_finish(h5, &image[i], &bytes[i]));
        fr_h5_destroy(&h5);
    }
    CU_ASSERT_EQUAL_FATAL(bytes[0], bytes[1]);
    fr_assert_same_bytes("image", image[0], image[1], bytes[0]);
    free(image[0]);
    free(image[1]);
}

/* The library's file driver keys open files by name: two handles must not become one. */
static void handles_of_one_name_are_apart(void)
{
    int64_t value = 0;
    fr_h5 *a = begin(0);
    fr_h5 *b = begin(0);
    FR_ASSERT_OK(fr_h5_write_i64(a, "/", "n", 1));
    FR_ASSERT_OK(fr_h5_write_i64(b, "/", "n", 2));
    a = turn_round(a);
    b = turn_round(b);
    FR_ASSERT_OK(fr_h5_read_i64(a, "/", "n", &value));
    CU_ASSERT_EQUAL(value, 1);
    FR_ASSERT_OK(fr_h5_read_i64(b, "/", "n", &value));
    CU_ASSERT_EQUAL(value, 2);
    fr_h5_destroy(&a);
    fr_h5_destroy(&b);
}

static void what_is_missing_is_named(void)
{
    int64_t offset = 0;
    static const int64_t SHAPE[] = {2};
    float data[2] = {0};
    int64_t n = 0;
    char *text = NULL;
    fr_h5 *h5 = begin(0);
    FR_ASSERT_OK(fr_h5_make_group(h5, "/a"));
    FR_ASSERT_OK(fr_h5_make_group(h5, "/a/b"));
    FR_ASSERT_OK(fr_h5_write_f32(h5, "/a/x", SHAPE, 1, data, &offset));
    FR_ASSERT_OK(fr_h5_write_i64(h5, "/a", "n", 1));
    h5 = turn_round(h5);
    CU_ASSERT_TRUE(fr_h5_exists(h5, "/a/b") && fr_h5_exists(h5, "/a/x"));
    CU_ASSERT_FALSE(fr_h5_exists(h5, "/b") || fr_h5_exists(h5, "/a/b/c"));
    CU_ASSERT_TRUE(fr_h5_has_attribute(h5, "/a", "n"));
    CU_ASSERT_FALSE(fr_h5_has_attribute(h5, "/a", "m"));
    CU_ASSERT_FALSE(fr_h5_has_attribute(h5, "/none", "n"));
    FR_ASSERT_OK(fr_h5_count(h5, "/a", &n));
    CU_ASSERT_EQUAL(n, 2);
    FR_ASSERT_FAILS(fr_h5_count(h5, "/b", &n), FR_ERR_CHECKPOINT, "read.h5: /b is");
    FR_ASSERT_FAILS(fr_h5_count(h5, "/a/x", &n), FR_ERR_CHECKPOINT, "/a/x");
    FR_ASSERT_FAILS(fr_h5_read_f32(h5, "/a/y", SHAPE, 1, data), FR_ERR_CHECKPOINT,
                    "/a/y is missing");
    FR_ASSERT_FAILS(fr_h5_read_f32(h5, "/a/b", SHAPE, 1, data), FR_ERR_CHECKPOINT,
                    "/a/b");
    FR_ASSERT_FAILS(fr_h5_read_i64(h5, "/a", "m", &n), FR_ERR_CHECKPOINT,
                    "attribute m of /a is missing");
    FR_ASSERT_FAILS(fr_h5_read_text(h5, "/a", "n", &text), FR_ERR_CHECKPOINT,
                    "attribute n of /a is not a text");
    fr_h5_destroy(&h5);
}

static void arrays_of_another_shape_are_refused(void)
{
    int64_t offset = 0;
    static const int64_t SHAPE[] = {2, 3};
    static const int64_t OTHERS[][2] = {{3, 2}, {2, 2}, {6, 1}, {0, 3}, {-2, 3}};
    float data[6] = {0};
    fr_h5 *h5 = begin(0);
    FR_ASSERT_FAILS(fr_h5_write_f32(h5, "/bad", OTHERS[3], 2, data, &offset),
                    FR_ERR_SHAPE, "/bad");
    FR_ASSERT_FAILS(fr_h5_write_f32(h5, "/bad", SHAPE, 0, data, &offset), FR_ERR_SHAPE,
                    "rank");
    FR_ASSERT_OK(fr_h5_write_f32(h5, "/x", SHAPE, 2, data, &offset));
    h5 = turn_round(h5);
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        FR_ASSERT_FAILS(fr_h5_read_f32(h5, "/x", OTHERS[i], 2, data), FR_ERR_CHECKPOINT,
                        "read.h5: /x");
    }
    FR_ASSERT_FAILS(fr_h5_read_f32(h5, "/x", SHAPE, 1, data), FR_ERR_CHECKPOINT,
                    "must be an f32 array of shape 2");
    fr_h5_destroy(&h5);
}

static void making_something_twice_names_the_place(void)
{
    fr_h5 *h5 = begin(0);
    FR_ASSERT_OK(fr_h5_make_group(h5, "/a"));
    FR_ASSERT_FAILS(fr_h5_make_group(h5, "/a"), FR_ERR_INTERNAL,
                    "made.h5: cannot make group /a: name already exists");
    FR_ASSERT_FAILS(fr_h5_make_group(h5, "/b/c"), FR_ERR_INTERNAL, "/b/c");
    FR_ASSERT_OK(fr_h5_write_i64(h5, "/a", "n", 1));
    FR_ASSERT_FAILS(fr_h5_write_i64(h5, "/a", "n", 1), FR_ERR_INTERNAL,
                    "attribute n of /a");
    fr_h5_destroy(&h5);
}

/* The library prints its error stack on standard error unless told otherwise. */
static void bytes_that_are_no_hdf5_fail_silently(void)
{
    static const char GARBAGE[2048] = "certainly not an HDF5 file";
    char path[PATH_BYTES];
    char *log = NULL;
    size_t n = 1;
    fr_h5 *h5 = NULL;
    (void)snprintf(path, sizeof path, "%s/log", fr_test_folder());
    int saved = dup(STDERR_FILENO);
    CU_ASSERT_PTR_NOT_NULL_FATAL(freopen(path, "w", stderr));
    fr_status garbage = fr_h5_open(fr_test_ctx(), "g.h5", GARBAGE, sizeof GARBAGE, &h5);
    FR_ASSERT_FAILS(garbage, FR_ERR_CHECKPOINT,
                    "g.h5: cannot open it as HDF5: file signature not found");
    FR_ASSERT_FAILS(fr_h5_open(fr_test_ctx(), "e.h5", GARBAGE, 0, &h5),
                    FR_ERR_CHECKPOINT, "e.h5: the image is empty");
    CU_ASSERT_PTR_NULL(h5);
    (void)fflush(stderr);
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &log, &n));
    CU_ASSERT_EQUAL(n, 0);
    free(log);
}

static void unfinished_file_is_dropped(void)
{
    fr_h5 *none = NULL;
    for (int i = 0; i < 50; i++) {
        fr_h5 *h5 = begin(0);
        FR_ASSERT_OK(fr_h5_make_group(h5, "/a"));
        fr_h5_destroy(&h5);
    }
    CU_ASSERT_EQUAL(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
    fr_h5_destroy(&none);
}

/* ---- files made by the library itself ------------------------------------------------------ */

static void image_opens_as_an_ordinary_file(void)
{
    int64_t offset = 0;
    static const int64_t SHAPE[] = {2};
    static const float DATA[] = {1.5F, -2.0F};
    float read[2] = {0};
    uint8_t *image = NULL;
    size_t bytes = 0;
    char path[PATH_BYTES];
    fr_h5 *h5 = begin(0);
    FR_ASSERT_OK(fr_h5_write_f32(h5, "/x", SHAPE, 1, DATA, &offset));
    FR_ASSERT_OK(fr_h5_finish(h5, &image, &bytes));
    fr_h5_destroy(&h5);
    (void)snprintf(path, sizeof path, "%s/a.h5", fr_test_folder());
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, image, bytes));
    fr_assert_same_bytes("x in place", image + offset, DATA, sizeof DATA);
    CU_ASSERT_EQUAL(offset % FR_H5_ALIGNMENT, 0);
    free(image);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    CU_ASSERT_TRUE_FATAL(file >= 0);
    hid_t array = H5Dopen2(file, "/x", H5P_DEFAULT);
    CU_ASSERT_TRUE(
        H5Dread(array, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, read) >= 0);
    fr_assert_same_bytes("x", read, DATA, sizeof DATA);
    CU_ASSERT_TRUE(H5Dclose(array) >= 0 && H5Fclose(file) >= 0);
}

/* /T is f64, /D shuffled, /E keeps its data in another file; /soft and /far are links; the attributes are
 * of types that the wrapper does not write. */
static void write_foreign_arrays(hid_t file)
{
    static const hsize_t SIZE[] = {4};
    static const float DATA[] = {1, 2, 3, 4};
    hid_t space = H5Screate_simple(1, SIZE, NULL);
    hid_t shuffled = H5Pcreate(H5P_DATASET_CREATE);
    hid_t external = H5Pcreate(H5P_DATASET_CREATE);
    (void)H5Pset_chunk(shuffled, 1, SIZE);
    (void)H5Pset_shuffle(shuffled);
    (void)H5Pset_external(external, "elsewhere.raw", 0, 16);
    const hid_t arrays[] = {
        H5Dcreate2(file, "/P", H5T_IEEE_F32LE, space, 0, H5P_DEFAULT, 0),
        H5Dcreate2(file, "/T", H5T_IEEE_F64LE, space, 0, H5P_DEFAULT, 0),
        H5Dcreate2(file, "/D", H5T_IEEE_F32LE, space, 0, shuffled, 0),
        H5Dcreate2(file, "/E", H5T_IEEE_F32LE, space, 0, external, 0)};
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_TRUE(arrays[i] >= 0);
        if (i < 3) {
            (void)H5Dwrite(arrays[i], H5T_NATIVE_FLOAT, 0, 0, 0, DATA);
        }
        (void)H5Dclose(arrays[i]);
    }
    CU_ASSERT_TRUE(H5Lcreate_soft("/P", file, "/soft", 0, 0) >= 0);
    CU_ASSERT_TRUE(H5Lcreate_external("other.h5", "/P", file, "/far", 0, 0) >= 0);
    (void)H5Pclose(shuffled);
    (void)H5Pclose(external);
    (void)H5Sclose(space);
}

static void add_attribute(hid_t file, const char *name, hid_t type, hid_t space,
                          const void *data)
{
    hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    CU_ASSERT_TRUE(attribute >= 0 && H5Awrite(attribute, type, data) >= 0);
    (void)H5Aclose(attribute);
}

static void write_foreign_attributes(hid_t file)
{
    static const hsize_t SIZE[] = {2};
    static const int64_t PAIR[] = {1, 2};
    static const double REAL = 3;
    static const char *const WORD = "variable";
    hid_t scalar = H5Screate(H5S_SCALAR);
    hid_t pair = H5Screate_simple(1, SIZE, NULL);
    hid_t variable = H5Tcopy(H5T_C_S1);
    hid_t fixed = H5Tcopy(H5T_C_S1);
    (void)H5Tset_size(variable, H5T_VARIABLE);
    (void)H5Tset_size(fixed, 4);
    add_attribute(file, "pair", H5T_STD_I64LE, pair, PAIR);
    add_attribute(file, "narrow", H5T_STD_I32LE, scalar, PAIR);
    add_attribute(file, "natural", H5T_STD_U64LE, scalar, PAIR);
    add_attribute(file, "real", H5T_IEEE_F64LE, scalar, &REAL);
    add_attribute(file, "variable", variable, scalar, &WORD);
    add_attribute(file, "nul", fixed, scalar, "a\0bc");
    (void)H5Tclose(variable);
    (void)H5Tclose(fixed);
    (void)H5Sclose(scalar);
    (void)H5Sclose(pair);
}

static fr_h5 *open_foreign(void)
{
    char path[PATH_BYTES];
    char *bytes = NULL;
    size_t n = 0;
    (void)snprintf(path, sizeof path, "%s/foreign.h5", fr_test_folder());
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    CU_ASSERT_TRUE_FATAL(file >= 0);
    write_foreign_arrays(file);
    write_foreign_attributes(file);
    CU_ASSERT_TRUE(H5Fclose(file) >= 0);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &bytes, &n));
    fr_h5 *h5 = open_image(bytes, n);
    free(bytes);
    return h5;
}

static void arrays_stored_in_foreign_ways_are_refused(void)
{
    static const int64_t SHAPE[] = {4};
    static const struct {
        const char *path;
        const char *part;
    } BAD[] = {{"/T", "must be an f32 array"},
               {"/D", "stored in a way"},
               {"/E", "stored in a way"},
               {"/soft", "/soft is missing (or a link)"},
               {"/far", "/far is missing (or a link)"},
               {"/far/x", "/far/x is missing (or a link)"},
               {"P", "P is missing"}};
    float data[4] = {0};
    fr_h5 *h5 = open_foreign();
    FR_ASSERT_OK(fr_h5_read_f32(h5, "/P", SHAPE, 1, data));
    CU_ASSERT_EQUAL(data[3], 4.0F);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        FR_ASSERT_FAILS(fr_h5_read_f32(h5, BAD[i].path, SHAPE, 1, data),
                        FR_ERR_CHECKPOINT, BAD[i].part);
    }
    fr_h5_destroy(&h5);
}

static void attributes_of_foreign_types_are_refused(void)
{
    static const char *const NOT_I64[] = {"pair", "narrow", "natural", "real", "nul"};
    static const char *const NOT_TEXT[] = {"pair", "real", "variable", "nul"};
    int64_t value = 0;
    double real = 0;
    fr_h5 *h5 = open_foreign();
    for (int i = 0; i < 5; i++) {
        FR_ASSERT_FAILS(fr_h5_read_i64(h5, "/", NOT_I64[i], &value), FR_ERR_CHECKPOINT,
                        NOT_I64[i]);
    }
    for (int i = 0; i < 4; i++) {
        char *text = NULL;
        FR_ASSERT_FAILS(fr_h5_read_text(h5, "/", NOT_TEXT[i], &text), FR_ERR_CHECKPOINT,
                        NOT_TEXT[i]);
        CU_ASSERT_PTR_NULL(text);
    }
    FR_ASSERT_OK(fr_h5_read_f64(h5, "/", "real", &real));
    CU_ASSERT_EQUAL(real, 3.0);
    fr_h5_destroy(&h5);
}

static const fr_case CASES[] = {
    FR_CASE(numbers_round_trip),
    FR_CASE(texts_of_any_bytes_and_length_round_trip),
    FR_CASE(bytes_round_trip_and_must_have_their_length),
    FR_CASE(small_and_large_arrays_round_trip),
    FR_CASE(same_content_gives_the_same_bytes_whatever_was_reserved),
    FR_CASE(handles_of_one_name_are_apart),
    FR_CASE(what_is_missing_is_named),
    FR_CASE(arrays_of_another_shape_are_refused),
    FR_CASE(making_something_twice_names_the_place),
    FR_CASE(bytes_that_are_no_hdf5_fail_silently),
    FR_CASE(unfinished_file_is_dropped),
    FR_CASE(image_opens_as_an_ordinary_file),
    FR_CASE(arrays_stored_in_foreign_ways_are_refused),
    FR_CASE(attributes_of_foreign_types_are_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("h5", CASES, FR_N_CASES(CASES), argc, argv);
}
