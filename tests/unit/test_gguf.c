#include "model/files/gguf.h"

#include "device/quant.h"
#include "model/files/gguf_impl.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"

#include <stdlib.h>
#include <string.h>

/* A file laid down byte by byte, for what the writer would not write. */
typedef struct raw_file {
    uint8_t bytes[4096];
    size_t n;
} raw_file;

static void put(raw_file *f, const void *data, size_t bytes)
{
    CU_ASSERT_FATAL(f->n + bytes <= sizeof f->bytes);
    memcpy(f->bytes + f->n, data, bytes);
    f->n += bytes;
}

static void put_u32(raw_file *f, uint32_t value)
{
    put(f, &value, sizeof value);
}

static void put_u64(raw_file *f, uint64_t value)
{
    put(f, &value, sizeof value);
}

static void put_text(raw_file *f, const char *text)
{
    put_u64(f, strlen(text));
    put(f, text, strlen(text));
}

static raw_file start(uint32_t version, uint64_t n_tensors, uint64_t n_pairs)
{
    raw_file f = {.n = 0};
    put(&f, "GGUF", 4);
    put_u32(&f, version);
    put_u64(&f, n_tensors);
    put_u64(&f, n_pairs);
    return f;
}

static void put_tensor(raw_file *f, const char *name, uint64_t size, uint32_t type,
                       uint64_t offset)
{
    put_text(f, name);
    put_u32(f, 1);
    put_u64(f, size);
    put_u32(f, type);
    put_u64(f, offset);
}

/* Room for tensor data behind the directory. */
static void put_data(raw_file *f, size_t bytes)
{
    f->n = (f->n + 31) / 32 * 32 + bytes;
    CU_ASSERT_FATAL(f->n <= sizeof f->bytes);
}

/* Parses a copy of exactly that size, so that a sanitizer sees any read behind it. */
static fr_status parse(const raw_file *f, size_t bytes)
{
    fr_gguf *gguf = NULL;
    uint8_t *copy = fr_test_memory(malloc(bytes + (bytes == 0)));
    memcpy(copy, f->bytes, bytes);
    fr_status status = fr_gguf_parse(fr_test_ctx(), "x.gguf", copy, bytes, &gguf);
    CU_ASSERT_EQUAL(gguf != NULL, status == FR_OK);
    fr_gguf_close(&gguf);
    free(copy);
    return status;
}

static void refuses(const raw_file *f, fr_status status, const char *part)
{
    FR_ASSERT_FAILS(parse(f, f->n), status, part);
}

static fr_gguf *write_and_open(const fr_gguf_writer *writer)
{
    fr_gguf *gguf = NULL;
    const char *path = fr_test_path(fr_test_folder(), "x.gguf");
    fr_gguf_writer_write(writer, path);
    FR_ASSERT_OK(fr_gguf_open(fr_test_ctx(), path, &gguf));
    CU_ASSERT_PTR_NOT_NULL_FATAL(gguf);
    CU_ASSERT_STRING_EQUAL(fr_gguf_path(gguf), path);
    return gguf;
}

