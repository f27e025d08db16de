#include "model/files/safetensors.h"

#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define F32_2X3 "{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}"

static const float SIX[] = {0.0F, 1.0F, 2.0F, 3.0F, 4.0F, 5.0F};

/* Parses a buffer of exactly the file's size, so that a sanitizer sees any read behind it. */
static fr_status parse(const char *header, size_t data_bytes)
{
    uint8_t data[256] = {0};
    size_t n_bytes = 0;
    fr_safetensors *file = NULL;
    CU_ASSERT_FATAL(data_bytes <= sizeof data);
    uint8_t *bytes = fr_test_safetensors(header, data, data_bytes, &n_bytes);
    fr_status status =
        fr_safetensors_parse(fr_test_ctx(), "x.safetensors", bytes, n_bytes, &file);
    CU_ASSERT_EQUAL(file != NULL, status == FR_OK);
    fr_safetensors_close(&file);
    free(bytes);
    return status;
}

static void refuses(const char *header, size_t data_bytes, const char *part)
{
    FR_ASSERT_FAILS(parse(header, data_bytes), FR_ERR_FORMAT, part);
}

static void tensors_are_found_with_shape_and_data(void)
{
    static const char HEADER[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[24,32]},"
        "\"a\":" F32_2X3 "}  ";
    uint8_t data[32] = {0};
    size_t n_bytes = 0;
    float got[6] = {0};
    memcpy(data, SIX, 24);
    data[24] = 7;
    uint8_t *bytes = fr_test_safetensors(HEADER, data, sizeof data, &n_bytes);
    const char *path = fr_test_path(fr_test_folder(), "x.safetensors");
    fr_safetensors *file = NULL;
    fr_test_write(path, bytes, n_bytes);
    free(bytes);
    FR_ASSERT_OK(fr_safetensors_open(fr_test_ctx(), path, &file));
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_STRING_EQUAL(fr_safetensors_path(file), path);
    CU_ASSERT_EQUAL_FATAL(fr_safetensors_n_tensors(file), 2);
    const fr_safetensor *b = fr_safetensors_tensor_at(file, 0);
    const fr_safetensor *a = fr_safetensors_find(file, "a");
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    CU_ASSERT_PTR_EQUAL(fr_safetensors_find(file, "b"), b);
    CU_ASSERT_PTR_NULL(fr_safetensors_find(file, "__metadata__"));
    CU_ASSERT(b->n_dims == 0 && b->n == 1 && b->item_bytes == 8 && b->data[0] == 7);
    CU_ASSERT(a->n_dims == 2 && a->shape[0] == 2 && a->shape[1] == 3 && a->n == 6);
    CU_ASSERT_STRING_EQUAL(a->dtype, "F32");
    fr_test_copy_tensor(file, "a", "F32", 6, got);
    fr_assert_same_bytes("a", got, SIX, sizeof SIX);
    fr_safetensors_close(&file);
    CU_ASSERT_PTR_NULL(file);
    fr_safetensors_close(&file);
}

static void empty_directory_and_empty_tensor_are_fine(void)
{
    FR_ASSERT_OK(parse("{}", 0));
    FR_ASSERT_OK(parse("{\"e\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[24,"
                       "24]},\"a\":" F32_2X3 "}",
                       24));
}

static void missing_file_is_bad_input(void)
{
    fr_safetensors *file = NULL;
    FR_ASSERT_FAILS(fr_safetensors_open(fr_test_ctx(), "/nowhere/x", &file),
                    FR_ERR_DATA, "/nowhere/x");
    CU_ASSERT_PTR_NULL(file);
}

static void header_beyond_the_file_is_refused(void)
{
    static const uint64_t LENGTHS[] = {
        3, 100, 100000001, INT64_MAX, UINT64_MAX - 7, UINT64_MAX};
    for (int i = 0; i < 6; i++) {
        uint8_t bytes[10];
        fr_safetensors *file = NULL;
        memcpy(bytes, &LENGTHS[i], 8);
        memcpy(bytes + 8, "{}", 2);
        FR_ASSERT_FAILS(fr_safetensors_parse(fr_test_ctx(), "x", bytes, 10, &file),
                        FR_ERR_FORMAT, "header length");
    }
    for (size_t n = 0; n < 8; n++) {
        uint8_t bytes[8] = {0};
        fr_safetensors *file = NULL;
        FR_ASSERT_FAILS(fr_safetensors_parse(fr_test_ctx(), "x", bytes, n, &file),
                        FR_ERR_FORMAT, "only");
    }
}

