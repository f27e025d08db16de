#include "model/files/safetensors_out.h"

#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static const float SIX[] = {0.0F, 1.0F, -2.0F, 3.5F, 4.0F, 5.0F};

static fr_safetensor_out tensor_of(const char *name, int n_dims, int64_t rows,
                                   int64_t columns)
{
    return (fr_safetensor_out){
        .name = name, .n_dims = n_dims, .shape = {rows, columns}, .data = SIX};
}

static void what_is_written_is_read_again(void)
{
    const fr_safetensor_out tensors[] = {
        tensor_of("b", 2, 2, 3), tensor_of("a", 0, 0, 0), tensor_of("none", 2, 0, 7),
        tensor_of("\xc3\xa4\"\\", 1, 5, 0)};
    uint8_t *image = NULL;
    uint8_t *again = NULL;
    size_t bytes = 0;
    size_t bytes_again = 0;
    fr_safetensors *file = NULL;
    FR_ASSERT_OK(fr_safetensors_image(fr_test_ctx(), tensors, 4, &image, &bytes));
    FR_ASSERT_OK(fr_safetensors_image(fr_test_ctx(), tensors, 4, &again, &bytes_again));
    CU_ASSERT_EQUAL_FATAL(bytes, bytes_again);
    fr_assert_same_bytes("image", again, image, bytes);
    FR_ASSERT_OK(fr_safetensors_parse(fr_test_ctx(), "x", image, bytes, &file));
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fr_safetensors_n_tensors(file), 4);
    for (int i = 0; i < FR_N_CASES(tensors); i++) {
        const fr_safetensor *got = fr_safetensors_find(file, tensors[i].name);
        CU_ASSERT_PTR_NOT_NULL_FATAL(got);
        CU_ASSERT_STRING_EQUAL(got->dtype, "F32");
        CU_ASSERT_EQUAL(got->n_dims, tensors[i].n_dims);
        for (int d = 0; d < got->n_dims; d++) {
            CU_ASSERT_EQUAL(got->shape[d], tensors[i].shape[d]);
        }
        fr_assert_same_bytes("data", got->data, SIX, got->bytes);
        CU_ASSERT_EQUAL((got->data - image) % 4, 0);
    }
    CU_ASSERT_EQUAL((fr_safetensors_find(file, "b")->data - image) % 8, 0);
    fr_safetensors_close(&file);
    free(image);
    free(again);
}

static void the_header_names_pytorch(void)
{
    static const char HEADER[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"t\":{\"dtype\":"
        "\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}";
    const fr_safetensor_out tensor = tensor_of("t", 2, 2, 3);
    uint8_t *image = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_safetensors_image(fr_test_ctx(), &tensor, 1, &image, &bytes));
    size_t padded = (sizeof HEADER - 1 + 7) / 8 * 8;
    CU_ASSERT_EQUAL_FATAL(bytes, 8 + padded + 24);
    CU_ASSERT_EQUAL(image[0], padded);
    fr_assert_same_bytes("header", image + 8, HEADER, sizeof HEADER - 1);
    for (size_t i = sizeof HEADER - 1; i < padded; i++) {
        CU_ASSERT_EQUAL(image[8 + i], ' ');
    }
    free(image);
}

static void a_file_without_tensors_is_one(void)
{
    uint8_t *image = NULL;
    size_t bytes = 0;
    fr_safetensors *file = NULL;
    FR_ASSERT_OK(fr_safetensors_image(fr_test_ctx(), NULL, 0, &image, &bytes));
    FR_ASSERT_OK(fr_safetensors_parse(fr_test_ctx(), "x", image, bytes, &file));
    CU_ASSERT_EQUAL(fr_safetensors_n_tensors(file), 0);
    fr_safetensors_close(&file);
    free(image);
}

static void refuses(const fr_safetensor_out *tensors, int64_t n, const char *part)
{
    uint8_t *image = NULL;
    size_t bytes = 1;
    FR_ASSERT_FAILS(fr_safetensors_image(fr_test_ctx(), tensors, n, &image, &bytes),
                    FR_ERR_ARG, part);
    CU_ASSERT(image == NULL && bytes == 0);
}

static void what_no_reader_takes_is_refused(void)
{
    const fr_safetensor_out twice[] = {tensor_of("t", 1, 2, 0),
                                       tensor_of("t", 1, 3, 0)};
    const fr_safetensor_out note = tensor_of("__metadata__", 1, 2, 0);
    const fr_safetensor_out broken = tensor_of("\xff", 1, 2, 0);
    const fr_safetensor_out negative = tensor_of("t", 2, -1, 2);
    const fr_safetensor_out large = tensor_of("t", 2, INT64_MAX / 2, 3);
    const fr_safetensor_out many = tensor_of("t", FR_SAFETENSOR_MAX_DIMS + 1, 1, 1);
    const fr_safetensor_out halves[] = {tensor_of("a", 1, INT64_MAX / 12, 0),
                                        tensor_of("b", 1, INT64_MAX / 12, 0)};
    refuses(twice, 2, "tensor t cannot be written: its name is taken");
    refuses(&note, 1, "tensor __metadata__ cannot be written: its name is taken");
    refuses(&broken, 1, "its name is not valid UTF-8");
    refuses(&negative, 1, "its shape is negative or too large");
    refuses(&large, 1, "its shape is negative or too large");
    refuses(&many, 1, "it has too many dimensions; at most 8");
    refuses(halves, 2, "the file would be too large");
}

static const fr_case CASES[] = {
    FR_CASE(what_is_written_is_read_again),
    FR_CASE(the_header_names_pytorch),
    FR_CASE(a_file_without_tensors_is_one),
    FR_CASE(what_no_reader_takes_is_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("safetensors_out", CASES, FR_N_CASES(CASES), argc, argv);
}