static void scalars_come_back_with_conversion(void)
{
    fr_gguf_writer *writer = fr_gguf_writer_create();
    int8_t small = -5;
    int64_t large = INT64_MIN;
    uint64_t huge = UINT64_MAX;
    double real = 0.1;
    fr_gguf_writer_set_u32(writer, "u32", 4000000000U);
    fr_gguf_writer_set_raw(writer, "i8", FR_GGUF_I8, &small, 1);
    fr_gguf_writer_set_raw(writer, "i64", FR_GGUF_I64, &large, 8);
    fr_gguf_writer_set_raw(writer, "u64", FR_GGUF_U64, &huge, 8);
    fr_gguf_writer_set_f32(writer, "f32", 0.5F);
    fr_gguf_writer_set_raw(writer, "f64", FR_GGUF_F64, &real, 8);
    fr_gguf_writer_set_bool(writer, "yes", true);
    fr_gguf_writer_set_text(writer, "text", "h\xc3\xa9");
    fr_gguf *gguf = write_and_open(writer);
    int64_t i = 0;
    double d = 0.0;
    bool b = false;
    fr_text t = {NULL, 0};
    CU_ASSERT(fr_gguf_get_int(gguf, "u32", &i) && i == 4000000000);
    CU_ASSERT(fr_gguf_get_int(gguf, "i8", &i) && i == -5);
    CU_ASSERT(fr_gguf_get_int(gguf, "i64", &i) && i == INT64_MIN);
    CU_ASSERT(!fr_gguf_get_int(gguf, "u64", &i) && i == INT64_MIN);
    CU_ASSERT(!fr_gguf_get_int(gguf, "f32", &i));
    CU_ASSERT(!fr_gguf_get_int(gguf, "absent", &i));
    CU_ASSERT(fr_gguf_get_real(gguf, "f32", &d) && d == 0.5);
    CU_ASSERT(fr_gguf_get_real(gguf, "f64", &d) && d == 0.1);
    CU_ASSERT(fr_gguf_get_real(gguf, "i8", &d) && d == -5.0);
    CU_ASSERT(!fr_gguf_get_real(gguf, "text", &d));
    CU_ASSERT(fr_gguf_get_bool(gguf, "yes", &b) && b);
    CU_ASSERT(!fr_gguf_get_bool(gguf, "u32", &b));
    CU_ASSERT(fr_gguf_get_text(gguf, "text", &t) && t.bytes == 3);
    CU_ASSERT(memcmp(t.data, "h\xc3\xa9", 3) == 0);
    CU_ASSERT(!fr_gguf_get_text(gguf, "yes", &t));
    CU_ASSERT_EQUAL(gguf->n_pairs, 8);
    CU_ASSERT_EQUAL(gguf->pairs[4].value.type, FR_GGUF_F32);
    CU_ASSERT(fr_text_is(gguf->pairs[4].key, "f32"));
    fr_gguf_close(&gguf);
    CU_ASSERT_PTR_NULL(gguf);
    fr_gguf_close(&gguf);
    fr_gguf_writer_destroy(&writer);
}

static void arrays_come_back_whole(void)
{
    static const char *const WORDS[] = {"a", "", "long one"};
    static const int32_t NUMBERS[] = {-1, 0, INT32_MAX};
    static const float REALS[] = {1.0F, 2.0F};
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_set_texts(writer, "words", WORDS, 3);
    fr_gguf_writer_set_texts(writer, "none", WORDS, 0);
    fr_gguf_writer_set_ints(writer, "numbers", NUMBERS, 3);
    fr_gguf_writer_set_reals(writer, "reals", REALS, 2);
    fr_gguf *gguf = write_and_open(writer);
    fr_text *texts = NULL;
    int64_t *ints = NULL;
    int64_t n = 0;
    FR_ASSERT_OK(fr_gguf_get_texts(fr_test_ctx(), gguf, "words", &texts, &n));
    CU_ASSERT_EQUAL_FATAL(n, 3);
    CU_ASSERT(texts[1].bytes == 0 && texts[2].bytes == 8);
    CU_ASSERT(memcmp(texts[2].data, "long one", 8) == 0);
    free(texts);
    FR_ASSERT_OK(fr_gguf_get_texts(fr_test_ctx(), gguf, "none", &texts, &n));
    CU_ASSERT_EQUAL(n, 0);
    free(texts);
    FR_ASSERT_OK(fr_gguf_get_ints(fr_test_ctx(), gguf, "numbers", &ints, &n));
    CU_ASSERT_EQUAL_FATAL(n, 3);
    CU_ASSERT(ints[0] == -1 && ints[1] == 0 && ints[2] == INT32_MAX);
    free(ints);
    CU_ASSERT_EQUAL(fr_gguf_find(gguf, "reals")->item_type, FR_GGUF_F32);
    CU_ASSERT_EQUAL(fr_gguf_find(gguf, "reals")->count, 2);
    FR_ASSERT_FAILS(fr_gguf_get_texts(fr_test_ctx(), gguf, "numbers", &texts, &n),
                    FR_ERR_FORMAT, "numbers is of another type");
    CU_ASSERT_PTR_NULL(texts);
    FR_ASSERT_FAILS(fr_gguf_get_ints(fr_test_ctx(), gguf, "reals", &ints, &n),
                    FR_ERR_FORMAT, "must be an array of integers");
    FR_ASSERT_FAILS(fr_gguf_get_ints(fr_test_ctx(), gguf, "absent", &ints, &n),
                    FR_ERR_FORMAT, "absent is missing");
    fr_gguf_close(&gguf);
    fr_gguf_writer_destroy(&writer);
}