static void broken_json_is_refused(void)
{
    static const char *const BROKEN[] = {"",
                                         "{",
                                         "{\"a\":}",
                                         "{} x",
                                         "{\"a\":1e999}",
                                         "{\"a\":\"\xff\"}",
                                         "{\"a\\u0000b\":{}}"};
    for (int i = 0; i < 7; i++) {
        refuses(BROKEN[i], 0, "the header is not valid JSON");
    }
    refuses("[]", 0, "the header is not a JSON object");
    refuses("{\"a\":" F32_2X3 ",\"a\":" F32_2X3 "}", 24, "duplicate");
}

static void deep_nesting_is_refused(void)
{
    enum { DEPTH = 100000 };
    char *header = fr_test_memory(malloc(DEPTH + 1));
    memset(header, '[', DEPTH);
    header[DEPTH] = '\0';
    refuses(header, 0, "not valid JSON");
    free(header);
}

/* {"a": {...}} with one field in another form. */
static void refuses_entry(const char *dtype, const char *shape, const char *offsets,
                          const char *part)
{
    char header[512];
    (void)snprintf(header, sizeof header,
                   "{\"a\":{\"dtype\":%s,\"shape\":%s,\"data_offsets\":%s}}", dtype,
                   shape, offsets);
    refuses(header, 24, part);
}

static void bad_dtypes_are_refused(void)
{
    refuses("{\"a\":7}", 0, "tensor a is not a JSON object");
    refuses_entry("\"F7\"", "[6]", "[0,24]", "unknown dtype F7");
    refuses_entry("\"\"", "[6]", "[0,24]", "unknown dtype");
    refuses_entry("7", "[6]", "[0,24]", "lacks the text dtype");
}

static void bad_shapes_are_refused(void)
{
    refuses_entry("\"F32\"", "6", "[0,24]", "lacks the list shape");
    refuses_entry("\"F32\"", "[-6]", "[0,24]",
                  "dimension that is not a non-negative whole number");
    refuses_entry("\"F32\"", "[6.0]", "[0,24]",
                  "dimension that is not a non-negative whole number");
    refuses_entry("\"F32\"", "[1,1,1,1,1,1,1,1,6]", "[0,24]", "9 dimensions");
    refuses_entry("\"F32\"", "[4294967296,4294967296]", "[0,24]", "overflows");
    refuses_entry("\"F32\"", "[9223372036854775807]", "[0,24]", "span 24 bytes");
    refuses_entry("\"F32\"", "[4611686018427387910]", "[0,24]", "span 24 bytes");
    refuses_entry("\"F32\"", "[99999999999999999999]", "[0,24]", "not valid JSON");
    refuses_entry("\"F32\"", "[5]", "[0,24]", "5 elements of 4 bytes");
    refuses_entry("\"F16\"", "[6]", "[0,24]", "6 elements of 2 bytes");
}

static void bad_offsets_are_refused(void)
{
    refuses_entry("\"F32\"", "[6]", "[0,25]", "outside the 24 bytes");
    refuses_entry("\"F32\"", "[6]", "[24,48]", "outside the 24 bytes");
    refuses_entry("\"F32\"", "[6]", "[24,0]", "outside");
    refuses_entry("\"F32\"", "[6]", "[-24,0]", "outside");
    refuses_entry("\"F32\"", "[6]", "[9223372036854775800,9223372036854775807]",
                  "outside");
    refuses_entry("\"F32\"", "[6]", "[0]", "lacks data_offsets");
    refuses_entry("\"F32\"", "[6]", "[0,12,24]", "lacks data_offsets");
    refuses_entry("\"F32\"", "[6]", "[0,\"24\"]", "lacks data_offsets");
    refuses_entry("\"F32\"", "[6]", "{}", "lacks data_offsets");
}

static void overlaps_and_holes_are_refused(void)
{
    refuses("{\"a\":" F32_2X3 ",\"b\":" F32_2X3 "}", 24, "overlaps the one before it");
    refuses("{\"a\":" F32_2X3
            ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[20,28]}}",
            28, "tensor b overlaps");
    refuses("{\"a\":" F32_2X3
            ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[28,36]}}",
            36, "tensor b leaves a hole");
    refuses("{\"a\":" F32_2X3 "}", 25, "1 bytes of data belong to no tensor");
}

static const fr_case CASES[] = {
    FR_CASE(tensors_are_found_with_shape_and_data),
    FR_CASE(empty_directory_and_empty_tensor_are_fine),
    FR_CASE(missing_file_is_bad_input),
    FR_CASE(header_beyond_the_file_is_refused),
    FR_CASE(broken_json_is_refused),
    FR_CASE(deep_nesting_is_refused),
    FR_CASE(bad_dtypes_are_refused),
    FR_CASE(bad_shapes_are_refused),
    FR_CASE(bad_offsets_are_refused),
    FR_CASE(overlaps_and_holes_are_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("safetensors", CASES, FR_N_CASES(CASES), argc, argv);
}