static void integers_beyond_int64_are_refused_in_arrays(void)
{
    fr_gguf *gguf = NULL;
    int64_t *ints = NULL;
    int64_t n = 0;
    raw_file f = start(3, 0, 1);
    put_text(&f, "big");
    put_u32(&f, FR_GGUF_ARRAY);
    put_u32(&f, FR_GGUF_U64);
    put_u64(&f, 2);
    put_u64(&f, 1);
    put_u64(&f, UINT64_MAX);
    FR_ASSERT_OK(fr_gguf_parse(fr_test_ctx(), "x.gguf", f.bytes, f.n, &gguf));
    FR_ASSERT_FAILS(fr_gguf_get_ints(fr_test_ctx(), gguf, "big", &ints, &n),
                    FR_ERR_FORMAT, "item 1 of big");
    CU_ASSERT_PTR_NULL(ints);
    fr_gguf_close(&gguf);
}

static void tensors_are_found_with_shape_and_bytes(void)
{
    float data[12];
    for (int i = 0; i < 12; i++) {
        data[i] = (float)i;
    }
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_set_tensor(writer, "matrix", FR_QUANT_F32, 3, 4, data);
    fr_gguf_writer_set_tensor(writer, "vector", FR_QUANT_F32, 0, 5, data);
    fr_gguf *gguf = write_and_open(writer);
    const fr_gguf_tensor *matrix = fr_gguf_find_tensor(gguf, "matrix");
    const fr_gguf_tensor *vector = fr_gguf_find_tensor(gguf, "vector");
    CU_ASSERT_EQUAL(fr_gguf_n_tensors(gguf), 2);
    CU_ASSERT_PTR_NULL(fr_gguf_find_tensor(gguf, "matri"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(matrix);
    CU_ASSERT_PTR_NOT_NULL_FATAL(vector);
    CU_ASSERT_PTR_EQUAL(fr_gguf_tensor_at(gguf, 1), vector);
    CU_ASSERT(matrix->n_dims == 2 && matrix->ne[0] == 4 && matrix->ne[1] == 3);
    CU_ASSERT(matrix->ne[2] == 1 && matrix->bytes == 48);
    CU_ASSERT(vector->n_dims == 1 && vector->ne[0] == 5 && vector->bytes == 20);
    fr_assert_same_bytes("matrix", matrix->data, data, 48);
    fr_assert_same_bytes("vector", vector->data, data, 20);
    fr_gguf_close(&gguf);
    fr_gguf_writer_destroy(&writer);
}

static void missing_file_is_bad_input(void)
{
    fr_gguf *gguf = NULL;
    FR_ASSERT_FAILS(fr_gguf_open(fr_test_ctx(), "/nowhere/x.gguf", &gguf), FR_ERR_DATA,
                    "/nowhere/x.gguf");
    CU_ASSERT_PTR_NULL(gguf);
}

static void every_truncation_is_refused(void)
{
    raw_file f = start(3, 1, 2);
    put_text(&f, "general.architecture");
    put_u32(&f, FR_GGUF_STRING);
    put_text(&f, "llama");
    put_text(&f, "list");
    put_u32(&f, FR_GGUF_ARRAY);
    put_u32(&f, FR_GGUF_STRING);
    put_u64(&f, 2);
    put_text(&f, "a");
    put_text(&f, "b");
    put_tensor(&f, "t", 8, FR_QUANT_F32, 0);
    put_data(&f, 32);
    FR_ASSERT_OK(parse(&f, f.n));
    for (size_t bytes = 0; bytes < f.n; bytes++) {
        FR_ASSERT_FAILS(parse(&f, bytes), FR_ERR_FORMAT, "x.gguf");
    }
}

static void other_files_and_versions_are_refused(void)
{
    raw_file f = start(1, 0, 0);
    refuses(&f, FR_ERR_UNSUPPORTED, "GGUF version 1, supported: 2 and 3");
    f = start(4, 0, 0);
    refuses(&f, FR_ERR_UNSUPPORTED, "version 4");
    f = start(0x03000000U, 0, 0);
    refuses(&f, FR_ERR_UNSUPPORTED, "big-endian");
    f.bytes[0] = 'X';
    refuses(&f, FR_ERR_FORMAT, "does not start with GGUF");
    f = start(2, 0, 0);
    FR_ASSERT_OK(parse(&f, f.n));
}

static void giant_counts_are_refused(void)
{
    static const uint64_t GIANT[] = {1, 1U << 20, INT64_MAX, UINT64_MAX};
    for (int i = 0; i < 4; i++) {
        raw_file f = start(3, 0, GIANT[i]);
        refuses(&f, FR_ERR_FORMAT, "metadata pairs (byte 16) do not fit");
        f = start(3, GIANT[i], 0);
        refuses(&f, FR_ERR_FORMAT, "tensors (byte 8) do not fit");
    }
}

/* Entries of a few bytes that would take much memory before anything of them is used: here all zeros. */
static void many_small_entries_are_refused(void)
{
    enum { HEADER = 24, PAIR = 13, TENSOR = 32 };
    const uint64_t n_pairs = (1U << 20) + 1;
    const uint64_t n_tensors = (1U << 19) + 1;
    const size_t bytes = HEADER + (size_t)n_tensors * TENSOR;
    fr_gguf *gguf = NULL;
    uint8_t *file = calloc(bytes, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_FATAL(bytes > HEADER + (size_t)n_pairs * PAIR);
    memcpy(file, "GGUF\3", 5);
    memcpy(file + 16, &n_pairs, sizeof n_pairs);
    FR_ASSERT_FAILS(fr_gguf_parse(fr_test_ctx(), "x", file, bytes, &gguf),
                    FR_ERR_FORMAT, "bytes or are more than 1048576");
    memcpy(file + 8, &n_tensors, sizeof n_tensors);
    memset(file + 16, 0, sizeof n_pairs);
    FR_ASSERT_FAILS(fr_gguf_parse(fr_test_ctx(), "x", file, bytes, &gguf),
                    FR_ERR_FORMAT, "bytes or are more than 524288");
    free(file);
}

static void giant_string_and_array_lengths_are_refused(void)
{
    static const uint64_t GIANT[] = {100, INT64_MAX, UINT64_MAX - 7, UINT64_MAX};
    for (int i = 0; i < 4; i++) {
        raw_file f = start(3, 0, 1);
        put_u64(&f, GIANT[i]);
        put(&f, "key with some bytes behind it", 29);
        refuses(&f, FR_ERR_FORMAT, "a key at byte 24 has length");
        f = start(3, 0, 1);
        put_text(&f, "key");
        put_u32(&f, FR_GGUF_STRING);
        put_u64(&f, GIANT[i]);
        refuses(&f, FR_ERR_FORMAT, "has length");
        for (uint32_t item = FR_GGUF_U8; item <= FR_GGUF_F64; item++) {
            f = start(3, 0, 1);
            put_text(&f, "key");
            put_u32(&f, FR_GGUF_ARRAY);
            put_u32(&f, item);
            put_u64(&f, GIANT[i]);
            put_u64(&f, 0);
            refuses(&f, item == FR_GGUF_ARRAY ? FR_ERR_UNSUPPORTED : FR_ERR_FORMAT,
                    item == FR_GGUF_ARRAY ? "array of arrays" : "value of key");
        }
    }
}

/* Three items of eight bytes in twenty bytes: more bytes than items, but not room for them. */
static void arrays_that_end_outside_the_file_are_refused(void)
{
    static const uint32_t ITEMS[] = {FR_GGUF_U64, FR_GGUF_F64, FR_GGUF_STRING};
    for (int i = 0; i < 3; i++) {
        raw_file f = start(3, 0, 1);
        put_text(&f, "key");
        put_u32(&f, FR_GGUF_ARRAY);
        put_u32(&f, ITEMS[i]);
        put_u64(&f, 3);
        put(&f, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
        refuses(&f, FR_ERR_FORMAT, "has 3 items of at least 8 bytes, but 20 bytes");
    }
}

static void unknown_value_types_are_refused(void)
{
    raw_file f = start(3, 0, 1);
    put_text(&f, "key");
    put_u32(&f, 13);
    put_u64(&f, 0);
    refuses(&f, FR_ERR_FORMAT, "a value type at byte 35 is 13, must be 0 to 12");
    f = start(3, 0, 1);
    put_text(&f, "key");
    put_u32(&f, FR_GGUF_ARRAY);
    put_u32(&f, UINT32_MAX);
    put_u64(&f, 0);
    refuses(&f, FR_ERR_FORMAT, "an item type at byte 39");
    f = start(3, 0, 1);
    put_text(&f, "key");
    put_u32(&f, FR_GGUF_BOOL);
    put(&f, "\x02", 1);
    refuses(&f, FR_ERR_FORMAT, "truth value of key at byte 39 is 2");
}

static void double_names_are_refused(void)
{
    raw_file f = start(3, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_text(&f, "twin");
        put_u32(&f, FR_GGUF_U32);
        put_u32(&f, 1);
    }
    refuses(&f, FR_ERR_FORMAT, "key twin occurs twice (byte");
    f = start(3, 2, 0);
    put_tensor(&f, "t", 8, FR_QUANT_F32, 0);
    put_tensor(&f, "t", 8, FR_QUANT_F32, 32);
    put_data(&f, 64);
    refuses(&f, FR_ERR_FORMAT, "tensor t occurs twice");
}

static raw_file one_tensor(uint64_t size, uint32_t type, uint64_t offset)
{
    raw_file f = start(3, 1, 0);
    put_tensor(&f, "t", size, type, offset);
    put_data(&f, 64);
    return f;
}

static void bad_tensor_places_are_refused(void)
{
    static const uint64_t OFFSETS[] = {64, 96, 1U << 30, INT64_MAX - 31,
                                       UINT64_MAX - 31};
    for (int i = 0; i < 5; i++) {
        raw_file f = one_tensor(8, FR_QUANT_F32, OFFSETS[i]);
        refuses(&f, FR_ERR_FORMAT, "outside the 64 bytes of tensor data");
    }
    raw_file f = one_tensor(17, FR_QUANT_F32, 0);
    refuses(&f, FR_ERR_FORMAT, "outside the 64 bytes");
    f = one_tensor(8, FR_QUANT_F32, 4);
    refuses(&f, FR_ERR_FORMAT, "offset 4, not a multiple of the alignment 32");
    f = one_tensor(16, FR_QUANT_F32, 0);
    FR_ASSERT_OK(parse(&f, f.n));
    f = start(3, 2, 0);
    put_tensor(&f, "a", 16, FR_QUANT_F32, 0);
    put_tensor(&f, "b", 8, FR_QUANT_F32, 32);
    put_data(&f, 64);
    refuses(&f, FR_ERR_FORMAT, "tensors a and b overlap");
}

static void bad_shapes_and_types_are_refused(void)
{
    raw_file f = one_tensor(0, FR_QUANT_F32, 0);
    refuses(&f, FR_ERR_FORMAT, "dimension 0 of tensor t at byte 24 is 0");
    f = one_tensor(UINT64_MAX, FR_QUANT_F32, 0);
    refuses(&f, FR_ERR_FORMAT, "dimension 0 of tensor t");
    f = one_tensor(INT64_MAX, FR_QUANT_F32, 0);
    refuses(&f, FR_ERR_FORMAT, "size that overflows");
    f = one_tensor(31, FR_QUANT_Q8_0, 0);
    refuses(&f, FR_ERR_FORMAT, "not a multiple of the 32 of a Q8_0 block");
    f = one_tensor(8, 77, 0);
    refuses(&f, FR_ERR_UNSUPPORTED, "type number 77, supported: F32, F16");
    for (uint32_t n_dims = 0; n_dims <= 5; n_dims += 5) {
        f = start(3, 1, 0);
        put_text(&f, "t");
        put_u32(&f, n_dims);
        put_data(&f, 64);
        refuses(&f, FR_ERR_FORMAT, "dimensions, must be 1 to 4");
    }
    f = start(3, 1, 0);
    put_text(&f, "t");
    put_u32(&f, 3);
    for (int d = 0; d < 3; d++) {
        put_u64(&f, (uint64_t)1 << 31);
    }
    put_u32(&f, FR_QUANT_F32);
    put_u64(&f, 0);
    refuses(&f, FR_ERR_FORMAT, "shape that overflows");
}

static raw_file with_alignment(uint32_t type, uint64_t alignment)
{
    raw_file f = start(3, 1, 1);
    put_text(&f, "general.alignment");
    put_u32(&f, type);
    put(&f, &alignment, fr_gguf_item_bytes((fr_gguf_type)type));
    put_tensor(&f, "t", 8, FR_QUANT_F32, 0);
    put_data(&f, 256);
    return f;
}

static void odd_alignments_are_refused(void)
{
    static const uint32_t ODD[] = {0, 3, 24, 1U << 21, UINT32_MAX};
    for (int i = 0; i < 5; i++) {
        raw_file f = with_alignment(FR_GGUF_U32, ODD[i]);
        refuses(&f, FR_ERR_FORMAT,
                "general.alignment at byte 53 must be a power of two");
    }
    raw_file f = with_alignment(FR_GGUF_I32, 0xfffffff0U);
    refuses(&f, FR_ERR_FORMAT, "general.alignment");
    f = with_alignment(FR_GGUF_F32, 0x42000000U);
    refuses(&f, FR_ERR_FORMAT, "general.alignment");
    f = with_alignment(FR_GGUF_U32, 64);
    FR_ASSERT_OK(parse(&f, f.n));
}

static void names_in_messages_are_printable_and_short(void)
{
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    memcpy(name, "\x1b[2J", 4);
    raw_file f = start(3, 1, 0);
    put_tensor(&f, name, 0, FR_QUANT_F32, 0);
    put_data(&f, 64);
    refuses(&f, FR_ERR_FORMAT, "of tensor ?[2Jnnnn");
    FR_ASSERT_FAILS(parse(&f, f.n), FR_ERR_FORMAT, "nnnn... at byte 24");
}

static const fr_case CASES[] = {
    FR_CASE(scalars_come_back_with_conversion),
    FR_CASE(arrays_come_back_whole),
    FR_CASE(integers_beyond_int64_are_refused_in_arrays),
    FR_CASE(tensors_are_found_with_shape_and_bytes),
    FR_CASE(missing_file_is_bad_input),
    FR_CASE(every_truncation_is_refused),
    FR_CASE(other_files_and_versions_are_refused),
    FR_CASE(giant_counts_are_refused),
    FR_CASE(many_small_entries_are_refused),
    FR_CASE(giant_string_and_array_lengths_are_refused),
    FR_CASE(arrays_that_end_outside_the_file_are_refused),
    FR_CASE(unknown_value_types_are_refused),
    FR_CASE(double_names_are_refused),
    FR_CASE(bad_tensor_places_are_refused),
    FR_CASE(bad_shapes_and_types_are_refused),
    FR_CASE(odd_alignments_are_refused),
    FR_CASE(names_in_messages_are_printable_and_short),
};

int main(int argc, char **argv)
{
    return fr_suite_main("gguf", CASES, FR_N_CASES(CASES), argc, argv);
}
